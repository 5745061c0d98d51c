//! Certificate revocation lists (RFC 5280 section 5): reading them, and what one says of a
//! certificate. Read here and not with webpki, which takes no list of version 1, none scoped only
//! by certificate kind, and tells neither date nor reason.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::DistributionPointName as StrictPointName;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::{CertificateRevocationList, RevokedCertificate};

use super::wanted::ListKey;

/// One certificate revocation list that could be read; its signature is checked when it is used,
/// against the issuer in the path. Cheap to clone.
#[derive(Clone)]
pub struct RevocationList {
    /// File or URL.
    pub source: String,
    pub der: Arc<[u8]>,
    /// DER of the issuer's name.
    pub issuer: Vec<u8>,
    pub this_update: Timestamp,
    pub next_update: Option<Timestamp>,
    scope: Scope,
    /// Of a fetched list: when it is too long ago that we got it, whatever it says itself.
    usable_until: Option<Timestamp>,
    /// By serial number, padding removed.
    entries: Arc<HashMap<Vec<u8>, RevokedEntry>>,
    /// SHA-256 of the first key asked about, and whether it made the signature.
    signature: Arc<OnceLock<([u8; 32], bool)>>,
}

/// A snapshot; the epoch rises whenever the lists change, so that open sessions are judged again.
#[derive(Clone, Default)]
pub struct RevocationSet {
    pub epoch: u64,
    pub lists: Vec<Arc<RevocationList>>,
    /// Why lists that were wanted lately could not be fetched: words for the verdict.
    pub failures: Arc<HashMap<ListKey, String>>,
}

/// When and why a certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedEntry {
    pub date: Timestamp,
    /// RFC 5280 5.3.1, in words; absent means unspecified.
    pub reason: Option<&'static str>,
}

/// Why a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationListError {
    #[error("{source_name}: neither PEM nor DER; give a certificate revocation list")]
    NotPemOrDer { source_name: String },
    #[error("{source_name}: the list cannot be read ({error}); fetch it anew")]
    Malformed { source_name: String, error: String },
    #[error("{source_name}: a delta list; give the complete one")]
    Delta { source_name: String },
    #[error("{source_name}: an indirect list; give the one that the issuer of the certificates signs")]
    Indirect { source_name: String },
    #[error("{source_name}: the list holds only some revocation reasons; give the complete one")]
    SomeReasons { source_name: String },
    #[error("{source_name}: the list is for attribute certificates; give the one for public keys")]
    AttributeCertificates { source_name: String },
    #[error(
        "{source_name}: the list has the extension {oid}, critical, which is unknown or must not be critical; give another"
    )]
    CriticalExtension { source_name: String, oid: String },
}

/// Which of the issuer's certificates a list is for (RFC 5280 5.2.5).
#[derive(Clone, Default, PartialEq, Eq)]
struct Scope {
    only_end_entities: bool,
    only_authorities: bool,
    /// The distribution points it serves; `None`: all.
    points: Option<Vec<PointName>>,
}

/// A name of a distribution point, compared octet by octet.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum PointName {
    Uri(String),
    /// DER.
    Directory(Vec<u8>),
}

impl RevocationList {
    /// Reads every list of a PEM file, or the one of a DER file.
    ///
    /// # Errors
    /// Only when none could be read: one bad list never disables the others. `parse_each` tells of
    /// every one.
    pub fn parse(source: &str, bytes: &[u8]) -> Result<Vec<RevocationList>, RevocationListError> {
        let (good, mut bad): (Vec<_>, Vec<_>) =
            Self::parse_each(source, bytes).into_iter().partition(Result::is_ok);
        match bad.drain(..).find_map(Result::err) {
            Some(error) if good.is_empty() => Err(error),
            _ => Ok(good.into_iter().flatten().collect()),
        }
    }

    /// As `parse`, with the outcome of each list in the file.
    pub fn parse_each(source: &str, bytes: &[u8]) -> Vec<Result<RevocationList, RevocationListError>> {
        let not_readable = || RevocationListError::NotPemOrDer { source_name: source.to_owned() };
        if super::der::is_one_sequence(bytes) {
            return vec![Self::from_der(source, bytes)];
        }
        let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(bytes)
            .map(|found| match found {
                Ok(list) => Self::from_der(source, list.as_ref()),
                Err(_) => Err(not_readable()),
            })
            .collect();
        if lists.is_empty() { vec![Err(not_readable())] } else { lists }
    }

