//! The envelope of a message: who it is from, whom it is for, what the content needs of a peer.

use serde::{Deserialize, Serialize};

use super::dsn::Requests;
use super::{Address, ReversePath};

/// The `BODY` parameter of `MAIL` (RFC 6152, RFC 3030).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyType {
    #[default]
    SevenBit,
    EightBitMime,
    /// Content of any octets, counted and not divided into lines; only `BDAT` can carry it.
    BinaryMime,
}

/// What a sender asked of the transport, beyond what we would do by ourselves (RFC 8689). In the
/// order of what it demands of a connection: one that served the greater may serve the lesser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsRequired {
    /// `TLS-Required: No` in the header section: what the recipient's domain published (DANE,
    /// MTA-STS) is not to stand in the way. What our own settings demand holds all the same.
    No,
    #[default]
    Unstated,
    /// `REQUIRETLS` of `MAIL`: every hop authenticated and of the same mind, or not at all.
    Yes,
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
    #[serde(default)]
    pub tls_required: TlsRequired,
}
