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
    /// When an operator chose it by hand (`sealpost certificate enable`); until a certificate with a
    /// later start comes, it goes before all others of its names.
    pub preferred_since: Option<Timestamp>,
}

/// A choice and what decided it; the sentence is what `sealpost certificate list` shows.
#[derive(Clone, Debug)]
pub struct Choice<'a> {
    pub certificate: &'a Arc<OwnCertificate>,
    pub found_by: FoundBy,
    pub decided_by: DecidedBy,
}

/// Which setting led to the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// A partner's `certificate`.
    Partner(String),
    Fqdn(Domain),
    /// No valid certificate holds the connector's `fqdn`.
    Hostname(Domain),
}

/// What set it apart from the others that are found the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecidedBy {
    /// No other valid one is found this way.
    OnlyOne,
    /// An operator enabled it by hand.
    Preferred(Timestamp),
    /// A CA issued it, and the others are self-signed.
    Issued,
    LatestStart,
    /// None is valid; this one expired last, and a server offers it for encryption's sake.
    ExpiredLast,
}

/// Why there is no certificate to present. The sentence goes into the verdict
/// `OwnCertificateInvalid`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCertificate {
    #[error("none of our certificates is for {names}; request or import one (`sealpost certificate`)")]
    NoneNamed { names: String },
    #[error(
        "our certificate for {names} expired on {not_after}; import its successor with `sealpost certificate import FILE` (`certificate renew` makes the request)"
    )]
    Expired { names: String, not_after: Timestamp },
    #[error("our certificate for {names} is valid only from {not_before}; check the clock")]
    NotYetValid { names: String, not_before: Timestamp },
}

/// The certificate to present to a server. `wanted`, the partner's `certificate` (a thumbprint or a
/// SAN name), stands alone; without it one for the connector's `fqdn`, else one for `hostname`. Of
/// several the valid one with the latest start counts, and one a CA issued before any self-signed;
/// enabling one by hand is like a start at that moment.
pub fn choose<'a>(
    certificates: &'a [Arc<OwnCertificate>],
    wanted: Option<&str>,
    fqdn: &Domain,
    hostname: &Domain,
    now: Timestamp,
) -> Result<&'a Arc<OwnCertificate>, NoCertificate> {
    explain(certificates, wanted, fqdn, hostname, now).map(|choice| choice.certificate)
}

/// `choose`, with the reason.
pub fn explain<'a>(
    certificates: &'a [Arc<OwnCertificate>],
    wanted: Option<&str>,
    fqdn: &Domain,
    hostname: &Domain,
    now: Timestamp,
) -> Result<Choice<'a>, NoCertificate> {
    if let Some(wanted) = wanted {
        let fitting = certificates.iter().filter(|certificate| certificate.is_meant_by(wanted)).collect();
        let rank = (FoundBy::Partner(wanted.to_owned()), fitting);
        return best(&[rank], now).ok_or_else(|| {
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
    explain_for_server(certificates, fqdn, hostname, now).map(|choice| choice.certificate)
}

/// `choose_for_server`, with the reason.
pub fn explain_for_server<'a>(
    certificates: &'a [Arc<OwnCertificate>],
    fqdn: &Domain,
    hostname: &Domain,
    now: Timestamp,
) -> Result<Choice<'a>, NoCertificate> {
    explain(certificates, None, fqdn, hostname, now).or_else(|reason| {
        let named = by_name(certificates, fqdn, hostname);
        let begun = named.iter().flat_map(|(found_by, rank)| rank.iter().map(move |own| (found_by, *own)));
        let begun = begun.filter(|(_, certificate)| certificate.not_before <= now);
        let last = begun.max_by_key(|(_, certificate)| certificate.not_after);
        let last = last.map(|(found_by, certificate)| Choice {
            certificate,
            found_by: found_by.clone(),
            decided_by: DecidedBy::ExpiredLast,
        });
        last.ok_or(reason)
    })
}

/// Candidates that are found the same way.
type Rank<'a> = (FoundBy, Vec<&'a Arc<OwnCertificate>>);

/// Candidates in two ranks: those for the connector's name, then those for the host's.
fn by_name<'a>(certificates: &'a [Arc<OwnCertificate>], fqdn: &Domain, hostname: &Domain) -> [Rank<'a>; 2] {
    let named = |name: &Domain| certificates.iter().filter(|own| own.has_name(name)).collect();
    [(FoundBy::Fqdn(fqdn.clone()), named(fqdn)), (FoundBy::Hostname(hostname.clone()), named(hostname))]
}

fn best<'a>(ranks: &[Rank<'a>], now: Timestamp) -> Option<Choice<'a>> {
    ranks.iter().find_map(|(found_by, rank)| {
        let valid = || rank.iter().filter(|certificate| certificate.is_valid_at(now));
        let certificate = *valid().max_by_key(|certificate| certificate.precedence())?;
        let others: Vec<_> = valid().filter(|own| own.thumbprint != certificate.thumbprint).collect();
        let decided_by = if others.is_empty() {
            DecidedBy::OnlyOne
        } else if let Some(since) =
            certificate.preferred_since.filter(|since| *since >= certificate.not_before)
        {
            DecidedBy::Preferred(since)
        } else if others.iter().all(|other| other.precedence().0 != certificate.precedence().0) {
            DecidedBy::Issued
        } else {
            DecidedBy::LatestStart
        };
        Some(Choice { certificate, found_by: found_by.clone(), decided_by })
    })
}

impl std::fmt::Display for Choice<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.found_by {
            FoundBy::Partner(wanted) => write!(f, "the partner's `certificate` is {wanted}")?,
            FoundBy::Fqdn(name) => write!(f, "named for the fqdn {name}")?,
            FoundBy::Hostname(name) => write!(f, "none for the fqdn, named for the hostname {name}")?,
        }
        match self.decided_by {
            DecidedBy::OnlyOne => write!(f, "; the only valid one"),
            DecidedBy::Preferred(since) => write!(f, "; enabled by hand on {since:.0}"),
            DecidedBy::Issued => write!(f, "; issued by a CA, the others are self-signed"),
            DecidedBy::LatestStart => write!(f, "; of several the one with the latest start"),
            DecidedBy::ExpiredLast => write!(f, "; none is valid, this one expired last"),
        }
    }
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
    /// Whether it lies in the managed store, where commands may change it.
    pub fn is_managed(&self) -> bool {
        self.source.starts_with("store:")
    }

    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        self.not_before <= at && at <= self.not_after
    }

    /// The greater goes first: issued by a CA (or chosen by hand), then the later start.
    fn precedence(&self) -> (bool, Timestamp) {
        let start = self.preferred_since.map_or(self.not_before, |since| since.max(self.not_before));
        (!self.self_signed || self.preferred_since.is_some(), start)
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
