//! When a delivery that failed is tried again.

use std::time::Duration;

/// The wait before attempt number `attempts + 1`, after `attempts` (at least 1) failed ones.
/// `intervals` is never empty; its last member repeats.
pub fn interval(intervals: &[Duration], attempts: u32) -> Duration {
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    intervals[index.min(intervals.len() - 1)]
}
