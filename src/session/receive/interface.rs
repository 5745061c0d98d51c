//! What goes into a receive session and what comes out: the contract with its driver in `relay`.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::mail::{Address, Domain, Envelope, Now, ReversePath};
use crate::milter::Change;
use crate::policy::milter::{Denied, MilterResult, Milters, Ruling};
use crate::policy::recipient_verification::Verified;
use crate::policy::{
    CheckMode, Finding, InboundChecks, OwnCertificate, Pressure, Reached, ReceiveConnector, Settings,
};
use crate::smtp::sasl::Mechanism;
use crate::smtp::sasl::plain::Attempt;
use crate::smtp::{HeloName, SessionId};
use crate::trust::{Permit, RevocationSet, TlsEvidence, TlsVersion, Verdict, WantedList};

use crate::session::transcript::Line;

/// What is fixed for the life of a session.
#[derive(Clone, Debug)]
pub struct Opening {
    pub id: SessionId,
    pub connector: Arc<ReceiveConnector>,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// The balancer that handed the connection over and says that `remote` and `local` are its ends.
    pub balancer: Option<SocketAddr>,
    /// Random octets that nobody else has, of which the session makes its nonces.
    pub entropy: [u8; 32],
    /// The connector offers STARTTLS and has a certificate for it.
    pub tls_available: bool,
    /// What we present in the handshake, for the protocol log.
    pub certificate: Option<Arc<OwnCertificate>>,
}

/// What may change while a session lasts; the driver hands in the present snapshot at every step.
#[derive(Clone, Copy)]
pub struct World<'a> {
    pub settings: &'a Arc<Settings>,
    pub revocation: &'a Arc<RevocationSet>,
    pub now: Now,
    /// Back pressure: whose mail is taken for now.
    pub pressure: Pressure,
    /// The source has failed to log in too often to be heard.
    pub auth_blocked: bool,
}

/// Why the store does not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// 452 4.3.1
    DiskFull,
    /// 451 4.3.0
    Other,
}

/// Why a message is no longer its sender's to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Durable,
    /// The next hop of every recipient has answered 250 to the final dot of it.
    Relayed,
}

/// Why a connection is refused before anything was said: the text of its 421.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnedAway {
    pub text: String,
    /// Where it is for a limit.
    pub reached: Option<Reached>,
}

#[derive(Debug)]
pub enum Input<'a> {
    /// The first input. `Some` refuses the connection.
    Connected(Option<TurnedAway>),
    Bytes(&'a [u8]),
    TlsEstablished(Arc<TlsEvidence>),
    TlsFailed(String),
    /// Answers `OpenDraft`; the text is the queue id.
    DraftOpened(Result<String, StoreFault>),
    /// Answers `Commit`.
    Stored(Result<Kept, StoreFault>),
    /// May come at any time between `DraftOpened` and `Commit`: content could not be kept.
    StoreFailed(StoreFault),
    /// Answers `AskRate` and `AskPartnerRate`: whether one more message is within all rates.
    RateChecked(Result<(), Reached>),
    /// Answers `FetchRevocation`: what could be had is in the snapshot now.
    RevocationRefreshed,
    /// Answers `Inspect` of a sender.
    SenderInspected(Vec<Finding>),
    /// Answers `Inspect` of content: its header section, and what was found; or it could not be kept.
    ContentInspected(Result<(Vec<u8>, Vec<Finding>), StoreFault>),
    /// Answers `CheckPassword`: whether it is right; `None`: it could not be looked at now.
    PasswordChecked(Option<bool>),
    /// Answers `VerifyRecipient`.
    RecipientVerified(Verified),
    /// Answers `AskMilters` about a sender or a recipient; a milter that went on is not among them.
    MiltersAsked(Vec<MilterWord>),
    /// Answers `AskMilters` about content.
    MilterAnswered(Result<Box<Filtered>, StoreFault>),
    /// `deadline()` passed.
    Timeout,
    /// The peer closed, or the connection broke.
    Closed,
    /// The server drains: finish the transaction in hand, then 421.
    Shutdown,
}

/// Carried out in order.
#[derive(Debug)]
pub enum Action {
    Send(Bytes),
    /// Send after `Duration` (tarpit); the session parses nothing meanwhile and continues by itself.
    Delay(std::time::Duration),
    /// Flush, then hand the stream to TLS; answered by `TlsEstablished` or `TlsFailed`.
    StartTls,
    /// Count one message of this source; answered by `RateChecked`.
    AskRate,
    /// The same of the partner with this domain, which has proved itself; answered by `RateChecked`.
    AskPartnerRate(Domain),
    /// The client named a recipient, whether or not it was taken.
    CountRecipient,
    /// Flush, then get the lists that the verdict lacks, as far as they can be had in time; answered
    /// by `RevocationRefreshed`.
    FetchRevocation(Vec<WantedList>),
    /// Flush, then look whether a password is right, which takes its time; answered by `PasswordChecked`.
    CheckPassword(Box<Attempt>),
    /// Answered by `DraftOpened`.
    OpenDraft,
    /// Append to the draft; no answer unless it fails.
    Content(Bytes),
    /// Flush, then find out; answered by `SenderInspected` or `ContentInspected`.
    Inspect(Inspection),
    /// Content as it came, kept apart from the draft until it has been inspected; no answer unless
    /// it fails, as for `Content`.
    Hold(Bytes),
    /// Flush, then ask the next hop of an accepted domain; answered by `RecipientVerified`.
    VerifyRecipient(Address),
    /// Flush, then ask; answered by `MiltersAsked`, or about content by `MilterAnswered`.
    AskMilters(Box<MilterQuestion>),
    /// Append the body of what was held to the draft.
    AppendHeld,
    /// Make the draft durable, or see it taken by its next hops; answered by `Stored`.
    Commit(Box<Submission>),
    /// With what was held.
    DiscardDraft,
    Log(Line),
    Report(Report),
    /// Flush and close; nothing comes after it.
    Close,
}