    fn from_der(source: &str, der: &[u8]) -> Result<Self, RevocationListError> {
        let malformed =
            |error: String| RevocationListError::Malformed { source_name: source.to_owned(), error };
        let (rest, list) =
            CertificateRevocationList::from_der(der).map_err(|error| malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("octets behind the end".into()));
        }
        if super::der::signed(der).is_none() || list.tbs_cert_list.signature != list.signature_algorithm {
            return Err(malformed("signature algorithms differ or are missing".into()));
        }
        let scope = read_scope(source, &list)?;
        let time =
            |seconds: i64| Timestamp::from_second(seconds).map_err(|error| malformed(error.to_string()));
        let mut entries = HashMap::with_capacity(list.tbs_cert_list.revoked_certificates.len());
        for entry in list.iter_revoked_certificates() {
            refuse_unknown_critical(source, entry)?;
            let date = time(entry.revocation_date.timestamp())?;
            let reason = entry.reason_code().and_then(|(_, reason)| reason_words(reason.0));
            entries.insert(significant(entry.raw_serial()).to_vec(), RevokedEntry { date, reason });
        }
        Ok(Self {
            source: source.to_owned(),
            der: der.into(),
            issuer: list.issuer().as_raw().to_vec(),
            this_update: time(list.last_update().timestamp())?,
            next_update: list.next_update().map(|next| time(next.timestamp())).transpose()?,
            scope,
            usable_until: None,
            entries: Arc::new(entries),
            signature: Arc::default(),
        })
    }

    /// Whether the certificate with this serial number is named.
    pub fn find(&self, serial: &[u8]) -> Option<&RevokedEntry> {
        self.entries.get(significant(serial))
    }

    /// Certificates named.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The same list with another end of its use (`crl_max_age`); `None`: as long as it says.
    #[must_use]
    pub fn usable_until(&self, until: Option<Timestamp>) -> Self {
        Self { usable_until: until, ..self.clone() }
    }

    /// Whether this list is the other one's successor, or the other one itself.
    pub fn replaces(&self, other: &RevocationList) -> bool {
        self.issuer == other.issuer && self.scope == other.scope && self.this_update >= other.this_update
    }

    /// A list without next-update promises nothing about today, so it is never current; what it
    /// names is revoked all the same.
    pub fn is_current_at(&self, at: Timestamp) -> bool {
        self.this_update <= at && self.good_until().is_some_and(|until| at <= until)
    }

    /// Until when it is current: its next-update, or earlier where it was got too long ago.
    pub fn good_until(&self) -> Option<Timestamp> {
        let next = self.next_update?;
        Some(self.usable_until.map_or(next, |until| until.min(next)))
    }

    /// The whole seconds at which the list is current.
    pub(super) fn span(&self) -> super::memory::Span {
        let until = self.good_until().map_or(i64::MIN, Timestamp::as_second);
        super::memory::Span { from: self.this_update.as_second(), until }
    }

    /// Whether a certificate of this issuer, kind and these distribution points is in the scope.
    /// `points` is `None` for a certificate that names no distribution points.
    pub(super) fn covers(&self, is_authority: bool, points: Option<&[PointName]>) -> bool {
        if (self.scope.only_end_entities && is_authority) || (self.scope.only_authorities && !is_authority) {
            return false;
        }
        match (&self.scope.points, points) {
            (Some(ours), Some(theirs)) => ours.iter().any(|ours| theirs.contains(ours)),
            // RFC 5280 6.3.3 (b): such a list holds only the certificates of its points.
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    /// Whether the issuer's key (SubjectPublicKeyInfo content) made the signature. The answer for
    /// the first key asked about is kept: a list has one issuer and may have megabytes.
    pub(super) fn is_signed_by(&self, issuer_key_content: &[u8]) -> bool {
        let key: [u8; 32] = Sha256::digest(issuer_key_content).into();
        let check = || super::signature::verify(&self.der, issuer_key_content).is_ok();
        let (first_key, good) = self.signature.get_or_init(|| (key, check()));
        if *first_key == key { *good } else { check() }
    }
}

impl std::fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RevocationList({}, {} entries, {})", self.source, self.entries.len(), self.this_update)
    }
}

