//! Lines as they are written; with conditions, those of sessions that meet them, from their first
//! line on.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::observe::log_reader::{Assembler, Filter, Follower, LogLine};
use crate::trust::Direction;

use super::which::Which;
use super::{LogError, print};

/// How often new lines are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Prints lines as they come, until the reader goes away or the process is stopped.
pub(super) fn run(which: &Which, config: &Path, out: &mut impl Write) -> Result<bool, LogError> {
    let filter = which.filter(config)?;
    let mut follower = Follower::at_end(&which.directory(config)?)?;
    let mut tail = Tail::default();
    loop {
        for line in follower.poll()? {
            for line in tail.take(line, &filter) {
                print::followed(&line, which.json, out)?;
            }
        }
        out.flush()?;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Holds the lines of a session back until the session meets the filter.
#[derive(Debug, Default)]
pub(super) struct Tail {
    assembler: Assembler,
    /// Sessions whose lines are being printed.
    pub(super) shown: HashSet<(Direction, String, String)>,
}

impl Tail {
    /// The lines that may be printed now that this one has come.
    pub(super) fn take(&mut self, line: LogLine, filter: &Filter) -> Vec<LogLine> {
        if filter.is_empty() {
            return vec![line];
        }
        let key = (line.direction, line.connector.clone(), line.session.clone());
        let ended = self.assembler.take(line.clone());
        let whole = ended.iter().find(|s| s.id == key.2 && s.connector == key.1 && s.direction == key.0);
        for gone in ended.iter().filter(|session| session.id != key.2) {
            self.shown.remove(&(gone.direction, gone.connector.clone(), gone.id.clone()));
        }
        if self.shown.contains(&key) {
            if whole.is_some() {
                self.shown.remove(&key);
            }
            return vec![line];
        }
        match whole.or_else(|| self.assembler.open_session(&line)) {
            Some(session) if filter.matches(session) => {
                let of_session = |held: &crate::session::transcript::Line| LogLine {
                    line: held.clone(),
                    local: session.local.clone(),
                    remote: session.remote.clone(),
                    ..line.clone()
                };
                let lines = session.lines.iter().map(of_session).collect();
                if whole.is_none() {
                    self.shown.insert(key);
                }
                lines
            }
            Some(_) | None => Vec::new(),
        }
    }
}