/// What the driver shall find out.
#[derive(Debug)]
pub enum Inspection {
    /// After MAIL: the client and the reverse-path.
    Sender { checks: Arc<InboundChecks>, helo: HeloName, reverse_path: ReversePath },
    /// After the final dot: what was held, of which the first `head` octets are the header section
    /// and the empty line behind it, if there is one.
    Content { checks: Arc<InboundChecks>, head: usize },
}

/// What milters are asked about.
#[derive(Debug)]
pub enum MilterQuestion {
    /// After MAIL: all milters of the connector, one after the other until one refuses.
    Sender {
        milters: Arc<Milters>,
        helo: HeloName,
        reverse_path: ReversePath,
        parameters: Vec<String>,
        /// By mutual TLS.
        proved: bool,
        /// How the client has logged in, and as whom.
        logged_in: Option<(Mechanism, String)>,
    },
    /// Those that the sender was shown to and that have not had their last word.
    Recipient { recipient: Address, parameters: Vec<String> },
    /// After the final dot: the milter with this number, about `head`, which is our header section
    /// without the empty line, and the body that is held.
    Content { milter: usize, head: Vec<u8>, queue_id: String },
}

/// What a milter said of a sender, a recipient or a message.
#[derive(Clone, Debug)]
pub struct MilterWord {
    pub milter: String,
    pub ruling: Ruling,
    /// It could not be asked: why, and `ruling` is what the settings say for then.
    pub failure: Option<String>,
    /// It was said of the sender or a recipient already, and still holds.
    pub is_repeated: bool,
}

/// What a milter made of content.
#[derive(Debug)]
pub struct Filtered {
    pub word: MilterWord,
    /// Hold it, for this reason.
    pub quarantine: Option<String>,
    pub changes: Vec<Change>,
    /// `Rules::keeps_blank` for its changes.
    pub keeps_blank: bool,
    /// Of a new body, which the driver has put in the place of the old one.
    pub body: Option<BodyFacts>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyFacts {
    pub octets: u64,
    pub eight_bit: bool,
    /// Lines without a bare CR, LF or NUL.
    pub text: bool,
}

/// A complete, checked message, ready for the queue.
#[derive(Clone, Debug)]
pub struct Submission {
    pub envelope: Envelope,
    pub permit: Permit,
    /// Content has octets above 127 in the body.
    pub eight_bit: bool,
    /// Content is no text: it came as BINARYMIME and has a bare CR, LF or NUL, a line that is too long
    /// or one without end in the body.
    pub binary: bool,
    /// Octets of stored content, our trace fields included.
    pub size: u64,
    /// What the client called itself.
    pub helo: HeloName,
    /// Of the header section, for message tracking.
    pub message_id: String,
    pub subject: String,
    /// Who wants it held for an operator, and why.
    pub held_by: Option<String>,
}

/// What the driver turns into events and counters.
#[derive(Clone, Debug)]
pub enum Report {
    HandshakeDone {
        version: TlsVersion,
        resumed: bool,
    },
    HandshakeFailed {
        error: String,
    },
    /// Once a MAIL that was judged for a listed domain.
    Judged(Arc<Verdict>),
    /// An inbound check was made.
    Checked {
        finding: Finding,
        mode: CheckMode,
    },
    /// A next hop was asked about a recipient, or had been.
    Verified {
        recipient: Address,
        verified: Verified,
        mode: CheckMode,
    },
    /// A milter had its last word on a sender, a recipient or a message.
    Filtered {
        milter: String,
        result: MilterResult,
        detail: String,
        mode: CheckMode,
    },
    /// A change that a milter may not make was not made.
    ChangeDenied {
        milter: String,
        denied: Denied,
    },
    /// A message got its 250 and goes nowhere, because this milter wants it so.
    Discarded {
        queue_id: String,
        milter: String,
        sender: String,
        recipients: usize,
    },
    /// A message got its 250.
    Accepted {
        queue_id: String,
        size: u64,
        secured: Option<Domain>,
    },
    /// A command or message was refused; the reply as one line.
    Refused {
        reply: String,
    },
    ProtocolError {
        what: String,
    },
    /// An attempt to log in ended; `user` is empty where it named none of ours, `failure` says why it
    /// came to nothing.
    Authentication {
        mechanism: Mechanism,
        user: String,
        failure: Option<String>,
    },
    /// The client took all that it may of something.
    LimitReached(Reached),
}
