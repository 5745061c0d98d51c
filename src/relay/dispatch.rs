//! Asking the queue what is due, and keeping the right number of workers on each delivery queue.
//!
//! Only the dispatcher follows the queue's changes; it wakes as many idle workers as there are
//! messages for them. Did each worker follow them, every commit would wake all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealpost_queue::Destination;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::delivery;
use super::shared::Shared;

/// Workers of all delivery queues together (Exchange's MaxOutboundConnections).
const WORKERS_MAX: usize = 1000;
/// Longest sleep between two looks at the queue.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(5);

/// Workers of each delivery queue, and a bell for when one ends.
#[derive(Default)]
pub struct Workers {
    counts: Mutex<HashMap<Destination, Count>>,
    pub ended: Notify,
}

#[derive(Default)]
struct Count {
    all: usize,
    /// Looking for a message, or waiting for one with an open connection.
    idle: usize,
    /// Rung once for each idle worker that is needed.
    bell: Arc<Notify>,
}

/// Runs until the server drains.
pub async fn run(shared: Arc<Shared>) {
    let workers = Arc::new(Workers::default());
    let mut changes = shared.queue.subscribe();
    while !shared.draining.is_cancelled() {
        changes.mark_unchanged();
        if !shared.protocol_log.must_stop_mail() {
            start_workers(&shared, &workers);
        }
        let pause = pause_until_due(&shared);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = workers.ended.notified() => {}
            () = shared.wake_dispatch.notified() => {}
            () = tokio::time::sleep(pause) => {}
            () = shared.draining.cancelled() => {}
        }
    }
}

fn start_workers(shared: &Arc<Shared>, workers: &Arc<Workers>) {
    let settings = shared.settings.load();
    for due in shared.queue.due(Shared::now_millis()) {
        let connector = settings.send_connectors.iter().find(|c| c.name == due.destination.connector);
        let limit = connector.map_or(1, |connector| connector.max_connections_per_destination);
        for _ in 0..workers.wake(&due.destination, due.recipients, limit) {
            let Some(worker) = Worker::start(Arc::clone(workers), due.destination.clone()) else { return };
            shared.tasks.spawn(delivery::run(Arc::clone(shared), worker));
        }
    }
}

/// Until the next message becomes due, within sane bounds.
fn pause_until_due(shared: &Shared) -> Duration {
    let now = Shared::now_millis();
    let due = shared.queue.next_due_after(now).map(|due| u64::try_from(due - now).unwrap_or(0));
    due.map_or(LOOK_INTERVAL_MAX, Duration::from_millis).min(LOOK_INTERVAL_MAX)
}

impl Workers {
    /// Wakes an idle worker for each waiting message. How many workers to add: one for each message
    /// that is left over, up to the limit.
    fn wake(&self, destination: &Destination, messages: usize, limit: usize) -> usize {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = counts.get(destination) else { return messages.min(limit) };
        for _ in 0..messages.min(count.idle) {
            // The one that idles shortest: those that are not needed may linger out.
            count.bell.notify_last();
        }
        messages.saturating_sub(count.idle).min(limit.saturating_sub(count.all))
    }

    /// Counts one more worker; `None` when there are too many in all.
    fn add(&self, destination: &Destination) -> Option<Arc<Notify>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.values().map(|count| count.all).sum::<usize>() >= WORKERS_MAX {
            return None;
        }
        let count = counts.entry(destination.clone()).or_default();
        count.all += 1;
        Some(Arc::clone(&count.bell))
    }

    fn change(&self, destination: &Destination, change: impl FnOnce(&mut Count)) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = counts.get_mut(destination) else { return };
        change(count);
        if count.all == 0 {
            counts.remove(destination);
        }
    }
}

/// One worker's place in the count; dropping it gives the place back.
pub struct Worker {
    workers: Arc<Workers>,
    pub destination: Destination,
    bell: Arc<Notify>,
}

impl Worker {
    fn start(workers: Arc<Workers>, destination: Destination) -> Option<Self> {
        let bell = workers.add(&destination)?;
        Some(Self { workers, destination, bell })
    }

    /// Rung when there is work for an idle worker of this delivery queue. Listen first (`enable`),
    /// be idle, then look: what becomes due after the look rings.
    pub fn bell(&self) -> Notified<'_> {
        self.bell.notified()
    }

    /// Marks this worker as waiting for more while the guard lives.
    pub fn idle(&self) -> Idle<'_> {
        self.workers.change(&self.destination, |count| count.idle += 1);
        Idle(self)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.workers.change(&self.destination, |count| count.all -= 1);
        self.workers.ended.notify_one();
    }
}

pub struct Idle<'a>(&'a Worker);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.workers.change(&self.0.destination, |count| count.idle -= 1);
    }
}
