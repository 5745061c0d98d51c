//! A file somebody handed us, whatever it is: PEM in any mixture, DER, PKCS#7, PKCS#12, keys
//! encrypted or not. What it holds is told apart by its content, never by its name.

use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::pem::Pem;

use super::pkcs7;
use super::pkcs12::{self, Pkcs12Problem};

/// Most certificates or keys taken from one file.
const ITEMS_MAX: usize = 256;
const PKCS12_VERSION: &[u8] = &[0x02, 0x01, 0x03];

/// The certificates and keys of a file, in its order.
#[derive(Debug, Default)]
pub struct Bundle {
    pub certificates: Vec<CertificateDer<'static>>,
    pub keys: Vec<PrivateKeyDer<'static>>,
}

/// Why a file gives nothing. The caller puts the file's name in front.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    #[error("it is protected; give its passphrase with --passphrase-file or --passphrase-env")]
    PassphraseNeeded,
    #[error("the passphrase does not open it; give the one it was exported with")]
    WrongPassphrase,
    #[error("it is neither PEM, DER, PKCS#7 nor PKCS#12; have it exported again")]
    Unknown,
    #[error("it is not well-formed {what}: {error}; have it exported again")]
    Malformed { what: &'static str, error: String },
    #[error(
        "it is BER with indefinite lengths; write it anew with `openssl pkcs7 -inform DER -outform DER`, or \
         `openssl pkcs12` in both directions"
    )]
    IndefiniteLength,
    #[error(
        "its key is encrypted in the old way of PEM (DEK-Info); write it anew with `openssl pkcs8 -topk8`"
    )]
    OldEncryption,
    #[error("it holds more than {ITEMS_MAX} certificates or keys; give those of one certificate alone")]
    TooMany,
    #[error("it holds no certificate and no private key; name the file that does")]
    Empty,
}

impl Bundle {
    /// Reads a file. Without a passphrase an empty one is tried; `PassphraseNeeded` says that it is
    /// not the right one.
    ///
    /// # Errors
    /// When nothing can be read, or a part of it cannot.
    pub fn read(bytes: &[u8], passphrase: Option<&str>) -> Result<Self, BundleError> {
        let mut bundle = Self::default();
        if is_pem(bytes) {
            if memchr::memmem::find(bytes, b"\nDEK-Info:").is_some() {
                return Err(BundleError::OldEncryption);
            }
            for block in Pem::iter_from_buffer(bytes) {
                let block = block.map_err(|error| malformed("PEM", error))?;
                bundle.add_block(&block, passphrase)?;
            }
        } else {
            bundle.add_der(bytes, passphrase)?;
        }
        if bundle.certificates.is_empty() && bundle.keys.is_empty() {
            return Err(BundleError::Empty);
        }
        Ok(bundle)
    }

    fn add_block(&mut self, block: &Pem, passphrase: Option<&str>) -> Result<(), BundleError> {
        let der = block.contents.as_slice();
        match block.label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" => self.add_certificate(der),
            "PKCS7" | "CMS" => self.add_pkcs7(der),
            "ENCRYPTED PRIVATE KEY" => self.add_encrypted_key(der, passphrase),
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => self.add_key(der),
            // Parameters, requests, lists: often beside what counts.
            _ => Ok(()),
        }
    }

    fn add_der(&mut self, der: &[u8], passphrase: Option<&str>) -> Result<(), BundleError> {
        if der.starts_with(&[0x30, 0x80]) {
            return Err(BundleError::IndefiniteLength);
        }
        let content = sequence_content(der).ok_or(BundleError::Unknown)?;
        match content.first() {
            Some(0x30) if is_encrypted_key(content) => self.add_encrypted_key(der, passphrase),
            Some(0x30) => self.add_certificate(der),
            Some(0x06) => self.add_pkcs7(der),
            Some(0x02) if content.starts_with(PKCS12_VERSION) => self.add_pkcs12(der, passphrase),
            Some(0x02) => self.add_key(der),
            _ => Err(BundleError::Unknown),
        }
    }

    fn add_certificate(&mut self, der: &[u8]) -> Result<(), BundleError> {
        let certificate = CertificateDer::from(der.to_vec());
        crate::trust::CertificateFacts::read(&certificate).map_err(|error| malformed("X.509", error.0))?;
        self.extend([certificate], [])
    }

    fn add_key(&mut self, der: &[u8]) -> Result<(), BundleError> {
        let key = PrivateKeyDer::try_from(der.to_vec()).map_err(|error| malformed("private key", error))?;
        self.extend([], [key])
    }

    fn add_encrypted_key(&mut self, der: &[u8], passphrase: Option<&str>) -> Result<(), BundleError> {
        let encrypted =
            EncryptedPrivateKeyInfoRef::try_from(der).map_err(|error| malformed("PKCS#8", error))?;
        let secret = encrypted.decrypt(passphrase.unwrap_or_default()).map_err(|_| refused(passphrase))?;
        self.extend([], [PrivatePkcs8KeyDer::from(secret.as_bytes().to_vec()).into()])
    }

    fn add_pkcs7(&mut self, der: &[u8]) -> Result<(), BundleError> {
        let found = pkcs7::certificates(der).map_err(|error| malformed("PKCS#7", error))?;
        found.iter().try_for_each(|certificate| self.add_certificate(certificate))
    }

    fn add_pkcs12(&mut self, der: &[u8], passphrase: Option<&str>) -> Result<(), BundleError> {
        match pkcs12::read(der, passphrase.unwrap_or_default()) {
            Ok((certificates, keys)) => self.extend(certificates, keys),
            Err(Pkcs12Problem::Passphrase) => Err(refused(passphrase)),
            Err(Pkcs12Problem::Malformed(error)) => Err(malformed("PKCS#12", error)),
        }
    }

    fn extend(
        &mut self,
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
        keys: impl IntoIterator<Item = PrivateKeyDer<'static>>,
    ) -> Result<(), BundleError> {
        for certificate in certificates {
            if !self.certificates.contains(&certificate) {
                self.certificates.push(certificate);
            }
        }
        self.keys.extend(keys);
        let full = self.certificates.len() > ITEMS_MAX || self.keys.len() > ITEMS_MAX;
        if full { Err(BundleError::TooMany) } else { Ok(()) }
    }
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.first() != Some(&0x30) && memchr::memmem::find(bytes, b"-----BEGIN ").is_some()
}

fn malformed(what: &'static str, error: impl std::fmt::Display) -> BundleError {
    BundleError::Malformed { what, error: crate::trust::printable(&error.to_string()) }
}

fn refused(passphrase: Option<&str>) -> BundleError {
    if passphrase.is_some() { BundleError::WrongPassphrase } else { BundleError::PassphraseNeeded }
}

/// EncryptedPrivateKeyInfo begins with an AlgorithmIdentifier, and a certificate with a body that
/// begins with a version or number.
fn is_encrypted_key(content: &[u8]) -> bool {
    sequence_content(content).is_none() && inner(content).is_some_and(|body| body.first() == Some(&0x06))
}

/// The content of one SEQUENCE that takes up all octets.
fn sequence_content(der: &[u8]) -> Option<&[u8]> {
    use x509_cert::der::{AnyRef, Decode, Tag, Tagged};
    let any = AnyRef::from_der(der).ok()?;
    (any.tag() == Tag::Sequence).then(|| any.value())
}

/// The content of the first value.
fn inner(content: &[u8]) -> Option<&[u8]> {
    use x509_cert::der::{AnyRef, Decode, SliceReader};
    let mut reader = SliceReader::new(content).ok()?;
    AnyRef::decode(&mut reader).ok().map(AnyRef::value)
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
