//! SASL as SMTP carries it (RFC 4422, 4954): names of mechanisms, what is said in an exchange, and the
//! exchanges themselves, from both sides. Nothing said in one is ever printed.

pub mod plain;
pub mod scram;
mod verifier;

use std::fmt;

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

pub use verifier::{ITERATIONS, ITERATIONS_MAX, ITERATIONS_MIN, SALT_BYTES, Shape, Verifier, VerifierError};

/// Stands in logs where something was said that proves who somebody is.
pub const HIDDEN: &str = "<authentication data>";

/// The mechanisms that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mechanism {
    /// RFC 4616
    Plain,
    /// RFC 5802, 7677
    ScramSha256,
    /// The same bound to the TLS session it runs in (RFC 9266).
    ScramSha256Plus,
    /// The client's certificate says who it is (RFC 4422 A).
    External,
}

/// A set of them; those a server offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mechanisms {
    pub plain: bool,
    pub scram_sha_256: bool,
    pub scram_sha_256_plus: bool,
    pub external: bool,
}

/// What one side says in an exchange, decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// What stands on the wire is no base64 (RFC 4648 4, with padding and without line breaks).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was said is not base64")]
pub struct NotBase64;

impl Mechanism {
    pub const ALL: [Mechanism; 4] =
        [Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::External, Mechanism::Plain];

    /// As it is registered.
    pub fn as_str(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Mechanism::External => "EXTERNAL",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Mechanisms {
    pub fn contains(self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::Plain => self.plain,
            Mechanism::ScramSha256 => self.scram_sha_256,
            Mechanism::ScramSha256Plus => self.scram_sha_256_plus,
            Mechanism::External => self.external,
        }
    }

    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Those of an EHLO line behind `AUTH` that we know; strangers are passed over.
    pub fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut mechanisms = Self::default();
        for mechanism in words.filter_map(Mechanism::parse) {
            match mechanism {
                Mechanism::Plain => mechanisms.plain = true,
                Mechanism::ScramSha256 => mechanisms.scram_sha_256 = true,
                Mechanism::ScramSha256Plus => mechanisms.scram_sha_256_plus = true,
                Mechanism::External => mechanisms.external = true,
            }
        }
        mechanisms
    }
}

/// Names with blanks between them, the strongest first.
impl fmt::Display for Mechanisms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offered = Mechanism::ALL.into_iter().filter(|mechanism| self.contains(*mechanism));
        let names: Vec<&str> = offered.map(Mechanism::as_str).collect();
        f.write_str(&names.join(" "))
    }
}

/// Of random octets that were used for nothing else; another for each number.
pub fn nonce(entropy: &[u8], number: u32) -> String {
    Base64::encode_string(&verifier::sign(entropy, &number.to_be_bytes()))
}

impl Secret {
    pub fn new(octets: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(octets.into()))
    }

    /// A line of an exchange, without its CRLF.
    ///
    /// # Errors
    /// Where it is no base64.
    pub fn decode(line: &[u8]) -> Result<Self, NotBase64> {
        let text = std::str::from_utf8(line).map_err(|_| NotBase64)?;
        Base64::decode_vec(text).map(Self::new).map_err(|_| NotBase64)
    }

    /// The initial response of `AUTH`: `=` stands for one that is empty (RFC 4954 4).
    ///
    /// # Errors
    /// Where it is no base64.
    pub fn decode_initial(word: &str) -> Result<Self, NotBase64> {
        if word == "=" { Ok(Self::new([])) } else { Self::decode(word.as_bytes()) }
    }

    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// As a line of an exchange.
    pub fn encode(&self) -> Zeroizing<String> {
        Zeroizing::new(Base64::encode_string(&self.0))
    }

    /// As initial response.
    pub fn encode_initial(&self) -> Zeroizing<String> {
        if self.0.is_empty() { Zeroizing::new("=".to_owned()) } else { self.encode() }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests;
