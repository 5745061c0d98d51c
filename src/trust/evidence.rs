//! What a session knows of its peer when it is judged.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::certificate::CertificateFacts;
use super::known;

/// Protocol versions we speak (RFC 8996 leaves these two).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// The facts of one established TLS session, fresh or resumed.
#[derive(Clone, Debug)]
pub struct TlsEvidence {
    pub version: TlsVersion,
    /// IANA name, such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher_suite: String,
    /// Named group, such as `X25519MLKEM768`; unknown on some resumed sessions.
    pub key_exchange: Option<String>,
    pub resumed: bool,
    /// As the peer sent it, end-entity first; empty when it sent none.
    pub peer_chain: Vec<CertificateDer<'static>>,
    /// The OCSP response that a server stapled to it, now or when the resumed session was made.
    pub staple: Option<Arc<[u8]>>,
    /// `tls-exporter` (RFC 9266), in TLS 1.3: what only the two ends of this session know.
    pub channel_binding: Option<[u8; 32]>,
}

/// How far TLS came on a connection.
#[derive(Clone, Copy, Debug)]
pub enum TlsState<'a> {
    /// No TLS; `offered` says whether the server advertised STARTTLS (of use outbound).
    Clear {
        offered: bool,
    },
    /// The handshake, or the STARTTLS command, failed; the text is the library's or the peer's.
    Failed {
        error: &'a str,
    },
    Established(&'a TlsEvidence),
}

/// Outbound: what became of our own certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnCertificateState<'a> {
    /// Inbound, or outbound before the handshake: says nothing.
    NotApplicable,
    /// Asked for by the peer and sent (on a resumed session: when that session was first made).
    Sent,
    /// The peer never asked for it.
    NotRequested,
    /// The peer broke off because of it; the text is the alert or how the connection ended.
    Refused(&'a str),
    /// We have none that is valid; the text says why.
    Invalid(&'a str),
}

/// A connection as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    pub tls: TlsState<'a>,
    pub own_certificate: OwnCertificateState<'a>,
}

impl TlsEvidence {
    /// What the end-entity says of itself, if there is one that can be read.
    pub fn end_entity(&self) -> Option<Arc<CertificateFacts>> {
        self.peer_chain.first().and_then(|leaf| known::facts(leaf).ok())
    }
}

impl TlsVersion {
    /// As stamp and `Received` write it.
    pub fn as_str(self) -> &'static str {
        match self {
            TlsVersion::Tls12 => "TLSv1.2",
            TlsVersion::Tls13 => "TLSv1.3",
        }
    }
}
