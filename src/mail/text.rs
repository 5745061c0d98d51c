//! Text from outside made safe for one line of a log, a reply or a report: whatever a peer sends
//! (replies, HELO names, certificates), it cannot add a line or hide what stands there.

use std::fmt::Write as _;

/// The bytes as one line of UTF-8: HT becomes a blank, control characters and bidirectional
/// overrides are escaped (`\r`, `\x1b`, `\u{202e}`), octets that are not UTF-8 become `\xNN`.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_printable(&mut out, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Like [`printable`], and every character above U+007F is escaped as `\u{e9}`.
pub fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            push_printable(&mut out, c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

fn push_printable(out: &mut String, c: char) {
    match c {
        '\t' => out.push(' '),
        '\r' => out.push_str("\\r"),
        '\n' => out.push_str("\\n"),
        c if c.is_ascii_control() => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c if c.is_control() || reorders(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

/// Line separators and marks that change the order in which a terminal shows the line.
fn reorders(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(printable(b"a\tb\r\nc\x1b[0m\x00\xff"), "a b\\r\\nc\\x1b[0m\\x00\\xff");
        assert_eq!(printable("\u{85}\u{202e}\u{e9}".as_bytes()), "\\u{85}\\u{202e}\u{e9}");
        assert_eq!(ascii("J\u{f6}rg"), "J\\u{f6}rg");
    }

    proptest! {
        #[test]
        fn the_result_is_one_line(bytes: Vec<u8>) {
            let line = printable(&bytes);
            prop_assert!(!line.chars().any(char::is_control));
            prop_assert!(ascii(&line).bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }
}
