//! Reads protocol logs, ours and Exchange's own, and puts sessions together: lines of many
//! sessions stand between each other in the files, and what an operator asks about is one session.
//! Streaming: a directory of any size is read with the memory of the sessions open at one time.

mod assemble;
mod csv;
mod facts;
mod files;
mod filter;
mod follow;

pub use assemble::{Assembler, Session};
pub(super) use csv::{Found, LINE_BYTES_MAX, read_line, split};
pub use facts::{Facts, Outcome};
pub use files::{LogFiles, ReadError};
pub use filter::{AddressFilter, Filter};
pub use follow::Follower;

use jiff::Timestamp;

use crate::session::transcript::LineKind;
use crate::trust::Direction;

/// One line, with its fields as they were before quoting; text that is no UTF-8 has U+FFFD in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub direction: Direction,
    pub at: Timestamp,
    /// Exchange writes `SERVER\Connector` on receive.
    pub connector: String,
    pub session: String,
    pub sequence: u32,
    /// Empty in Exchange's lines before a connection stands.
    pub local: String,
    pub remote: String,
    pub kind: LineKind,
    pub data: String,
    pub context: String,
}

#[cfg(test)]
mod tests;
