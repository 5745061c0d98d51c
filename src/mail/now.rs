//! The moment a step happens, read once by the driver and handed down.

use std::time::Instant;

use jiff::Timestamp;

/// Wall-clock time for what is written down, monotonic time for deadlines.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub wall: Timestamp,
    pub mono: Instant,
}
