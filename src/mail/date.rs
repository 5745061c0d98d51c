//! Dates as messages write them (RFC 5322 3.3), always in UTC.

use jiff::Timestamp;

/// `Sun, 22 Nov 2026 01:43:01 +0000`
pub fn rfc5322(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_in_utc() {
        let at: Timestamp = "2026-11-02T03:04:05.678+02:00".parse().unwrap();
        assert_eq!(rfc5322(at), "Mon, 02 Nov 2026 01:04:05 +0000");
    }
}
