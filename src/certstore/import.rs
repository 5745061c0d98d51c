//! Taking certificates in: each is paired with its key (in the file, of a pending request, or of a
//! certificate we have), its chain is built, and what then is known to work is stored.

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use x509_cert::der::{Any, Encode, Tag};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::trust::certificate::hex;
use crate::trust::{AnchorSet, CertificateFacts, SpkiPin};

use super::bundle::Bundle;
use super::chain::{self, Completeness};
use super::store::{About, Entry, Origin, StoreError};
use super::subject::Subject;
use super::writer::Writer;

/// What an import is to do besides.
#[derive(Debug)]
pub struct ImportOptions<'a> {
    pub now: Timestamp,
    pub exportable: bool,
    /// Whether the server may use it at once.
    pub enable: bool,
    /// Roots at which a chain may end without holding them.
    pub roots: &'a AnchorSet,
}

/// One certificate that was taken in.
#[derive(Debug)]
pub struct Imported {
    pub entry: Entry,
    pub completeness: Completeness,
    /// The request that it answers.
    pub completed: Option<String>,
    /// It was in the store before; only its chain or its marks may have changed.
    pub known: bool,
}

/// Why nothing was taken in. The caller puts the file's name in front.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error(
        "it holds a private key and no certificate; give the file with the certificate and name this one with --key"
    )]
    KeyAlone,
    #[error(
        "the private key cannot be used: {0}; make one with RSA of 2048 to 8192 bits, or ECDSA on P-256 or P-384"
    )]
    BadKey(String),
    #[error(
        "its private key belongs to none of its certificates; give the certificate that was issued for it"
    )]
    KeyOfAnother,
    #[error(
        "no pending request and no certificate in the store has the key of {subject}; import it together with its \
         private key (--key, or a PKCS#12 file)"
    )]
    NoKey { subject: String },
}

/// A certificate with its key.
struct Pair {
    leaf: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    origin: Origin,
    request: Option<String>,
    exportable: bool,
}

/// Takes in every certificate whose key is known. Where there is none, the file may still hold what
/// the chains of stored certificates lack.
pub fn import(
    writer: &Writer,
    bundle: &Bundle,
    options: &ImportOptions<'_>,
) -> Result<Vec<Imported>, ImportError> {
    let pairs = pairs(writer, bundle, options)?;
    if pairs.is_empty() {
        return complete_chains(writer, bundle, options);
    }
    let mut pool = bundle.certificates.clone();
    let (stored, _) = writer.store().entries();
    pool.extend(stored.iter().flat_map(|entry| entry.certificate.chain.iter().skip(1).cloned()));
    let ends: Vec<_> =
        stored.iter().filter(|entry| entry.about.missing.is_none()).filter_map(last_issuer).collect();
    let take_in = |pair: Pair| {
        let mut links = chain::build(&pair.leaf, &pool, options.roots);
        // A complete chain that is stored ended at this issuer, so it is a root.
        if links.completeness.missing().is_some_and(|missing| ends.iter().any(|root| root == missing)) {
            links.completeness = Completeness::Complete;
        }
        let about = About {
            created: options.now,
            origin: pair.origin,
            exportable: pair.exportable,
            enabled: options.enable,
            preferred_since: None,
            missing: links.completeness.missing().map(str::to_owned),
        };
        let thumbprint = crate::trust::thumbprint(&pair.leaf);
        let known = stored.iter().any(|entry| entry.certificate.thumbprint == thumbprint);
        let entry = writer.add(&links.chain, &pair.key, &about)?;
        if let Some(id) = &pair.request {
            writer.remove_request(id)?;
        }
        // The stored chain may be better than what this file gives.
        let completeness = match links.completeness {
            Completeness::Missing(_) if entry.about.missing.is_none() => Completeness::Complete,
            found => found,
        };
        Ok(Imported { entry, completeness, completed: pair.request, known })
    };
    pairs.into_iter().map(take_in).collect()
}

