//! What operators ask of a running server through `control.sock`.

use std::sync::Arc;

use jiff::Timestamp;
use sealpost_queue::{Filter, Message, MessageId, Recipient, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Problem;

use super::partners::{self, writer};
use super::record::{AttemptNote, MessageMeta};
use super::shared::Shared;
use super::{reload, report};

/// Content of one answer to `queue export`; a control character takes six octets in it.
const EXPORT_BYTES_MAX: u64 = 8 << 20;

/// One request; `cli` writes it, the server answers with JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    Counters,
    Reload {
        user: String,
    },
    QueueList {
        filter: Filter,
    },
    QueueShow {
        id: String,
    },
    QueueWhy {
        id: String,
    },
    QueueRetry {
        filter: Filter,
        user: String,
    },
    QueueSuspend {
        filter: Filter,
        user: String,
    },
    QueueResume {
        filter: Filter,
        user: String,
    },
    QueueRemove {
        filter: Filter,
        user: String,
        dsn: bool,
    },
    /// A piece of the content, from `offset` on; an empty one is the end.
    QueueExport {
        id: String,
        offset: u64,
    },
    /// Every partner, or those of this name or domain.
    Partners {
        name: Option<String>,
    },
}

/// Answers requests on behalf of one running server.
#[derive(Clone)]
pub struct Operator {
    shared: Arc<Shared>,
}

impl Operator {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// One request, one answer; an answer with a member `error` is a refusal. `peer` is the user id
    /// that the system knows of who asks: the name in the request is only what the command says.
    pub async fn answer(&self, mut request: Value, peer: Option<u32>) -> Value {
        if let (Some(Value::String(user)), Some(peer)) = (request.get_mut("user"), peer) {
            *user = format!("{user} (uid {peer})");
        }
        match serde_json::from_value::<Request>(request) {
            Ok(request) => answer(&self.shared, request).await,
            Err(error) => failure(format!("the request is not understood: {error}")),
        }
    }
}

async fn answer(shared: &Arc<Shared>, request: Request) -> Value {
    match request {
        Request::Counters => json!({ "metrics": shared.observer.render_metrics() }),
        Request::Reload { user } => match reload::reload(shared, &user).await {
            Ok(()) => json!({ "ok": true, "epoch": shared.settings.load().epoch }),
            Err(problems) => refused(&problems),
        },
        Request::QueueList { filter } => match shared.queue.list(filter).await {
            Ok(messages) => Value::Array(messages.iter().map(entry).collect()),
            Err(error) => failure(error),
        },
        Request::Partners { name } => partners_answer(shared, name.as_deref()),
        Request::QueueShow { id } => with_message(shared, &id, entry).await,
        Request::QueueWhy { id } => with_message(shared, &id, why).await,
        Request::QueueExport { id, offset } => export(shared, &id, offset).await,
        Request::QueueRetry { filter, user } => {
            let done = shared.queue.retry(filter.clone(), Shared::now_millis()).await;
            acted(shared, &user, "queue retry", &filter, done)
        }
        Request::QueueSuspend { filter, user } => {
            let done = shared.queue.suspend(filter.clone()).await;
            acted(shared, &user, "queue suspend", &filter, done)
        }
        Request::QueueResume { filter, user } => {
            let done = shared.queue.resume(filter.clone()).await;
            acted(shared, &user, "queue resume", &filter, done)
        }
        Request::QueueRemove { filter, user, dsn } => {
            let done = report::remove(shared, filter.clone(), dsn).await;
            acted(shared, &user, if dsn { "queue remove" } else { "queue remove --no-dsn" }, &filter, done)
        }
    }
}

fn partners_answer(shared: &Shared, name: Option<&str>) -> Value {
    let (settings, lists) = (shared.settings.load(), shared.revocation.load());
    let record = tokio::task::block_in_place(|| writer::snapshot(shared));
    let now = Shared::now().wall;
    let site = partners::Site { settings: &settings, record: &record, lists: &lists, now };
    json!({ "partners": partners::describe(site, name) })
}

fn failure(error: impl std::fmt::Display) -> Value {
    json!({ "error": error.to_string() })
}

fn refused(problems: &[Problem]) -> Value {
    json!({ "error": "the new settings were refused; the old ones stay in force",
            "problems": problems.iter().map(Problem::to_string).collect::<Vec<_>>() })
}

