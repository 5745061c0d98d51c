//! TLSA records and what they say of a certificate (RFC 6698, RFC 7671, RFC 7672 3).

use std::fmt;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256, Sha512};

use crate::mail::Domain;

use super::certificate::{hex, read_certificate};
use super::der;

/// Digits of an association shown; a record may hold a whole certificate.
const SHOWN_DIGITS_MAX: usize = 64;

/// A record as DNS has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsaRecord {
    pub usage: u8,
    pub selector: u8,
    pub matching: u8,
    pub data: Vec<u8>,
}

/// What a server must be to satisfy TLSA records: the usable ones, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsaDemand {
    /// The TLSA base domain: it goes into SNI (RFC 7672 8.1) and proves the host under DANE-TA.
    pub base: Domain,
    /// Other names that prove it under DANE-TA (RFC 7672 3.2.2).
    pub names: Vec<Domain>,
    pub records: Vec<UsableTlsa>,
}

/// A record that SMTP can use (RFC 7672 3.1): the usages of public authorities are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableTlsa {
    pub usage: TlsaUsage,
    pub selector: TlsaSelector,
    pub matching: TlsaMatching,
    pub data: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsaUsage {
    /// 2: an authority of the domain's own choice.
    TrustAnchor,
    /// 3: the server's certificate or key itself.
    EndEntity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsaSelector {
    Certificate,
    PublicKey,
}

/// In the order of strength: RFC 7671 9 has the strongest digest published rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsaMatching {
    Sha256,
    Sha512,
    Full,
}

impl TlsaRecord {
    /// The record, if SMTP can use it: the right usage, known numbers, data of the right shape.
    pub fn usable(&self) -> Option<UsableTlsa> {
        let usage = match self.usage {
            2 => TlsaUsage::TrustAnchor,
            3 => TlsaUsage::EndEntity,
            _ => return None,
        };
        let selector = match self.selector {
            0 => TlsaSelector::Certificate,
            1 => TlsaSelector::PublicKey,
            _ => return None,
        };
        let (matching, fits) = match self.matching {
            0 => (TlsaMatching::Full, der::is_one_sequence(&self.data)),
            1 => (TlsaMatching::Sha256, self.data.len() == 32),
            2 => (TlsaMatching::Sha512, self.data.len() == 64),
            _ => return None,
        };
        fits.then(|| UsableTlsa { usage, selector, matching, data: self.data.clone() })
    }

    /// The record that names this certificate, as its owner would publish it; none where the
    /// certificate cannot be read.
    pub fn of_end_entity(
        certificate: &CertificateDer<'_>,
        selector: TlsaSelector,
        matching: TlsaMatching,
    ) -> Option<Self> {
        let parsed = read_certificate(certificate).ok()?;
        let (selector, octets) = match selector {
            TlsaSelector::Certificate => (0, certificate.as_ref()),
            TlsaSelector::PublicKey => (1, parsed.public_key().raw),
        };
        let (matching, data) = match matching {
            TlsaMatching::Full => (0, octets.to_vec()),
            TlsaMatching::Sha256 => (1, Sha256::digest(octets).to_vec()),
            TlsaMatching::Sha512 => (2, Sha512::digest(octets).to_vec()),
        };
        Some(Self { usage: 3, selector, matching, data })
    }
}

/// The usable ones of a record set. Of several digests of one usage and selector only the strongest
/// counts, so that a weak one cannot be fallen back to (RFC 7671 9).
pub fn usable(records: &[TlsaRecord]) -> Vec<UsableTlsa> {
    let all: Vec<UsableTlsa> = records.iter().filter_map(TlsaRecord::usable).collect();
    let is_digest = |record: &UsableTlsa| record.matching != TlsaMatching::Full;
    let weaker = |record: &UsableTlsa| {
        is_digest(record)
            && all.iter().filter(|other| is_digest(other)).any(|other| {
                (other.usage, other.selector) == (record.usage, record.selector)
                    && other.matching > record.matching
            })
    };
    all.iter().filter(|record| !weaker(record)).cloned().collect()
}

