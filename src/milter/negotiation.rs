//! The first exchange: which version is spoken, what the milter may change, which steps it wants to
//! hear of, which of them it answers, and which macros it would like.

use std::collections::HashMap;

use super::packet::{self, Packet, Parts};
use super::{Fault, Stage};

/// The version that is offered; the milter may take an older one, down to `VERSION_MIN`.
pub const VERSION: u32 = 6;
const VERSION_MIN: u32 = 2;
/// Macro names of one step that are remembered; all that exist are some fifty.
const WANTED_MACROS_MAX: usize = 100;

/// What a milter may do to a message (SMFIF_*).
pub mod action {
    pub const ADD_HEADER: u32 = 0x01;
    pub const CHANGE_BODY: u32 = 0x02;
    pub const ADD_RECIPIENT: u32 = 0x04;
    pub const DELETE_RECIPIENT: u32 = 0x08;
    pub const CHANGE_HEADER: u32 = 0x10;
    pub const QUARANTINE: u32 = 0x20;
    pub const CHANGE_SENDER: u32 = 0x40;
    pub const ADD_RECIPIENT_WITH_PARAMETERS: u32 = 0x80;
    /// With the right to choose its macros (0x100), which is used in the negotiation itself.
    pub const ALL: u32 = 0x1ff;
}

/// Steps left out and answers left out (SMFIP_*).
mod step {
    pub const NO_CONNECT: u32 = 0x01;
    pub const NO_HELO: u32 = 0x02;
    pub const NO_MAIL: u32 = 0x04;
    pub const NO_RCPT: u32 = 0x08;
    pub const NO_BODY: u32 = 0x10;
    pub const NO_HEADER: u32 = 0x20;
    pub const NO_END_OF_HEADER: u32 = 0x40;
    pub const UNANSWERED_HEADER: u32 = 0x80;
    pub const NO_UNKNOWN: u32 = 0x100;
    pub const NO_DATA: u32 = 0x200;
    pub const MAY_SKIP: u32 = 0x400;
    pub const UNANSWERED_CONNECT: u32 = 0x1000;
    pub const UNANSWERED_HELO: u32 = 0x2000;
    pub const UNANSWERED_MAIL: u32 = 0x4000;
    pub const UNANSWERED_RCPT: u32 = 0x8000;
    pub const UNANSWERED_DATA: u32 = 0x1_0000;
    pub const UNANSWERED_UNKNOWN: u32 = 0x2_0000;
    pub const UNANSWERED_END_OF_HEADER: u32 = 0x4_0000;
    pub const UNANSWERED_BODY: u32 = 0x8_0000;
    pub const KEEPS_BLANK: u32 = 0x10_0000;
    /// Everything but recipients that were refused already (0x800), which a milter is not told of.
    pub const ALL: u32 = 0x1f_f7ff;
}

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    pub version: u32,
    actions: u32,
    steps: u32,
    macros: HashMap<Stage, Vec<String>>,
}

pub(super) fn offer() -> Vec<u8> {
    let mut out = Vec::new();
    let parts = [VERSION, action::ALL, step::ALL].map(u32::to_be_bytes);
    packet::write(&mut out, b'O', &[&parts[0], &parts[1], &parts[2]]);
    out
}

impl Agreed {
    /// The milter's answer to the offer.
    pub(super) fn read(packet: &Packet) -> Result<Self, Fault> {
        let letter = char::from(packet.letter);
        if packet.letter != b'O' {
            return Err(Fault::NotNegotiation(letter));
        }
        let mut parts = Parts::new(&packet.body);
        let mut number = || parts.number().ok_or(Fault::Malformed(letter));
        let (version, actions, steps) = (number()?, number()?, number()?);
        if !(VERSION_MIN..=VERSION).contains(&version) {
            return Err(Fault::Version(version));
        }
        if actions & !action::ALL != 0 || steps & !step::ALL != 0 {
            return Err(Fault::NotOffered { actions, steps });
        }
        let mut macros = HashMap::new();
        while !parts.is_empty() {
            let stage = parts.number().ok_or(Fault::Malformed(letter))?;
            let names = parts.text().ok_or(Fault::Malformed(letter))?;
            let stage = stage_of_number(stage).ok_or(Fault::Malformed(letter))?;
            macros.insert(stage, macro_names(names));
        }
        Ok(Self { version, actions, steps, macros })
    }

    pub fn may(&self, action: u32) -> bool {
        self.actions & action != 0
    }

    /// Whether the milter is told of this step at all.
    pub fn hears(&self, stage: Stage) -> bool {
        let left_out = match stage {
            Stage::Connect => step::NO_CONNECT,
            Stage::Helo => step::NO_HELO,
            Stage::Mail => step::NO_MAIL,
            Stage::Rcpt => step::NO_RCPT,
            // An older milter does not know the step.
            Stage::Data if self.version < 4 => return false,
            Stage::Data => step::NO_DATA,
            Stage::Header => step::NO_HEADER,
            Stage::EndOfHeader => step::NO_END_OF_HEADER,
            Stage::Body => step::NO_BODY,
            Stage::EndOfMessage => return true,
        };
        self.steps & left_out == 0
    }

    /// Whether it answers: where it does not, the next step follows at once.
    pub fn answers(&self, stage: Stage) -> bool {
        let unanswered = match stage {
            Stage::Connect => step::UNANSWERED_CONNECT,
            Stage::Helo => step::UNANSWERED_HELO,
            Stage::Mail => step::UNANSWERED_MAIL,
            Stage::Rcpt => step::UNANSWERED_RCPT,
            Stage::Data => step::UNANSWERED_DATA,
            Stage::Header => step::UNANSWERED_HEADER,
            Stage::EndOfHeader => step::UNANSWERED_END_OF_HEADER,
            Stage::Body => step::UNANSWERED_BODY,
            Stage::EndOfMessage => return true,
        };
        self.steps & unanswered == 0
    }

    pub fn may_skip(&self) -> bool {
        self.steps & step::MAY_SKIP != 0
    }

    pub fn keeps_blank(&self) -> bool {
        self.steps & step::KEEPS_BLANK != 0
    }

    pub(super) fn wanted_macros(&self, stage: Stage) -> Option<&[String]> {
        self.macros.get(&stage).map(Vec::as_slice)
    }
}

/// SMFIM_*.
fn stage_of_number(number: u32) -> Option<Stage> {
    Some(match number {
        0 => Stage::Connect,
        1 => Stage::Helo,
        2 => Stage::Mail,
        3 => Stage::Rcpt,
        4 => Stage::Data,
        5 => Stage::EndOfMessage,
        6 => Stage::EndOfHeader,
        _ => return None,
    })
}

/// Separated by blanks or commas.
fn macro_names(list: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(list)
        .split([' ', ',', '\t'])
        .filter(|name| !name.is_empty())
        .take(WANTED_MACROS_MAX)
        .map(str::to_owned)
        .collect()
}

const _: () = assert!(
    step::ALL & (step::NO_UNKNOWN | step::UNANSWERED_UNKNOWN) == step::NO_UNKNOWN | step::UNANSWERED_UNKNOWN
);
