//! Messages in the queue as `sealpost queue … --json` shows them.

use jiff::Timestamp;
use sealpost_queue::{Message, Recipient, Status};
use serde_json::{Value, json};

use crate::relay::record::{AttemptNote, MessageMeta};
use crate::relay::route;
use crate::trust::{Fault, Ruling};

/// A message as `queue list --json` shows it.
pub fn entry(message: &Message) -> Value {
    let first = message.recipients.iter().min_by_key(|recipient| recipient.next_attempt);
    let destination = first.map(|recipient| recipient.destination.clone());
    let expires = message.recipients.iter().map(|recipient| recipient.expires).min();
    let recipients: Vec<Value> = message.recipients.iter().map(recipient_entry).collect();
    json!({
        "id": message.id.to_string(),
        "sender": message.sender,
        "status": overall_status(&message.recipients),
        "size": message.size,
        "received": time(message.received),
        "expires": expires.map(time),
        "next_hop": destination.as_ref().map(route::shown_next_hop),
        "connector": destination.as_ref().map(|d| d.connector.clone()),
        "tls_domain": destination.as_ref().map(|d| d.tls_domain.clone()).filter(|d| !d.is_empty()),
        "recipients": recipients,
    })
}

fn recipient_entry(recipient: &Recipient) -> Value {
    let note = AttemptNote::from_bytes(&recipient.note);
    json!({
        "address": recipient.address,
        "status": recipient.status,
        "fault": note.fault,
        "last_reply": Some(note.reply).filter(|reply| !reply.is_empty()),
        "next_attempt": time(recipient.next_attempt),
        "attempts": recipient.attempts,
        "session": Some(&note.session).filter(|session| !session.is_empty()),
        "next_hop": route::shown_next_hop(&recipient.destination),
        "redirected": route::redirected_to(&recipient.destination).is_some(),
        "connector": recipient.destination.connector,
        "tls_domain": Some(&recipient.destination.tls_domain).filter(|domain| !domain.is_empty()),
        "expires": time(recipient.expires),
    })
}

/// The status of a message is that of its liveliest recipient.
fn overall_status(recipients: &[Recipient]) -> Status {
    let order = [Status::Active, Status::Ready, Status::Retry, Status::Suspended];
    let present = |status: &Status| recipients.iter().any(|recipient| recipient.status == *status);
    order.into_iter().find(present).unwrap_or(Status::Ready)
}

/// Why a message is still here: the finding of a recipient whose next hop failed a check, else of
/// the one that was tried most, or what it waits for.
pub fn why(message: &Message) -> Value {
    let tried = message.recipients.iter().filter(|recipient| recipient.attempts > 0);
    let weight = |recipient: &&Recipient| {
        (AttemptNote::from_bytes(&recipient.note).fault.is_some(), recipient.attempts)
    };
    let recipient = tried.max_by_key(weight).or(message.recipients.first());
    let Some(recipient) = recipient else { return json!({ "error": "the message has no recipient left" }) };
    let note = AttemptNote::from_bytes(&recipient.note);
    let meta = MessageMeta::from_bytes(&message.meta).ok();
    let held = meta.as_ref().is_some_and(|meta| meta.held);
    let reason = match note.reason.as_str() {
        "" => waiting_for(recipient, held),
        _ if note.of_next_hop => waits_with_others(&note, recipient),
        own => own.to_owned(),
    };
    json!({
        "id": message.id.to_string(),
        "fault": note.fault,
        "reason": reason,
        "wanted": note.wanted,
        "got": note.got,
        "policy": note.ruling.as_ref().map(|ruling| ruling.policy),
        "wanted_got": note.ruling.as_ref().map(Ruling::wanted_got),
        "next_attempt": time(recipient.next_attempt),
        "expires": time(recipient.expires),
        "recipient": recipient.address,
        "status": recipient.status,
        "attempts": recipient.attempts,
        "own_attempts": note.own_attempts,
        "last_attempt": note.attempted.map(time),
        "session": Some(&note.session).filter(|session| !session.is_empty()),
        "next_hop": route::shown_next_hop(&recipient.destination),
        "redirected": route::redirected_to(&recipient.destination).is_some(),
        "connector": recipient.destination.connector,
        "tls_domain": Some(&recipient.destination.tls_domain).filter(|domain| !domain.is_empty()),
        "host": note.host,
        "last_reply": Some(note.reply).filter(|reply| !reply.is_empty()),
        "reply_from_peer": note.from_peer,
        "transcript": note.transcript,
        "mended_by": note.fault.map(|fault| fault.row().mended_by),
        "remedy": note.fault.map(|fault| remedy(fault, note.ruling.as_ref())),
        "received_session": meta.as_ref().map(|meta| &meta.session).filter(|session| !session.is_empty()),
        "received_by": meta.as_ref().map(|meta| &meta.connector).filter(|connector| !connector.is_empty()),
    })
}

fn remedy(fault: Fault, ruling: Option<&Ruling>) -> &'static str {
    ruling.and_then(|ruling| ruling.policy.remedy(fault)).unwrap_or(fault.row().remedy)
}

/// Its next hop was down when its turn came, so that what is known was found with another message.
fn waits_with_others(note: &AttemptNote, recipient: &Recipient) -> String {
    let tried = match note.own_attempts {
        0 => "not tried yet",
        1 => "not tried again after its first attempt",
        _ => "not tried again",
    };
    let failed = note.attempted.map(|at| format!(" at {}", seconds(at))).unwrap_or_default();
    let next = seconds(recipient.next_attempt);
    format!(
        "{tried}: the next hop failed{failed} for other mail, and this message waits for it; next attempt \
         {next} at the latest. What was found then: {}",
        note.reason
    )
}

/// Mail that was never tried says nothing of itself.
fn waiting_for(recipient: &Recipient, held: bool) -> String {
    match recipient.status {
        Status::Suspended if held => "a rule of `sealpost queue hold` held it as it came in; \
             `sealpost queue release` ends the rule, `sealpost queue resume` lets this message go"
            .to_owned(),
        Status::Active => "it is being delivered at this moment".to_owned(),
        Status::Suspended => "an operator suspended it; `sealpost queue resume` lets it go".to_owned(),
        Status::Ready | Status::Retry => "it has not been tried yet and waits for its turn".to_owned(),
    }
}

fn seconds(millis: i64) -> String {
    time(millis / 1000 * 1000)
}

pub fn time(millis: i64) -> String {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
