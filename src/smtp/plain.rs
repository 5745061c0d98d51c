//! Octets of content that need no closer look, found many at a time: most messages are nothing else.

use memchr::memrchr;

/// Octets judged together. The loop over them has no way out, so that it becomes vector instructions.
const WINDOW: usize = 512;

/// How many octets, from within a line and not behind a CR, are plain: no NUL, each CR with its LF and
/// each LF with its CR, no line that begins with a dot. Found by windows, so there may be more. What follows
/// is never the LF of a CR among them; nor, at the start of a line, a dot, or a NUL that might leave one
/// there.
pub(super) fn plain_octets(content: &[u8]) -> usize {
    if content.first() == Some(&b'\n') {
        return 0;
    }
    let mut plain = 0;
    while content.get(plain..=plain + WINDOW).is_some_and(is_plain) {
        plain += WINDOW;
    }
    if plain > 0 && content[plain - 1] == b'\r' { plain - 1 } else { plain }
}

/// The same, of octets whose lines may not be too long; counts those of the line in hand.
pub(super) fn plain_in_lines(content: &[u8], line_octets: &mut usize, line_octets_max: usize) -> usize {
    let plain = plain_octets(content);
    if *line_octets + plain > line_octets_max {
        return 0;
    }
    *line_octets = match memrchr(b'\n', &content[..plain]) {
        Some(end) => plain - end - 1,
        None => *line_octets + plain,
    };
    plain
}

/// Judges all octets but the last, each by the one behind it.
fn is_plain(octets: &[u8]) -> bool {
    let mut odd = 0;
    for (one, next) in octets.iter().zip(&octets[1..]) {
        let half_an_end = u8::from((*one == b'\r') != (*next == b'\n'));
        let dot = u8::from(*one == b'\n') & u8::from(*next == b'.');
        odd |= half_an_end | dot | u8::from(*one == 0) | u8::from(*next == 0);
    }
    odd == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text of so many octets, a CRLF at every tenth.
    fn text(octets: usize) -> Vec<u8> {
        b"a line..\r\n".iter().copied().cycle().take(octets).collect()
    }

    #[test]
    fn whole_windows_are_plain_and_never_end_within_a_line_end() {
        assert_eq!(plain_octets(&text(WINDOW)), 0, "nobody knows what follows");
        assert_eq!(plain_octets(&text(WINDOW + 1)), WINDOW);
        for begin in 0..10 {
            let text = &text(3 * WINDOW + 20)[begin..];
            let plain = plain_octets(text);
            if text[0] == b'\n' {
                assert_eq!(plain, 0, "an LF alone");
            } else {
                assert!((3 * WINDOW - 1..=3 * WINDOW).contains(&plain) && text[plain - 1] != b'\r');
            }
        }
    }

    #[test]
    fn what_needs_a_look_is_not_plain_wherever_it_stands() {
        for odd in [&b"\0"[..], b"\n", b"\r", b"\r\n.", b"\n.", b"\r\r\n", b"\r\n\n", b"\r\n\r\r"] {
            for at in 0..WINDOW {
                let mut content = vec![b'x'; 2 * WINDOW + 1];
                content[at + 1..][..odd.len()].copy_from_slice(odd);
                let plain = plain_octets(&content);
                assert!(plain <= at + odd.len(), "{} at {at}", odd.escape_ascii());
            }
        }
        assert_eq!(plain_octets(&b"\r\n".repeat(WINDOW)), WINDOW, "empty lines are lines");
    }
}
