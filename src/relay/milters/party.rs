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
#[derive(Default)]
pub struct Party {
    milters: Arc<Milters>,
    seats: Vec<Seat>,
    client: Option<Client>,
    /// When the content of the message in hand must have been looked at.
    content_until: Option<Instant>,
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
        let until = *self.content_until.get_or_insert_with(|| Instant::now() + CONTENT_TIMEOUT);
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
