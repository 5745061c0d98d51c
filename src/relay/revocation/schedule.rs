//! When a fetched list is asked for again. Pure; `chance`, from 0 to 1, spreads those who got
//! theirs at the same moment.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Many authorities issue lists for a week and renew them daily, or when they revoke.
const REFRESH_EVERY: Duration = Duration::from_secs(24 * 3600);
/// A list whose end is near is not asked for more often than this.
const WAIT_MIN: Duration = Duration::from_secs(2);
/// The wait after a first failure; it doubles, up to the most.
const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_MOST: Duration = Duration::from_secs(3600);

/// After a success: when half to three quarters of its time has passed, and at least daily. A list
/// that was not renewed in the meantime is so asked for more and more often.
pub fn refresh_at(fetched: Timestamp, good_until: Timestamp, chance: f64) -> Timestamp {
    let daily = REFRESH_EVERY.mul_f64(0.75 + 0.25 * chance);
    let wait = between(fetched, good_until).mul_f64(0.5 + 0.25 * chance).min(daily).max(WAIT_MIN);
    later(fetched, wait)
}

/// After `failures` (at least one): later each time, but several times before the list runs out.
pub fn retry_at(now: Timestamp, good_until: Timestamp, failures: u32, chance: f64) -> Timestamp {
    let doubled = RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_MOST);
    let left = between(now, good_until);
    let wait = if left.is_zero() { doubled } else { doubled.min(left / 4) };
    later(now, wait.max(WAIT_MIN).mul_f64(0.75 + 0.5 * chance))
}

/// Nothing when `end` has passed.
fn between(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or_default()
}

/// `at` plus `wait`, or the end of time.
pub fn later(at: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    at.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    const DAY: i64 = 86_400;

    #[test]
    fn a_list_is_refreshed_well_before_its_end_and_at_least_daily() {
        for chance in [0.0, 0.3, 1.0] {
            let soon = refresh_at(at(0), at(3600), chance);
            assert!(soon >= at(1800) && soon <= at(2700), "{soon}");
            let yearly = refresh_at(at(0), at(365 * DAY), chance);
            assert!(yearly > at(DAY / 2) && yearly <= at(DAY), "{yearly}");
        }
        assert!(refresh_at(at(0), at(3600), 0.0) < refresh_at(at(0), at(3600), 1.0));
    }

    #[test]
    fn a_list_at_its_end_is_not_asked_for_without_pause() {
        assert_eq!(refresh_at(at(0), at(1), 0.5), at(2));
        assert_eq!(refresh_at(at(0), at(-5), 0.5), at(2));
    }

    #[test]
    fn failures_wait_longer_each_time_but_not_beyond_the_end() {
        let wait = |failures, left| retry_at(at(0), at(left), failures, 0.5).duration_since(at(0)).as_secs();
        assert_eq!([wait(1, DAY * 7), wait(2, DAY * 7), wait(3, DAY * 7)], [30, 60, 120]);
        assert_eq!(wait(40, DAY * 7), 3600);
        assert_eq!(wait(40, 400), 100);
        assert_eq!(wait(1, -1), 30);
        assert_eq!(wait(9, 1), 2);
    }
}
