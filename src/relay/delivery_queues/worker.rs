//! One worker's place in its delivery queue, and what it learns for all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_queue::{Destination, MessageId};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::policy::concurrency::Feedback;
use crate::policy::next_hop::Knock;

use super::super::record::AttemptNote;
use super::super::shared::Shared;
use super::{DeliveryQueues, Known, REMEMBERED_MAX, WAITING_MAX, WORKERS_MAX};

/// A worker that has more than its delivery queue's share may first send so many messages, or work
/// so long: its connection has cost a handshake.
const QUANTUM_MESSAGES: usize = 20;
const QUANTUM: Duration = Duration::from_secs(5);

/// Dropping it gives the place back.
pub struct Worker {
    queues: Arc<DeliveryQueues>,
    pub destination: Destination,
    bell: Arc<Notify>,
    since: Instant,
    /// It has leave to probe a next hop that is down.
    probing: bool,
    open: bool,
    gone: bool,
}

/// What a failure to reach any target means.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// The next hop cannot be used; `newly`: it could before.
    Down { newly: bool },
    /// Others have connections to it: it can, and has enough.
    OthersAreThere,
}

impl Worker {
    /// `None` when there are too many in all.
    pub fn start(queues: &Arc<DeliveryQueues>, destination: Destination) -> Option<Self> {
        let mut inner = queues.lock();
        if inner.workers >= WORKERS_MAX {
            return None;
        }
        inner.workers += 1;
        let known = inner.queues.entry(destination.clone()).or_default();
        known.workers += 1;
        let bell = Arc::clone(&known.bell);
        drop(inner);
        let (queues, since) = (Arc::clone(queues), Instant::now());
        Some(Self { queues, destination, bell, since, probing: false, open: false, gone: false })
    }

    /// Rung when there is work for an idle worker of this delivery queue. Listen first (`enable`),
    /// be idle, then look: what becomes due after the look rings.
    pub fn bell(&self) -> Notified<'_> {
        self.bell.notified()
    }

    /// Marks this worker as waiting for more while the guard lives.
    pub fn idle(&self) -> Idle<'_> {
        self.known(|known| known.idle += 1);
        Idle(self)
    }

    /// Whether another delivery queue is to have this worker's place; then the worker ends.
    pub fn must_yield(&mut self, messages: usize, waiting: bool) -> bool {
        let worked = messages >= QUANTUM_MESSAGES || self.since.elapsed() >= QUANTUM;
        let beyond = self.known(|known| known.workers > known.allowed).unwrap_or(false);
        if beyond && (worked || waiting) {
            self.leave();
        }
        self.gone
    }

    /// Asks for leave to connect under what `epochs` stand for: since when the attempt counts, or
    /// what is known of a next hop that is down.
    pub fn knock(&mut self, epochs: (u64, u64)) -> Result<Instant, Box<AttemptNote>> {
        let now = Instant::now();
        let answer = self.known(|known| {
            if known.epochs != epochs {
                known.epochs = epochs;
                known.hop.probe_now(now);
            }
            let answer = known.hop.knock(now);
            (answer, (answer == Knock::Wait).then(|| Box::new(known.finding.clone())))
        });
        match answer {
            Some((Knock::Wait, finding)) => Err(finding.unwrap_or_default()),
            Some((Knock::Probe, _)) => {
                self.probing = true;
                Ok(now)
            }
            Some((Knock::Free, _)) | None => Ok(now),
        }
    }

    /// It has leave to connect to a next hop that is down.
    pub fn is_probing(&self) -> bool {
        self.probing
    }

    /// A connection was judged and permitted. Where the next hop was down until then, gives the
    /// messages that waited.
    pub fn opened(&mut self) -> Option<Vec<MessageId>> {
        if !std::mem::replace(&mut self.open, true) {
            self.known(|known| known.open += 1);
        }
        self.answered()
    }

    /// The next hop is known not to be down; the same.
    pub fn answered(&mut self) -> Option<Vec<MessageId>> {
        self.probing = false;
        let mut inner = self.queues.lock();
        let known = inner.queues.get_mut(&self.destination)?;
        if !known.hop.answered() {
            return None;
        }
        known.finding = AttemptNote::default();
        let waited: Vec<MessageId> = std::mem::take(&mut known.waiting).into_iter().collect();
        inner.waiting = inner.waiting.saturating_sub(waited.len());
        Some(waited)
    }

    /// The connection is gone.
    pub fn closed(&mut self) {
        if std::mem::take(&mut self.open) {
            self.known(|known| known.open -= 1);
        }
    }

    /// No target could be used by an attempt that began at `begun`.
    pub fn failed(&mut self, begun: Instant, note: &AttemptNote, intervals: &[Duration]) -> Failed {
        self.probing = false;
        let failed = self.known(|known| {
            if known.open > 0 {
                return Failed::OthersAreThere;
            }
            let before = known.hop;
            known.hop.failed(begun, Instant::now(), intervals);
            if known.hop != before {
                known.finding = AttemptNote { attempted: Some(Shared::now_millis()), ..note.clone() };
            }
            Failed::Down { newly: !before.is_down() }
        });
        failed.unwrap_or(Failed::Down { newly: false })
    }

    /// This message waits for the next hop to be back.
    pub fn waits(&self, id: MessageId) {
        let mut inner = self.queues.lock();
        let full = inner.waiting >= WAITING_MAX;
        let known = inner.queues.get_mut(&self.destination).filter(|known| known.hop.is_down() && !full);
        if known.is_some_and(|known| known.waiting.insert(id)) {
            inner.waiting += 1;
        }
    }

    /// What a connection that began at `begun` told of the peer's capacity.
    pub fn feedback(&self, feedback: Feedback, begun: Instant, max: usize) {
        let now = Instant::now();
        self.known(|known| known.window = known.window.after(feedback, begun, now, known.open, max));
    }

    fn known<T>(&self, change: impl FnOnce(&mut Known) -> T) -> Option<T> {
        self.queues.lock().queues.get_mut(&self.destination).map(change)
    }

    fn leave(&mut self) {
        if std::mem::replace(&mut self.gone, true) {
            return;
        }
        let mut inner = self.queues.lock();
        inner.workers -= 1;
        let room = inner.queues.len() < REMEMBERED_MAX;
        let Some(known) = inner.queues.get_mut(&self.destination) else { return };
        known.workers -= 1;
        known.open -= usize::from(std::mem::take(&mut self.open));
        if std::mem::take(&mut self.probing) {
            known.hop.abandoned();
        }
        if known.workers == 0 && !(room && known.is_worth_remembering(Instant::now())) {
            let waited = known.waiting.len();
            inner.queues.remove(&self.destination);
            inner.waiting = inner.waiting.saturating_sub(waited);
        }
        drop(inner);
        self.queues.changed.notify_one();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.leave();
    }
}

pub struct Idle<'a>(&'a Worker);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.known(|known| known.idle = known.idle.saturating_sub(1));
    }
}
