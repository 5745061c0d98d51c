//! Text from outside made safe for one line of a log, a reply or a report: whatever a peer sends
//! (replies, HELO names, certificates), it cannot add a line or hide what stands there.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Control characters (C0, DEL, C1), line and paragraph separators and marks that change the order
/// in which a terminal shows the line become `\r`, `\n`, `\t` or `\u{..}`. A backslash stays as it
/// is: names in certificates and connector names hold it by right.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push_escaped(&mut out, c));
    Cow::Owned(out)
}

/// Bytes of a conversation as one line of UTF-8: HT becomes a blank, what is unsafe is escaped as by
/// [`escape`], octets that are not UTF-8 become `\xNN`.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_printable(&mut out, c));
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
    push_escaped(out, if c == '\t' { ' ' } else { c });
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '\r' => out.push_str("\\r"),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        c if is_unsafe(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(printable(b"a\tb\r\nc\x1b[0m\x00\xff"), "a b\\r\\nc\\u{1b}[0m\\u{0}\\xff");
        assert_eq!(printable("\u{85}\u{202e}\u{e9}".as_bytes()), "\\u{85}\\u{202e}\u{e9}");
        assert_eq!(ascii("J\u{f6}rg"), "J\\u{f6}rg");
    }

    #[test]
    fn text_in_a_log_cannot_begin_a_line_or_turn_one_around() {
        assert_eq!(escape("EHLO a\tb\r\n250 ok"), "EHLO a\\tb\\r\\n250 ok");
        assert_eq!(escape("\u{1b}[2J\u{85}\u{202e}x\0"), "\\u{1b}[2J\\u{85}\\u{202e}x\\u{0}");
        assert_eq!(escape(r"O=Bank\, Ltd"), r"O=Bank\, Ltd");
        assert!(matches!(escape("gr\u{fc}\u{df}e"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(text in any::<String>()) {
            let safe = escape(&text);
            prop_assert!(!safe.chars().any(is_unsafe));
            prop_assert_eq!(escape(&safe), safe.as_ref());
        }

        #[test]
        fn the_result_is_one_line(bytes: Vec<u8>) {
            let line = printable(&bytes);
            prop_assert!(!line.chars().any(char::is_control));
            prop_assert!(ascii(&line).bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }
}
