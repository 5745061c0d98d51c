//! Asking the queue what is due, and keeping the right number of workers on each delivery queue.
//!
//! Only the dispatcher follows the queue's changes; it wakes as many idle workers as there are
//! messages for them. Did each worker follow them, every commit would wake all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_queue::{Destination, DueDestination, MessageId};

use crate::mail::{Address, Domain};
use crate::policy::Settings;

use super::delivery;
use super::delivery_queues::{WORKERS_MAX, Worker};
use super::route;
use super::shared::Shared;

/// Longest sleep between two looks at the queue.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// Delivery queues looked at in one round: more than can have workers, so that who has none is
/// found behind those that do.
const LOOKED_AT_MAX: usize = 4 * WORKERS_MAX;
/// A round that took long is followed by a pause that is so many times as long, within a bound:
/// a queue of a million must not be looked through with every message that enters it.
const ROUND_SHARE: u32 = 4;
const ROUND_PAUSE_MAX: Duration = Duration::from_millis(250);
/// Shorter rounds need no pause.
const ROUND_SHORT: Duration = Duration::from_millis(1);
/// Next hops that are down and what is remembered without need are looked at this often.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);
const TIDY_INTERVAL: Duration = Duration::from_secs(60);
/// Messages brought forward at once, when a next hop is back.
const BROUGHT_FORWARD_AT_ONCE: usize = 1000;
/// Times that messages which are claimed at the moment are asked again.
const RELEASES_MAX: usize = 20;

/// Runs until the server drains.
pub async fn run(shared: Arc<Shared>) {
    let mut changes = shared.queue.subscribe();
    let mut tidied = Instant::now();
    let mut epochs = epochs_of(&shared);
    while !shared.draining.is_cancelled() {
        changes.mark_unchanged();
        let begun = Instant::now();
        let mut cut = false;
        if !shared.protocol_log.must_stop_mail() && !shared.queue.has_failed() {
            let present = epochs_of(&shared);
            if std::mem::replace(&mut epochs, present) != present {
                shared.probe_next_hops();
            }
            probe(&shared);
            cut = start_workers(&shared);
        }
        if tidied.elapsed() >= TIDY_INTERVAL {
            tidied = Instant::now();
            shared.delivery_queues.tidy(tidied);
        }
        let spent = begun.elapsed();
        if spent > ROUND_SHORT {
            tokio::time::sleep((spent * ROUND_SHARE).min(ROUND_PAUSE_MAX)).await;
        }
        let pause = if cut { ROUND_PAUSE_MAX } else { pause_until_due(&shared) };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = shared.delivery_queues.changed.notified() => {}
            () = shared.wake_dispatch.notified() => {}
            () = tokio::time::sleep(pause) => {}
            () = shared.draining.cancelled() => {}
        }
    }
}

/// What next hops are judged under: after a change of either one that was of no use may be.
fn epochs_of(shared: &Shared) -> (u64, u64) {
    (shared.settings.load().epoch, shared.revocation.load().epoch)
}

/// Starts and wakes workers for what is due. Whether more is due than could be looked at.
fn start_workers(shared: &Arc<Shared>) -> bool {
    let settings = shared.settings.load_full();
    let now = Shared::now_millis();
    let mut look = shared.queue.due_first(now, LOOKED_AT_MAX);
    if look.cut {
        add_partners(shared, &settings, now, &mut look.destinations);
    }
    for (destination, count) in shared.delivery_queues.plan(&settings, &look.destinations) {
        for _ in 0..count {
            let Some(worker) = Worker::start(&shared.delivery_queues, destination.clone()) else {
                return look.cut;
            };
            shared.tasks.spawn(delivery::run(Arc::clone(shared), worker));
        }
    }
    look.cut
}

/// Partners stand in no line of strangers: their delivery queues are looked at one by one.
fn add_partners(shared: &Shared, settings: &Settings, now: i64, due: &mut Vec<DueDestination>) {
    let of_domain = |domain: &Domain| {
        let address = Address::new("postmaster", domain.clone()).ok()?;
        shared.queue.due_at(&route::destination(settings, &address), now)
    };
    let partners: Vec<DueDestination> =
        settings.transport.tls_send_domain_secure_list.iter().filter_map(of_domain).collect();
    due.retain(|one| !partners.iter().any(|partner| partner.destination == one.destination));
    due.extend(partners);
}

/// Makes one message of each next hop due that is down and may be probed. A message that cannot be
/// had for it, such as one that is gone or held, waits no more, and the next round takes another.
fn probe(shared: &Shared) {
    let now = Shared::now_millis();
    for (destination, id) in shared.delivery_queues.due_probes(Instant::now()) {
        let brought = shared.queue.bring_forward(&destination, &[id], now);
        if brought.due == 0 && brought.claimed.is_empty() {
            shared.delivery_queues.waits_no_more(&destination, id);
        }
    }
}

/// Makes everything due that waited for a next hop that is back. What is just being put off is
/// asked again when that is written down.
pub async fn release(shared: Arc<Shared>, destination: Destination, mut waited: Vec<MessageId>) {
    for _ in 0..RELEASES_MAX {
        let now = Shared::now_millis();
        let mut claimed = Vec::new();
        for part in waited.chunks(BROUGHT_FORWARD_AT_ONCE) {
            claimed.extend(shared.queue.bring_forward(&destination, part, now).claimed);
            tokio::task::yield_now().await;
        }
        waited = claimed;
        if waited.is_empty() {
            return;
        }
        let _drained = tokio::time::timeout(PROBE_INTERVAL, shared.draining.cancelled()).await;
    }
}

/// Until the next message becomes due or the next hops are to be looked at, within sane bounds.
fn pause_until_due(shared: &Shared) -> Duration {
    let now = Shared::now_millis();
    let due = shared.queue.next_due_after(now).map(|due| u64::try_from(due - now).unwrap_or(0));
    let longest = if shared.delivery_queues.any_down() { PROBE_INTERVAL } else { LOOK_INTERVAL_MAX };
    due.map_or(longest, Duration::from_millis).min(longest)
}
