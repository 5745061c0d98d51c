//! Text from outside on its way into a log: escaped, and no longer than its place.

use std::borrow::Cow;

pub use crate::mail::text::escape;

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
    use super::*;

    #[test]
    fn long_text_says_how_much_is_missing() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("\u{fc}\u{fc}\u{fc}", 3), "\u{fc} [4 octets more]");
    }
}
