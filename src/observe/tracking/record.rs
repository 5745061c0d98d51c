//! One event of one message as a record: which event it is in Exchange's words, and what stands in
//! which field.

use std::net::SocketAddr;

use jiff::Timestamp;

use super::{Cause, MessageFacts, Tracked, csv};
use crate::observe::rotating::Row;
use crate::observe::{Event, FilterEvent, of_no_message};

/// A line on its way to the disk; made into text there.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub at: Timestamp,
    pub event_id: &'static str,
    pub source: &'static str,
    /// A session id, a reason, or who asked.
    pub context: String,
    pub connector: String,
    pub queue_id: String,
    /// Who speaks to whom, as Exchange sees it: the client hands over.
    pub client: Option<SocketAddr>,
    pub client_name: String,
    pub server: Option<SocketAddr>,
    pub server_name: String,
    pub recipients: Vec<String>,
    pub status: String,
    /// Message-IDs that this one refers to, or that refer to it.
    pub reference: String,
    pub message: MessageFacts,
    /// `name`, `value`; without a value they are left out.
    pub custom: Vec<(&'static str, String)>,
}

impl Row for Record {
    fn series(&self) -> usize {
        0
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    fn write(&self, line: &mut String) {
        csv::write(line, self);
    }
}

impl Record {
    /// `None`: the event is not about one message.
    pub(super) fn of(event: &Event, tracked: &Tracked) -> Option<Self> {
        let blank = Self {
            at: Timestamp::now(),
            recipients: tracked.recipients.clone(),
            message: tracked.message.clone(),
            status: tracked.reply.clone(),
            custom: vec![
                ("session", tracked.session.clone()),
                ("tls-domain", tracked.tls_domain.clone()),
                ("fault", tracked.fault.map(|fault| fault.name().to_owned()).unwrap_or_default()),
            ],
            ..Self::default()
        };
        message_moves(event, tracked, blank.clone())
            .or_else(|| waits_or_ends(event, tracked, blank.clone()))
            .or_else(|| operator_acts(event, blank))
    }

    fn also(mut self, name: &'static str, value: String) -> Self {
        self.custom.push((name, value));
        self
    }

    /// Events that name one recipient name it whatever else is known.
    fn about_recipient(mut self, recipient: &str) -> Self {
        self.recipients = vec![recipient.to_owned()];
        self
    }
}

fn message_moves(event: &Event, tracked: &Tracked, blank: Record) -> Option<Record> {
    let Tracked { local, remote, remote_name, .. } = tracked;
    Some(match event {
        Event::MessageReceived { queue_id, connector, session, sender, size, secured, .. } => {
            let message = MessageFacts { sender: sender.clone(), size: *size, ..blank.message.clone() };
            Record {
                event_id: "RECEIVE",
                source: "SMTP",
                context: session.to_string(),
                connector: connector.clone(),
                queue_id: queue_id.clone(),
                client: *remote,
                client_name: remote_name.clone(),
                server: *local,
                message,
                ..blank
            }
            .also("session", session.to_string())
            .also("domain-secured", text(secured.as_ref()))
        }
        Event::MessageDelivered {
            queue_id, connector, session, host, secured, accept_to_delivered, ..
        } => Record {
            event_id: "SEND",
            source: "SMTP",
            context: session.to_string(),
            connector: connector.clone(),
            queue_id: queue_id.clone(),
            client: *local,
            server: *remote,
            server_name: host.clone(),
            ..blank
        }
        .also("session", session.to_string())
        .also("domain-secured", text(secured.as_ref()))
        .also("latency-ms", accept_to_delivered.as_millis().to_string()),
        Event::DsnQueued { queue_id, about, kind } => Record {
            event_id: "DSN",
            source: "DSN",
            context: format!("{kind:?}").to_lowercase(),
            queue_id: queue_id.clone(),
            reference: tracked.about.as_ref().map(|about| about.message_id.clone()).unwrap_or_default(),
            ..blank
        }
        .also("about", about.clone()),
        Event::DsnDropped { about } => Record {
            event_id: "DROP",
            source: "DSN",
            context: "nobody may be told".to_owned(),
            queue_id: about.clone(),
            ..blank
        },
        Event::Filter(FilterEvent::MessageDiscarded { .. })
        | Event::MessageDeferred { .. }
        | Event::MessageBounced { .. }
        | Event::MessageSuspended { .. }
        | Event::MessageResumed { .. }
        | Event::MessageRedirected { .. }
        | Event::MessageRemoved { .. }
        | of_no_message!() => return None,
    })
}

fn waits_or_ends(event: &Event, tracked: &Tracked, blank: Record) -> Option<Record> {
    let server_name = tracked.remote_name.clone();
    Some(match event {
        Event::MessageDeferred { queue_id, recipient, reason, next_attempt } => Record {
            event_id: "DEFER",
            source: "SMTP",
            context: reason.clone(),
            queue_id: queue_id.clone(),
            server_name,
            ..blank
        }
        .about_recipient(recipient)
        .also("next-attempt", next_attempt.to_string()),
        Event::MessageBounced { queue_id, recipient, reason } => {
            let (event_id, source) = match tracked.cause {
                Cause::Refused => ("FAIL", "SMTP"),
                Cause::Expired => ("EXPIRE", "QUEUE"),
                Cause::Operator => ("FAIL", "ADMIN"),
            };
            Record {
                event_id,
                source,
                context: reason.clone(),
                queue_id: queue_id.clone(),
                server_name,
                ..blank
            }
            .about_recipient(recipient)
        }
        Event::Filter(FilterEvent::MessageDiscarded { queue_id, by, connector, session, sender, .. }) => {
            let message = MessageFacts { sender: sender.clone(), ..blank.message.clone() };
            Record {
                event_id: "DROP",
                source: "AGENT",
                context: by.clone(),
                connector: connector.clone(),
                queue_id: queue_id.clone(),
                message,
                ..blank
            }
            .also("session", session.to_string())
        }
        Event::MessageReceived { .. }
        | Event::MessageDelivered { .. }
        | Event::DsnQueued { .. }
        | Event::DsnDropped { .. }
        | Event::MessageSuspended { .. }
        | Event::MessageResumed { .. }
        | Event::MessageRedirected { .. }
        | Event::MessageRemoved { .. }
        | of_no_message!() => return None,
    })
}

fn operator_acts(event: &Event, blank: Record) -> Option<Record> {
    let (event_id, queue_id, by, server_name) = match event {
        Event::MessageSuspended { queue_id, by } => ("HOLD", queue_id, by, String::new()),
        Event::MessageResumed { queue_id, by } => ("RELEASE", queue_id, by, String::new()),
        Event::MessageRedirected { queue_id, by, next_hop, .. } => {
            ("REDIRECT", queue_id, by, next_hop.clone())
        }
        Event::MessageRemoved { queue_id, by } => ("DROP", queue_id, by, String::new()),
        Event::MessageReceived { .. }
        | Event::MessageDelivered { .. }
        | Event::DsnQueued { .. }
        | Event::DsnDropped { .. }
        | Event::Filter(FilterEvent::MessageDiscarded { .. })
        | Event::MessageDeferred { .. }
        | Event::MessageBounced { .. }
        | of_no_message!() => return None,
    };
    let (context, queue_id) = (by.clone(), queue_id.clone());
    Some(Record { event_id, source: "ADMIN", context, queue_id, server_name, ..blank })
}

fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}
