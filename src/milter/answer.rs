//! What a milter says.

use crate::mail::text::printable;
use crate::smtp::Reply;

use super::negotiation::action;
use super::packet::{Packet, Parts};
use super::{Fault, Stage, reply_code};

/// Octets of a quarantine reason that are kept.
const REASON_BYTES_MAX: usize = 256;

/// One packet of a milter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Continue,
    /// Take the message (or, before MAIL, the session) and ask no more about it.
    Accept,
    /// Say 250 and drop it.
    Discard,
    Reject,
    TempFail,
    /// Refuse with this reply.
    Refuse(Reply),
    /// No more of this kind of step for this message.
    Skip,
    /// Refuse with 421 and close.
    Shutdown,
    /// The milter itself could not do its work.
    CannotWork,
    /// Still at it: the time begins anew.
    Progress,
    /// Before the final answer to a whole message.
    Wish(Wish),
}

/// What a milter wants done with a message that is otherwise taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Hold it for an operator.
    Quarantine(String),
    Change(Change),
}

/// A change to the message. Names and values are as the milter sent them, unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    AddHeader {
        name: Vec<u8>,
        value: Vec<u8>,
    },
    /// Before the field with this place, counted from 0.
    InsertHeader {
        place: u32,
        name: Vec<u8>,
        value: Vec<u8>,
    },
    /// The field of this name with this number, counted from 1; an empty value removes it.
    ChangeHeader {
        number: u32,
        name: Vec<u8>,
        value: Vec<u8>,
    },
    /// A piece of the new body; the first replaces all there was.
    Body(Vec<u8>),
    AddRecipient {
        path: String,
        parameters: String,
    },
    DeleteRecipient(String),
    Sender {
        path: String,
        parameters: String,
    },
}

impl Answer {
    pub(super) fn read(packet: &Packet) -> Result<Self, Fault> {
        let letter = char::from(packet.letter);
        let malformed = || Fault::Malformed(letter);
        let mut parts = Parts::new(&packet.body);
        Ok(match packet.letter {
            b'c' => Answer::Continue,
            b'a' => Answer::Accept,
            b'd' => Answer::Discard,
            b'r' => Answer::Reject,
            b't' => Answer::TempFail,
            b's' => Answer::Skip,
            b'4' => Answer::Shutdown,
            b'f' => Answer::CannotWork,
            b'p' => Answer::Progress,
            b'y' => Answer::Refuse(reply_code::read(parts.text().ok_or_else(malformed)?)?),
            b'q' => {
                let reason = parts.text().ok_or_else(malformed)?;
                let reason = printable(&reason[..reason.len().min(REASON_BYTES_MAX)]);
                Answer::Wish(Wish::Quarantine(reason))
            }
            b'h' | b'i' | b'm' | b'b' | b'+' | b'2' | b'-' | b'e' => {
                Answer::Wish(Wish::Change(Change::read(packet).ok_or_else(malformed)?))
            }
            _ => return Err(Fault::UnknownPacket(letter)),
        })
    }

    /// Whether it ends what a command asked.
    pub fn is_final(&self) -> bool {
        match self {
            Answer::Progress | Answer::Wish(_) => false,
            Answer::Continue
            | Answer::Accept
            | Answer::Discard
            | Answer::Reject
            | Answer::TempFail
            | Answer::Refuse(_)
            | Answer::Skip
            | Answer::Shutdown
            | Answer::CannotWork => true,
        }
    }

    /// Whether it can answer this step at all.
    pub(super) fn fits(&self, stage: Stage, may_skip: bool) -> bool {
        match self {
            Answer::Wish(_) => stage == Stage::EndOfMessage,
            Answer::Skip => may_skip && matches!(stage, Stage::Rcpt | Stage::Header | Stage::Body),
            Answer::Discard => !matches!(stage, Stage::Connect | Stage::Helo),
            Answer::Continue
            | Answer::Accept
            | Answer::Reject
            | Answer::TempFail
            | Answer::Refuse(_)
            | Answer::Shutdown
            | Answer::CannotWork
            | Answer::Progress => true,
        }
    }
}

impl Wish {
    /// The action that must have been agreed on.
    pub(super) fn needs(&self) -> u32 {
        match self {
            Wish::Quarantine(_) => action::QUARANTINE,
            Wish::Change(change) => change.needs(),
        }
    }

    /// Octets held for it beyond a reason.
    pub(super) fn octets(&self) -> usize {
        match self {
            Wish::Quarantine(_) => 0,
            Wish::Change(change) => change.octets(),
        }
    }
}

impl Change {
    fn read(packet: &Packet) -> Option<Self> {
        let mut parts = Parts::new(&packet.body);
        let change = match packet.letter {
            b'h' => Change::AddHeader { name: owned(parts.text()?), value: owned(parts.text()?) },
            b'i' => Change::InsertHeader {
                place: parts.number()?,
                name: owned(parts.text()?),
                value: owned(parts.text()?),
            },
            b'm' => Change::ChangeHeader {
                number: parts.number()?,
                name: owned(parts.text()?),
                value: owned(parts.text()?),
            },
            b'b' => return Some(Change::Body(packet.body.clone())),
            b'+' => Change::AddRecipient { path: words(parts.text()?), parameters: String::new() },
            b'-' => Change::DeleteRecipient(words(parts.text()?)),
            b'2' => Change::AddRecipient { path: words(parts.text()?), parameters: optional(&mut parts)? },
            _ => Change::Sender { path: words(parts.text()?), parameters: optional(&mut parts)? },
        };
        parts.is_empty().then_some(change)
    }

    fn needs(&self) -> u32 {
        match self {
            Change::AddHeader { .. } => action::ADD_HEADER,
            // libmilter lets a milter insert that may add.
            Change::InsertHeader { .. } => action::ADD_HEADER,
            Change::ChangeHeader { .. } => action::CHANGE_HEADER,
            Change::Body(_) => action::CHANGE_BODY,
            Change::AddRecipient { .. } => action::ADD_RECIPIENT | action::ADD_RECIPIENT_WITH_PARAMETERS,
            Change::DeleteRecipient(_) => action::DELETE_RECIPIENT,
            Change::Sender { .. } => action::CHANGE_SENDER,
        }
    }

    /// Octets held for it.
    fn octets(&self) -> usize {
        match self {
            Change::AddHeader { name, value }
            | Change::InsertHeader { name, value, .. }
            | Change::ChangeHeader { name, value, .. } => name.len() + value.len(),
            Change::Body(piece) => piece.len(),
            Change::AddRecipient { path, parameters } | Change::Sender { path, parameters } => {
                path.len() + parameters.len()
            }
            Change::DeleteRecipient(path) => path.len(),
        }
    }
}

fn owned(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The last part of a packet that may lack it.
fn optional(parts: &mut Parts<'_>) -> Option<String> {
    if parts.is_empty() { Some(String::new()) } else { parts.text().map(words) }
}
