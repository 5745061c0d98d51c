//! The queue's work without its threads, one step at a time, so that a simulation can give every run
//! of a seed the same course.

use crate::journal::Journal;
use crate::writer::Writer;

/// What the queue's threads would do, done by whoever holds it. Dropped, it leaves all as it stands,
/// as a crash would.
pub struct Driver {
    writer: Writer<Journal>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl Driver {
    pub(crate) fn new(writer: Writer<Journal>) -> Self {
        Self { writer }
    }

    /// Writes one group of what waits. `false`: nothing did.
    pub fn step(&mut self) -> bool {
        self.writer.step()
    }

    /// What the queue does when some time has passed: what has stood in the journal since the last call
    /// is settled.
    pub fn tick(&mut self) {
        self.writer.engine.tick();
    }

    /// Finishes what waits, tidies up and unlocks the directory: the end of `Queue::close`.
    pub fn finish(mut self) {
        while self.step() {}
        self.writer.finish();
    }
}
