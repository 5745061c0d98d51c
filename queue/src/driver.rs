//! The queue's work without its threads, one step at a time, so that a simulation can give every run
//! of a seed the same course.

use crate::sqlite::SqliteEngine;
use crate::writer::Writer;

/// What the queue's threads would do, done by whoever holds it. Dropped, it leaves all as it stands,
/// as a crash would.
pub struct Driver {
    writer: Writer<SqliteEngine>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl Driver {
    pub(crate) fn new(writer: Writer<SqliteEngine>) -> Self {
        Self { writer }
    }

    /// Writes one group of what waits. `false`: nothing did.
    pub fn step(&mut self) -> bool {
        self.writer.step()
    }

    /// Finishes what waits, tidies up and unlocks the directory: the end of `Queue::close`.
    pub fn finish(mut self) {
        while self.step() {}
        self.writer.finish();
    }
}
