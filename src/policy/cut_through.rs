//! Cut-through: for how long a message is only offered to its next hops, before it is made durable
//! like any other. The wait costs its sender time and saves a disk work; where it has been in vain it
//! is left out for a while.

use std::time::Duration;

/// What the wait is at least: a next hop at hand takes a message in a few milliseconds, also while as
/// many others as it has connections are before it; one half a continent away does not, and its sender
/// shall not wait much longer than for a disk.
const PATIENCE_MIN: Duration = Duration::from_millis(50);
/// What it is more for each MiB, which takes its time on the wire as it does on a disk.
const PATIENCE_PER_MIB: Duration = Duration::from_millis(50);
/// What it is at most: a sender that sends one message after the other gets at least four a second.
const PATIENCE_MAX: Duration = Duration::from_millis(250);
/// A message with more next hops is not offered: all of them would have to be quick.
pub const NEXT_HOPS_MAX: usize = 3;
/// Where the disk takes nothing, being delivered is the only hope of a message. It has so long to begin,
pub const LATE_START: Duration = Duration::from_secs(1);
/// and so long to be done: the sender gives us ten minutes in all (RFC 5321 4.5.3.2.6).
pub const LAST_HOPE: Duration = Duration::from_secs(60);

/// So many waits in vain on end are enough,
const IN_VAIN_MAX: u8 = 3;
/// and then one message in so many is offered, to see whether that has changed.
const TRIED_AGAIN_EVERY: u8 = 16;

/// How long a message of so many octets is only offered.
pub fn patience(octets: u64) -> Duration {
    let mib = u32::try_from(octets >> 20).unwrap_or(u32::MAX);
    PATIENCE_MIN.saturating_add(PATIENCE_PER_MIB.saturating_mul(mib)).min(PATIENCE_MAX)
}

/// What waiting for some next hop has come to lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    in_vain: u8,
    left_out: u8,
}

impl Record {
    /// Whether to wait for it with the next message.
    pub fn is_promising(&mut self) -> bool {
        if self.in_vain < IN_VAIN_MAX {
            return true;
        }
        self.left_out = (self.left_out + 1) % TRIED_AGAIN_EVERY;
        self.left_out == 0
    }

    /// What came of it: the message was taken in time, or not.
    pub fn note(&mut self, taken: bool) {
        self.in_vain = if taken { 0 } else { self.in_vain.saturating_add(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_message_has_longer_but_nobody_waits_for_ever() {
        for (octets, millis) in [(0, 50), (4 << 10, 50), (1 << 20, 100), (3 << 20, 200), (50 << 20, 250)] {
            assert_eq!(patience(octets), Duration::from_millis(millis), "{octets}");
        }
        assert_eq!(patience(u64::MAX), PATIENCE_MAX);
    }

    #[test]
    fn what_is_always_in_vain_is_tried_now_and_then_and_one_success_is_enough() {
        let mut record = Record::default();
        for _ in 0..IN_VAIN_MAX {
            assert!(record.is_promising());
            record.note(false);
        }
        let tried = (0..160).filter(|_| record.is_promising()).count();
        assert_eq!(tried, 10);
        record.note(false);
        assert!(!record.is_promising());
        record.note(true);
        assert!((0..10).all(|_| record.is_promising()));
    }
}
