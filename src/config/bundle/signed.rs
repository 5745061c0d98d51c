//! The signature: Ed25519 (RFC 8032) over the format's name and the content. Three lines of head, an
//! empty one, then the content:
//!
//! ```text
//! sealpost-bundle 1
//! key: ed25519/BASE64
//! signature: BASE64
//! ```

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64ct::{Base64, Encoding as _};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::certstore::pem;
use crate::policy::BundleInForce;

use super::content::{Content, hex};
use super::{BUNDLE_BYTES_MAX, BundleError};

const NAME: &str = "sealpost-bundle ";
const FORMAT: &str = "1";
const PREFIX: &str = "ed25519/";
/// Longest head, octets.
const HEAD_BYTES_MAX: usize = 512;

/// Whose bundles an edge takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// The key that signs, with its PKCS#8.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

/// A bundle whose signature is good and whose signer is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    pub content: Content,
    /// SHA-256 of the content, lower-case hexadecimal: what nodes are compared by.
    pub digest: String,
    pub key: PublicKey,
}

impl Bundle {
    pub fn in_force(&self) -> BundleInForce {
        BundleInForce { serial: self.content.serial, digest: self.digest.clone() }
    }
}

impl SigningKey {
    /// # Errors
    /// Without random numbers, that is never.
    pub fn generate() -> Result<Self, BundleError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| BundleError::BadSigningKey)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| BundleError::BadSigningKey)?;
        Ok(Self { pair, pkcs8: Zeroizing::new(pkcs8.as_ref().to_vec()) })
    }

    /// PKCS#8 in PEM, ours or what `openssl genpkey -algorithm ed25519` writes.
    ///
    /// # Errors
    /// `BadSigningKey`.
    pub fn from_pem(text: &[u8]) -> Result<Self, BundleError> {
        let Ok(PrivateKeyDer::Pkcs8(der)) = PrivateKeyDer::from_pem_slice(text) else {
            return Err(BundleError::BadSigningKey);
        };
        let pkcs8 = Zeroizing::new(der.secret_pkcs8_der().to_vec());
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| BundleError::BadSigningKey)?;
        Ok(Self { pair, pkcs8 })
    }

    pub fn to_pem(&self) -> Zeroizing<String> {
        pem("PRIVATE KEY", &self.pkcs8)
    }

    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(key)
    }
}

impl FromStr for PublicKey {
    type Err = BundleError;

    fn from_str(text: &str) -> Result<Self, BundleError> {
        let bad = || BundleError::BadPublicKey(text.chars().take(80).collect());
        let encoded = text.strip_prefix(PREFIX).ok_or_else(bad)?;
        let bytes = Base64::decode_vec(encoded).map_err(|_| bad())?;
        bytes.try_into().map(Self).map_err(|_| bad())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", Base64::encode_string(&self.0))
    }
}

/// The content with its signature. The same content and key give the same octets.
///
/// # Errors
/// `TooLarge`.
pub fn seal(content: &Content, key: &SigningKey) -> Result<Vec<u8>, BundleError> {
    let content = content.to_octets();
    let signature = key.pair.sign(&signed_octets(&content));
    let signature = Base64::encode_string(signature.as_ref());
    let mut bundle =
        format!("{NAME}{FORMAT}\nkey: {}\nsignature: {signature}\n\n", key.public()).into_bytes();
    bundle.extend_from_slice(&content);
    if bundle.len() as u64 > BUNDLE_BYTES_MAX { Err(BundleError::TooLarge("64 MiB")) } else { Ok(bundle) }
}

/// Looks at nothing of the content before signer and signature are good.
///
/// # Errors
/// Whatever keeps it from being taken.
pub fn open(bytes: &[u8], trusted: &[PublicKey]) -> Result<Bundle, BundleError> {
    open_if(bytes, |key| trusted.contains(key))
}

/// As `open`, whoever signed it: to say which bundle a file is, and for nothing else.
///
/// # Errors
/// As for `open`, but for `UntrustedKey`.
pub fn peek(bytes: &[u8]) -> Result<Bundle, BundleError> {
    open_if(bytes, |_| true)
}

fn open_if(bytes: &[u8], trusts: impl Fn(&PublicKey) -> bool) -> Result<Bundle, BundleError> {
    if bytes.len() as u64 > BUNDLE_BYTES_MAX {
        return Err(BundleError::TooLarge("64 MiB"));
    }
    let head_end = bytes.windows(2).take(HEAD_BYTES_MAX).position(|pair| pair == b"\n\n");
    let head_end = head_end.ok_or(BundleError::NoBundle)?;
    let head = std::str::from_utf8(&bytes[..head_end]).map_err(|_| BundleError::NoBundle)?;
    let content = &bytes[head_end + 2..];
    let mut lines = head.lines();
    let format = lines.next().and_then(|line| line.strip_prefix(NAME)).ok_or(BundleError::NoBundle)?;
    if format != FORMAT {
        return Err(BundleError::OtherFormat(format.chars().take(20).collect()));
    }
    let mut field = |name| lines.next().and_then(|line| line.strip_prefix(name)).ok_or(BundleError::NoBundle);
    let key: PublicKey = field("key: ")?.parse()?;
    let signature = Base64::decode_vec(field("signature: ")?).map_err(|_| BundleError::BadSignature)?;
    if !trusts(&key) {
        return Err(BundleError::UntrustedKey(key));
    }
    let public = UnparsedPublicKey::new(&ED25519, key.0);
    public.verify(&signed_octets(content), &signature).map_err(|_| BundleError::BadSignature)?;
    let digest = hex(&Sha256::digest(content));
    Ok(Bundle { content: Content::from_octets(content)?, digest, key })
}

/// The format's name stands before the content, so that no signature made for another purpose fits.
fn signed_octets(content: &[u8]) -> Vec<u8> {
    [NAME.as_bytes(), FORMAT.as_bytes(), b"\n", content].concat()
}
