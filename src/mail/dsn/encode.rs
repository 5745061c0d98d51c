//! Lines that fit: wrapping, and quoted-printable (RFC 2045 6.7) for what cannot stand as it is.

/// Where lines are wrapped, and where a word is broken that fits no line, in octets.
const LINE_OCTETS: usize = 78;
const WORD_OCTETS_MAX: usize = 500;
/// RFC 5322 2.1.1, CRLF not counted.
pub(super) const LINE_OCTETS_MAX: usize = 998;
/// RFC 2045 6.7, the soft break's `=` not counted.
const ENCODED_LINE_OCTETS: usize = 75;

/// Appends `first` and the words of `text`, wrapped; further lines begin with `next`. Each line
/// ends in CRLF; none holds blanks alone unless there is no word at all. `text` has no control
/// characters.
pub(super) fn wrap(out: &mut Vec<u8>, first: &str, next: &str, text: &str) {
    let mut line = first.to_owned();
    let mut bare = true;
    for word in text.split(' ').filter(|word| !word.is_empty()).flat_map(pieces) {
        if !bare && line.len() + 1 + word.len() > LINE_OCTETS {
            end_line(out, &line);
            next.clone_into(&mut line);
            bare = true;
        }
        if !bare {
            line.push(' ');
        }
        line.push_str(word);
        bare = false;
    }
    end_line(out, &line);
}

fn end_line(out: &mut Vec<u8>, line: &str) {
    out.extend_from_slice(line.trim_end_matches(' ').as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A word in pieces of at most `WORD_OCTETS_MAX`.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(WORD_OCTETS_MAX));
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Whether bytes can be the body of a part as they are: text in lines of CRLF that fit, ASCII or,
/// where `utf8` is allowed, UTF-8.
pub(super) fn plain_enough(bytes: &[u8], utf8: bool) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    (utf8 || text.is_ascii())
        && text.split("\r\n").all(|line| {
            line.len() <= LINE_OCTETS_MAX && line.bytes().all(|b| b == b'\t' || !b.is_ascii_control())
        })
}

/// Whether content can be repeated octet by octet: lines of CRLF that fit, no CR, LF or NUL besides.
pub(super) fn transparent(content: &[u8]) -> bool {
    let mut rest = content;
    while !rest.is_empty() {
        let (line, tail) = match memchr::memmem::find(rest, b"\r\n") {
            Some(end) => (&rest[..end], &rest[end + 2..]),
            None => (rest, &[][..]),
        };
        if line.len() > LINE_OCTETS_MAX || memchr::memchr3(b'\r', b'\n', 0, line).is_some() {
            return false;
        }
        rest = tail;
    }
    true
}

/// CRLF stays a line end; every other CR and LF is an octet like any other.
pub(super) fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    let mut column = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if bytes[at..].starts_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
            (at, column) = (at + 2, 0);
            continue;
        }
        at += 1;
        let ends_line = at == bytes.len() || bytes[at..].starts_with(b"\r\n");
        let plain = match byte {
            b'=' => false,
            b' ' | b'\t' => !ends_line,
            byte => byte.is_ascii_graphic(),
        };
        let width = if plain { 1 } else { 3 };
        if column + width > ENCODED_LINE_OCTETS {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if plain {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("={byte:02X}").as_bytes());
        }
        column += width;
    }
    out
}
