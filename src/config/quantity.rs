//! Sizes and durations as people write them: `"36 MiB"`, `"2 days"`, `"1 h 30 min"`.

use std::time::Duration;

/// Longest duration taken, ten years; anything longer is a slip of the pen.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Largest size taken, one exbibyte.
const SIZE_MAX: u64 = 1 << 60;

const DURATION_UNITS: &[(&[&str], u64)] = &[
    (&["ms", "millisecond", "milliseconds"], 1),
    (&["s", "sec", "second", "seconds"], 1000),
    (&["min", "m", "minute", "minutes"], 60 * 1000),
    (&["h", "hour", "hours"], 3600 * 1000),
    (&["d", "day", "days"], 24 * 3600 * 1000),
    (&["w", "week", "weeks"], 7 * 24 * 3600 * 1000),
];

const SIZE_UNITS: &[(&[&str], u64)] = &[
    (&["B", "byte", "bytes"], 1),
    (&["KiB"], 1 << 10),
    (&["MiB"], 1 << 20),
    (&["GiB"], 1 << 30),
    (&["TiB"], 1 << 40),
    (&["kB", "KB"], 1000),
    (&["MB"], 1_000_000),
    (&["GB"], 1_000_000_000),
    (&["TB"], 1_000_000_000_000),
];

/// Why a text is no size or duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantityError {
    /// Not a whole number followed by a unit, once or several times.
    Malformed,
    UnknownUnit,
    TooLarge,
}

/// `"5 min"`, `"0 s"`, `"1 h 30 min"`; at most ten years.
pub fn duration(text: &str) -> Result<Duration, QuantityError> {
    let millis = total(text, DURATION_UNITS)?;
    let duration = Duration::from_millis(millis);
    if duration > DURATION_MAX { Err(QuantityError::TooLarge) } else { Ok(duration) }
}

/// `"36 MiB"` in bytes; at most one exbibyte.
pub fn size(text: &str) -> Result<u64, QuantityError> {
    let bytes = total(text, SIZE_UNITS)?;
    if bytes > SIZE_MAX { Err(QuantityError::TooLarge) } else { Ok(bytes) }
}

fn total(text: &str, units: &[(&[&str], u64)]) -> Result<u64, QuantityError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(QuantityError::Malformed);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, behind) = split_at_first(rest, |c| !c.is_ascii_digit());
        let (unit, behind) = split_at_first(behind.trim_start(), |c| !c.is_ascii_alphabetic());
        if number.is_empty() || unit.is_empty() {
            return Err(QuantityError::Malformed);
        }
        let number: u64 = number.parse().map_err(|_| QuantityError::TooLarge)?;
        let factor = factor(unit, units).ok_or(QuantityError::UnknownUnit)?;
        let part = number.checked_mul(factor).ok_or(QuantityError::TooLarge)?;
        total = total.checked_add(part).ok_or(QuantityError::TooLarge)?;
        rest = behind.trim_start();
    }
    Ok(total)
}

fn split_at_first(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

fn factor(unit: &str, units: &[(&[&str], u64)]) -> Option<u64> {
    units.iter().find(|(names, _)| names.contains(&unit)).map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_of_the_contract_are_read() {
        let table = [
            ("0 s", 0),
            ("15 s", 15_000),
            ("30 min", 1_800_000),
            ("1 min", 60_000),
            ("4 hours", 14_400_000),
            ("2 days", 172_800_000),
            ("1 h 30 min", 5_400_000),
            ("500ms", 500),
            ("1week", 604_800_000),
        ];
        for (text, millis) in table {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn sizes_of_the_contract_are_read() {
        let table =
            [("36 MiB", 36 << 20), ("1 GiB", 1 << 30), ("200 MiB", 200 << 20), ("10 kB", 10_000), ("7 B", 7)];
        for (text, bytes) in table {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", " ", "5", "min", "5 parsecs 2", "-5 s", "1.5 h", "5 min,", "s 5"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(duration("5 fortnights"), Err(QuantityError::UnknownUnit));
        assert_eq!(duration("20000 weeks"), Err(QuantityError::TooLarge));
        assert_eq!(duration("99999999999999999999999 s"), Err(QuantityError::TooLarge));
        assert_eq!(size("18446744073709551615 GiB"), Err(QuantityError::TooLarge));
        assert_eq!(size("5 s"), Err(QuantityError::UnknownUnit));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = duration(&text);
            let _ = size(&text);
        }

        #[test]
        fn parts_add_up(hours in 0u64..100, minutes in 0u64..100) {
            let written = duration(&format!("{hours} h {minutes} min"));
            prop_assert_eq!(written, Ok(Duration::from_secs(hours * 3600 + minutes * 60)));
        }
    }
}
