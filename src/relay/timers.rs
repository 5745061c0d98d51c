//! What happens because time passes: expiry in every state, delay notices, gauges, and the hourly
//! reminder of a certificate of ours that has run out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_queue::{Change, Claim, Message};

use crate::observe::{Event, LogEvent};

use super::record::MessageMeta;
use super::report::Reports;
use super::settle::Settlement;
use super::shared::Shared;
use super::tracked::Telling;
use super::{report, tls};

const TICK: Duration = Duration::from_secs(1);
const CERTIFICATE_REMINDER: Duration = Duration::from_secs(3600);
/// How often the memory of sources that are quiet is given back.
const FORGET_SOURCES: Duration = Duration::from_secs(60);
/// Messages looked at in one tick.
const BATCH: usize = 200;

/// Runs until the server drains.
pub async fn run(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut reminded, mut forgot) = (Instant::now(), Instant::now());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.draining.cancelled() => return,
        }
        expire(&shared).await;
        notify_delays(&shared).await;
        show_queue(&shared);
        tell_losses(&shared);
        if forgot.elapsed() >= FORGET_SOURCES {
            forgot = Instant::now();
            shared.connections.forget_past(forgot);
        }
        if reminded.elapsed() >= CERTIFICATE_REMINDER {
            reminded = Instant::now();
            tls::remind_of_expired(&shared);
        }
    }
}

/// What syslog, the journal or a collector did not take is told where it can be: elsewhere, and in a counter.
fn tell_losses(shared: &Shared) {
    for (output, records) in shared.event_log.take_losses() {
        shared.observer.event(Event::Log(LogEvent::EventLogLost { output: output.as_str(), records }));
    }
}

fn show_queue(shared: &Shared) {
    let queue = shared.queue.statistics();
    let age = |received: i64| {
        Duration::from_millis(Shared::now_millis().saturating_sub(received).max(0).unsigned_abs())
    };
    let count = |messages: usize| messages as u64;
    shared.observer.set_queue(
        count(queue.ready),
        count(queue.retry),
        count(queue.active),
        count(queue.suspended),
        queue.oldest_received.map(age),
    );
    let queued = queue.ready + queue.retry + queue.active + queue.suspended;
    shared.observer.note_history(Shared::now().wall, count(queued));
}

async fn expire(shared: &Arc<Shared>) {
    match shared.queue.expired(Shared::now_millis(), BATCH).await {
        Ok(claims) => {
            for claim in claims {
                give_up_expired(shared, &claim).await;
            }
        }
        Err(error) => shared.observer.event(Event::StorageFailed { error: error.to_string() }),
    }
}

/// Gives up the recipients of a claim whose time is up.
async fn give_up_expired(shared: &Shared, claim: &Claim) {
    let settings = shared.settings.load_full();
    let mut settlement = Settlement::new(shared, &settings, claim);
    settlement.expire(claim);
    let meta = MessageMeta::from_bytes(&claim.message.meta).ok();
    if let Some(untold) = settlement.close(meta.as_ref()).await.store(shared).await {
        untold.tell(shared).await;
    }
}

async fn notify_delays(shared: &Shared) {
    let now = Shared::now_millis();
    match shared.queue.delayed(now, BATCH).await {
        Ok(messages) => {
            for message in messages {
                notify_delay(shared, &message, now).await;
            }
        }
        Err(error) => shared.observer.event(Event::StorageFailed { error: error.to_string() }),
    }
}

async fn notify_delay(shared: &Shared, message: &Message, now: i64) {
    let settings = shared.settings.load_full();
    let late = message.recipients.iter().filter(|r| r.notify_delay_at.is_some_and(|at| at <= now));
    let late: Vec<_> = late.collect();
    let mut changes: Vec<Change> = late
        .iter()
        .map(|recipient| Change::DelayNotified { id: message.id, recipient: recipient.index })
        .collect();
    let meta = MessageMeta::from_bytes(&message.meta).ok();
    let mut reports = match &meta {
        Some(meta) => {
            let about =
                report::About { id: message.id, received: message.received, size: message.size, meta };
            report::delay(shared, &settings, &about, &late).await
        }
        None => Reports::default(),
    };
    changes.extend(reports.take_changes());
    let mut telling = Telling::of(shared, message, meta.as_ref());
    telling.reports_in(&changes);
    match shared.queue.apply(changes).await {
        Ok(inserted) => {
            for event in reports.events(message.id, &inserted) {
                telling.tell(shared, &inserted, event);
            }
        }
        // It was delivered a moment ago: there is no delay to tell of.
        Err(sealpost_queue::Error::NoSuchMessage(_)) => {}
        Err(error) => shared.observer.event(Event::StorageFailed { error: error.to_string() }),
    }
}
