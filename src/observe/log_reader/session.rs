//! One session: where it stands, and its lines.

use jiff::Timestamp;

use super::{Facts, LogLine};
use crate::session::transcript::{Line, LineKind};
use crate::trust::Direction;

/// Lines kept of one session; the others are counted.
pub(super) const SESSION_LINES_MAX: usize = 20_000;

/// One session, its lines by sequence number.
#[derive(Clone, Debug)]
pub struct Session {
    pub direction: Direction,
    pub connector: String,
    pub id: String,
    pub local: String,
    pub remote: String,
    pub started: Timestamp,
    /// Of the last line seen.
    pub last: Timestamp,
    /// The disconnect line was seen.
    pub ended: bool,
    /// Empty where a query did not ask for them.
    pub lines: Vec<Line>,
    /// Lines that were not kept.
    pub left_out: u64,
}

/// What is known of a session without its lines.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub direction: Direction,
    pub connector: &'a str,
    pub id: &'a str,
    pub local: &'a str,
    pub remote: &'a str,
    pub started: Timestamp,
    pub last: Timestamp,
    pub ended: bool,
}

/// One line of a session, wherever it is kept.
#[derive(Clone, Copy, Debug)]
pub struct LineView<'a> {
    pub kind: LineKind,
    pub data: &'a str,
    pub context: &'a str,
}

impl Session {
    /// Without a line yet.
    pub(super) fn of(frame: &Frame<'_>) -> Self {
        Self {
            direction: frame.direction,
            connector: frame.connector.to_owned(),
            id: frame.id.to_owned(),
            local: frame.local.to_owned(),
            remote: frame.remote.to_owned(),
            started: frame.started,
            last: frame.last,
            ended: frame.ended,
            lines: Vec::new(),
            left_out: 0,
        }
    }

    pub(super) fn begin(line: &LogLine) -> Self {
        Self {
            direction: line.direction,
            connector: line.connector.clone(),
            id: line.session.clone(),
            local: String::new(),
            remote: String::new(),
            started: line.line.at,
            last: line.line.at,
            ended: false,
            lines: Vec::new(),
            left_out: 0,
        }
    }

    /// Takes in what another piece of the log has of the same session; how many octets it kept.
    pub(super) fn add(&mut self, piece: Session) -> usize {
        self.started = self.started.min(piece.started);
        self.last = self.last.max(piece.last);
        self.ended |= piece.ended;
        if !piece.local.is_empty() {
            self.local = piece.local;
        }
        if !piece.remote.is_empty() {
            self.remote = piece.remote;
        }
        self.left_out += piece.left_out;
        let mut kept = 0;
        for line in piece.lines {
            if self.lines.len() < SESSION_LINES_MAX || line.kind == LineKind::Disconnect {
                kept += octets(&line);
                self.lines.push(line);
            } else {
                self.left_out += 1;
            }
        }
        kept
    }

    /// Sorts the lines once all are there.
    pub(super) fn finish(mut self) -> Self {
        self.lines.sort_by_key(|line| line.sequence);
        self
    }

    /// Memory that it holds, about.
    pub(super) fn octets(&self) -> usize {
        let names = self.connector.len() + self.id.len() + self.local.len() + self.remote.len();
        size_of::<Self>() + names + self.lines.iter().map(octets).sum::<usize>()
    }

    pub fn frame(&self) -> Frame<'_> {
        Frame {
            direction: self.direction,
            connector: &self.connector,
            id: &self.id,
            local: &self.local,
            remote: &self.remote,
            started: self.started,
            last: self.last,
            ended: self.ended,
        }
    }

    pub fn views(&self) -> impl Iterator<Item = LineView<'_>> + Clone {
        self.lines.iter().map(|line| LineView { kind: line.kind, data: &line.data, context: &line.context })
    }

    /// What its lines say.
    pub fn facts(&self) -> Facts {
        Facts::of(self.direction, self.ended, self.views())
    }
}

fn octets(line: &Line) -> usize {
    size_of::<Line>() + line.data.len() + line.context.len()
}
