//! What becomes of the recipients of one claim, gathered and then applied in one atomic change.

use std::time::Duration;

use jiff::Timestamp;
use sealpost_queue::{Change, Claim, Destination, MessageId, Recipient};

use crate::mail::{Address, Domain, TlsRequired};
use crate::observe::Event;
use crate::observe::tracking::{Cause, Tracked};
use crate::policy::{Settings, retry};
use crate::session::send::Opening;
use crate::smtp::{Reply, SessionId};
use crate::trust::OnFailure;

use super::delivery::Pending;
use super::record::{AttemptNote, MessageMeta};
use super::report::{Fate, Reports};
use super::shared::Shared;
use super::tracked::Telling;
use super::{report, route};

/// Between two tries to write an outcome down: the first pause, and the longest.
const STORAGE_PAUSE_MIN: Duration = Duration::from_secs(2);
const STORAGE_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The outcome of one claim so far.
pub struct Settlement<'a> {
    shared: &'a Shared,
    settings: &'a Settings,
    id: MessageId,
    received: i64,
    size: u64,
    changes: Vec<Change>,
    bounced: Vec<Fate>,
    relayed: Vec<Fate>,
    events: Vec<Event>,
    telling: Telling,
}

impl<'a> Settlement<'a> {
    pub fn new(shared: &'a Shared, settings: &'a Settings, claim: &Claim) -> Self {
        let meta = MessageMeta::from_bytes(&claim.message.meta).ok();
        Self {
            shared,
            settings,
            id: claim.message.id,
            received: claim.message.received,
            size: claim.message.size,
            changes: Vec::new(),
            bounced: Vec::new(),
            relayed: Vec::new(),
            events: Vec::new(),
            telling: Telling::of(shared, &claim.message, meta.as_ref()),
        }
    }

    /// The recipients to be tried now. Those that the present settings route elsewhere are moved,
    /// those past their expiry given up.
    pub fn due_here(&mut self, claim: &Claim, here: &Destination) -> Vec<Pending> {
        let now = Shared::now_millis();
        let mut pending = Vec::new();
        for recipient in &claim.message.recipients {
            let Ok(address) = Address::parse(&recipient.address) else {
                let reply = Reply::new(550, (5, 1, 3), "the address cannot be read");
                self.give_up(recipient.index, &recipient.address, AttemptNote::ours(&reply, "bad address"));
                continue;
            };
            let destination = route::present(self.settings, &address, here);
            if recipient.expires <= now {
                self.give_up_expired(recipient);
            } else if destination != *here {
                self.changes.push(Change::Move { id: self.id, recipient: recipient.index, destination });
            } else {
                pending.push(Pending { recipient: recipient.clone(), address, note: None });
            }
        }
        pending
    }

    /// Gives up the recipients whose time is up, whatever state they are in.
    pub fn expire(&mut self, claim: &Claim) {
        let now = Shared::now_millis();
        for recipient in claim.message.recipients.iter().filter(|recipient| recipient.expires <= now) {
            self.give_up_expired(recipient);
        }
    }

    fn give_up_expired(&mut self, recipient: &Recipient) {
        let note = expired(AttemptNote::from_bytes(&recipient.note), recipient.expires, self.received);
        self.telling.found(&recipient.address, &note, Cause::Expired);
        self.give_up(recipient.index, &recipient.address, note);
    }

    /// The record itself cannot be read: the message is kept and looked at again later.
    pub fn unreadable(&mut self, claim: &Claim, error: &str) {
        let reply = Reply::new(451, (4, 3, 0), "the queue record cannot be read");
        let note =
            AttemptNote::ours(&reply, format!("the queue record of this message cannot be read: {error}"));
        for recipient in &claim.message.recipients {
            self.retry(recipient, &note);
        }
    }

    /// Where the session that is told next went.
    pub fn sent_over(&mut self, opening: &Opening, delivered: &[Pending]) {
        let recipients = delivered.iter().map(|pending| pending.recipient.address.clone());
        self.telling.sent(Tracked {
            recipients: recipients.collect(),
            session: opening.id.to_string(),
            local: Some(opening.local),
            remote: Some(opening.remote),
            reply: "250".to_owned(),
            ..Tracked::default()
        });
    }

    /// Delivered recipients, and the counting of the message.
    pub fn delivered(
        &mut self,
        delivered: Vec<Pending>,
        host: &str,
        session: SessionId,
        secured: Option<Domain>,
    ) {
        let Some(first) = delivered.first() else { return };
        let waited = Shared::now_millis().saturating_sub(self.received).max(0);
        self.events.push(Event::MessageDelivered {
            queue_id: self.id.to_string(),
            connector: first.recipient.destination.connector.clone(),
            session,
            host: host.to_owned(),
            recipient_count: delivered.len(),
            secured,
            accept_to_delivered: Duration::from_millis(waited.unsigned_abs()),
        });
        for pending in delivered {
            self.changes.push(Change::Taken { id: self.id, recipient: pending.recipient.index });
        }
    }

