//! When it is time to say that something ends: certificates, trust anchors, revocation lists.

use jiff::{SignedDuration, Timestamp};

/// Days before the end at which operators are told, the first first.
pub const WARN_DAYS: [i64; 4] = [30, 14, 7, 1];

/// The latest of the marks in `WARN_DAYS` that is behind us, 0 where the end itself is; `None` while
/// there is time. A mark counts only in the second half of a life: a revocation list of a week or a
/// certificate of 45 days is not worth a warning on its first day.
pub fn mark(begins: Timestamp, ends: Timestamp, now: Timestamp) -> Option<i64> {
    if now >= ends {
        return Some(0);
    }
    let left = ends.duration_since(now);
    let half_life = ends.duration_since(begins) / 2;
    let passed = |days: &i64| {
        let before = SignedDuration::from_hours(24 * days);
        left <= before && before <= half_life
    };
    WARN_DAYS.into_iter().filter(passed).min()
}

/// Whole days left, negative behind the end.
pub fn days_left(ends: Timestamp, now: Timestamp) -> i64 {
    ends.duration_since(now).as_secs().div_euclid(24 * 60 * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * days)
    }

    #[test]
    fn a_certificate_of_a_year_is_told_of_at_each_mark() {
        let table = [
            (300, None),
            (334, None),
            (335, Some(30)),
            (350, Some(30)),
            (351, Some(14)),
            (358, Some(7)),
            (363, Some(7)),
            (364, Some(1)),
            (365, Some(0)),
            (400, Some(0)),
        ];
        for (now, expected) in table {
            assert_eq!(mark(days(0), days(365), days(now)), expected, "day {now}");
        }
    }

    #[test]
    fn what_lives_shortly_is_told_of_in_its_second_half() {
        assert_eq!(mark(days(0), days(7), days(1)), None);
        assert_eq!(mark(days(0), days(7), days(5)), None);
        assert_eq!(mark(days(0), days(7), days(6)), Some(1));
        assert_eq!(mark(days(0), days(45), days(20)), None);
        assert_eq!(mark(days(0), days(45), days(31)), Some(14));
        assert_eq!(mark(days(0), days(1), days(0)), None);
    }

    #[test]
    fn a_day_begun_is_no_whole_day() {
        let hours = |hours| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        assert_eq!(days_left(hours(47), hours(0)), 1);
        assert_eq!(days_left(hours(0), hours(1)), -1);
    }
}
