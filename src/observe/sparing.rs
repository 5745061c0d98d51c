//! Of what may happen a thousand times a second, one in ten seconds is told; all of it is counted.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const TOLD_EVERY: Duration = Duration::from_secs(10);

/// When each kind was last told. There are few kinds: nothing a peer says makes one.
pub(super) struct Sparing<K>(Mutex<HashMap<K, Instant>>);

impl<K> Default for Sparing<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Sparing<K> {
    /// Whether it is time to tell of this kind again; if so, it is told now.
    pub(super) fn may_tell(&self, kind: K, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let may = told.get(&kind).is_none_or(|last| now.duration_since(*last) >= TOLD_EVERY);
        if may {
            told.insert(kind, now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_in_ten_seconds() {
        let (sparing, now) = (Sparing::default(), Instant::now());
        assert!(sparing.may_tell("a", now));
        assert!(!sparing.may_tell("a", now + TOLD_EVERY / 2));
        assert!(sparing.may_tell("b", now + TOLD_EVERY / 2));
        assert!(sparing.may_tell("a", now + TOLD_EVERY));
    }
}