    /// Taken by a host that reports nothing itself, and the sender asked to hear of success.
    pub fn relayed(&mut self, pending: &Pending, reply: &Reply, host: &str) {
        let Recipient { index, address, .. } = &pending.recipient;
        let note = attempted_now(AttemptNote::from_reply(reply, "end of DATA", host));
        self.relayed.push(Fate { index: *index, address: address.clone(), note });
    }

    /// Refused for good.
    pub fn bounce(&mut self, pending: &Pending, note: AttemptNote) {
        self.give_up(pending.recipient.index, &pending.recipient.address, attempted_now(note));
    }

    /// What no target took: tried again later, or given up where nothing could change.
    /// Nobody waits for a next hop to learn REQUIRETLS: its sender shall hear of it (RFC 8689 4.2.1).
    pub fn leave(&mut self, left: Vec<Pending>, here: &Destination, tls_required: TlsRequired) {
        let reject_secured = Domain::parse(&here.tls_domain)
            .ok()
            .and_then(|domain| self.settings.partner_of(&domain))
            .is_some_and(|partner| partner.on_outbound_failure == OnFailure::Reject);
        for pending in left {
            let before = &pending.recipient.note;
            let note = pending.note.unwrap_or_default().concluded(before, Shared::now_millis());
            let ordinary = here.tls_domain.is_empty() && tls_required == TlsRequired::Yes;
            let give_up = note.permanent && (note.fault.is_none() || reject_secured || ordinary);
            if give_up {
                self.give_up(pending.recipient.index, &pending.recipient.address, note);
            } else {
                self.retry(&pending.recipient, &note);
            }
        }
    }

    fn retry(&mut self, recipient: &Recipient, note: &AttemptNote) {
        self.telling.found(&recipient.address, note, Cause::Refused);
        let intervals = self.settings.retry_intervals(&recipient.destination.tls_domain);
        let wait = retry::interval(intervals, recipient.attempts.saturating_add(1));
        let next_attempt = route::after(Timestamp::now(), wait);
        self.events.push(Event::MessageDeferred {
            queue_id: self.id.to_string(),
            recipient: recipient.address.clone(),
            reason: note.reason.clone(),
            next_attempt: Timestamp::from_millisecond(next_attempt).unwrap_or(Timestamp::MAX),
        });
        let (id, note) = (self.id, note.to_bytes());
        self.changes.push(Change::Retry { id, recipient: recipient.index, next_attempt, note });
    }

    fn give_up(&mut self, recipient: u32, address: &str, note: AttemptNote) {
        self.telling.found(address, &note, Cause::Refused);
        self.events.push(Event::MessageBounced {
            queue_id: self.id.to_string(),
            recipient: address.to_owned(),
            reason: note.reason.clone(),
        });
        self.changes.push(Change::Remove { id: self.id, recipient });
        self.bounced.push(Fate { index: recipient, address: address.to_owned(), note: note.into_final() });
    }

    /// Everything in one change: what was given up leaves the queue together with the DSN that says
    /// so entering it.
    pub async fn close(mut self, meta: Option<&MessageMeta>) -> Settled {
        let mut reports = Reports::default();
        if let Some(meta) = meta {
            let (id, received, size) = (self.id, self.received, self.size);
            let about = report::About { id, received, size, meta };
            reports.add(report::failure(self.shared, self.settings, &about, &self.bounced).await);
            reports.add(report::relayed(self.shared, self.settings, &about, &self.relayed).await);
        }
        self.changes.extend(reports.take_changes());
        self.telling.reports_in(&self.changes);
        // What was delivered is told first: with it in mind, the rest is known to be a rest.
        self.events.sort_by_key(|event| !matches!(event, Event::MessageDelivered { .. }));
        Settled { id: self.id, changes: self.changes, events: self.events, reports, telling: self.telling }
    }
}

/// Longest wait for a session to tell of a message before what became of it is told.
const TOLD_MAX: Duration = Duration::from_secs(90);

/// What is left to be written down of a claim, which must be held until it is.
pub struct Settled {
    id: MessageId,
    changes: Vec<Change>,
    /// Told once it is written.
    events: Vec<Event>,
    reports: Reports,
    telling: Telling,
}

impl Settled {
    /// Writes it down. What is to be told of it comes back, if something is.
    pub async fn store(self, shared: &Shared) -> Option<Untold> {
        let Self { id, changes, events, reports, telling } = self;
        if changes.is_empty() {
            return None;
        }
        Some(match store(shared, changes).await? {
            Stored::Whole(inserted) => {
                let events = reports.events(id, &inserted).into_iter().chain(events).collect();
                Untold { id, inserted, events, telling }
            }
            // Its sender has kept the message, and hears nothing of what became of ours.
            Stored::NotThere => {
                let delivered = |event: &Event| matches!(event, Event::MessageDelivered { .. });
                let events = events.into_iter().filter(delivered).collect();
                Untold { id, inserted: Vec::new(), events, telling }
            }
        })
    }
}