impl UsableTlsa {
    /// Whether the record is about this certificate.
    pub fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        match self.selector {
            TlsaSelector::Certificate => self.fits(certificate.as_ref()),
            TlsaSelector::PublicKey => {
                read_certificate(certificate).is_ok_and(|parsed| self.fits(parsed.public_key().raw))
            }
        }
    }

    fn fits(&self, octets: &[u8]) -> bool {
        match self.matching {
            TlsaMatching::Full => self.data == octets,
            TlsaMatching::Sha256 => self.data == Sha256::digest(octets).as_slice(),
            TlsaMatching::Sha512 => self.data == Sha512::digest(octets).as_slice(),
        }
    }

    /// The whole certificate, where the record holds one.
    fn certificate(&self) -> Option<CertificateDer<'static>> {
        let whole = self.selector == TlsaSelector::Certificate && self.matching == TlsaMatching::Full;
        whole.then(|| CertificateDer::from(self.data.clone()))
    }

    fn numbers(&self) -> (u8, u8, u8) {
        let usage = match self.usage {
            TlsaUsage::TrustAnchor => 2,
            TlsaUsage::EndEntity => 3,
        };
        let selector = match self.selector {
            TlsaSelector::Certificate => 0,
            TlsaSelector::PublicKey => 1,
        };
        let matching = match self.matching {
            TlsaMatching::Full => 0,
            TlsaMatching::Sha256 => 1,
            TlsaMatching::Sha512 => 2,
        };
        (usage, selector, matching)
    }
}

impl TlsaDemand {
    /// The record that names the server's own certificate or key, whatever its names, chain and
    /// dates (RFC 7672 3.1.1).
    pub fn end_entity_match(&self, leaf: &CertificateDer<'_>) -> Option<&UsableTlsa> {
        let mut of_leaves = self.records.iter().filter(|record| record.usage == TlsaUsage::EndEntity);
        of_leaves.find(|record| record.matches(leaf))
    }

    /// The authorities that the records vouch for: those of the chain behind the end-entity, and
    /// those that a record holds whole, which the server need not send (RFC 7671 5.2.2).
    pub fn anchors(&self, rest: &[CertificateDer<'_>]) -> Vec<CertificateDer<'static>> {
        let records = || self.records.iter().filter(|record| record.usage == TlsaUsage::TrustAnchor);
        let sent = rest.iter().filter(|certificate| records().any(|record| record.matches(certificate)));
        let mut anchors: Vec<_> = sent.map(|certificate| certificate.clone().into_owned()).collect();
        for held in records().filter_map(UsableTlsa::certificate) {
            if !anchors.contains(&held) {
                anchors.push(held);
            }
        }
        anchors
    }

    pub fn has_trust_anchors(&self) -> bool {
        self.records.iter().any(|record| record.usage == TlsaUsage::TrustAnchor)
    }

    /// The records in one line.
    pub fn describe(&self) -> String {
        let records: Vec<String> = self.records.iter().map(UsableTlsa::to_string).collect();
        records.join(", ")
    }
}

/// As zone files write it, without owner and type.
impl fmt::Display for TlsaRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_record(f, (self.usage, self.selector, self.matching), &self.data)
    }
}

impl fmt::Display for UsableTlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_record(f, self.numbers(), &self.data)
    }
}

fn write_record(f: &mut fmt::Formatter<'_>, numbers: (u8, u8, u8), data: &[u8]) -> fmt::Result {
    let (usage, selector, matching) = numbers;
    let shown = &data[..data.len().min(SHOWN_DIGITS_MAX)];
    let more = if shown.len() < data.len() { "…" } else { "" };
    write!(f, "{usage} {selector} {matching} {}{more}", hex(shown))
}

#[cfg(test)]
#[path = "tlsa_tests.rs"]
mod tests;
