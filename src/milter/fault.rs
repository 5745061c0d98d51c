//! What a milter can do wrong. Any of it ends the conversation with it.

use super::command::Stage;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it sent an empty packet")]
    EmptyPacket,
    #[error("it sent a packet of {octets} octets, more than the {max} that are taken")]
    PacketTooLarge { octets: u64, max: usize },
    #[error("it sent more than {max} octets of changes to one message")]
    TooManyChanges { max: usize },
    #[error("it sent more than {max} packets in answer to one command")]
    TooManyPackets { max: usize },
    #[error("it sent a packet of an unknown kind, {0:?}")]
    UnknownPacket(char),
    #[error("its packet {0:?} is cut short or holds what it must not")]
    Malformed(char),
    #[error("its first packet was {0:?} and not the negotiation")]
    NotNegotiation(char),
    #[error("it speaks version {0} of the protocol; 2 to 6 are understood")]
    Version(u32),
    #[error("it asks for what was not offered (actions {actions:#x}, steps {steps:#x})")]
    NotOffered { actions: u32, steps: u32 },
    #[error("it spoke unasked, packet {0:?}")]
    Unasked(char),
    #[error("its packet {packet:?} is no answer to {stage}")]
    OutOfPlace { packet: char, stage: Stage },
    #[error("it makes a change that was not agreed on, packet {0:?}")]
    NotAgreed(char),
    #[error("its reply is not usable: {0}")]
    BadReply(String),
}
