//! Mail data on the wire (RFC 5321 4.5.2): dot-stuffing and the end of data. Only `CRLF.CRLF`
//! ends it (or `.CRLF` at its very start); `LF.CRLF`, `CR.CR` and their kin never do, and we never
//! send a bare CR or LF that another server might read as a line end.

use memchr::memchr3;

use super::Reply;
use super::plain::{plain_in_lines, plain_octets};

/// DATA to content: takes the dots off and finds the end. A fault does not stop it: the reply
/// belongs behind the final dot.
#[derive(Debug)]
pub struct DataDecoder {
    state: Decoding,
    line_octets: usize,
    line_octets_max: usize,
    fault: Option<ContentFault>,
}

/// Where in a line the decoder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decoding {
    LineStart,
    /// A dot began the line; it is not content.
    Dot,
    /// A dot and a CR.
    DotCr,
    Within,
    /// A CR, already handed out.
    Cr,
    Finished,
}

/// The first thing that makes content unfit to pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentFault {
    #[error("the message holds a CR without LF")]
    BareCr,
    #[error("the message holds an LF without CR")]
    BareLf,
    #[error("the message holds a NUL octet")]
    Nul,
    #[error("the message holds a line that is too long")]
    LineTooLong,
}

/// What one call of [`DataDecoder::decode`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeStatus {
    /// Octets taken; less than given only when the data ended among them.
    pub consumed: usize,
    /// The final dot has been read.
    pub finished: bool,
    /// The first fault since the start of the data.
    pub fault: Option<ContentFault>,
}

impl DataDecoder {
    /// `line_octets_max` is the longest content line that is no fault, CRLF not counted.
    pub fn new(line_octets_max: usize) -> Self {
        Self { state: Decoding::LineStart, line_octets: 0, line_octets_max, fault: None }
    }

    /// Appends content to `out`. Once there is a fault, what it appends is of no use.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> DecodeStatus {
        let mut at = 0;
        while at < input.len() && self.state != Decoding::Finished {
            at += match self.state {
                Decoding::Within => self.run(&input[at..], out),
                Decoding::LineStart | Decoding::Dot | Decoding::DotCr | Decoding::Cr | Decoding::Finished => {
                    self.step(input[at], out);
                    1
                }
            };
        }
        DecodeStatus { consumed: at, finished: self.state == Decoding::Finished, fault: self.fault }
    }

    /// Takes all octets, over many lines, up to the next that needs a closer look; that one, if it
    /// is the first.
    fn run(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut taken = 0;
        loop {
            taken += plain_in_lines(&input[taken..], &mut self.line_octets, self.line_octets_max);
            let rest = &input[taken..];
            let plain = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
            self.count(plain);
            taken += plain;
            match rest[plain..] {
                // A line that ends as it should, and another that begins with nothing special.
                [b'\r', b'\n', next, ..] if !matches!(next, b'.' | b'\r' | b'\n' | 0) => {
                    self.line_octets = 0;
                    taken += 2;
                }
                _ => break,
            }
        }
        out.extend_from_slice(&input[..taken]);
        if taken == 0 {
            self.step(input[0], out);
            return 1;
        }
        taken
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.state, byte) {
            (Decoding::LineStart, b'.') => self.state = Decoding::Dot,
            (Decoding::Dot, b'\r') => self.state = Decoding::DotCr,
            (Decoding::DotCr, b'\n') => self.state = Decoding::Finished,
            (Decoding::DotCr, byte) => {
                out.push(b'\r');
                self.state = Decoding::Cr;
                self.step(byte, out);
            }
            (Decoding::Cr, b'\n') => {
                out.push(b'\n');
                self.line_octets = 0;
                self.state = Decoding::LineStart;
            }
            (Decoding::Cr, byte) => {
                self.note(ContentFault::BareCr);
                self.state = Decoding::Within;
                self.step(byte, out);
            }
            (Decoding::Finished, _) => {}
            (Decoding::LineStart | Decoding::Dot | Decoding::Within, byte) => self.plain(byte, out),
        }
    }

    fn plain(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.push(byte);
        self.state = Decoding::Within;
        match byte {
            b'\r' => self.state = Decoding::Cr,
            b'\n' => self.note(ContentFault::BareLf),
            0 => self.note(ContentFault::Nul),
            _ => self.count(1),
        }
    }

    fn count(&mut self, octets: usize) {
        self.line_octets = self.line_octets.saturating_add(octets);
        if self.line_octets > self.line_octets_max {
            self.note(ContentFault::LineTooLong);
        }
    }

    fn note(&mut self, fault: ContentFault) {
        self.fault.get_or_insert(fault);
    }
}

impl ContentFault {
    /// The reply behind the final dot.
    pub fn reply(self) -> Reply {
        match self {
            ContentFault::BareCr => Reply::new(550, (5, 6, 0), "Message refused: bare CR"),
            ContentFault::BareLf => Reply::new(550, (5, 6, 0), "Message refused: bare LF"),
            ContentFault::Nul => Reply::new(550, (5, 6, 0), "Message refused: NUL octet"),
            ContentFault::LineTooLong => Reply::new(550, (5, 6, 0), "Message refused: line too long"),
        }
    }
}

/// Content to DATA: adds the dots and the end. Content as we store it has only CRLF and passes
/// octet by octet; were there a bare CR or LF, it would go out as CRLF, never as it is, and a NUL, which
/// some servers drop before they look for the end of data, not at all.
#[derive(Debug, Default)]
pub struct DataEncoder {
    state: Encoding,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Encoding {
    #[default]
    LineStart,
    Within,
    /// A CR not yet written.
    Cr,
}

impl DataEncoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the wire form of the next piece of content to `out`.
    pub fn encode(&mut self, content: &[u8], out: &mut Vec<u8>) {
        let mut rest = content;
        while let Some(&byte) = rest.first() {
            let plain = match self.state {
                Encoding::Within => plain_lines(rest),
                Encoding::LineStart | Encoding::Cr => 0,
            };
            if plain == 0 {
                self.step(byte, out);
                rest = &rest[1..];
            } else {
                out.extend_from_slice(&rest[..plain]);
                rest = &rest[plain..];
            }
        }
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.state, byte) {
            (Encoding::Cr, b'\n') => self.end_line(out),
            (Encoding::Cr, byte) => {
                self.end_line(out);
                self.step(byte, out);
            }
            (_, b'\r') => self.state = Encoding::Cr,
            (_, b'\n') => self.end_line(out),
            (_, 0) => {}
            (state, byte) => {
                if state == Encoding::LineStart && byte == b'.' {
                    out.push(b'.');
                }
                out.push(byte);
                self.state = Encoding::Within;
            }
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.state = Encoding::LineStart;
    }

    /// Ends the last line, if content did not, and appends the final dot. The encoder is as new
    /// afterwards.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.state != Encoding::LineStart {
            self.end_line(out);
        }
        out.extend_from_slice(b".\r\n");
    }
}

/// How many octets from within a line go out as they are, over many lines.
fn plain_lines(content: &[u8]) -> usize {
    let mut plain = 0;
    loop {
        plain += plain_octets(&content[plain..]);
        let rest = &content[plain..];
        let line = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
        plain += line;
        match rest[line..] {
            [b'\r', b'\n', next, ..] if !matches!(next, b'.' | b'\r' | b'\n' | 0) => plain += 2,
            _ => return plain,
        }
    }
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
