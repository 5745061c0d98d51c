//! `LIMITS` (RFC 9422): what a server takes in one session and one transaction, told before it has to
//! refuse. A limit that cannot be read, and one that we do not know, is none.

use std::fmt;
use std::num::NonZeroU32;

/// The limits of a server; none is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `MAILMAX`: `MAIL` commands in one session, refused ones counted.
    pub mail_max: Option<NonZeroU32>,
    /// `RCPTMAX`: `RCPT` commands in one transaction, refused ones counted.
    pub rcpt_max: Option<NonZeroU32>,
    /// `RCPTDOMAINMAX`: different recipient domains in one session.
    pub rcpt_domain_max: Option<NonZeroU32>,
}

impl Limits {
    /// Reads the words behind the keyword. Of one that is given twice the smaller counts.
    pub(super) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut limits = Self::default();
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let known = match name.to_ascii_uppercase().as_str() {
                "MAILMAX" => &mut limits.mail_max,
                "RCPTMAX" => &mut limits.rcpt_max,
                "RCPTDOMAINMAX" => &mut limits.rcpt_domain_max,
                _ => continue,
            };
            *known = match (*known, number(value)) {
                (Some(known), Some(more)) => Some(known.min(more)),
                (known, more) => known.or(more),
            };
        }
        limits
    }

    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// One to six digits, the first of them not 0 (RFC 9422 4).
fn number(value: &str) -> Option<NonZeroU32> {
    let digits = (1..=6).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| digits && !value.starts_with('0'))
}

/// Each limit with a blank before it, as it stands behind the keyword.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all =
            [("MAILMAX", self.mail_max), ("RCPTMAX", self.rcpt_max), ("RCPTDOMAINMAX", self.rcpt_domain_max)];
        for (name, limit) in all {
            if let Some(limit) = limit {
                write!(f, " {name}={limit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Limits {
        Limits::parse(text.split_ascii_whitespace())
    }

    #[test]
    fn known_limits_are_read_in_any_case_and_others_passed_over() {
        let limits = parse("rcptmax=100 MAILMAX=20 XRATE=5 RcptDomainMax=1 FLAG");
        let expected = (NonZeroU32::new(20), NonZeroU32::new(100), NonZeroU32::new(1));
        assert_eq!((limits.mail_max, limits.rcpt_max, limits.rcpt_domain_max), expected);
        assert_eq!(limits.to_string(), " MAILMAX=20 RCPTMAX=100 RCPTDOMAINMAX=1");
    }

    #[test]
    fn what_is_no_number_limits_nothing() {
        for text in
            ["RCPTMAX=0", "RCPTMAX=01", "RCPTMAX=1234567", "RCPTMAX=-1", "RCPTMAX=+1", "RCPTMAX=", "RCPTMAX"]
        {
            assert!(!parse(text).is_any(), "{text}");
        }
        assert_eq!(parse("RCPTMAX=999999").rcpt_max, NonZeroU32::new(999_999));
        assert_eq!(parse("RCPTMAX=9 RCPTMAX=7 RCPTMAX=8").rcpt_max, NonZeroU32::new(7));
    }
}
