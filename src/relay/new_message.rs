//! A message that a session has taken, as it enters the queue.

use jiff::Timestamp;
use sealpost_queue::NewMessage;

use crate::policy::Settings;
use crate::session::receive::{Opening, Submission};

use super::record::{MessageMeta, ReceivedFrom};
use super::route;

/// The queue's record of it, and the part of that which is ours.
pub fn of(
    submission: &Submission,
    opening: &Opening,
    settings: &Settings,
    now: Timestamp,
) -> (NewMessage, MessageMeta) {
    let envelope = &submission.envelope;
    let meta = MessageMeta {
        reverse_path: envelope.reverse_path.clone(),
        body: envelope.body,
        smtputf8: envelope.smtputf8,
        eight_bit: submission.eight_bit,
        binary: submission.binary,
        secured: submission.permit.secured_domain().cloned(),
        connector: opening.connector.name.clone(),
        session: opening.id.to_string(),
        held: false,
        received_from: Some(ReceivedFrom {
            helo: submission.helo.as_str().to_owned(),
            ip: opening.remote.ip().to_canonical(),
        }),
        dsn: envelope.dsn.clone(),
        message_id: submission.message_id.clone(),
        subject: if settings.message_tracking.subject { submission.subject.clone() } else { String::new() },
        tls_required: envelope.tls_required,
    };
    let recipients = (0..).zip(&envelope.recipients).map(|(index, address)| {
        let takes_delay = envelope.dsn.of(index).takes_delay();
        route::new_recipient(settings, address, now, takes_delay)
    });
    let message = NewMessage {
        sender: envelope.reverse_path.to_string(),
        received: now.as_millisecond(),
        meta: meta.to_bytes(),
        recipients: recipients.collect(),
    };
    (message, meta)
}
