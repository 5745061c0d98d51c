//! Handshakes that fail, in words for the protocol log and for `queue why`.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// Why no TLS configuration can be made of a certificate of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate from {source_name} cannot be used for TLS: {error}; replace certificate and key")]
pub struct TlsSetupError {
    /// `OwnCertificate::source`.
    pub source_name: String,
    pub error: String,
}

/// Why a handshake did not complete. The connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct HandshakeError {
    /// What happened, without control characters.
    pub error: String,
    /// Outbound: the alert, or the close, says that the peer did not take our certificate.
    pub certificate_refused: bool,
    /// It was we who lost patience.
    pub timed_out: bool,
}

impl HandshakeError {
    pub(super) fn timed_out(after: Duration) -> Self {
        let error = format!("the TLS handshake was not complete after {} s", after.as_secs());
        Self { error, certificate_refused: false, timed_out: true }
    }

    pub(super) fn new(error: &io::Error, certificate_refused: bool) -> Self {
        Self { error: describe(error), certificate_refused, timed_out: false }
    }
}

/// One sentence on an error of a stream, during or after the handshake.
pub fn describe(error: &io::Error) -> String {
    match tls_error(error) {
        Some(tls) => describe_tls(tls),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the peer closed the connection during the TLS handshake".to_owned()
        }
        None => error.to_string(),
    }
}

/// Whether the peer says by an alert that it did not take our certificate. In TLS 1.3 this comes
/// with the first read after the handshake (RFC 8446 4.4.2.4). `DecryptError` is what a server says
/// that knows our CA's name with another key.
pub fn is_certificate_refusal(error: &io::Error) -> bool {
    use AlertDescription as Alert;
    let Some(Error::AlertReceived(alert)) = tls_error(error) else {
        return false;
    };
    matches!(
        *alert,
        Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            | Alert::CertificateRequired
    )
}

/// Whether a peer that was shown our certificate may have meant it when it broke off like this:
/// TLS 1.2 servers close, or say no more than `handshake_failure`.
pub(super) fn may_be_refusal(error: &io::Error) -> bool {
    match tls_error(error) {
        Some(Error::AlertReceived(AlertDescription::HandshakeFailure)) => true,
        Some(_) => is_certificate_refusal(error),
        None => matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset),
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn describe_tls(error: &Error) -> String {
    match error {
        Error::AlertReceived(alert) => format!("the peer broke off with the TLS alert {alert:?}"),
        Error::PeerIncompatible(why) => {
            format!("no TLS version, cipher suite or algorithm in common with the peer ({why:?})")
        }
        Error::InvalidMessage(InvalidMessage::CertificatePayloadTooLarge)
        | Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => {
            "the peer sent a Certificate or other handshake message of more than 64 KB".to_owned()
        }
        Error::InvalidMessage(why) => format!("what the peer sent is not TLS ({why:?})"),
        Error::InvalidCertificate(CertificateError::Other(why)) => why.to_string(),
        Error::InvalidCertificate(CertificateError::BadEncoding) => {
            "the peer's certificate cannot be read".to_owned()
        }
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            "the peer did not prove that it holds the key of its certificate".to_owned()
        }
        other => other.to_string(),
    }
}
