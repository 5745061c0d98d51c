//! The mail server behind an edge, reduced to its mailbox: it takes whatever comes over SMTP on
//! loopback and keeps it in memory, so that the demo and the tests can look at what arrived.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A message as it arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    pub from: String,
    pub to: Vec<String>,
    /// Header and body, dots unstuffed.
    pub content: String,
}

/// A running mailbox server; it ends when this is dropped.
pub struct Mailbox {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    delivered: Mutex<Vec<Delivered>>,
    arrived: Notify,
}

impl Mailbox {
    /// Listens on this address; port 0 for a free one.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, listening })
    }

    /// For `smart_hosts`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that arrived so far, oldest first.
    pub fn all(&self) -> Vec<Delivered> {
        self.shared.lock().clone()
    }

    /// The first message that fits, as soon as it is there.
    pub async fn wait_for(&self, fits: impl Fn(&Delivered) -> bool, patience: Duration) -> Option<Delivered> {
        let found = async {
            loop {
                let arrived = self.shared.arrived.notified();
                if let Some(message) = self.shared.lock().iter().find(|message| fits(message)) {
                    return message.clone();
                }
                arrived.await;
            }
        };
        tokio::time::timeout(patience, found).await.ok()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Delivered {
    /// The value of the first header field of this name, unfolded.
    pub fn field(&self, name: &str) -> Option<String> {
        let head = self.content.split("\r\n\r\n").next()?;
        let unfolded = head.replace("\r\n\t", " ").replace("\r\n ", " ");
        unfolded.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Delivered>> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // A peer that breaks off loses its own session and nothing else.
        tokio::spawn(async move { serve(stream, &shared).await.unwrap_or_default() });
    }
}

/// One session: enough of RFC 5321 for a relay that behaves.
async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mailbox.invalid ESMTP\r\n").await?;
    let mut message = Delivered::default();
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let command = line.trim_end().to_owned();
        line.clear();
        let verb = command.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match verb.as_str() {
            "EHLO" => b"250-mailbox.invalid\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
            "HELO" | "NOOP" => b"250 ok\r\n",
            "RSET" => {
                message = Delivered::default();
                b"250 ok\r\n"
            }
            "MAIL" => {
                message = Delivered { from: path(&command), ..Delivered::default() };
                b"250 ok\r\n"
            }
            "RCPT" => {
                message.to.push(path(&command));
                b"250 ok\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                message.content = read_content(&mut stream).await?;
                shared.lock().push(std::mem::take(&mut message));
                shared.arrived.notify_waiters();
                b"250 kept\r\n"
            }
            "QUIT" => return stream.write_all(b"221 bye\r\n").await,
            _ => b"500 unknown\r\n",
        };
        stream.write_all(reply).await?;
    }
    Ok(())
}

/// What stands between the angle brackets of `MAIL` or `RCPT`.
fn path(command: &str) -> String {
    let inside = command.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or_else(String::new, |(path, _)| path.to_owned())
}

async fn read_content(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut content = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(String::from_utf8_lossy(&content).into_owned());
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::{Disguise, Letter, send};
    use super::*;

    #[tokio::test]
    async fn what_is_sent_is_kept() {
        let mailbox = Mailbox::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let mut letter =
            Letter::new("a@x.example", "b@y.example", "dots").with_field("X-Folded: one\r\n\ttwo");
        letter.content.push_str(".leading dot\r\n..two\r\n");
        let reply = send(mailbox.address(), Disguise::Clear, &letter).await.unwrap();
        assert_eq!(reply.code, 250);
        let kept = mailbox.wait_for(|kept| kept.to == ["b@y.example"], Duration::from_secs(5)).await.unwrap();
        assert_eq!(kept.content, letter.content);
        assert_eq!(kept.field("x-folded").as_deref(), Some("one two"));
        assert_eq!(kept.field("absent"), None);
        assert_eq!(mailbox.all().len(), 1);
    }
}
