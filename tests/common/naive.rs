//! Servers and clients as they used to be written, so that a test can show an attack succeed before
//! it shows that it fails here. Each is the shortest program that makes the known mistake.

#![allow(dead_code, reason = "each test program uses some")]

/// A server that takes other octets for the end of data than CRLF.CRLF, and what it makes of them.
pub struct Lax<'a> {
    pub line_end: &'a [u8],
    pub after_dot: &'a [u8],
}

impl Lax<'_> {
    pub fn end_of_data(&self) -> Vec<u8> {
        [self.line_end, b".", self.after_dot].concat()
    }

    /// The messages in a stream of `DATA` content and, behind an end of data, more commands.
    pub fn messages(&self, stream: &[u8]) -> Vec<Vec<u8>> {
        let ends: [&[u8]; 2] = [&self.end_of_data(), b"\r\n.\r\n"];
        let (mut messages, mut rest) = (Vec::new(), stream);
        while let Some((at, end)) = first_of(rest, &ends) {
            messages.push(rest[..at].to_vec());
            rest = &rest[at + end..];
            // A new transaction, if there is one: its content begins behind DATA.
            match find(rest, b"DATA\r\n") {
                Some(data) => rest = &rest[data + 6..],
                None => break,
            }
        }
        messages
    }
}

fn first_of(text: &[u8], ends: &[&[u8]]) -> Option<(usize, usize)> {
    ends.iter().filter_map(|end| Some((find(text, end)?, end.len()))).min()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// What some server or other has taken for an end of data: every pair of line ends but the right one,
/// and NUL in the places where C forgets what follows, or a filter drops it.
pub fn ends_of_data() -> Vec<Lax<'static>> {
    let line_ends: [&[u8]; 6] = [b"\r\n", b"\n", b"\r", b"\r\0\n", b"\0\r\n", b"\r\n\0"];
    let pairs = line_ends
        .iter()
        .flat_map(|&line_end| line_ends.iter().map(move |&after_dot| Lax { line_end, after_dot }));
    let is_the_end = |lax: &Lax<'_>| find(&lax.end_of_data(), b"\r\n.\r\n").is_some();
    pairs.filter(|lax| !is_the_end(lax)).collect()
}

/// The commands a server obeys that reads ahead and forgets to empty its buffer at STARTTLS.
pub fn commands_kept_across_starttls(clear: &[u8]) -> Vec<String> {
    let mut lines = String::from_utf8_lossy(clear).into_owned();
    let behind = lines.find("STARTTLS\r\n").map(|at| lines.split_off(at + 10)).unwrap_or_default();
    behind.lines().map(str::to_owned).collect()
}

/// One log line as it comes from whoever writes what it was told.
pub fn log_line(said: &[u8]) -> String {
    format!("session 1: peer says {}", String::from_utf8_lossy(said))
}
