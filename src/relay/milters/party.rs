//! All milters of one session.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::mail::{Address, ReversePath};
use crate::milter::Command;
use crate::observe::Observer;
use crate::policy::milter::{Milters, Ruling};
use crate::session::receive::MilterWord;

use super::client::Client;
use super::gate::Gates;
use super::seat::{Seat, Seen, Shown};

/// All milters together have so long for the content of one message: clients wait ten minutes for the
/// reply to the final dot (RFC 5321 4.5.3.2.6), and who gave up sends it again.
const CONTENT_TIMEOUT: Duration = Duration::from_secs(9 * 60);

/// What milters are asked with.
pub struct Means<'a> {
    pub gates: &'a Gates,
    pub observer: &'a Observer,
    /// Octets of all that one milter may change in a message.
    pub change_bytes_max: usize,
}

/// Empty until the first MAIL that milters are asked about.
pub struct Party {
    milters: Arc<Milters>,
    seats: Vec<Seat>,
    client: Option<Client>,
    /// When the content of the message in hand must have been looked at.
    content_until: Option<Instant>,
    content_timeout: Duration,
}

impl Default for Party {
    fn default() -> Self {
        Self {
            milters: Arc::default(),
            seats: Vec::new(),
            client: None,
            content_until: None,
            content_timeout: CONTENT_TIMEOUT,
        }
    }
}

impl Party {
    /// MAIL: the milters are asked one after the other, until one refuses and may.
    pub async fn sender(
        &mut self,
        means: &Means<'_>,
        milters: &Arc<Milters>,
        mut client: Client,
        path: &ReversePath,
        parameters: &[String],
    ) -> Vec<MilterWord> {
        self.follow(means.gates, milters).await;
        self.content_until = None;
        client.set_sender(path);
        let path = format!("<{path}>");
        let mail = Command::Mail { path: &path, parameters };
        let mut said = Vec::new();
        for seat in &mut self.seats {
            said.extend(seat.sender(&client, &mail, means).await);
            if is_settled(milters, &said) {
                break;
            }
        }
        self.client = Some(client);
        said
    }

    pub async fn recipient(
        &mut self,
        recipient: &Address,
        parameters: &[String],
        observer: &Observer,
    ) -> Vec<MilterWord> {
        let Some(client) = self.client.as_mut() else { return Vec::new() };
        client.set_recipient(recipient);
        let path = format!("<{recipient}>");
        let rcpt = Command::Rcpt { path: &path, parameters };
        let mut said = Vec::new();
        for seat in &mut self.seats {
            said.extend(seat.recipient(client, &rcpt, observer).await);
            if is_settled(&self.milters, &said) {
                break;
            }
        }
        said
    }

    /// What the milter with this number makes of the content; `None` where there is none.
    ///
    /// # Errors
    /// When the content cannot be read.
    pub async fn content(
        &mut self,
        number: usize,
        queue_id: &str,
        shown: Shown<'_>,
        observer: &Observer,
    ) -> std::io::Result<Option<Seen>> {
        let (Some(client), Some(seat)) = (self.client.as_mut(), self.seats.get_mut(number)) else {
            return Ok(None);
        };
        client.set_queue_id(queue_id);
        let until = *self.content_until.get_or_insert_with(|| Instant::now() + self.content_timeout);
        seat.content(client, shown, until, observer).await.map(Some)
    }

    /// The message is over.
    pub async fn rest(&mut self) {
        for seat in &mut self.seats {
            seat.rest().await;
        }
    }

    pub async fn leave(&mut self) {
        for seat in &mut self.seats {
            seat.leave().await;
        }
    }

    /// Whether the milters may do more than watch.
    pub fn rule(&self) -> bool {
        self.milters.rule()
    }

    /// A reload may have given the connector others.
    async fn follow(&mut self, gates: &Gates, milters: &Arc<Milters>) {
        let same = self.seats.iter().map(|seat| &seat.milter).eq(&milters.all);
        if !same {
            self.leave().await;
            self.seats =
                milters.all.iter().map(|milter| Seat::new(Arc::clone(milter), gates.to(milter))).collect();
        }
        self.milters = Arc::clone(milters);
    }
}

/// A refusal of a milter that rules ends the asking.
fn is_settled(milters: &Milters, said: &[MilterWord]) -> bool {
    milters.rule()
        && said.last().is_some_and(|word| matches!(word.ruling, Ruling::Refuse(_) | Ruling::Discard))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::super::inspection::Inspector;
    use super::*;
    use crate::milter::Macros;
    use crate::observe::test_settings::with_lists;
    use crate::policy::milter::{DefaultAction, DiscardAction, Milter, MilterAddress};
    use crate::policy::{CheckMode, SmartHostName};

    /// Takes its time over each step, but never too long over one.
    async fn dawdle(mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let mut packet = vec![0; usize::try_from(stream.read_u32().await?).unwrap()];
            stream.read_exact(&mut packet).await?;
            match packet[0] {
                b'O' => stream.write_all(&[0, 0, 0, 13, b'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0, 4, 0]).await?,
                b'D' | b'A' => {}
                b'Q' => return Ok(()),
                b'C' | b'H' | b'M' => stream.write_all(&[0, 0, 0, 1, b'c']).await?,
                _ => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    stream.write_all(&[0, 0, 0, 1, b'c']).await?;
                }
            }
        }
    }

    fn milter(address: SocketAddr, name: &str) -> Arc<Milter> {
        Arc::new(Milter {
            name: name.to_owned(),
            address: MilterAddress::Inet { host: SmartHostName::Address(address.ip()), port: address.port() },
            connect_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(10),
            content_timeout: Duration::from_secs(10),
            default_action: DefaultAction::TempFail,
            discard_action: DiscardAction::Discard,
            max_connections: 2,
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_milters_together_have_one_time_for_a_message() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(dawdle(stream));
            }
        });
        let settings = with_lists(&[], &[]);
        let (observer, gates) = (Observer::new(&settings), Gates::default());
        let home = tempfile::tempdir().unwrap();
        let inspector = Inspector::open(home.path(), &settings.dns).unwrap();
        let milters =
            Milters { all: vec![milter(address, "one"), milter(address, "two")], mode: CheckMode::Enforce };
        let means = Means { gates: &gates, observer: &observer, change_bytes_max: 1000 };
        let client = Client {
            remote: "192.0.2.1:25".parse().unwrap(),
            host: "[192.0.2.1]".to_owned(),
            helo: "client.example".to_owned(),
            macros: Macros::default(),
            greeting: String::new(),
        };
        let mut party = Party { content_timeout: Duration::from_millis(300), ..Party::default() };
        let said = party.sender(&means, &Arc::new(milters), client, &ReversePath::Null, &[]).await;
        assert!(said.is_empty(), "{said:?}");
        let head = "X-Field: x\r\n".repeat(40);
        let mut held = inspector.hold();
        for number in 0..2 {
            let shown = Shown { head: head.as_bytes(), held: &mut held, body_from: 0 };
            let seen = party.content(number, "1", shown, &observer).await.unwrap().unwrap();
            let failure = seen.word.failure.expect("forty answers of 50 ms each are too many");
            assert_eq!(failure, "it and those before it took too long over one message");
        }
    }
}
