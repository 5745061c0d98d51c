//! The line framer (RFC 5321 2.3.8): only CRLF ends a line. A bare CR, a bare LF and a NUL are
//! faults, so that no two programs on the way of a message can disagree where a line ends.

use memchr::memchr3;

use super::Reply;

/// Collects bytes and hands out lines without their CRLF.
///
/// A fault is reported as soon as it is seen; what remains of that line, up to its CRLF, is
/// dropped. A further bare LF in what is dropped is reported again, so that a peer which ends its
/// lines with LF alone gets an answer to each and never has one executed.
#[derive(Debug)]
pub struct LineReader {
    buffer: Vec<u8>,
    /// Start of the line in hand.
    start: usize,
    /// Nothing before this offset needs to be looked at again.
    scanned: usize,
    limit: usize,
    dropping: bool,
    /// A line has ended, or was found faulty.
    begun: bool,
    /// How the last faulty line began.
    faulty: [u8; 4],
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("the line is too long")]
    TooLong,
    #[error("a line ends in LF without CR; lines end in CR LF")]
    BareLf,
    #[error("the line holds a CR without LF; lines end in CR LF")]
    BareCr,
    #[error("the line holds a NUL octet")]
    Nul,
}

impl LineReader {
    /// `limit` is the longest line in octets, CRLF included.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            limit,
            dropping: false,
            begun: false,
            faulty: [0; 4],
        }
    }

    /// From the next line on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Adds what came from the peer. The caller bounds how much it pushes before it takes lines.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line without CRLF, or a fault; `None` when more bytes are needed.
    pub fn next_line(&mut self) -> Option<Result<Vec<u8>, LineError>> {
        loop {
            let Some(found) = memchr3(b'\r', b'\n', 0, &self.buffer[self.scanned..]) else {
                self.scanned = self.buffer.len();
                return self.check_length(self.buffer.len());
            };
            let at = self.scanned + found;
            if let Some(error) = self.check_length(at) {
                return Some(error);
            }
            match (self.buffer[at], self.buffer.get(at + 1)) {
                (b'\r', None) => {
                    self.scanned = at;
                    return None;
                }
                (b'\r', Some(b'\n')) => {
                    if let Some(line) = self.end_line(at) {
                        return Some(line);
                    }
                }
                (byte, _) => {
                    if let Some(error) = self.fault_at(at, byte) {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    /// The CRLF at `at` ends the line in hand; `None` when that line was being dropped.
    fn end_line(&mut self, at: usize) -> Option<Result<Vec<u8>, LineError>> {
        let line = self.start..at;
        self.start = at + 2;
        self.scanned = self.start;
        self.begun = true;
        if std::mem::take(&mut self.dropping) {
            return None;
        }
        Some(Ok(self.buffer[line].to_vec()))
    }

    fn fault_at(&mut self, at: usize, byte: u8) -> Option<LineError> {
        let fault = match byte {
            b'\n' => LineError::BareLf,
            b'\r' => LineError::BareCr,
            _ => LineError::Nul,
        };
        self.remember_start(at);
        self.start = at + 1;
        self.scanned = self.start;
        self.begun = true;
        let known = std::mem::replace(&mut self.dropping, true);
        (!known || fault == LineError::BareLf).then_some(fault)
    }

    /// A line that is too long before its end came; `end` is how far it is known.
    fn check_length(&mut self, end: usize) -> Option<Result<Vec<u8>, LineError>> {
        if self.dropping {
            self.drop_to(end);
            return None;
        }
        if end - self.start + 2 <= self.limit {
            return None;
        }
        self.remember_start(end);
        (self.dropping, self.begun) = (true, true);
        self.drop_to(end);
        Some(Err(LineError::TooLong))
    }

    /// More may come before the next look: what is dropped counts as looked at.
    fn drop_to(&mut self, end: usize) {
        self.start = end;
        self.scanned = self.scanned.max(end);
    }

    /// Keeps the first octets of the line in hand, of which `end` is the end.
    fn remember_start(&mut self, end: usize) {
        if !self.dropping {
            let line = &self.buffer[self.start..end];
            self.faulty = std::array::from_fn(|at| line.get(at).copied().unwrap_or_default());
        }
    }

    /// What has come, while no line of it was asked for; nothing later on.
    pub fn first_octets(&self) -> &[u8] {
        if self.begun { &[] } else { &self.buffer[self.start..] }
    }

    /// Whether the line of the last fault began with these letters, in any case.
    pub fn faulty_line_began(&self, verb: [u8; 4]) -> bool {
        self.faulty.eq_ignore_ascii_case(&verb)
    }

    /// At most `octets_max` bytes behind the last line that was handed out, whatever they are.
    pub fn take(&mut self, octets_max: usize) -> Vec<u8> {
        if octets_max >= self.buffered() {
            return self.take_rest();
        }
        let start = self.start;
        let count = self.skip(octets_max);
        self.buffer[start..start + count].to_vec()
    }

    /// Drops as many bytes as `take` would give, and says how many that is.
    pub fn skip(&mut self, octets_max: usize) -> usize {
        let count = self.buffered().min(octets_max);
        self.start += count;
        self.scanned = self.scanned.max(self.start);
        count
    }

    /// All bytes behind the last line that was handed out; the reader is as new afterwards.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.buffer.split_off(self.start);
        *self = Self::new(self.limit);
        rest
    }

    /// Whether no byte stands behind the last line that was handed out.
    pub fn is_empty(&self) -> bool {
        self.buffered() == 0 && !self.dropping
    }

    /// Octets behind the last line that was handed out.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }
}

impl LineError {
    /// The answer to a command line with this fault.
    pub fn reply(self) -> Reply {
        match self {
            LineError::TooLong => Reply::new(500, (5, 5, 6), "Line too long"),
            LineError::BareLf => Reply::new(500, (5, 5, 2), "Bare LF: lines end in CR LF"),
            LineError::BareCr => Reply::new(500, (5, 5, 2), "Bare CR: lines end in CR LF"),
            LineError::Nul => Reply::new(500, (5, 5, 2), "NUL octet in command line"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Lines = Vec<Result<Vec<u8>, LineError>>;

    fn all(reader: &mut LineReader) -> Lines {
        std::iter::from_fn(|| reader.next_line()).collect()
    }

    fn lines_of(limit: usize, input: &[u8]) -> Lines {
        let mut reader = LineReader::new(limit);
        reader.push(input);
        all(&mut reader)
    }

    fn ok(line: &str) -> Result<Vec<u8>, LineError> {
        Ok(line.as_bytes().to_vec())
    }

    #[test]
    fn only_crlf_ends_a_line() {
        assert_eq!(lines_of(100, b"NOOP\r\n\r\nQUIT\r\nRS"), vec![ok("NOOP"), ok(""), ok("QUIT")]);
        assert_eq!(lines_of(100, b"NOOP\nRSET\r\nQUIT\r\n"), vec![Err(LineError::BareLf), ok("QUIT")]);
        assert_eq!(lines_of(100, b"NO\rOP\r\nQUIT\r\n"), vec![Err(LineError::BareCr), ok("QUIT")]);
        assert_eq!(lines_of(100, b"NO\0OP\r\nQUIT\r\n"), vec![Err(LineError::Nul), ok("QUIT")]);
        assert_eq!(lines_of(100, b"NOOP\r\r\nQUIT\r\n"), vec![Err(LineError::BareCr), ok("QUIT")]);
    }

    #[test]
    fn a_peer_that_ends_lines_with_lf_gets_an_answer_to_each() {
        assert_eq!(lines_of(100, b"NOOP\nQUIT\n"), vec![Err(LineError::BareLf); 2]);
    }

    #[test]
    fn one_line_with_several_stray_octets_is_one_fault() {
        assert_eq!(lines_of(100, b"a\rb\0c\r\nNOOP\r\n"), vec![Err(LineError::BareCr), ok("NOOP")]);
    }

    #[test]
    fn the_limit_counts_the_crlf() {
        assert_eq!(lines_of(6, b"NOOP\r\n"), vec![ok("NOOP")]);
        assert_eq!(lines_of(6, b"NOOPS\r\nNOOP\r\n"), vec![Err(LineError::TooLong), ok("NOOP")]);
    }

    #[test]
    fn an_endless_line_takes_no_memory() {
        let mut reader = LineReader::new(10);
        let mut faults = 0;
        for _ in 0..1000 {
            reader.push(&[b'x'; 100]);
            faults += all(&mut reader).len();
            assert_eq!(reader.buffered(), 0);
        }
        assert_eq!(faults, 1);
        assert!(!reader.is_empty());
        reader.push(b"\r\nNOOP\r\n");
        assert_eq!(all(&mut reader), vec![ok("NOOP")]);
    }

    #[test]
    fn bytes_behind_a_line_are_seen_and_can_be_taken() {
        let mut reader = LineReader::new(100);
        reader.push(b"STARTTLS\r\nEHLO x\r\n");
        assert_eq!(reader.next_line(), Some(ok("STARTTLS")));
        assert!(!reader.is_empty());
        assert_eq!(reader.take_rest(), b"EHLO x\r\n");
        assert!(reader.is_empty());
    }

    #[test]
    fn more_may_come_behind_a_line_that_is_too_long() {
        let mut reader = LineReader::new(10);
        reader.push(b"far too long a line\r\n");
        assert_eq!(reader.next_line(), Some(Err(LineError::TooLong)));
        reader.push(b"NOOP\r\n");
        assert_eq!(reader.next_line(), Some(Ok(b"NOOP".to_vec())));
    }

    #[test]
    fn the_first_octets_are_those_before_any_line() {
        for line in [&b"NOOP\r\n"[..], b"\0", b"\n", b"\rx", &[b'x'; 100]] {
            let mut reader = LineReader::new(100);
            reader.push(b"\x16");
            assert_eq!(reader.next_line(), None);
            reader.push(b"\x03");
            assert_eq!(reader.first_octets(), b"\x16\x03");
            reader.push(line);
            assert!(reader.next_line().is_some(), "{line:?}");
            reader.push(b"\x16\x03");
            assert_eq!(reader.first_octets(), b"", "{line:?}");
        }
    }

    #[test]
    fn counted_octets_are_taken_whatever_they_are() {
        let mut reader = LineReader::new(100);
        reader.push(b"BDAT 7\r\na\nQUIT\0NOOP\r\nRS");
        assert_eq!(reader.next_line(), Some(ok("BDAT 7")));
        assert_eq!(reader.take(7), b"a\nQUIT\0");
        assert_eq!(reader.next_line(), Some(ok("NOOP")));
        assert_eq!((reader.skip(1), reader.skip(9), reader.buffered()), (1, 1, 0));
        reader.push(b"ET\r\nRSET\r\n");
        assert_eq!(all(&mut reader), vec![ok("ET"), ok("RSET")]);
    }

    #[test]
    fn how_a_faulty_line_began_is_remembered() {
        for (line, bdat) in
            [("bdat 5\n", true), ("BDAT\r5\r\n", true), ("BDA\n", false), ("NOOP\nBDAT", false)]
        {
            let mut reader = LineReader::new(100);
            reader.push(line.as_bytes());
            assert!(reader.next_line().unwrap().is_err());
            assert_eq!(reader.faulty_line_began(*b"BDAT"), bdat, "{line:?}");
        }
        let mut reader = LineReader::new(10);
        reader.push(b"BDAT 00000000000000000000000000");
        assert_eq!(reader.next_line(), Some(Err(LineError::TooLong)));
        assert!(reader.faulty_line_began(*b"BDAT"));
    }

    proptest! {
        /// Lines and faults do not depend on how the network cut the bytes.
        #[test]
        fn splits_do_not_matter(
            input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(0), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(1usize..8, 0..200),
        ) {
            let whole = lines_of(20, &input);
            let mut reader = LineReader::new(20);
            let mut pieces = Vec::new();
            let mut rest = &input[..];
            for cut in cuts {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                reader.push(piece);
                pieces.extend(all(&mut reader));
                rest = tail;
            }
            reader.push(rest);
            pieces.extend(all(&mut reader));
            prop_assert_eq!(whole, pieces);
        }

        /// A line never holds an octet that could be taken for a line end.
        #[test]
        fn lines_are_clean(input: Vec<u8>) {
            for line in lines_of(50, &input).into_iter().flatten() {
                prop_assert!(line.len() <= 48);
                prop_assert!(!line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
            }
        }
    }
}
