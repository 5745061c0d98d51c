//! The envelope of a message: who it is from, whom it is for, what the content needs of a peer.

use serde::{Deserialize, Serialize};

use super::dsn::Requests;
use super::{Address, ReversePath};

/// The `BODY` parameter of `MAIL` (RFC 6152).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyType {
    #[default]
    SevenBit,
    EightBitMime,
}

/// One message's envelope. `recipients` holds at most `max_recipients_per_message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub reverse_path: ReversePath,
    pub recipients: Vec<Address>,
    pub body: BodyType,
    /// The sender declared SMTPUTF8 (RFC 6531 3.4).
    pub smtputf8: bool,
    /// What the sender asked to hear; recipients by their index in `recipients`.
    #[serde(default)]
    pub dsn: Requests,
}