/// Answers an action on messages and writes it down with who asked.
fn acted(
    shared: &Shared,
    user: &str,
    what: &str,
    filter: &Filter,
    done: Result<usize, sealpost_queue::Error>,
) -> Value {
    match done {
        Ok(count) => {
            let filter = serde_json::to_string(filter).unwrap_or_default();
            shared.append_audit(user, what, &filter, &format!("{count} messages"));
            json!({ "ok": true, "messages": count })
        }
        Err(error) => failure(error),
    }
}

async fn with_message(shared: &Shared, id: &str, render: impl FnOnce(&Message) -> Value) -> Value {
    match find(shared, id).await {
        Ok(message) => render(&message),
        Err(error) => error,
    }
}

async fn find(shared: &Shared, id: &str) -> Result<Message, Value> {
    let id: MessageId =
        id.parse().map_err(|_| failure(format!("{id} is not a queue id (16 hexadecimal digits)")))?;
    match shared.queue.get(id).await {
        Ok(message) => Ok(message),
        Err(sealpost_queue::Error::NoSuchMessage(_)) => {
            Err(failure(format!("no message {id} in the queue; it was delivered, returned or removed")))
        }
        Err(error) => Err(failure(error)),
    }
}

/// A message as `queue list --json` shows it.
fn entry(message: &Message) -> Value {
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
        "next_hop": destination.as_ref().map(|d| d.next_hop.clone()),
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
        "next_hop": recipient.destination.next_hop,
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
fn why(message: &Message) -> Value {
    let tried = message.recipients.iter().filter(|recipient| recipient.attempts > 0);
    let weight = |recipient: &&Recipient| {
        (AttemptNote::from_bytes(&recipient.note).fault.is_some(), recipient.attempts)
    };
    let recipient = tried.max_by_key(weight).or(message.recipients.first());
    let Some(recipient) = recipient else { return failure("the message has no recipient left") };
    let note = AttemptNote::from_bytes(&recipient.note);
    let reason = if note.reason.is_empty() { waiting_for(recipient) } else { note.reason.clone() };
    let meta = MessageMeta::from_bytes(&message.meta).ok();
    json!({
        "id": message.id.to_string(),
        "fault": note.fault,
        "reason": reason,
        "wanted": note.wanted,
        "got": note.got,
        "next_attempt": time(recipient.next_attempt),
        "expires": time(recipient.expires),
        "recipient": recipient.address,
        "status": recipient.status,
        "attempts": recipient.attempts,
        "next_hop": recipient.destination.next_hop,
        "connector": recipient.destination.connector,
        "tls_domain": Some(&recipient.destination.tls_domain).filter(|domain| !domain.is_empty()),
        "host": note.host,
        "last_reply": Some(note.reply).filter(|reply| !reply.is_empty()),
        "transcript": note.transcript,
        "remedy": note.fault.map(|fault| fault.row().remedy),
        "received_by": meta.map(|meta| meta.connector).filter(|connector| !connector.is_empty()),
    })
}

fn waiting_for(recipient: &Recipient) -> String {
    match recipient.status {
        Status::Active => "it is being delivered at this moment".to_owned(),
        Status::Suspended => "an operator suspended it; `sealpost queue resume` lets it go".to_owned(),
        Status::Ready | Status::Retry => "it has not been tried yet and waits for its turn".to_owned(),
    }
}

async fn export(shared: &Shared, id: &str, offset: u64) -> Value {
    let message = match find(shared, id).await {
        Ok(message) => message,
        Err(error) => return error,
    };
    let content = match shared.queue.content(message.id).await {
        Ok(content) => content,
        Err(error) => return failure(error),
    };
    match tokio::task::block_in_place(|| report::read_piece(content, offset, EXPORT_BYTES_MAX)) {
        Ok(bytes) => json!({ "id": message.id.to_string(), "content": octets_to_text(&bytes) }),
        Err(error) => failure(format!("the content cannot be exported: {error}")),
    }
}

/// Octets as the characters U+0000 to U+00FF, so that any content survives JSON.
fn octets_to_text(octets: &[u8]) -> String {
    octets.iter().map(|&octet| char::from(octet)).collect()
}

/// The reverse of what `queue-export` answers; `None` where the text is not of that kind.
pub fn text_to_octets(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

fn time(millis: i64) -> String {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
