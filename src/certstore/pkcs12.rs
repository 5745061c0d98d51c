//! PKCS#12 (RFC 7292): what Windows, Java and OpenSSL keep a certificate with its key in. Read with
//! today's and yesterday's algorithms, written with PBES2, AES-256 and SHA-256.

use p12_keystore::error::Error;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, Pkcs12Archive, PrivateKey, PrivateKeyChain};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::policy::OwnCertificate;

/// Rounds of PBKDF2 in what we write.
const ITERATIONS: u32 = 100_000;

/// Why a PKCS#12 file gave nothing.
#[derive(Debug)]
pub enum Pkcs12Problem {
    Passphrase,
    Malformed(String),
}

/// Why no PKCS#12 file was written.
#[derive(Debug, thiserror::Error)]
#[error("certificate {thumbprint} cannot be written as PKCS#12: {error}; use another passphrase")]
pub struct ExportError {
    thumbprint: String,
    error: String,
}

type Content = (Vec<CertificateDer<'static>>, Vec<PrivateKeyDer<'static>>);

/// Every certificate and key in the file.
pub fn read(der: &[u8], passphrase: &str) -> Result<Content, Pkcs12Problem> {
    let archive = Pkcs12Archive::from_pkcs12(der, passphrase).map_err(problem)?;
    let certificates = archive.certs.iter().map(|bag| CertificateDer::from(bag.cert.as_der().to_vec()));
    let keys = archive.keys.iter().map(|bag| PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec()).into());
    Ok((certificates.collect(), keys.collect()))
}

/// A wrong passphrase shows as a wrong MAC, or in a file without one as nonsense after decryption.
fn problem(error: Error) -> Pkcs12Problem {
    match error {
        Error::MacError(_) | Error::Pkcs5Error(_) | Error::UnpadError | Error::InvalidPrivateKey => {
            Pkcs12Problem::Passphrase
        }
        other => Pkcs12Problem::Malformed(other.to_string()),
    }
}

/// A PKCS#12 file with the key and the chain.
pub fn export(certificate: &OwnCertificate, passphrase: &str) -> Result<Vec<u8>, ExportError> {
    let failed =
        |error: Error| ExportError { thumbprint: certificate.thumbprint.clone(), error: error.to_string() };
    let key = PrivateKey::from_der(certificate.key.secret_der()).map_err(failed)?;
    let chain: Result<Vec<_>, _> = certificate.chain.iter().map(|der| Certificate::from_der(der)).collect();
    let chain = PrivateKeyChain::new(certificate.thumbprint.as_bytes(), key, chain.map_err(failed)?);
    let name = certificate.names.first().unwrap_or(&certificate.thumbprint);
    let mut store = KeyStore::new();
    store.add_entry(name, KeyStoreEntry::PrivateKeyChain(chain));
    let writer = store.writer(passphrase).encryption_iterations(ITERATIONS).mac_iterations(ITERATIONS);
    writer.write().map_err(failed)
}
