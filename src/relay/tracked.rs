//! What message tracking tells beside an event: gathered while a message is worked on, and handed to
//! the observer together with the events once what happened is written down.

use sealpost_queue::{Change, Message, MessageId, NewMessage};

use crate::observe::tracking::{Cause, MessageFacts, Tracked};
use crate::observe::{Event, FilterEvent, of_no_message};

use super::record::{AttemptNote, MessageMeta};
use super::shared::Shared;

/// What is known of a message that events are told of.
#[derive(Default)]
pub struct Telling {
    message: MessageFacts,
    /// Recipients whose delivery is domain-secured, and for which domain.
    secured: Vec<(String, String)>,
    /// One for each event that there is more to say of.
    details: Vec<Tracked>,
    /// The reports that enter the queue with this change, in order.
    reports: Vec<Tracked>,
}

impl Telling {
    /// Of a queued message; nothing is gathered where nothing is tracked.
    pub fn of(shared: &Shared, message: &Message, meta: Option<&MessageMeta>) -> Self {
        if !shared.observer.tracks() {
            return Self::default();
        }
        let secured =
            message.recipients.iter().filter(|recipient| !recipient.destination.tls_domain.is_empty());
        let secured = secured.map(|one| (one.address.clone(), one.destination.tls_domain.clone()));
        Self { message: facts(message, meta), secured: secured.collect(), ..Self::default() }
    }

    /// A transaction that took these recipients.
    pub fn sent(&mut self, detail: Tracked) {
        self.details.push(detail);
    }

    /// What the last attempt found of a recipient.
    pub fn found(&mut self, recipient: &str, note: &AttemptNote, cause: Cause) {
        let tls_domain = self.secured.iter().find(|(address, _)| address == recipient);
        let tls_domain = tls_domain.map(|(_, domain)| domain.clone()).unwrap_or_default();
        self.details.push(Tracked {
            recipients: vec![recipient.to_owned()],
            session: note.session.clone(),
            reply: note.reply.clone(),
            fault: note.fault,
            tls_domain,
            remote_name: note.host.clone().unwrap_or_default(),
            cause,
            ..Tracked::default()
        });
    }

    /// Takes note of the reports among the changes that are about to be written.
    pub fn reports_in(&mut self, changes: &[Change]) {
        let inserted = changes.iter().filter_map(|change| match change {
            Change::Insert { message, content } => Some((message, content.len() as u64)),
            Change::Remove { .. }
            | Change::Taken { .. }
            | Change::Retry { .. }
            | Change::Move { .. }
            | Change::DelayNotified { .. } => None,
        });
        self.reports = inserted
            .map(|(message, size)| Tracked {
                message: MessageFacts {
                    size,
                    ..facts_of_new(message, MessageMeta::from_bytes(&message.meta).ok().as_ref())
                },
                recipients: message.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
                about: Some(self.message.clone()),
                ..Tracked::default()
            })
            .collect();
    }

    /// Tells an event with what is known of it; `inserted` are the ids that the reports got.
    pub fn tell(&self, shared: &Shared, inserted: &[MessageId], event: Event) {
        if !shared.observer.tracks() {
            return shared.observer.event(event);
        }
        let report = report_of(&event)
            .and_then(|id| inserted.iter().position(|inserted| inserted.to_string() == id))
            .and_then(|place| self.reports.get(place));
        let tracked = match (report, self.detail_of(&event)) {
            (Some(report), _) => report.clone(),
            (None, Some(detail)) => Tracked { message: self.message.clone(), ..detail.clone() },
            (None, None) => Tracked { message: self.message.clone(), ..Tracked::default() },
        };
        shared.observer.event_of(event, &tracked);
    }

    /// Tells an event that is about these recipients.
    pub fn of_recipients(&self, shared: &Shared, event: Event, recipients: Vec<String>) {
        let tracked = Tracked { message: self.message.clone(), recipients, ..Tracked::default() };
        shared.observer.event_of(event, &tracked);
    }

    fn detail_of(&self, event: &Event) -> Option<&Tracked> {
        match event {
            Event::MessageDelivered { session, .. } => {
                let session = session.to_string();
                self.details.iter().find(|detail| detail.session == session && detail.remote.is_some())
            }
            Event::MessageDeferred { recipient, .. } | Event::MessageBounced { recipient, .. } => {
                let is_meant =
                    |detail: &&Tracked| detail.remote.is_none() && detail.recipients == [recipient.as_str()];
                self.details.iter().find(is_meant)
            }
            Event::MessageReceived { .. }
            | Event::DsnQueued { .. }
            | Event::DsnDropped { .. }
            | Event::MessageSuspended { .. }
            | Event::MessageResumed { .. }
            | Event::MessageRedirected { .. }
            | Event::MessageRemoved { .. }
            | Event::Filter(FilterEvent::MessageDiscarded { .. })
            | of_no_message!() => None,
        }
    }
}

fn report_of(event: &Event) -> Option<&str> {
    if let Event::DsnQueued { queue_id, .. } = event { Some(queue_id) } else { None }
}

/// What events of a queued message share.
pub fn facts(message: &Message, meta: Option<&MessageMeta>) -> MessageFacts {
    let Message { sender, received, size, .. } = message;
    MessageFacts { sender: sender.clone(), received: *received, size: *size, ..of_meta(meta) }
}

/// The same of one that is about to be stored; its size is not known here.
pub fn facts_of_new(message: &NewMessage, meta: Option<&MessageMeta>) -> MessageFacts {
    MessageFacts { sender: message.sender.clone(), received: message.received, ..of_meta(meta) }
}

fn of_meta(meta: Option<&MessageMeta>) -> MessageFacts {
    let Some(meta) = meta else { return MessageFacts::default() };
    MessageFacts {
        message_id: meta.message_id.clone(),
        client: meta.received_from.as_ref().map(|from| from.ip.to_string()).unwrap_or_default(),
        session: meta.session.clone(),
        subject: meta.subject.clone(),
        secured: meta.secured.clone(),
        ..MessageFacts::default()
    }
}
