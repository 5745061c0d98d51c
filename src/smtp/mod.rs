//! The wire: bytes to commands, replies, extensions and content, and back (RFC 5321, 2920, 1870,
//! 6152, 6531, 2034, 3030, 3207, 9422). Pure.

pub mod chunk;
pub mod command;
pub mod content;
pub mod extension;
mod limits;
pub mod line;
mod parameter;
mod path;
mod plain;
mod reply;
pub mod reply_parser;
pub mod sasl;
mod session_id;
mod syntax_error;

pub use chunk::{Chunk, ContentRules};
pub use command::{Command, HeloName, MailParams};
pub use content::{ContentFault, DataDecoder, DataEncoder, DecodeStatus};
pub use extension::{Extensions, SizeLimit};
pub use limits::Limits;
pub use line::{LineError, LineReader};
pub use reply::Reply;
pub use reply_parser::{ReplyError, ReplyParser};
pub use session_id::SessionId;
pub use syntax_error::SyntaxError;

pub use crate::mail::EnhancedCode;
