//! SMTP replies (RFC 5321 4.2) with their enhanced status codes (RFC 2034).

use std::fmt;

use crate::mail::EnhancedCode;
use crate::mail::text::ascii;

/// Longest reply line that every client must take, CRLF included (RFC 5321 4.5.3.1.5).
const WIRE_LINE_BYTES_MAX: usize = 512;

/// One reply, of one or more lines without CRLF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub enhanced: Option<EnhancedCode>,
    /// At least one line; the text behind code and enhanced code.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply of one line with an enhanced code, `(5, 7, 1)` for 5.7.1.
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl Into<String>) -> Self {
        let enhanced = EnhancedCode::new(enhanced.0, enhanced.1, enhanced.2);
        Self { code, enhanced: Some(enhanced), lines: vec![text.into()] }
    }

    /// A reply without an enhanced code: banner, EHLO, 354.
    pub fn plain(code: u16, lines: Vec<String>) -> Self {
        debug_assert!(!lines.is_empty());
        Self { code, enhanced: None, lines }
    }

    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// The reply as it goes over the wire, each line ended by CRLF.
    pub fn to_wire(&self) -> String {
        let mut wire = String::new();
        for line in self.wire_lines() {
            wire.push_str(&line);
            wire.push_str("\r\n");
        }
        wire
    }

    /// The lines as they go over the wire and into the protocol log, without CRLF. Whatever the
    /// text was made of, a line stays one line of printable ASCII of at most 510 octets.
    pub fn wire_lines(&self) -> impl Iterator<Item = String> + '_ {
        let last = self.lines.len().saturating_sub(1);
        self.lines.iter().enumerate().map(move |(i, text)| {
            let separator = if i == last { ' ' } else { '-' };
            let text = ascii(text);
            let mut line = match self.enhanced {
                Some(enhanced) => format!("{}{separator}{enhanced} {text}", self.code),
                None => format!("{}{separator}{text}", self.code),
            };
            line.truncate(WIRE_LINE_BYTES_MAX - 2);
            line
        })
    }
}

/// On one line, lines joined by a blank: for `queue why`, DSNs and events.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for line in &self.lines {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_several_lines_marks_all_but_the_last() {
        let reply = Reply::plain(250, vec!["mail.contoso.example".into(), "SIZE 10".into()]);
        assert_eq!(reply.to_wire(), "250-mail.contoso.example\r\n250 SIZE 10\r\n");
    }

    #[test]
    fn text_from_outside_cannot_add_a_line() {
        let reply = Reply::new(550, (5, 7, 1), "no\r\n250 yes \u{e9}");
        assert_eq!(reply.to_wire(), "550 5.7.1 no\\r\\n250 yes \\u{e9}\r\n");
    }

    #[test]
    fn a_reply_line_stays_within_512_octets() {
        let wire = Reply::new(550, (5, 7, 1), "x".repeat(5000)).to_wire();
        assert_eq!(wire.len(), WIRE_LINE_BYTES_MAX);
        assert!(wire.ends_with("x\r\n"));
    }
}
