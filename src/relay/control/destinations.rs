//! The delivery queues: how much waits in each, since when, until when, and for what.

use sealpost_queue::DestinationSummary;
use serde_json::{Value, json};

use crate::relay::record::AttemptNote;
use crate::relay::route;
use crate::relay::shared::Shared;

use super::render::time;

/// Delivery queues of one answer; what is in further ones is counted.
const SHOWN_MAX: usize = 500;

/// Those with the oldest messages, and how many there are besides.
pub async fn list(shared: &Shared) -> Value {
    let (all, mut others) = shared.queue.destinations().await;
    let mut shown = Vec::new();
    for summary in all.iter().take(SHOWN_MAX) {
        shown.push(entry(shared, summary).await);
    }
    let left: usize = all.iter().skip(SHOWN_MAX).map(recipients).sum();
    others += left;
    json!({ "destinations": shown, "count": all.len(), "other_recipients": others })
}

fn recipients(summary: &DestinationSummary) -> usize {
    summary.active + summary.ready + summary.retry + summary.suspended
}

async fn entry(shared: &Shared, summary: &DestinationSummary) -> Value {
    let destination = &summary.destination;
    let fare = shared.delivery_queues.fare(destination);
    let is_down = fare.down.is_some();
    let note = match fare.down {
        Some(note) => note,
        None => last_note(shared, summary).await,
    };
    json!({
        "next_hop": route::shown_next_hop(destination),
        "redirected": route::redirected_to(destination).is_some(),
        "connector": destination.connector,
        "tls_domain": Some(&destination.tls_domain).filter(|domain| !domain.is_empty()),
        "recipients": recipients(summary),
        "active": summary.active,
        "ready": summary.ready,
        "retry": summary.retry,
        "suspended": summary.suspended,
        "oldest": time(summary.oldest_received),
        "next_attempt": summary.next_attempt.map(time),
        "connections": fare.connections,
        "down": is_down,
        "fault": note.fault,
        "reason": Some(note.reason).filter(|reason| !reason.is_empty()),
        "last_reply": Some(note.reply).filter(|reply| !reply.is_empty()),
        "host": note.host,
    })
}

/// What the last attempt found for the message that was tried most often.
async fn last_note(shared: &Shared, summary: &DestinationSummary) -> AttemptNote {
    let Some(id) = summary.most_tried else { return AttemptNote::default() };
    let Ok(message) = shared.queue.get(id).await else { return AttemptNote::default() };
    let here = message.recipients.iter().filter(|one| one.destination == summary.destination);
    let tried = here.max_by_key(|recipient| recipient.attempts);
    tried.map(|recipient| AttemptNote::from_bytes(&recipient.note)).unwrap_or_default()
}
