//! Puts the lines of a session together. A session is complete with its disconnect line; what has
//! none (still open, or the server was killed) comes at the end.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Facts, LogLine};
use crate::session::transcript::LineKind;
use crate::trust::Direction;

/// Sessions held at one time; beyond it the ones that are silent for longest are taken as ended.
const OPEN_SESSIONS_MAX: usize = 50_000;
/// Lines kept of one session; the others are counted.
const SESSION_LINES_MAX: usize = 20_000;

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
    pub lines: Vec<LogLine>,
    /// Lines that were not kept.
    pub left_out: u64,
}

type Key = (Direction, String, String);

/// Takes lines, gives back complete sessions.
#[derive(Debug, Default)]
pub struct Assembler {
    open: HashMap<Key, Session>,
}

impl Assembler {
    /// Takes one line; the answer is a session that this line completes, and those that had to go
    /// to keep within the limit.
    pub fn take(&mut self, line: LogLine) -> Vec<Session> {
        let key = (line.direction, line.connector.clone(), line.session.clone());
        let ends = line.kind == LineKind::Disconnect;
        let session = self.open.entry(key.clone()).or_insert_with(|| Session::begin(&line));
        session.add(line);
        if ends {
            return self.open.remove(&key).map(Session::finish).into_iter().collect();
        }
        if self.open.len() > OPEN_SESSIONS_MAX { self.evict() } else { Vec::new() }
    }

    /// The session that `line` belongs to, as far as it is known.
    pub fn open_session(&self, line: &LogLine) -> Option<&Session> {
        self.open.get(&(line.direction, line.connector.clone(), line.session.clone()))
    }

    /// Everything that never ended, oldest first.
    pub fn finish(self) -> Vec<Session> {
        let mut sessions: Vec<Session> = self.open.into_values().map(Session::finish).collect();
        sessions.sort_by(|a, b| (a.started, &a.id).cmp(&(b.started, &b.id)));
        sessions
    }

    /// Lets the quarter go that has been silent for longest.
    fn evict(&mut self) -> Vec<Session> {
        let mut last: Vec<Timestamp> = self.open.values().map(|session| session.last).collect();
        let quarter = last.len() / 4;
        let (_, until, _) = last.select_nth_unstable(quarter);
        let until = *until;
        let gone: Vec<Session> =
            self.open.extract_if(|_, session| session.last <= until).map(|(_, session)| session).collect();
        gone.into_iter().map(Session::finish).collect()
    }
}

impl Session {
    fn begin(line: &LogLine) -> Self {
        Self {
            direction: line.direction,
            connector: line.connector.clone(),
            id: line.session.clone(),
            local: String::new(),
            remote: String::new(),
            started: line.at,
            last: line.at,
            ended: false,
            lines: Vec::new(),
            left_out: 0,
        }
    }

    fn add(&mut self, line: LogLine) {
        self.started = self.started.min(line.at);
        self.last = self.last.max(line.at);
        self.ended |= line.kind == LineKind::Disconnect;
        if !line.local.is_empty() {
            self.local.clone_from(&line.local);
        }
        if !line.remote.is_empty() {
            self.remote.clone_from(&line.remote);
        }
        if self.lines.len() < SESSION_LINES_MAX || line.kind == LineKind::Disconnect {
            self.lines.push(line);
        } else {
            self.left_out += 1;
        }
    }

    fn finish(mut self) -> Self {
        self.lines.sort_by_key(|line| line.sequence);
        self
    }

    /// What its lines say.
    pub fn facts(&self) -> Facts {
        Facts::of(self)
    }
}
