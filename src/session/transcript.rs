//! The one tap every line of every session passes: it numbers lines for the protocol log and keeps
//! the last ones for delivery reports.

use std::collections::VecDeque;
use std::fmt;

use jiff::Timestamp;

use crate::policy::{ProtocolLogging, limits};

/// Context of the line that names the message a send session is about.
pub const QUEUE_ID: &str = "Queue id";

/// `event` of the protocol log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// `+`
    Connect,
    /// `-`
    Disconnect,
    /// `>`
    Sent,
    /// `<`
    Received,
    /// `*`
    Information,
}

/// One line of a session; connector, session id and endpoints are known to the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub at: Timestamp,
    pub sequence: u32,
    pub kind: LineKind,
    pub data: String,
    pub context: String,
}

/// Keeps count and tail; hands out the line when the connector logs.
#[derive(Debug)]
pub struct Transcript {
    logging: ProtocolLogging,
    sequence: u32,
    keeps_tail: bool,
    tail: VecDeque<Line>,
}

impl LineKind {
    pub fn as_char(self) -> char {
        match self {
            LineKind::Connect => '+',
            LineKind::Disconnect => '-',
            LineKind::Sent => '>',
            LineKind::Received => '<',
            LineKind::Information => '*',
        }
    }
}

impl Transcript {
    pub fn new(logging: ProtocolLogging) -> Self {
        Self { logging, sequence: 0, keeps_tail: true, tail: VecDeque::new() }
    }

    /// For sessions that no delivery report quotes.
    pub fn without_tail(logging: ProtocolLogging) -> Self {
        Self { keeps_tail: false, ..Self::new(logging) }
    }

    /// Whether lines go to the protocol log. If not, facts that no report quotes need not be rendered.
    pub fn is_logged(&self) -> bool {
        self.logging == ProtocolLogging::Verbose
    }

    /// Notes a line; `Some` is to be written to the protocol log.
    pub fn note(&mut self, at: Timestamp, kind: LineKind, data: &str, context: &str) -> Option<Line> {
        let sequence = self.sequence;
        self.sequence += 1;
        if self.logging == ProtocolLogging::None && !self.keeps_tail {
            return None;
        }
        let line = Line { at, sequence, kind, data: data.to_owned(), context: context.to_owned() };
        if self.keeps_tail && line.tells_of_conversation() {
            if self.tail.len() == limits::TRANSCRIPT_TAIL_LINES {
                self.tail.pop_front();
            }
            self.tail.push_back(line.clone());
        }
        (self.logging == ProtocolLogging::Verbose).then_some(line)
    }

    /// The last lines, oldest first, as they stand in a delivery report: `< 250 ok`.
    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().map(Line::to_string).collect()
    }
}

impl Line {
    /// Whether the line belongs into a delivery report. The facts of certificates and handshake
    /// are many; the verdict, which names those that matter, follows them. Whose session it is, the
    /// report itself says.
    fn tells_of_conversation(&self) -> bool {
        let facts = ["Certificate ", "TLS ", "Sending certificate", "Received certificate", QUEUE_ID];
        self.kind != LineKind::Information || !facts.iter().any(|fact| self.context.starts_with(fact))
    }
}

/// `> RCPT TO:<a@b.example>`, `* Domain security verdict: …`.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, context, .. } = self;
        write!(f, "{} ", self.kind.as_char())?;
        match (context.is_empty(), data.is_empty()) {
            (true, _) => f.write_str(data),
            (false, true) => f.write_str(context),
            (false, false) => write!(f, "{context}: {data}"),
        }
    }
}