/// Serial numbers are compared as numbers: some authorities pad them, and 255 is not -1.
pub(super) fn significant(mut serial: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = serial
        && rest.first().is_some_and(|next| next & 0x80 == 0)
    {
        serial = rest;
    }
    serial
}

fn read_scope(source: &str, list: &CertificateRevocationList<'_>) -> Result<Scope, RevocationListError> {
    let source_name = source.to_owned();
    let mut scope = Scope::default();
    for extension in list.extensions() {
        match extension.oid.to_id_string().as_str() {
            "2.5.29.27" => return Err(RevocationListError::Delta { source_name }),
            "2.5.29.28" => scope = point_scope(source, extension.value)?,
            // authorityKeyIdentifier and issuerAltName change nothing for us.
            "2.5.29.35" | "2.5.29.18" => {}
            oid if extension.critical => {
                return Err(RevocationListError::CriticalExtension { source_name, oid: oid.to_owned() });
            }
            _ => {}
        }
    }
    Ok(scope)
}

/// Read with x509-cert, which takes all of it or nothing: x509-parser passes over what it cannot
/// read, and so over the very words that narrow a list down.
fn point_scope(source: &str, extension: &[u8]) -> Result<Scope, RevocationListError> {
    let source_name = source.to_owned();
    let point = match x509_cert::ext::pkix::IssuingDistributionPoint::from_der(extension) {
        Ok(point) => point,
        Err(error) => {
            let error = format!("issuing distribution point: {error}");
            return Err(RevocationListError::Malformed { source_name, error });
        }
    };
    if point.indirect_crl {
        return Err(RevocationListError::Indirect { source_name });
    }
    if point.only_some_reasons.is_some() {
        return Err(RevocationListError::SomeReasons { source_name });
    }
    if point.only_contains_attribute_certs {
        return Err(RevocationListError::AttributeCertificates { source_name });
    }
    let points = match point.distribution_point {
        None => None,
        Some(StrictPointName::FullName(names)) => Some(names.iter().filter_map(strict_point).collect()),
        // A name relative to the issuer: nothing we could compare, so it serves no one.
        Some(StrictPointName::NameRelativeToCRLIssuer(_)) => Some(Vec::new()),
    };
    Ok(Scope {
        only_end_entities: point.only_contains_user_certs,
        only_authorities: point.only_contains_ca_certs,
        points,
    })
}

fn strict_point(name: &x509_cert::ext::pkix::name::GeneralName) -> Option<PointName> {
    use x509_cert::ext::pkix::name::GeneralName as Strict;
    match name {
        Strict::UniformResourceIdentifier(uri) => Some(PointName::Uri(uri.to_string())),
        Strict::DirectoryName(name) => name.to_der().ok().map(PointName::Directory),
        _ => None,
    }
}

/// The names of a certificate's distribution point that can be compared.
pub(super) fn point_names(names: &[GeneralName<'_>]) -> impl Iterator<Item = PointName> {
    names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(PointName::Uri((*uri).to_owned())),
        GeneralName::DirectoryName(name) => Some(PointName::Directory(name.as_raw().to_vec())),
        _ => None,
    })
}

/// RFC 5280 5.3: an entry with a critical extension that we do not know makes the list unusable.
fn refuse_unknown_critical(source: &str, entry: &RevokedCertificate<'_>) -> Result<(), RevocationListError> {
    let source_name = source.to_owned();
    for extension in entry.extensions() {
        match extension.oid.to_id_string().as_str() {
            "2.5.29.29" => return Err(RevocationListError::Indirect { source_name }),
            "2.5.29.21" | "2.5.29.24" => {}
            oid if extension.critical => {
                return Err(RevocationListError::CriticalExtension { source_name, oid: oid.to_owned() });
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn reason_words(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "key compromise",
        2 => "CA compromise",
        3 => "affiliation changed",
        4 => "superseded",
        5 => "cessation of operation",
        6 => "certificate hold",
        9 => "privilege withdrawn",
        10 => "AA compromise",
        _ => return None,
    })
}
