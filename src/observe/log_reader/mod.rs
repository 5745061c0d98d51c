//! Reads protocol logs, ours and Exchange's own, and puts sessions together: lines of many
//! sessions stand between each other in the files, and what an operator asks about is one session.
//! A directory of any size is read by all cores, in pieces, with the memory of the sessions that are
//! open at one time and of those that were asked for.

mod assemble;
mod conversation;
pub mod explain;
mod facts;
mod files;
mod filter;
mod follow;
mod lines;
mod pieces;
mod record;
mod scan;
mod session;
mod source;

pub use assemble::Assembler;
pub use conversation::{Asked, Conversation, ReplyLine, Turn};
pub use facts::{Facts, Outcome, VerdictIs};
pub use files::ReadError;
pub use filter::{AddressFilter, Filter};
pub use follow::Follower;
pub(super) use lines::{Found, LINE_BYTES_MAX, read_line};
pub(super) use record::Fields;
pub use scan::{Query, Tally, all_sessions, scan};
pub use session::{Frame, LineView, Session};

use crate::session::transcript::Line;
use crate::trust::Direction;

/// One line with the session that it is of, its fields as they were before quoting; text that is no
/// UTF-8 has U+FFFD in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub direction: Direction,
    /// Exchange writes `SERVER\Connector` on receive.
    pub connector: String,
    pub session: String,
    /// Empty in Exchange's lines before a connection stands.
    pub local: String,
    pub remote: String,
    pub line: Line,
}

#[cfg(test)]
mod tests;
