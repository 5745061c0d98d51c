//! Milters: filter programs that are asked about incoming mail. Here stands which ones a connector
//! asks and what follows from their answers; the protocol is `crate::milter`.

mod body;
mod edit;
mod field;
mod sender;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::milter::Answer;
use crate::smtp::Reply;

use super::{CheckMode, SmartHostName};

pub use body::{BodyFault, NewBody};
pub use edit::{Denied, Edit, Rules, presented};

/// `[[milter]]`; units and defaults as in docs/configuration.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Milter {
    pub name: String,
    pub address: MilterAddress,
    pub connect_timeout: Duration,
    /// For each answer up to DATA.
    pub command_timeout: Duration,
    /// For each answer behind it.
    pub content_timeout: Duration,
    /// What becomes of mail when it cannot be asked.
    pub default_action: DefaultAction,
    /// What becomes of a message that it wants dropped.
    pub discard_action: DiscardAction,
    pub max_connections: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MilterAddress {
    Inet {
        host: SmartHostName,
        port: u16,
    },
    /// Absolute.
    Unix(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    TempFail,
    Accept,
    Reject,
}

/// What `discard` of a milter comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiscardAction {
    /// 250, and nobody gets it.
    #[default]
    Discard,
    /// Taken, and held for an operator.
    Quarantine,
    /// 550.
    Reject,
}

/// The milters of a receive connector, in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Milters {
    pub all: Vec<Arc<Milter>>,
    /// `Mark`: they are asked, and what they say is told and changes nothing.
    pub mode: CheckMode,
}

/// What a milter's last word on a step means for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Go on, and ask it again at the next step.
    GoOn,
    /// It has no more to say about this message.
    Content,
    Refuse(Reply),
    /// 250, and nobody gets it.
    Discard,
}

/// Counted by it, and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MilterResult {
    Accept,
    Reject,
    TempFail,
    Discard,
    Quarantine,
    /// It could not be asked, or broke the protocol.
    Failed,
}

impl DefaultAction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TempFail => "tempfail",
            Self::Accept => "accept",
            Self::Reject => "reject",
        }
    }
}

impl Milters {
    pub fn are_asked(&self) -> bool {
        self.mode != CheckMode::Off && !self.all.is_empty()
    }

    pub fn rule(&self) -> bool {
        self.mode == CheckMode::Enforce
    }

    /// What this milter's `discard` comes to.
    pub fn discard_action(&self, milter: &str) -> DiscardAction {
        let known = self.all.iter().find(|known| known.name == milter);
        known.map(|known| known.discard_action).unwrap_or_default()
    }
}

impl Ruling {
    /// Of a final answer.
    pub fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Continue | Answer::Skip | Answer::Progress | Answer::Wish(_) => Self::GoOn,
            Answer::Accept => Self::Content,
            Answer::Discard => Self::Discard,
            Answer::Reject => Self::Refuse(rejected()),
            Answer::TempFail => Self::Refuse(put_off()),
            Answer::Refuse(reply) => Self::Refuse(reply.clone()),
            // Closing the connection is for us to decide: the refusal says the same.
            Answer::Shutdown | Answer::CannotWork => Self::Refuse(unavailable()),
        }
    }

    /// Where a milter could not be asked.
    pub fn by_default(action: DefaultAction) -> Self {
        match action {
            DefaultAction::TempFail => Self::Refuse(unavailable()),
            DefaultAction::Accept => Self::Content,
            DefaultAction::Reject => Self::Refuse(Reply::new(550, (5, 7, 1), "Mail is not taken at present")),
        }
    }

    pub fn result(&self) -> MilterResult {
        match self {
            Self::GoOn | Self::Content => MilterResult::Accept,
            Self::Discard => MilterResult::Discard,
            Self::Refuse(reply) if reply.is_permanent() => MilterResult::Reject,
            Self::Refuse(_) => MilterResult::TempFail,
        }
    }
}

impl MilterResult {
    pub const ALL: [Self; 6] =
        [Self::Accept, Self::Reject, Self::TempFail, Self::Discard, Self::Quarantine, Self::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
            Self::TempFail => "tempfail",
            Self::Discard => "discard",
            Self::Quarantine => "quarantine",
            Self::Failed => "failed",
        }
    }
}

impl std::fmt::Display for MilterAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inet { host: SmartHostName::Name(name), port } => write!(f, "inet:{name}:{port}"),
            Self::Inet { host: SmartHostName::Address(ip), port } => {
                write!(f, "inet:{}", std::net::SocketAddr::new(*ip, *port))
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A milter's `reject`.
pub fn rejected() -> Reply {
    Reply::new(550, (5, 7, 1), "Refused by a content filter")
}

fn put_off() -> Reply {
    Reply::new(451, (4, 7, 1), "Put off by a content filter, try again later")
}

fn unavailable() -> Reply {
    Reply::new(451, (4, 7, 1), "Service unavailable, try again later")
}

#[cfg(test)]
mod tests;
