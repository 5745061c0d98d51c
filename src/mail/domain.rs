//! A mail domain as it is compared everywhere: lower-case A-labels (UTS 46, RFC 5890).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A domain name in lower-case A-labels, at most 253 octets, without a trailing dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Arc<str>);

/// Why a text is not a domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    #[error("the domain is empty")]
    Empty,
    #[error("the domain ends in a dot; write it without")]
    TrailingDot,
    #[error("the domain cannot be converted to A-labels (UTS 46); check its spelling")]
    NotConvertible,
    #[error("the domain is longer than 253 octets")]
    TooLong,
    #[error("the domain has a label that is empty, longer than 63 octets or not letters, digits and hyphens")]
    BadLabel,
}

impl Domain {
    /// Reads a domain as it stands in an address: a trailing dot is an error (RFC 5321 4.1.2).
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        if text.ends_with('.') {
            return Err(DomainError::TrailingDot);
        }
        let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::URL)
            .map_err(|_| DomainError::NotConvertible)?;
        if ascii.is_empty() || ascii.ends_with('.') {
            return Err(DomainError::NotConvertible);
        }
        if ascii.len() > 253 {
            return Err(DomainError::TooLong);
        }
        if !ascii.split('.').all(is_label) {
            return Err(DomainError::BadLabel);
        }
        Ok(Self(Arc::from(ascii.as_ref())))
    }

    /// Reads a domain from settings or a certificate, where one trailing dot is dropped.
    pub fn parse_rooted(text: &str) -> Result<Self, DomainError> {
        Self::parse(text.strip_suffix('.').unwrap_or(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name lies one or more labels below `parent`.
    pub fn is_below(&self, parent: &Domain) -> bool {
        self.0.strip_suffix(parent.as_str()).is_some_and(|rest| rest.ends_with('.'))
    }
}

/// Letters, digits, hyphen and underscore (seen in host names), 1 to 63 octets.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::str::FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        Self::parse(text)
    }
}

impl Serialize for Domain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "domain_tests.rs"]
mod tests;
