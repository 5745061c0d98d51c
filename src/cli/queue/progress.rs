//! How far a long command is.

use crate::cli::status_line::StatusLine;

pub(super) struct Progress {
    /// `suspended`, `removed` …
    done: &'static str,
    line: StatusLine,
}

impl Progress {
    pub(super) fn new(done: &'static str) -> Self {
        Self { done, line: StatusLine::new() }
    }

    pub(super) fn show(&mut self, seen: u64, messages: usize) {
        self.line.show(|| format!("{messages} {} of {seen} looked at", self.done));
    }
}
