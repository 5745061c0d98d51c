//! `BDAT` (RFC 3030): content in chunks of counted octets. Nothing in a chunk is a command or an end
//! mark, so the count must be exact, and where it is not known nothing can be read on.

use std::fmt;

use memchr::memchr3;

use super::plain::plain_in_lines;
use super::{ContentFault, SyntaxError};

/// The argument of `BDAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub octets: u64,
    /// The message ends with this chunk.
    pub last: bool,
}

impl Chunk {
    /// `chunk-size [SP LAST]`. A number that no `u64` holds is none.
    pub(super) fn parse(argument: &str) -> Result<Self, SyntaxError> {
        let (digits, mark) =
            argument.trim_end_matches(' ').split_once(' ').unwrap_or((argument.trim_end_matches(' '), ""));
        let last = match mark {
            "" => false,
            mark if mark.eq_ignore_ascii_case("LAST") => true,
            _ => return Err(SyntaxError::BadChunk),
        };
        // A sign is none of the digits that `parse` takes.
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SyntaxError::BadChunk);
        }
        let octets = digits.parse().map_err(|_| SyntaxError::BadChunk)?;
        Ok(Self { octets, last })
    }
}

impl fmt::Display for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.last { " LAST" } else { "" };
        write!(f, "{}{mark}", self.octets)
    }
}

/// What holds of content that is to be text: what [`super::DataDecoder`] finds on the way, found in
/// octets that come as they are. Pieces may be cut anywhere.
#[derive(Debug)]
pub struct ContentRules {
    /// The last octet was a CR.
    at_cr: bool,
    /// Octets of the line in hand, CR and LF not counted.
    line_octets: usize,
    line_octets_max: usize,
    /// Nothing was seen, or a CRLF last.
    at_line_start: bool,
    fault: Option<ContentFault>,
}

impl ContentRules {
    /// `line_octets_max` is the longest line that is no fault, CRLF not counted.
    pub fn new(line_octets_max: usize) -> Self {
        Self { at_cr: false, line_octets: 0, line_octets_max, at_line_start: true, fault: None }
    }

    /// Looks at the next piece; the first fault so far.
    pub fn check(&mut self, piece: &[u8]) -> Option<ContentFault> {
        let mut rest = piece;
        if self.at_cr && !rest.is_empty() {
            rest = self.behind_cr(rest);
        }
        loop {
            rest = self.skip(rest);
            let Some(found) = memchr3(b'\r', b'\n', 0, rest) else { break };
            self.count(found);
            rest = match rest[found] {
                b'\r' => {
                    self.at_cr = true;
                    self.behind_cr(&rest[found + 1..])
                }
                byte => {
                    self.note(if byte == 0 { ContentFault::Nul } else { ContentFault::BareLf });
                    self.at_line_start = false;
                    &rest[found + 1..]
                }
            };
        }
        self.count(rest.len());
        self.fault
    }

    /// The content is over; the first fault in it.
    pub fn finish(&mut self) -> Option<ContentFault> {
        if self.at_cr {
            self.note(ContentFault::BareCr);
        }
        self.fault
    }

    /// Whether the last line is whole, or there is none.
    pub fn is_at_line_start(&self) -> bool {
        self.at_line_start
    }

    /// Passes over what needs no look at each line.
    fn skip<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let plain = plain_in_lines(rest, &mut self.line_octets, self.line_octets_max);
        if let Some(last) = rest[..plain].last() {
            self.at_line_start = *last == b'\n';
        }
        &rest[plain..]
    }

    fn behind_cr<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        self.at_line_start = false;
        match rest {
            [] => rest,
            [b'\n', rest @ ..] => {
                self.at_cr = false;
                self.line_octets = 0;
                self.at_line_start = true;
                rest
            }
            _ => {
                self.at_cr = false;
                self.note(ContentFault::BareCr);
                rest
            }
        }
    }

    fn count(&mut self, octets: usize) {
        self.line_octets = self.line_octets.saturating_add(octets);
        self.at_line_start &= octets == 0;
        if self.line_octets > self.line_octets_max {
            self.note(ContentFault::LineTooLong);
        }
    }

    fn note(&mut self, fault: ContentFault) {
        self.fault.get_or_insert(fault);
    }
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
