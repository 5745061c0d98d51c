//! A revocation list that judgement lacks: where the certificate says it is published, and who must
//! have signed it (RFC 5280 4.2.1.13). Judgement plans, others fetch, and what comes back is
//! checked here before anybody keeps it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::certificate::distinguished_name;
use super::revocation::{PointName, RevocationList};

/// Distribution points tried of one certificate.
const URLS_MAX: usize = 8;
/// Longest URL we ask for, octets.
const URL_BYTES_MAX: usize = 2048;

/// One URL of one issuer's list. The issuer's key is part of it, so that a certificate of one
/// authority cannot say anything about the lists of another by naming their URL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListKey([u8; 32]);

/// A list that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedList {
    /// DER of the issuer's name.
    pub(super) issuer: Vec<u8>,
    /// Contents of the SubjectPublicKeyInfo of those who may sign it: the issuer, and other keys
    /// of its that the path proves.
    pub(super) issuer_keys: Vec<Vec<u8>>,
    /// Whether the certificate in question is an authority's.
    pub(super) is_authority: bool,
    /// Every name of its distribution points, of any scheme: the list's own must be among them.
    pub(super) points: Vec<PointName>,
}

/// Why a list that was fetched is not the one that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListRefused {
    #[error("the list is of another issuer")]
    OtherIssuer,
    #[error("the signature on the list is wrong")]
    WrongSignature,
    #[error("the list is for other certificates of the issuer")]
    OtherScope,
    #[error("the list is valid only from {0}")]
    NotYetCurrent(Timestamp),
    #[error("the list is out of date since {0}")]
    OutOfDate(Timestamp),
    #[error("the list does not say until when it is current")]
    NoNextUpdate,
}

impl WantedList {
    /// Where to ask, in the certificate's order: http only, as everything else would need a
    /// certificate that may need a list (RFC 5280 8).
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        let http = |url: &&str| {
            url.len() <= URL_BYTES_MAX
                && url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
        };
        let uris = self.points.iter().filter_map(|point| match point {
            PointName::Uri(uri) => Some(uri.as_str()),
            PointName::Directory(_) => None,
        });
        uris.filter(http).take(URLS_MAX)
    }

    pub fn key(&self, url: &str) -> ListKey {
        let mut hash = Sha256::new();
        let key = self.issuer_keys.first().map(Vec::as_slice).unwrap_or_default();
        for part in [url.as_bytes(), &self.issuer, key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        ListKey(hash.finalize().into())
    }

    /// The issuer's name as RFC 4514 writes it.
    pub fn issuer(&self) -> String {
        distinguished_name(&self.issuer)
    }

    /// Whether this is the list, and good today.
    ///
    /// # Errors
    /// The first thing that is wrong, the signature before all that it covers but the name.
    pub fn check(&self, list: &RevocationList, now: Timestamp) -> Result<(), ListRefused> {
        self.check_origin(list)?;
        match list.next_update {
            _ if list.this_update > now => Err(ListRefused::NotYetCurrent(list.this_update)),
            None => Err(ListRefused::NoNextUpdate),
            Some(next) if next < now => Err(ListRefused::OutOfDate(next)),
            Some(_) => Ok(()),
        }
    }

    /// As `check`, whatever its dates.
    ///
    /// # Errors
    /// As `check`.
    pub fn check_origin(&self, list: &RevocationList) -> Result<(), ListRefused> {
        if list.issuer != self.issuer {
            Err(ListRefused::OtherIssuer)
        } else if !self.issuer_keys.iter().any(|key| list.is_signed_by(key)) {
            Err(ListRefused::WrongSignature)
        } else if !list.covers(self.is_authority, Some(&self.points)) {
            Err(ListRefused::OtherScope)
        } else {
            Ok(())
        }
    }
}

impl std::fmt::Display for ListKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl std::fmt::Debug for ListKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[path = "wanted_tests.rs"]
pub(crate) mod tests;
