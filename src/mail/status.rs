//! Enhanced mail system status codes (RFC 3463).

use std::fmt;

/// `class.subject.detail`, such as 5.7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    pub class: u8,
    pub subject: u16,
    pub detail: u16,
}

impl EnhancedCode {
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// The same subject and detail in another class: 5.7.5 while queued is 4.7.5.
    pub const fn with_class(self, class: u8) -> Self {
        Self { class, ..self }
    }

    /// Reads `5.7.1`: class 2, 4 or 5, subject and detail of one to three digits without a
    /// leading zero (RFC 3463 2).
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(number);
        let code = Self {
            class: u8::try_from(parts.next()??).ok()?,
            subject: parts.next()??,
            detail: parts.next()??,
        };
        (parts.next().is_none() && matches!(code.class, 2 | 4 | 5)).then_some(code)
    }
}

fn number(digits: &str) -> Option<u16> {
    let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let canonical = digits == "0" || !digits.starts_with('0');
    (plain && canonical).then(|| digits.parse().ok()).flatten()
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        for good in ["2.0.0", "4.7.5", "5.1.10", "5.999.999"] {
            assert_eq!(EnhancedCode::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "", "5", "5.1", "5.1.1.1", "3.1.1", "1.1.1", "5.01.1", "5.1000.1", "5.-1.1", "5.+1.1", "5..1",
            "x.1.1",
        ] {
            assert_eq!(EnhancedCode::parse(bad), None, "{bad}");
        }
    }
}
