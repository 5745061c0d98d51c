//! Text from outside, made safe for a line of a log: what a peer sends must neither begin a new
//! line nor change how a terminal shows the rest.

use std::borrow::Cow;
use std::fmt::Write;

/// Control characters (C0, DEL, C1), line and paragraph separators and bidirectional controls
/// become `\r`, `\n`, `\t` or `\u{..}`. A backslash stays as it is: names in certificates and
/// connector names hold it by right.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\r' => safe.push_str("\\r"),
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            c if is_unsafe(c) => {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// At most `bytes` octets of `text`, cut at a character, with a mark where something is missing.
pub fn shorten(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return Cow::Borrowed(text);
    }
    let cut = (0..=bytes).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    Cow::Owned(format!("{} [{} octets more]", &text[..cut], text.len() - cut))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_peer_cannot_begin_a_line_or_turn_one_around() {
        assert_eq!(escape("EHLO a\r\n250 ok"), "EHLO a\\r\\n250 ok");
        assert_eq!(escape("\u{1b}[2J\u{85}\u{202e}x\0"), "\\u{1b}[2J\\u{85}\\u{202e}x\\u{0}");
        assert_eq!(escape(r"O=Bank\, Ltd"), r"O=Bank\, Ltd");
        assert!(matches!(escape("gr\u{fc}\u{df}e"), Cow::Borrowed(_)));
    }

    #[test]
    fn long_text_says_how_much_is_missing() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("\u{fc}\u{fc}\u{fc}", 3), "\u{fc} [4 octets more]");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(text in any::<String>()) {
            let safe = escape(&text);
            prop_assert!(!safe.chars().any(is_unsafe));
            prop_assert_eq!(escape(&safe).into_owned(), safe.clone().into_owned());
        }
    }
}
