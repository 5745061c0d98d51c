//! Mailboxes and paths (RFC 5321 4.1.2, 4.1.3; RFC 6531 3.3).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Domain, DomainError};

/// What stands behind the `@`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    Domain(Domain),
    /// An address literal, `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    Literal(IpAddr),
}

/// A mailbox: local part of at most 64 octets (in wire form: quoted where it must be) and host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    local: String,
    host: Host,
}

/// The argument of `MAIL FROM`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReversePath {
    /// `<>`, the sender of delivery status notifications.
    Null,
    Address(Address),
}

/// The argument of `RCPT TO`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ForwardPath {
    /// `<postmaster>` without a domain, in any case (RFC 5321 4.5.1).
    Postmaster,
    Address(Address),
}

/// Why a text is not a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("the address has no @")]
    NoAt,
    #[error("the local part is empty, longer than 64 octets or badly quoted")]
    BadLocalPart,
    #[error("the address literal is not an IPv4 or IPv6 address")]
    BadLiteral,
    #[error("{0}")]
    BadDomain(#[from] DomainError),
}

impl Address {
    /// Reads `local@host`; the domain is what stands behind the last `@`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, host) = text.rsplit_once('@').ok_or(AddressError::NoAt)?;
        if !is_local_part(local) {
            return Err(AddressError::BadLocalPart);
        }
        Ok(Self { local: local.to_owned(), host: Host::parse(host)? })
    }

    /// An address of our own making.
    pub fn new(local: &str, domain: Domain) -> Result<Self, AddressError> {
        if !is_local_part(local) {
            return Err(AddressError::BadLocalPart);
        }
        Ok(Self { local: local.to_owned(), host: Host::Domain(domain) })
    }

    /// The local part as it goes over the wire, quotes included.
    pub fn local(&self) -> &str {
        &self.local
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The domain, unless the host is an address literal.
    pub fn domain(&self) -> Option<&Domain> {
        match &self.host {
            Host::Domain(domain) => Some(domain),
            Host::Literal(_) => None,
        }
    }

    /// Whether this address can only travel with SMTPUTF8 (RFC 6531).
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, AddressError> {
        let Some(literal) = text.strip_prefix('[') else {
            return Ok(Host::Domain(Domain::parse(text)?));
        };
        let inner = literal.strip_suffix(']').ok_or(AddressError::BadLiteral)?;
        let v6 = inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).map(|_| &inner[5..]);
        let ip = match v6 {
            Some(v6) => v6.parse().map(IpAddr::V6),
            None => inner.parse().map(IpAddr::V4),
        };
        ip.map(Host::Literal).map_err(|_| AddressError::BadLiteral)
    }
}

/// Dot-string or quoted-string (RFC 5321 4.1.2), non-ASCII letters allowed (RFC 6531 3.3).
fn is_local_part(local: &str) -> bool {
    if local.is_empty() || local.len() > 64 {
        return false;
    }
    match local.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').is_some_and(is_quoted_content),
        None => local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)),
    }
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

fn is_quoted_content(content: &str) -> bool {
    let mut chars = content.chars();
    while let Some(c) = chars.next() {
        let ok = match c {
            '\\' => chars.next().is_some_and(|escaped| (' '..='~').contains(&escaped)),
            '"' => false,
            c => (' '..='~').contains(&c) || (!c.is_ascii() && !c.is_control()),
        };
        if !ok {
            return false;
        }
    }
    true
}

impl ReversePath {
    /// The domain whose secure-list entry counts, if there is one.
    pub fn domain(&self) -> Option<&Domain> {
        match self {
            ReversePath::Null => None,
            ReversePath::Address(address) => address.domain(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Domain(domain) => write!(f, "{domain}"),
            Host::Literal(IpAddr::V4(ip)) => write!(f, "[{ip}]"),
            Host::Literal(IpAddr::V6(ip)) => write!(f, "[IPv6:{ip}]"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.host)
    }
}

/// Without angle brackets: the address, or nothing for the null reverse-path.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => Ok(()),
            ReversePath::Address(address) => write!(f, "{address}"),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
