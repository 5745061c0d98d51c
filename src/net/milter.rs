//! Connections to milters, over TCP or a socket in the file system. What is said on them is
//! `crate::milter`; here stand the waits.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use crate::milter::{Answer, Command, Conversation, Fault, Limits, Macros, Wish};
use crate::policy::milter::{Milter, MilterAddress};
use crate::policy::{SmartHostName, limits};

/// Commands that are not answered are gathered up to this many octets.
const WRITE_BYTES: usize = 128 << 10;
const READ_BYTES: usize = 16 << 10;
/// However often a milter says that it is still at it, this is the end of one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(9 * 60);

/// Why a milter could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum MilterError {
    #[error("cannot connect to {address}: {source}")]
    Connect { address: String, source: io::Error },
    #[error("no {what} within {} s", .after.as_secs())]
    Timeout { what: String, after: Duration },
    #[error("it closed the connection instead of an answer to {0}")]
    Closed(String),
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("{0}")]
    Fault(#[from] Fault),
}

trait Wire: AsyncRead + AsyncWrite + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Send + Sync> Wire for T {}

/// A negotiated connection.
pub struct MilterConnection {
    wire: Pin<Box<dyn Wire>>,
    conversation: Conversation,
    out: Vec<u8>,
    buffer: Box<[u8]>,
}

impl MilterConnection {
    /// Connects and negotiates, each within `connect_timeout`. `change_bytes_max` is for all that it
    /// may change in one message.
    pub async fn open(milter: &Milter, change_bytes_max: usize) -> Result<Self, MilterError> {
        let wait = milter.connect_timeout;
        let deadline = Instant::now() + wait;
        let address = milter.address.to_string();
        let failed = |source| MilterError::Connect { address: address.clone(), source };
        let wire = timeout_at(deadline, connect(&milter.address))
            .await
            .map_err(|_| MilterError::Timeout { what: format!("connection to {address}"), after: wait })?
            .map_err(failed)?;
        let limits = Limits {
            packet_bytes_max: limits::MILTER_PACKET_BYTES_MAX,
            change_bytes_max,
            packets_max: limits::MILTER_PACKETS_MAX,
        };
        let (conversation, out) = Conversation::begin(limits);
        let mut connection = Self { wire, conversation, out, buffer: vec![0; READ_BYTES].into_boxed_slice() };
        connection.negotiate(wait).await?;
        Ok(connection)
    }

    async fn negotiate(&mut self, wait: Duration) -> Result<(), MilterError> {
        let deadline = Instant::now() + wait;
        self.flush(deadline, wait, "the negotiation").await?;
        while self.conversation.negotiate()?.is_none() {
            self.read(deadline, wait, "the negotiation").await?;
        }
        Ok(())
    }

    /// Whether values of fields bring the blank behind the colon along.
    pub fn keeps_blank(&self) -> bool {
        self.conversation.agreed().is_some_and(crate::milter::Agreed::keeps_blank)
    }

    /// Whether the milter wants to hear of this command.
    pub fn hears(&self, command: &Command<'_>) -> bool {
        let agreed = self.conversation.agreed();
        command.stage().is_some_and(|stage| agreed.is_some_and(|agreed| agreed.hears(stage)))
    }

    /// Says one thing, and gives its final answer, if one is due; what came before that goes to
    /// `said`. Each packet gets `wait`.
    pub async fn ask(
        &mut self,
        command: &Command<'_>,
        macros: &Macros,
        wait: Duration,
        said: &mut Vec<Wish>,
    ) -> Result<Option<Answer>, MilterError> {
        let what = command.stage().map(|stage| stage.to_string()).unwrap_or_default();
        let awaits = self.conversation.say(command, macros, &mut self.out);
        if !awaits && self.out.len() < WRITE_BYTES {
            return Ok(None);
        }
        let last = Instant::now() + ANSWER_TIMEOUT;
        self.flush(Instant::now() + wait, wait, &what).await?;
        if !awaits {
            return Ok(None);
        }
        let mut deadline = (Instant::now() + wait).min(last);
        loop {
            match self.conversation.answer()? {
                None => self.read(deadline, wait, &what).await?,
                Some(answer) if answer.is_final() => return Ok(Some(answer)),
                Some(answer) => {
                    deadline = (Instant::now() + wait).min(last);
                    if let Answer::Wish(wish) = answer {
                        said.push(wish);
                    }
                }
            }
        }
    }

    /// Whether it may carry another message.
    pub fn is_at_rest(&self) -> bool {
        self.conversation.is_at_rest()
    }

    /// Says goodbye, as far as that is heard at once.
    pub async fn quit(mut self) {
        self.conversation.say(&Command::Quit, &Macros::default(), &mut self.out);
        let soon = Duration::from_secs(1);
        let _ = self.flush(Instant::now() + soon, soon, "goodbye").await;
    }

    async fn flush(&mut self, deadline: Instant, wait: Duration, what: &str) -> Result<(), MilterError> {
        let out = std::mem::take(&mut self.out);
        let written = timeout_at(deadline, async {
            self.wire.write_all(&out).await?;
            self.wire.flush().await
        });
        match written.await {
            Ok(written) => written.map_err(MilterError::Broken),
            Err(_) => Err(MilterError::Timeout { what: format!("room for {what}"), after: wait }),
        }
    }

    async fn read(&mut self, deadline: Instant, wait: Duration, what: &str) -> Result<(), MilterError> {
        match timeout_at(deadline, self.wire.read(&mut self.buffer)).await {
            Err(_) => Err(MilterError::Timeout { what: format!("answer to {what}"), after: wait }),
            Ok(Err(error)) => Err(MilterError::Broken(error)),
            Ok(Ok(0)) => Err(MilterError::Closed(what.to_owned())),
            Ok(Ok(count)) => {
                self.conversation.hear(&self.buffer[..count]);
                Ok(())
            }
        }
    }
}

/// A name is looked up as the system does, for it is a name of the site's own.
async fn connect(address: &MilterAddress) -> io::Result<Pin<Box<dyn Wire>>> {
    let stream = match address {
        MilterAddress::Unix(path) => return Ok(Box::pin(UnixStream::connect(path).await?)),
        MilterAddress::Inet { host: SmartHostName::Address(ip), port } => {
            TcpStream::connect((*ip, *port)).await?
        }
        MilterAddress::Inet { host: SmartHostName::Name(name), port } => {
            TcpStream::connect((name.as_str(), *port)).await?
        }
    };
    stream.set_nodelay(true)?;
    Ok(Box::pin(stream))
}
