//! The milter protocol, version 6, from the side of the mail server: how a filter program such as
//! rspamd or a virus scanner is asked about a message, and what it may answer. The protocol has no
//! RFC; it is what Sendmail's libmilter speaks and Postfix follows. Pure: bytes in, answers out.
//!
//! [`Conversation`] is one connection to one milter; its words are [`Command`] and [`Answer`].

mod answer;
mod command;
mod conversation;
mod fault;
mod macros;
mod negotiation;
mod packet;
mod reply_code;

pub use answer::{Answer, Change, Wish};
pub use command::{BODY_BYTES_MAX, Command, Stage};
pub use conversation::{Conversation, Limits};
pub use fault::Fault;
pub use macros::{Macros, names};
pub use negotiation::{Agreed, VERSION};

#[cfg(test)]
mod tests;
