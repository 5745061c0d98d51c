//! How far a long command is: one line on standard error, on a terminal only, that goes when the
//! command is done.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const SHOWN_EVERY: Duration = Duration::from_millis(200);
/// Characters of the bar.
const BAR_WIDTH: usize = 30;

pub(super) struct StatusLine {
    terminal: bool,
    last: Instant,
    shown: bool,
}

impl StatusLine {
    pub(super) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), last: Instant::now(), shown: false }
    }

    /// Shows these words, not more often than somebody can read them.
    pub(super) fn show(&mut self, words: impl FnOnce() -> String) {
        if self.terminal && self.last.elapsed() >= SHOWN_EVERY {
            self.last = Instant::now();
            self.shown = true;
            eprint!("\r\x1b[K{}", words());
            let _ = io::stderr().flush();
        }
    }

    /// Takes the line away: something else is about to be written.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\x1b[K");
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// `[######------------------------]  20 %, 50 of 250 MiB read`
pub(super) fn bar(done: u64, total: u64) -> String {
    let share = if total == 0 { 1.0 } else { (done as f64 / total as f64).clamp(0.0, 1.0) };
    let full = (share * BAR_WIDTH as f64) as usize;
    let (filled, empty) = ("#".repeat(full), "-".repeat(BAR_WIDTH - full));
    let mebibytes = |octets: u64| octets.div_ceil(1 << 20);
    format!("[{filled}{empty}] {:3.0} %, {} of {} MiB read", share * 100.0, mebibytes(done), mebibytes(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_as_full_as_the_work_is_done() {
        let of = |done: u64, total: u64| bar(done << 20, total << 20);
        assert_eq!(of(50, 250), "[######------------------------]  20 %, 50 of 250 MiB read");
        assert_eq!(of(300, 250), format!("[{}] 100 %, 300 of 250 MiB read", "#".repeat(BAR_WIDTH)));
        assert!(bar(0, 0).contains("100 %"));
    }
}