/// What is written down of a claim, and to be told.
pub struct Untold {
    id: MessageId,
    inserted: Vec<MessageId>,
    events: Vec<Event>,
    telling: Telling,
}

impl Untold {
    /// Whether the session that took the message must be waited for: it may not have told so yet.
    pub fn is_early(&self, shared: &Shared) -> bool {
        shared.queue.is_offered(self.id)
    }

    /// Tells of it, after the coming of the message was told.
    pub async fn tell(self, shared: &Shared) {
        // One that never ends would be a session that is stuck: told too early is better than never.
        let _told = tokio::time::timeout(TOLD_MAX, shared.queue.told(self.id)).await;
        for event in self.events {
            self.telling.tell(shared, &self.inserted, event);
        }
    }
}

enum Stored {
    /// With the ids of reports.
    Whole(Vec<MessageId>),
    /// The message was offered by a session that could not keep it.
    NotThere,
}

/// Applies changes. Storage that fails is waited out while the claim is held, whatever the error:
/// what was delivered and is not written down would be delivered again. `None`: it cannot be written
/// before the server stops, and by then nothing is claimed any more.
async fn store(shared: &Shared, changes: Vec<Change>) -> Option<Stored> {
    let mut pause = STORAGE_PAUSE_MIN;
    loop {
        let error = match shared.queue.apply(changes.clone()).await {
            Ok(inserted) => return Some(Stored::Whole(inserted)),
            Err(sealpost_queue::Error::NoSuchMessage(_)) => return Some(Stored::NotThere),
            Err(error) => error,
        };
        shared.observer.event(Event::StorageFailed { error: error.to_string() });
        match after_failure(&error) {
            AfterFailure::TryAgain => {
                let _drained = tokio::time::timeout(pause, shared.draining.cancelled()).await;
                pause = STORAGE_PAUSE_MAX.min(pause * 2);
            }
            AfterFailure::HoldUntilTheEnd => shared.draining.cancelled().await,
            AfterFailure::GiveBack => {
                // It is due again at once; that must not be a busy loop.
                tokio::time::sleep(STORAGE_PAUSE_MIN).await;
                return None;
            }
        }
        if shared.draining.is_cancelled() {
            return None;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum AfterFailure {
    /// A disk may have room, or answer, again.
    TryAgain,
    /// The queue writes nothing more in this run. Its workers stand still with what they hold.
    HoldUntilTheEnd,
    /// This change can never be written.
    GiveBack,
}

fn after_failure(error: &sealpost_queue::Error) -> AfterFailure {
    use sealpost_queue::Error;
    match error {
        Error::Failed(_) | Error::Closed => AfterFailure::HoldUntilTheEnd,
        Error::Invalid(_) | Error::NoSuchMessage(_) => AfterFailure::GiveBack,
        _ => AfterFailure::TryAgain,
    }
}

/// The finding of a recipient whose time is up: the last one, said to be final. A failed check, ours or
/// a partner's of us, keeps its code; what a peer had for now only is no reason for good, so that the
/// time is (RFC 3463 3.5).
pub(super) fn expired(last: AttemptNote, expires: i64, received: i64) -> AttemptNote {
    let age = in_words(expires.saturating_sub(received));
    let last_reason =
        if last.reason.is_empty() { "no attempt was possible".to_owned() } else { last.reason.clone() };
    AttemptNote {
        reason: format!("the message expired after {age} in the queue. The last finding was: {last_reason}"),
        status: if last.fault.is_some() { last.status.clone() } else { "4.4.7".to_owned() },
        ..last
    }
}

fn attempted_now(note: AttemptNote) -> AttemptNote {
    AttemptNote { attempted: Some(Shared::now_millis()), ..note }
}

/// A span in the largest unit of which there are at least two.
fn in_words(millis: i64) -> String {
    let seconds = millis / 1000;
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} hours", seconds / 3_600),
        120.. => format!("{} minutes", seconds / 60),
        _ => format!("{seconds} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use sealpost_queue::Error;

    use super::*;

    #[test]
    fn what_was_delivered_is_not_given_back_because_a_disk_fails() {
        let io =
            |kind: std::io::ErrorKind| Error::Io { what: "write", path: "/q".into(), source: kind.into() };
        let table = [
            (Error::DiskFull("/q".into()), AfterFailure::TryAgain),
            (io(std::io::ErrorKind::PermissionDenied), AfterFailure::TryAgain),
            (Error::Failed("fsync: Input/output error".to_owned()), AfterFailure::HoldUntilTheEnd),
            (Error::Closed, AfterFailure::HoldUntilTheEnd),
            (Error::Invalid("a note of more than 16 KiB"), AfterFailure::GiveBack),
        ];
        for (error, expected) in table {
            assert_eq!(after_failure(&error), expected, "{error}");
        }
    }
}
