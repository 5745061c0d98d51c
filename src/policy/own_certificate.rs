//! Our own certificates and the choice between them: what we present as a client, and what a
//! receive connector offers.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::mail::Domain;
use crate::trust::{NamePattern, proves_name};

/// A certificate of ours with its private key, read from files or the managed store.
pub struct OwnCertificate {
    /// Where it came from: the file as the operator wrote it, or `store:THUMBPRINT`.
    pub source: String,
    pub chain: Vec<CertificateDer<'static>>,
    pub key: Arc<PrivateKeyDer<'static>>,
    /// SAN dNSNames; wildcards as written (`*.contoso.example`).
    pub names: Vec<String>,
    pub subject: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub self_signed: bool,
    /// SHA-256 of the end-entity, lower-case hex.
    pub thumbprint: String,
}

/// Why there is no certificate to present. The sentence goes into the verdict
/// `OwnCertificateInvalid`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCertificate {
    #[error("none of our certificates is for {names}; request one, or name it in `[[certificate]]`")]
    NoneNamed { names: String },
    #[error("our certificate for {names} expired on {not_after}; renew it")]
    Expired { names: String, not_after: Timestamp },
    #[error("our certificate for {names} is valid only from {not_before}; check the clock")]
    NotYetValid { names: String, not_before: Timestamp },
}

/// The certificate to present to a server. `wanted`, the partner's `certificate` (a thumbprint or a
/// SAN name), stands alone; without it one for the connector's `fqdn`, else one for `hostname`. Of
/// several the valid one with the latest start counts, and one a CA issued before any self-signed.
pub fn choose<'a>(
    certificates: &'a [Arc<OwnCertificate>],
    wanted: Option<&str>,
    fqdn: &Domain,
    hostname: &Domain,
    now: Timestamp,
) -> Result<&'a Arc<OwnCertificate>, NoCertificate> {
    if let Some(wanted) = wanted {
        let fitting = certificates.iter().filter(|certificate| certificate.is_meant_by(wanted)).collect();
        return best(&[fitting], now).ok_or_else(|| {
            none(wanted.to_owned(), certificates, now, |certificate| certificate.is_meant_by(wanted))
        });
    }
    best(&by_name(certificates, fqdn, hostname), now).ok_or_else(|| {
        none(either(fqdn, hostname), certificates, now, |certificate| {
            certificate.has_name(fqdn) || certificate.has_name(hostname)
        })
    })
}

/// The certificate a receive connector offers: chosen as for a client, but where none is valid the
/// one that expired last, so that STARTTLS goes on for those who want no more than encryption. The
/// caller says so loudly (`is_valid_at`).
pub fn choose_for_server<'a>(
    certificates: &'a [Arc<OwnCertificate>],
    fqdn: &Domain,
    hostname: &Domain,
    now: Timestamp,
) -> Result<&'a Arc<OwnCertificate>, NoCertificate> {
    let named = by_name(certificates, fqdn, hostname);
    let expired = || {
        let begun = named.iter().flatten().filter(|certificate| certificate.not_before <= now);
        begun.max_by_key(|certificate| certificate.not_after).copied()
    };
    match choose(certificates, None, fqdn, hostname, now) {
        Ok(certificate) => Ok(certificate),
        Err(reason) => expired().ok_or(reason),
    }
}

/// Candidates in two ranks: those for the connector's name, then those for the host's.
fn by_name<'a>(
    certificates: &'a [Arc<OwnCertificate>],
    fqdn: &Domain,
    hostname: &Domain,
) -> [Vec<&'a Arc<OwnCertificate>>; 2] {
    [fqdn, hostname]
        .map(|name| certificates.iter().filter(|certificate| certificate.has_name(name)).collect())
}

fn best<'a>(ranks: &[Vec<&'a Arc<OwnCertificate>>], now: Timestamp) -> Option<&'a Arc<OwnCertificate>> {
    ranks.iter().find_map(|rank| {
        let valid = rank.iter().filter(|certificate| certificate.is_valid_at(now));
        valid.max_by_key(|certificate| (!certificate.self_signed, certificate.not_before)).copied()
    })
}

/// Says of the certificate that would come next why it does not do.
fn none(
    names: String,
    certificates: &[Arc<OwnCertificate>],
    now: Timestamp,
    fits: impl Fn(&OwnCertificate) -> bool,
) -> NoCertificate {
    let fitting = || certificates.iter().filter(|certificate| fits(certificate));
    let expired = fitting().map(|certificate| certificate.not_after).filter(|not_after| *not_after < now);
    if let Some(not_after) = expired.max() {
        return NoCertificate::Expired { names, not_after };
    }
    match fitting().map(|certificate| certificate.not_before).min() {
        Some(not_before) => NoCertificate::NotYetValid { names, not_before },
        None => NoCertificate::NoneNamed { names },
    }
}

fn either(fqdn: &Domain, hostname: &Domain) -> String {
    if fqdn == hostname { fqdn.to_string() } else { format!("{fqdn} or {hostname}") }
}

impl std::fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnCertificate({} from {})", self.thumbprint, self.source)
    }
}

impl OwnCertificate {
    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        self.not_before <= at && at <= self.not_after
    }

    /// Whether a SAN proves `name`, by the rule peers are judged by (RFC 9525 6.3).
    pub fn has_name(&self, name: &Domain) -> bool {
        proves_name(&[NamePattern::Exact(name.clone())], &self.names)
    }

    /// Whether a partner's `certificate` means this one: its thumbprint, in any case and with or
    /// without colons, or one of its SAN names as written or covered.
    fn is_meant_by(&self, wanted: &str) -> bool {
        let digits = wanted.chars().filter(|c| !matches!(c, ':' | ' '));
        digits.map(|c| c.to_ascii_lowercase()).eq(self.thumbprint.chars())
            || self.names.iter().any(|name| name.eq_ignore_ascii_case(wanted))
            || Domain::parse_rooted(wanted).is_ok_and(|name| self.has_name(&name))
    }
}

#[cfg(test)]
#[path = "own_certificate_tests.rs"]
mod tests;
