//! Puts the pieces of a session together. A session is complete with its disconnect line; what has
//! none (still open, or the server was killed) comes at the end.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{LogLine, Session};
use crate::session::transcript::LineKind;
use crate::trust::Direction;

/// Sessions held at one time, and octets of their lines; beyond either the ones that are silent for
/// longest are taken as ended.
const OPEN_SESSIONS_MAX: usize = 50_000;
const OPEN_OCTETS_MAX: usize = 256 << 20;

type Key = (Direction, String, String);

/// Takes lines, gives back complete sessions.
#[derive(Debug, Default)]
pub struct Assembler {
    open: HashMap<Key, Session>,
    /// Of the lines of `open`.
    octets: usize,
}

impl Assembler {
    /// Takes one line; the answer is a session that this line completes, and those that had to go
    /// to keep within the limits.
    pub fn take(&mut self, line: LogLine) -> Vec<Session> {
        let mut piece = Session::begin(&line);
        piece.local = line.local;
        piece.remote = line.remote;
        piece.ended = line.line.kind == LineKind::Disconnect;
        piece.lines.push(line.line);
        self.take_piece(piece)
    }

    /// Takes all that a stretch of a log has of one session, and answers likewise.
    pub(super) fn take_piece(&mut self, piece: Session) -> Vec<Session> {
        let key = (piece.direction, piece.connector.clone(), piece.id.clone());
        let ends = piece.ended;
        match self.open.get_mut(&key) {
            Some(session) => self.octets += session.add(piece),
            None if ends => return vec![piece.finish()],
            None => {
                self.octets += piece.octets();
                self.open.insert(key.clone(), piece);
            }
        }
        if ends {
            return self.open.remove(&key).map(|session| self.close(session)).into_iter().collect();
        }
        if self.open.len() > OPEN_SESSIONS_MAX || self.octets > OPEN_OCTETS_MAX {
            return self.evict();
        }
        Vec::new()
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

    fn close(&mut self, session: Session) -> Session {
        self.octets = self.octets.saturating_sub(session.octets());
        session.finish()
    }

    /// Lets the quarter go that has been silent for longest.
    fn evict(&mut self) -> Vec<Session> {
        let mut last: Vec<Timestamp> = self.open.values().map(|session| session.last).collect();
        let quarter = last.len() / 4;
        let (_, until, _) = last.select_nth_unstable(quarter);
        let until = *until;
        let gone: Vec<Session> =
            self.open.extract_if(|_, session| session.last <= until).map(|(_, session)| session).collect();
        gone.into_iter().map(|session| self.close(session)).collect()
    }
}
