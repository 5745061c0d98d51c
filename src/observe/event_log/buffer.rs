//! What waits for one output of the event log: bounded, so that mail never waits for the other end.
//! What finds the buffer full is lost and counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Records that may wait, and their octets.
pub(super) const WAITING_MAX: usize = 4096;
const WAITING_BYTES_MAX: usize = 1 << 20;

/// Between those who tell and the thread that sends.
pub(super) struct Buffer {
    state: Mutex<State>,
    /// For the thread: there is a record, it is wanted now, or it is over.
    wanted: Condvar,
    /// For those who wait: all was sent.
    sent: Condvar,
    lost: Arc<AtomicU64>,
}

/// The end of a buffer for those who tell. Dropped, it lets the thread send what waits and end.
pub(super) struct Feed(pub(super) Arc<Buffer>);

impl std::ops::Deref for Feed {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        &self.0
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    sending: bool,
    /// Somebody waits until all is sent.
    hurry: bool,
    closed: bool,
}

impl Buffer {
    /// `lost` rises with each record that nobody got.
    pub(super) fn new(lost: Arc<AtomicU64>) -> Self {
        Self { state: Mutex::default(), wanted: Condvar::new(), sent: Condvar::new(), lost }
    }

    /// Hands a record over, or loses it.
    pub(super) fn push(&self, record: Vec<u8>) {
        let mut state = self.lock();
        if state.waiting.len() >= WAITING_MAX || state.bytes + record.len() > WAITING_BYTES_MAX {
            drop(state);
            return self.lose(1);
        }
        state.bytes += record.len();
        state.waiting.push_back(record);
        self.wanted.notify_one();
    }

    /// Has what waits sent without delay.
    pub(super) fn hurry(&self) {
        self.lock().hurry = true;
        self.wanted.notify_one();
    }

    /// Returns when all that was handed over is sent or lost, or at `until`.
    pub(super) fn flush(&self, until: Instant) {
        let mut state = self.lock();
        while !state.waiting.is_empty() || state.sending {
            state.hurry = true;
            self.wanted.notify_one();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.sent.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets the thread end when it has sent what waits.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wanted.notify_one();
    }

    /// Counts records that nobody got.
    pub(super) fn lose(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
    }

    /// For the thread: what comes next, at most `most`; what it took before is done with. Behind the
    /// first record it waits for `gather` for more, unless somebody is in a hurry. `None` when closed.
    pub(super) fn take(&self, most: usize, gather: Duration) -> Option<Vec<Vec<u8>>> {
        let mut state = self.lock();
        state.sending = false;
        self.sent.notify_all();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            state.hurry = false;
            state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + gather;
        while state.waiting.len() < most && !state.is_urgent() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wanted.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let count = most.min(state.waiting.len());
        let records: Vec<Vec<u8>> = state.waiting.drain(..count).collect();
        state.bytes -= records.iter().map(Vec::len).sum::<usize>();
        state.sending = true;
        Some(records)
    }

    /// For the thread: waits for `time`. False as soon as somebody is in a hurry, or it is over.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !state.is_urgent() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self.wanted.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_urgent(&self) -> bool {
        self.hurry || self.closed
    }
}
