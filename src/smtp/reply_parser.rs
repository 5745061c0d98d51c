//! Reads a server's replies (RFC 5321 4.2.1), bounded and without trust: an endless reply, a
//! reply of two codes or one that is no reply ends the conversation.

use crate::mail::EnhancedCode;
use crate::mail::text::printable;

use super::{LineError, LineReader, Reply};

/// Collects bytes and hands out whole replies. After an error it hands out nothing more.
#[derive(Debug)]
pub struct ReplyParser {
    reader: LineReader,
    lines_max: usize,
    pending: Option<Pending>,
    failed: bool,
}

/// The lines of a reply so far, codes taken off.
#[derive(Debug)]
struct Pending {
    code: u16,
    texts: Vec<Vec<u8>>,
}

/// Why what a server sent is not a reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    #[error("the server's reply cannot be read: {0}")]
    BadLine(#[from] LineError),
    #[error("the server's reply has more than {0} lines")]
    TooManyLines(usize),
    /// The line, escaped and shortened.
    #[error("the server sent something that is no reply: \"{0}\"")]
    NotAReply(String),
    #[error("the server's reply begins with {first} and goes on with {then}")]
    MixedCodes { first: u16, then: u16 },
}

impl ReplyParser {
    /// `line_bytes_max` counts the CRLF; `lines_max` is for one reply.
    pub fn new(line_bytes_max: usize, lines_max: usize) -> Self {
        Self { reader: LineReader::new(line_bytes_max), lines_max, pending: None, failed: false }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
    }

    /// The next whole reply; `None` when more bytes are needed.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end at the first None")]
    pub fn next(&mut self) -> Option<Result<Reply, ReplyError>> {
        while !self.failed {
            match self.read_line() {
                Ok(Step::Complete(reply)) => return Some(Ok(reply)),
                Ok(Step::Continues) => {}
                Ok(Step::NeedsBytes) => return None,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    fn read_line(&mut self) -> Result<Step, ReplyError> {
        let Some(line) = self.reader.next_line() else {
            return Ok(Step::NeedsBytes);
        };
        let line = line?;
        let (code, last, text) = split(&line)
            .ok_or_else(|| ReplyError::NotAReply(printable(&line).chars().take(120).collect()))?;
        let pending = self.pending.get_or_insert_with(|| Pending { code, texts: Vec::new() });
        if pending.code != code {
            return Err(ReplyError::MixedCodes { first: pending.code, then: code });
        }
        if pending.texts.len() == self.lines_max {
            return Err(ReplyError::TooManyLines(self.lines_max));
        }
        pending.texts.push(text.to_vec());
        Ok(match self.pending.take_if(|_| last) {
            Some(whole) => Step::Complete(whole.into_reply()),
            None => Step::Continues,
        })
    }

    /// Whether nothing stands behind the last reply that was handed out, not even part of one.
    pub fn is_empty(&self) -> bool {
        self.pending.is_none() && self.reader.is_empty()
    }
}

enum Step {
    Complete(Reply),
    Continues,
    NeedsBytes,
}

/// Code, whether it is the last line, text.
fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !matches!(digits[0], b'2'..=b'5') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest {
        [] => Some((code, true, rest)),
        [b' ', text @ ..] => Some((code, true, text)),
        [b'-', text @ ..] => Some((code, false, text)),
        _ => None,
    }
}

impl Pending {
    /// The enhanced code of the first line is the reply's, if its class fits the basic code
    /// (RFC 2034 4); it is taken off every line that repeats it.
    fn into_reply(self) -> Reply {
        let texts: Vec<String> = self.texts.iter().map(|text| printable(text)).collect();
        let enhanced = texts.first().and_then(|first| {
            let enhanced = EnhancedCode::parse(first.split(' ').next()?)?;
            (u16::from(enhanced.class) == self.code / 100).then_some(enhanced)
        });
        let lines = match enhanced {
            None => texts,
            Some(enhanced) => texts.into_iter().map(|text| without_code(text, enhanced)).collect(),
        };
        Reply { code: self.code, enhanced, lines }
    }
}

fn without_code(text: String, enhanced: EnhancedCode) -> String {
    match text.strip_prefix(&enhanced.to_string()) {
        Some("") => String::new(),
        Some(rest) if rest.starts_with(' ') => rest.trim_start_matches(' ').to_owned(),
        Some(_) | None => text,
    }
}

#[cfg(test)]
#[path = "reply_parser_tests.rs"]
mod tests;
