//! What goes into a send session and what comes out: the contract with its driver in `relay`.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::mail::dsn::Requests;
use crate::mail::{Address, BodyType, Domain, ReversePath, TlsRequired};
use crate::policy::{self, SendConnector};
use crate::smtp::{Reply, SessionId};
use crate::trust::{Requirement, TlsEvidence, TlsVersion, Verdict, WantedList};

use crate::session::transcript::Line;

/// What is fixed for the life of a session.
#[derive(Clone, Debug)]
pub struct Opening {
    pub id: SessionId,
    pub connector: Arc<SendConnector>,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// MX or smart-host name, or the address literal, for texts and SNI.
    pub host: String,
    /// Random octets that nobody else has, of which the session makes its nonce.
    pub entropy: [u8; 32],
    /// What the peer must prove before MAIL is said.
    pub requirement: Requirement,
    /// With `requirement.mode` report: what holds when that fails.
    pub fallback: Option<Requirement>,
    /// Why we have no valid certificate of our own, if so.
    pub own_certificate_fault: Option<String>,
    /// What we present when asked, for the protocol log.
    pub certificate: Option<Arc<policy::OwnCertificate>>,
    /// An earlier connection to this host ended with `Failure::Broken { retry_in_clear: true, .. }`:
    /// STARTTLS is not tried again. Without effect when the requirement asks for TLS.
    pub clear_text: bool,
    /// Revocation lists that the verdict lacks may be fetched.
    pub fetch_revocation: bool,
    /// The queue id of the message that the connection is made for, for the protocol log.
    pub message: Option<String>,
}

/// What the driver knows of our certificate once a handshake is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnCertificate {
    Sent,
    NotRequested,
}

/// One message for this next hop.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its queue id, for the protocol log.
    pub message: Option<String>,
    pub reverse_path: ReversePath,
    pub recipients: Vec<Address>,
    pub body: BodyType,
    pub smtputf8: bool,
    /// Content has octets above 127: 8BITMIME is needed whatever was declared.
    pub eight_bit: bool,
    /// Content is no text, so that only a peer with BINARYMIME can take it (RFC 3030 3).
    pub binary: bool,
    /// Octets, for SIZE.
    pub size: u64,
    /// Octets of the content as it goes out, for BDAT: exactly.
    pub octets: u64,
    /// What the sender asked to hear; recipients by their place in `recipients`.
    pub dsn: Requests,
    pub tls_required: TlsRequired,
}

#[derive(Debug)]
pub enum Input<'a> {
    Connected,
    Bytes(&'a [u8]),
    TlsEstablished(Arc<TlsEvidence>, OwnCertificate),
    /// `certificate_refused`: the alert or the close says that the peer did not take ours.
    TlsFailed {
        error: String,
        certificate_refused: bool,
    },
    /// Answers `FetchRevocation`: what could be had is in the snapshot now.
    RevocationRefreshed,
    /// Answers `Ready`: the next message.
    Deliver(Box<Transaction>),
    /// Answers `Ready`: only whether the recipients would be taken. Nothing is sent.
    Verify(Box<Transaction>),
    /// Answers `Ready`: nothing more to send; QUIT.
    Finish,
    /// Answers `SendContent`: all content is written, and the final dot where there is one.
    ContentSent,
    /// Answers `SendContent`: our own content could not be read; the session must break off.
    ContentFailed(String),
    Timeout,
    /// The peer closed, or the connection broke; the text says how.
    Closed(String),
}

/// Carried out in order.
#[derive(Debug)]
pub enum Action {
    Send(Bytes),
    /// Flush, then hand the stream to TLS; answered by `TlsEstablished` or `TlsFailed`.
    StartTls,
    /// Get the lists that the verdict lacks, as far as they can be had in time; answered by
    /// `RevocationRefreshed`.
    FetchRevocation(Vec<WantedList>),
    /// Judged and permitted: answered by `Deliver` or `Finish`.
    Ready,
    /// The driver writes the content so framed. It hands in what the peer says meanwhile, and stops
    /// when that makes the session close. It gives each write `send::DATA_BLOCK_TIMEOUT`; the session
    /// has no deadline meanwhile.
    SendContent(Framing),
    /// One outcome for each recipient of the transaction, in its order.
    Done(Vec<Outcome>),
    /// No message may pass on this connection; the driver tries the next target.
    Failed(Box<Failure>),
    Log(Line),
    Report(Report),
    Close,
}

/// How the peer is told where the content ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Behind 354: dot-stuffed, and the final dot.
    Dot,
    /// Behind BDAT: the content as it is, so many octets and not one more or less.
    Counted(u64),
}

/// What became of one recipient.
#[derive(Clone, Debug)]
pub enum Outcome {
    Delivered {
        reply: Reply,
        /// The peer announced DSN and was told what the sender asked to hear: telling it is the
        /// peer's duty now.
        takes_dsn: bool,
    },
    /// Answers `Verify`: the peer would take mail for it.
    Taken { reply: Reply },
    /// The peer's or our own refusal; class 4 is tried again, class 5 bounces.
    Refused {
        reply: Reply,
        command: &'static str,
        from_peer: bool,
        /// A partner's refusal of us, rather than of the message.
        verdict: Option<Arc<Verdict>>,
    },
    /// The connection ended before an answer; tried again.
    Broken {
        error: String,
        /// The final dot was said, or the last octet: the peer may have taken the message (RFC 5321 4.5.3.2.6).
        in_doubt: bool,
    },
}

/// Why a connection is of no use.
#[derive(Clone, Debug)]
pub enum Failure {
    /// Judgement said no.
    NotAdmitted(Arc<Verdict>),
    /// The peer answered banner, EHLO, STARTTLS or AUTH with an error, or broke off.
    Refused {
        reply: Reply,
        command: &'static str,
        /// A partner's refusal of us.
        verdict: Option<Arc<Verdict>>,
    },
    Broken {
        error: String,
        /// Opportunistic TLS failed and nothing requires it: the driver may connect to this host
        /// once more with `Opening::clear_text`.
        retry_in_clear: bool,
    },
}

#[derive(Clone, Debug)]
pub enum Report {
    HandshakeDone {
        version: TlsVersion,
        resumed: bool,
    },
    HandshakeFailed {
        error: String,
    },
    /// Once a session, when it was judged for a listed domain; and again when the partner's server
    /// then refuses us.
    Judged(Arc<Verdict>),
    /// Once a session with a host of any other domain: the verdict under the policy that ruled. A
    /// bad one in mode report held nothing back.
    Ruled(Arc<Verdict>),
    /// Once a transaction that the peer answered with 250.
    Sent {
        secured: Option<Domain>,
    },
}

impl Failure {
    /// A connection that broke, with nothing to be gained by trying it in clear.
    pub fn broken(error: String) -> Self {
        Failure::Broken { error, retry_in_clear: false }
    }
}
