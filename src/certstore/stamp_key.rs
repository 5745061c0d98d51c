//! The key that signs stamps: read from a file, made anew, and what the DNS says of it (RFC 6376 3.6.1,
//! RFC 8463, RFC 8301).

use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64ct::{Base64, Encoding as _};
use rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use crate::policy::{StampAlgorithm, StampKey};

use super::load::{self, CertificateError};
use super::writer::pem;

/// Bits of an RSA modulus: fewer are too weak (RFC 8301 3.2), more do not fit the DNS.
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 4096;
/// Octets of one string of a TXT record (RFC 1035 3.3).
const TXT_STRING_BYTES_MAX: usize = 255;

/// Why a key cannot sign stamps.
#[derive(Debug, thiserror::Error)]
pub enum StampKeyError {
    #[error("{0}")]
    File(#[from] CertificateError),
    #[error(
        "the key in {} cannot sign stamps: {error}; make one with `sealpost stamp key`, Ed25519 or RSA of 2048 to 4096 bits",
        path.display()
    )]
    Unusable { path: PathBuf, error: String },
    #[error("no key could be made: {0}; try again")]
    Generation(String),
}

/// A kind of key that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampKeyKind {
    Ed25519,
    Rsa2048,
    Rsa4096,
}

/// Reads a private key in PEM (PKCS#8, or PKCS#1 for RSA).
///
/// # Errors
/// Also a key of another kind or size.
pub fn read(path: &Path) -> Result<StampKey, StampKeyError> {
    let key = load::read_key(path)?;
    let unusable = |error: String| StampKeyError::Unusable { path: path.to_owned(), error };
    let rsa = |pair: RsaKeyPair, der: &[u8]| {
        let bits = pair.public_modulus_len() * 8;
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
            return Err(unusable(format!("it is RSA of {bits} bits")));
        }
        let public: PublicKeyX509Der<'_> = pair
            .public_key()
            .as_der()
            .map_err(|_| unusable("its public half cannot be written".to_owned()))?;
        let public = public.as_ref().to_vec();
        Ok(StampKey { algorithm: StampAlgorithm::Rsa, der: Zeroizing::new(der.to_vec()), public })
    };
    match &key {
        PrivateKeyDer::Pkcs8(der) => {
            let der = der.secret_pkcs8_der();
            if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
                let public = pair.public_key().as_ref().to_vec();
                let der = Zeroizing::new(der.to_vec());
                return Ok(StampKey { algorithm: StampAlgorithm::Ed25519, der, public });
            }
            rsa(RsaKeyPair::from_pkcs8(der).map_err(|error| unusable(error.to_string()))?, der)
        }
        PrivateKeyDer::Pkcs1(der) => {
            let der = der.secret_pkcs1_der();
            rsa(RsaKeyPair::from_der(der).map_err(|error| unusable(error.to_string()))?, der)
        }
        _ => Err(unusable("it is neither Ed25519 nor RSA".to_owned())),
    }
}

/// A new private key in PEM.
pub fn generate(kind: StampKeyKind) -> Result<Zeroizing<String>, StampKeyError> {
    let failed = |_| StampKeyError::Generation("the cryptographic library refused".to_owned());
    let rsa = |size| -> Result<_, StampKeyError> {
        let pair = RsaKeyPair::generate(size).map_err(failed)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
        Ok(pem("PRIVATE KEY", der.as_ref()))
    };
    match kind {
        StampKeyKind::Ed25519 => {
            let pair = Ed25519KeyPair::generate().map_err(failed)?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
            Ok(pem("PRIVATE KEY", der.as_ref()))
        }
        StampKeyKind::Rsa2048 => rsa(KeySize::Rsa2048),
        StampKeyKind::Rsa4096 => rsa(KeySize::Rsa4096),
    }
}

/// The text of the TXT record.
pub fn record(key: &StampKey) -> String {
    format!("v=DKIM1; k={}; p={}", key.algorithm.name(), Base64::encode_string(&key.public))
}

/// The record as a line of a zone file: strings of at most 255 octets.
pub fn zone_line(name: &str, record: &str) -> String {
    let strings: Vec<String> = record
        .as_bytes()
        .chunks(TXT_STRING_BYTES_MAX)
        .map(|chunk| format!("\"{}\"", String::from_utf8_lossy(chunk)))
        .collect();
    match strings.as_slice() {
        [one] => format!("{name}. IN TXT {one}"),
        several => format!("{name}. IN TXT ( {} )", several.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: StampKeyKind) -> StampKey {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stamp.key");
        std::fs::write(&path, generate(kind).unwrap().as_bytes()).unwrap();
        read(&path).unwrap()
    }

    #[test]
    fn what_is_made_can_be_read_and_published() {
        let key = made(StampKeyKind::Ed25519);
        assert_eq!((key.algorithm, key.public.len()), (StampAlgorithm::Ed25519, 32));
        assert_eq!(record(&key).len(), "v=DKIM1; k=ed25519; p=".len() + 44);
        let line = zone_line("stamp._domainkey.contoso.example", &record(&key));
        assert!(
            line.starts_with("stamp._domainkey.contoso.example. IN TXT \"v=DKIM1; k=ed25519; p="),
            "{line}"
        );
        let key = made(StampKeyKind::Rsa2048);
        assert_eq!(key.algorithm, StampAlgorithm::Rsa);
        let line = zone_line("a.example", &record(&key));
        assert!(
            line.starts_with("a.example. IN TXT ( \"v=DKIM1; k=rsa; p=MII") && line.ends_with("\" )"),
            "{line}"
        );
        let strings: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        assert!(strings.iter().all(|string| string.len() <= 255));
        assert_eq!(strings.concat(), record(&key));
    }

    #[test]
    fn other_keys_are_refused_with_what_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stamp.key");
        let refused = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path).map(drop).unwrap_err().to_string()
        };
        assert!(refused("nothing").contains("holds no private key"));
        let ec = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert!(refused(&ec).contains("cannot sign stamps"));
    }
}
