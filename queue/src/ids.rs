//! Message ids: never the same twice in the life of a data directory, also for drafts that came to
//! nothing, because ids stand in logs. A ceiling is stored ahead of use; a start begins at the stored
//! ceiling, or at the clock if that is later.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{MessageId, UnixMillis};

/// Ids that are reserved at a time.
pub(crate) const BLOCK: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Ids {
    next: AtomicU64,
    ceiling: AtomicU64,
    /// A higher ceiling is on its way to the disk.
    asked: AtomicBool,
}

/// The first id of a start: above all that ever were, and following the clock, so that ids still
/// differ when the whole data directory was lost. Milliseconds × 65,536 fit 63 bits until the year 6400.
pub(crate) fn first(stored_ceiling: u64, now: UnixMillis) -> u64 {
    stored_ceiling.max((now.max(0) as u64) << 16).max(1)
}

impl Ids {
    pub(crate) fn new(first: u64, ceiling: u64) -> Self {
        Self { next: AtomicU64::new(first), ceiling: AtomicU64::new(ceiling), asked: AtomicBool::new(false) }
    }

    /// The next id, or `None` while the ceiling is reached.
    pub(crate) fn take(&self) -> Option<MessageId> {
        let ceiling = self.ceiling.load(Ordering::Acquire);
        self.next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| (next < ceiling).then_some(next + 1))
            .ok()
            .map(MessageId)
    }

    /// The ceiling to store next, if it is time and nobody else is at it.
    pub(crate) fn wanted_ceiling(&self) -> Option<u64> {
        let ceiling = self.ceiling.load(Ordering::Acquire);
        let low = ceiling.saturating_sub(self.next.load(Ordering::Relaxed)) < BLOCK / 2;
        (low && !self.asked.swap(true, Ordering::AcqRel)).then_some(ceiling + BLOCK)
    }

    /// `below` is durable.
    pub(crate) fn raised(&self, below: u64) {
        self.ceiling.fetch_max(below, Ordering::Release);
        self.asked.store(false, Ordering::Release);
    }

    /// Could not be stored; ask again.
    pub(crate) fn not_raised(&self) {
        self.asked.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_given_out_at_or_above_the_durable_ceiling() {
        let ids = Ids::new(10, 12);
        assert_eq!(ids.take(), Some(MessageId(10)));
        assert_eq!(ids.take(), Some(MessageId(11)));
        assert_eq!(ids.take(), None);
        let wanted = ids.wanted_ceiling().expect("it runs low");
        assert_eq!(ids.wanted_ceiling(), None, "asked once");
        ids.raised(wanted);
        assert_eq!(ids.take(), Some(MessageId(12)));
    }

    #[test]
    fn a_clock_set_back_never_brings_an_id_back() {
        assert_eq!(first(5_000_000, 3), 5_000_000);
        assert_eq!(first(7, 3), 3 << 16);
        assert_eq!(first(0, -5), 1);
    }
}
