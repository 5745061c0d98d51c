//! The DKIM signature (RFC 6376) over a message that leaves with a stamp, and its verification, by the
//! crate mail-auth. What counts as ours is `policy::StampSigning`.
//!
//! Each field that people or programs decide by is listed once more often than it stands in the
//! message (RFC 6376 5.4.2): whoever adds a second stamp, or a second `From:`, breaks the signature.

mod ambiguity;
mod verify;

use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::{DkimSigner, DkimSigningStream, Done};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};

use crate::policy::{StampAlgorithm, StampSigning};

pub use ambiguity::{Ambiguity, ambiguity};
pub use verify::{Proof, Unproved, verify};

/// What is signed, beside the whole body.
const SIGNED_FIELDS: &[&str] = &[
    "Domain-Secured",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Signs with the key of `[stamp]`.
pub struct StampSigner(Signer);

enum Signer {
    Ed25519(DkimSigner<Ed25519Key, Done>),
    Rsa(DkimSigner<RsaKey<Sha256>, Done>),
}

/// A message that is being signed: `write` it from its first octet to its last, then `finish`.
pub enum StampSigningStream<'a> {
    Ed25519(DkimSigningStream<'a, Ed25519Key>),
    Rsa(DkimSigningStream<'a, RsaKey<Sha256>>),
}

/// The library could not sign; what it says.
#[derive(Debug, thiserror::Error)]
#[error("the stamp cannot be signed: {0}")]
pub struct SigningError(String);

impl From<mail_auth::Error> for SigningError {
    fn from(error: mail_auth::Error) -> Self {
        Self(error.to_string())
    }
}

impl StampSigner {
    pub fn new(signing: &StampSigning) -> Result<Self, SigningError> {
        // Twice: mail-auth signs what it finds of a name and then lists it once for each further time
        // that it is named here.
        let fields = || SIGNED_FIELDS.iter().chain(SIGNED_FIELDS).map(|name| (*name).to_owned());
        let (domain, selector) = (signing.domain.as_str(), signing.selector.as_str());
        let der = signing.key.der.as_slice();
        Ok(Self(match signing.key.algorithm {
            StampAlgorithm::Ed25519 => {
                let key = Ed25519Key::from_pkcs8_der(der)?;
                let signer = DkimSigner::from_key(key).domain(domain).selector(selector);
                Signer::Ed25519(signer.headers(fields()))
            }
            StampAlgorithm::Rsa => {
                let pkcs8 = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der));
                let pkcs1 = || PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der));
                let key = RsaKey::from_key_der(pkcs8).or_else(|_| RsaKey::from_key_der(pkcs1()))?;
                let signer = DkimSigner::from_key(key).domain(domain).selector(selector);
                Signer::Rsa(signer.headers(fields()))
            }
        }))
    }

    pub fn begin(&self) -> StampSigningStream<'_> {
        match &self.0 {
            Signer::Ed25519(signer) => StampSigningStream::Ed25519(signer.sign_streaming()),
            Signer::Rsa(signer) => StampSigningStream::Rsa(signer.sign_streaming()),
        }
    }
}

impl StampSigningStream<'_> {
    pub fn write(&mut self, octets: &[u8]) {
        match self {
            Self::Ed25519(stream) => stream.write(octets),
            Self::Rsa(stream) => stream.write(octets),
        }
    }

    /// The header field to put first, CRLF included.
    pub fn finish(self) -> Result<String, SigningError> {
        let signature = match self {
            Self::Ed25519(stream) => stream.finish(),
            Self::Rsa(stream) => stream.finish(),
        };
        Ok(signature?.to_header())
    }
}

impl std::fmt::Debug for StampSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StampSigner")
    }
}

#[cfg(test)]
mod tests;
