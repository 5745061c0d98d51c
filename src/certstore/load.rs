//! Reads a certificate of ours: a PEM chain, end-entity first (RFC 7468), and its private key in
//! PKCS#8, SEC 1 or PKCS#1. What is loaded is known to fit together; whether it is valid today and
//! proves the right name is for `policy::own_certificate` to say.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::disk;
use crate::policy::OwnCertificate;
use crate::trust::CertificateFacts;

/// Largest certificate or key file read, in octets: a chain of ten is some 20 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a certificate of ours cannot be used. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("cannot read {}: {error}; check the path and its permissions", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is larger than 1 MiB; name a PEM file that holds one certificate chain", .0.display())]
    TooLarge(PathBuf),
    #[error("{} is not well-formed PEM: {error}; export the file again", path.display())]
    BadPem { path: PathBuf, error: String },
    #[error("{} holds no certificate in PEM; name the file with the chain, end-entity first", .0.display())]
    NoCertificate(PathBuf),
    #[error(
        "{} holds no private key in PEM (PKCS#8, SEC 1 or PKCS#1, not encrypted); name the file with the key",
        .0.display()
    )]
    NoKey(PathBuf),
    #[error(
        "the first certificate in {} cannot be read: {error}; put the end-entity certificate first",
        path.display()
    )]
    BadCertificate { path: PathBuf, error: String },
    #[error(
        "the private key in {} cannot be used: {error}; make one with RSA of 2048 to 8192 bits, or ECDSA on P-256 or P-384",
        path.display()
    )]
    BadKey { path: PathBuf, error: String },
    #[error(
        "the private key in {} does not belong to certificate number {position} in {}; put that one first",
        key.display(), chain.display()
    )]
    WrongOrder { chain: PathBuf, key: PathBuf, position: usize },
    #[error(
        "the private key in {} does not belong to the certificate in {}; name the key it was requested with",
        key.display(), chain.display()
    )]
    KeyMismatch { chain: PathBuf, key: PathBuf },
}

impl CertificateError {
    /// Whether the key's file is the one to change; chain and key may be in one.
    pub fn is_about_key(&self, chain_path: &Path, key_path: &Path) -> bool {
        match self {
            Self::Unreadable { path, .. } | Self::BadPem { path, .. } | Self::TooLarge(path) => {
                path == key_path && path != chain_path
            }
            Self::NoCertificate(_) | Self::BadCertificate { .. } | Self::WrongOrder { .. } => false,
            Self::NoKey(_) | Self::BadKey { .. } | Self::KeyMismatch { .. } => true,
        }
    }
}

/// Reads a chain and its key, each file at most 1 MiB; `source` of the result is `chain` as given.
/// An expired certificate loads, because operators must be told of it by name.
pub fn load(chain: &Path, key: &Path) -> Result<OwnCertificate, CertificateError> {
    let certificates = read_chain(chain)?;
    let private_key = read_key(key)?;
    check_key(chain, key, &certificates, &private_key)?;
    describe(chain, certificates, private_key)
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| bad_pem(path, &error))?;
    if certificates.is_empty() {
        return Err(CertificateError::NoCertificate(path.into()));
    }
    Ok(certificates)
}

pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    use rustls::pki_types::pem::Error;
    match PrivateKeyDer::from_pem_slice(&read(path)?) {
        Ok(key) => Ok(key),
        Err(Error::NoItemsFound) => Err(CertificateError::NoKey(path.into())),
        Err(error) => Err(bad_pem(path, &error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    disk::read(path, FILE_BYTES_MAX).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => CertificateError::TooLarge(path.into()),
        _ => CertificateError::Unreadable { path: path.into(), error },
    })
}

fn bad_pem(path: &Path, error: &rustls::pki_types::pem::Error) -> CertificateError {
    CertificateError::BadPem { path: path.into(), error: error.to_string() }
}

/// The key must be the end-entity's; files in the wrong order are common enough for a sentence of
/// their own.
fn check_key(
    chain_path: &Path,
    key_path: &Path,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<(), CertificateError> {
    let signer = aws_lc_rs::sign::any_supported_type(key)
        .map_err(|error| CertificateError::BadKey { path: key_path.into(), error: error.to_string() })?;
    let fits = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&signer)).keys_match()
    };
    let Err(error) = fits(&chain[0]) else {
        return Ok(());
    };
    let (chain, key) = (chain, (chain_path.to_owned(), key_path.to_owned()));
    if let Some(index) = chain.iter().position(|certificate| fits(certificate).is_ok()) {
        return Err(CertificateError::WrongOrder { chain: key.0, key: key.1, position: index + 1 });
    }
    match error {
        rustls::Error::InconsistentKeys(_) => Err(CertificateError::KeyMismatch { chain: key.0, key: key.1 }),
        other => Err(CertificateError::BadCertificate { path: key.0, error: other.to_string() }),
    }
}

fn describe(
    path: &Path,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<OwnCertificate, CertificateError> {
    let bad = |error: String| CertificateError::BadCertificate { path: path.into(), error };
    let facts = CertificateFacts::read(&chain[0]).map_err(|error| bad(error.0))?;
    let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(|error| bad(error.to_string()))?;
    // Facts pass over names that cannot be read; ours would then be chosen for no connector.
    leaf.subject_alternative_name().map_err(|error| bad(error.to_string()))?;
    let self_signed = leaf.subject().as_raw() == leaf.issuer().as_raw();
    Ok(OwnCertificate {
        source: path.display().to_string(),
        key: Arc::new(key),
        names: facts.names,
        subject: facts.subject,
        not_before: facts.not_before,
        not_after: facts.not_after,
        self_signed,
        thumbprint: facts.thumbprint,
        chain,
        preferred_since: None,
    })
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