fn pairs(writer: &Writer, bundle: &Bundle, options: &ImportOptions<'_>) -> Result<Vec<Pair>, ImportError> {
    let publics: Result<Vec<_>, ImportError> = bundle.keys.iter().map(public_key).collect();
    let keys: Vec<_> = publics?.into_iter().zip(&bundle.keys).collect();
    let (requests, _) = writer.store().requests();
    let (entries, _) = writer.store().entries();
    let mut pairs = Vec::new();
    for leaf in &bundle.certificates {
        let Some(public) = certificate_key(leaf) else { continue };
        let id = key_id(&public);
        let pair =
            |key, origin, request, exportable| Pair { leaf: leaf.clone(), key, origin, request, exportable };
        let request = requests.iter().find(|request| request.id == id);
        let sibling = entries.iter().find(|entry| {
            entry.certificate.chain.first().and_then(certificate_key).as_ref() == Some(&public)
        });
        if let Some((_, key)) = keys.iter().find(|(own, _)| *own == public) {
            let request = request.map(|request| request.id.clone());
            pairs.push(pair(pkcs8(key, &public), Origin::Import, request, options.exportable));
        } else if let Some(request) = request {
            let exportable = options.exportable || request.about.exportable;
            let key = writer.request_key(&request.id)?;
            pairs.push(pair(key, Origin::Request, Some(request.id.clone()), exportable));
        } else if let Some(sibling) = sibling {
            let key = sibling.certificate.key.clone_key();
            // A key that must stay here does not leave because its certificate was issued anew.
            pairs.push(pair(key, sibling.about.origin, None, sibling.about.exportable));
        }
    }
    match (keys.is_empty(), bundle.certificates.is_empty(), pairs.is_empty()) {
        (false, true, _) => Err(ImportError::KeyAlone),
        (false, false, true) => Err(ImportError::KeyOfAnother),
        _ => Ok(pairs),
    }
}

/// Who issued the last certificate of a stored chain.
fn last_issuer(entry: &Entry) -> Option<String> {
    let last = entry.certificate.chain.last()?;
    CertificateFacts::read(last).ok().map(|facts| facts.issuer)
}

/// A file of intermediates alone: whatever chain it makes longer or complete is stored anew.
fn complete_chains(
    writer: &Writer,
    bundle: &Bundle,
    options: &ImportOptions<'_>,
) -> Result<Vec<Imported>, ImportError> {
    let mut imported = Vec::new();
    for entry in writer.store().entries().0 {
        let old = &entry.certificate.chain;
        let pool: Vec<_> = old.iter().skip(1).chain(&bundle.certificates).cloned().collect();
        let Some(leaf) = old.first() else { continue };
        let links = chain::build(leaf, &pool, options.roots);
        let missing = links.completeness.missing().map(str::to_owned);
        if links.chain.len() > old.len() || (entry.about.missing.is_some() && missing.is_none()) {
            let about = About { missing, ..entry.about };
            let entry = writer.add(&links.chain, &entry.certificate.key, &about)?;
            imported.push(Imported { entry, completeness: links.completeness, completed: None, known: true });
        }
    }
    let first = bundle.certificates.first().map(CertificateFacts::read);
    match first {
        Some(Ok(facts)) if imported.is_empty() => Err(ImportError::NoKey { subject: facts.subject }),
        _ => Ok(imported),
    }
}

/// SHA-256 of a SubjectPublicKeyInfo, lower-case hex: by it a request is found again.
pub fn key_id(public_key: &[u8]) -> String {
    hex(&Sha256::digest(public_key))
}

/// The pin that partners may keep of a certificate's key.
pub fn pin(certificate: &CertificateDer<'static>) -> Option<SpkiPin> {
    certificate_key(certificate).map(|public_key| SpkiPin::of(&public_key))
}

/// The subject of a certificate, for its successor.
pub fn subject(certificate: &CertificateDer<'static>) -> Option<Subject> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Subject::of_certificate(parsed.subject().as_raw()).ok()
}

fn certificate_key(certificate: &CertificateDer<'static>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.public_key().raw.to_vec())
}

fn public_key(key: &PrivateKeyDer<'static>) -> Result<Vec<u8>, ImportError> {
    let bad = |error: &dyn std::fmt::Display| ImportError::BadKey(error.to_string());
    let signer = aws_lc_rs::sign::any_supported_type(key).map_err(|error| bad(&error))?;
    let public = signer.public_key().ok_or_else(|| bad(&"its public half is not known"))?;
    Ok(public.as_ref().to_vec())
}

/// The key as PKCS#8 (RFC 5208 5), the one form in which the store keeps keys. PKCS#1 and SEC 1 lack
/// the algorithm, and the public key has it.
fn pkcs8(key: &PrivateKeyDer<'static>, public_key: &[u8]) -> PrivateKeyDer<'static> {
    if matches!(key, PrivateKeyDer::Pkcs8(_)) {
        return key.clone_key();
    }
    let wrapped = || -> Option<Vec<u8>> {
        use x509_cert::der::{AnyRef, Decode, Reader, SliceReader};
        let info = AnyRef::from_der(public_key).ok()?;
        let algorithm = SliceReader::new(info.value()).ok()?.tlv_bytes().ok()?;
        let secret = Any::new(Tag::OctetString, key.secret_der()).ok()?.to_der().ok()?;
        let content = [&[2, 1, 0], algorithm, &secret].concat();
        Any::new(Tag::Sequence, content).ok()?.to_der().ok()
    };
    wrapped().map_or_else(|| key.clone_key(), |der| PrivatePkcs8KeyDer::from(der).into())
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
