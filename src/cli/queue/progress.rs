//! How far a long command is, on a terminal only, on one line that goes when it is done.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const SHOWN_EVERY: Duration = Duration::from_millis(200);

pub(super) struct Progress {
    /// `suspended`, `removed` …
    done: &'static str,
    terminal: bool,
    last: Instant,
    shown: bool,
}

impl Progress {
    pub(super) fn new(done: &'static str) -> Self {
        Self { done, terminal: io::stderr().is_terminal(), last: Instant::now(), shown: false }
    }

    pub(super) fn show(&mut self, seen: u64, messages: usize) {
        if self.terminal && self.last.elapsed() >= SHOWN_EVERY {
            self.last = Instant::now();
            self.shown = true;
            eprint!("\r\x1b[K{messages} {} of {seen} looked at", self.done);
            let _ = io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
