//! One signature in a chain or on a revocation list, checked with the provider's algorithms.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::certificate::{algorithm_name, read_certificate, rsa_bits};
use super::der;

/// Why a signature does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SignatureProblem {
    /// Algorithm or key too weak or not supported, in words.
    Weak(String),
    /// Another key made it, or the octets were changed.
    Wrong,
}

/// `signature_algorithms`: how a certificate is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    RsaSha256,
    RsaSha384,
    RsaSha512,
    /// RSASSA-PSS with SHA-256 or better.
    RsaPss,
    EcdsaSha256,
    EcdsaSha384,
    EcdsaSha512,
    Ed25519,
}

impl SignatureAlgorithm {
    /// As the configuration writes them.
    pub const NAMES: [&'static str; 8] = [
        "rsa-sha256",
        "rsa-sha384",
        "rsa-sha512",
        "rsa-pss",
        "ecdsa-sha256",
        "ecdsa-sha384",
        "ecdsa-sha512",
        "ed25519",
    ];
    const ALL: [Self; 8] = [
        Self::RsaSha256,
        Self::RsaSha384,
        Self::RsaSha512,
        Self::RsaPss,
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::Ed25519,
    ];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|known| *known == name).map(|at| Self::ALL[at])
    }

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// How a certificate is signed; none for what has no name here, or cannot be read.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
        Self::of(&read_certificate(certificate).ok()?)
    }

    pub(super) fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        Some(match certificate.signature_algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.11" => Self::RsaSha256,
            "1.2.840.113549.1.1.12" => Self::RsaSha384,
            "1.2.840.113549.1.1.13" => Self::RsaSha512,
            "1.2.840.113549.1.1.10" => Self::RsaPss,
            "1.2.840.10045.4.3.2" => Self::EcdsaSha256,
            "1.2.840.10045.4.3.3" => Self::EcdsaSha384,
            "1.2.840.10045.4.3.4" => Self::EcdsaSha512,
            "1.3.101.112" => Self::Ed25519,
            _ => return None,
        })
    }
}

/// RSA keys that the provider takes, in bits (RFC 8446 names no limits; CA/Browser Forum 6.1.5).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Whether `issuer` issued `certificate`: the names fit, and the signature was made with its key as
/// far as the algorithm is one that can be checked. For putting chains in order, not for trust.
pub fn is_issued_by(certificate: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> bool {
    let (Ok(child), Ok(parent)) = (read_certificate(certificate), read_certificate(issuer)) else {
        return false;
    };
    let key = der::content(parent.public_key().raw);
    child.issuer().as_raw() == parent.subject().as_raw()
        && key.is_some_and(|key| verify(certificate, key) != Err(SignatureProblem::Wrong))
}

/// Checks the signature on a certificate or list with the issuer's SubjectPublicKeyInfo, given
/// without its own tag and length as trust anchors keep it.
pub(super) fn verify(signed_der: &[u8], issuer_key_content: &[u8]) -> Result<(), SignatureProblem> {
    let signed = der::signed(signed_der).ok_or(SignatureProblem::Wrong)?;
    let key = der::public_key(issuer_key_content).ok_or(SignatureProblem::Wrong)?;
    let whole_key = der::sequence(issuer_key_content);
    if let Ok((_, info)) = SubjectPublicKeyInfo::from_der(&whole_key)
        && let Some(problem) = weak_key(&info)
    {
        return Err(SignatureProblem::Weak(format!("the issuer's key: {problem}")));
    }
    let mut known = webpki::ALL_VERIFICATION_ALGS
        .iter()
        .filter(|algorithm| algorithm.signature_alg_id().as_ref() == signed.algorithm)
        .peekable();
    if known.peek().is_none() {
        return Err(SignatureProblem::Weak(signature_name(signed_der)));
    }
    match known.find(|algorithm| algorithm.public_key_alg_id().as_ref() == key.algorithm) {
        Some(algorithm) => algorithm
            .verify_signature(key.key, signed.signed, signed.signature)
            .map_err(|_| SignatureProblem::Wrong),
        None => Err(SignatureProblem::Wrong),
    }
}

/// An RSA key shorter than a policy asks for; of other kinds none is.
pub(super) fn short_key(info: &SubjectPublicKeyInfo<'_>, minimum_bits: usize) -> Option<String> {
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => {
            let bits = rsa_bits(key.modulus);
            (bits < minimum_bits).then(|| format!("RSA of {bits} bits"))
        }
        _ => None,
    }
}

/// What is wrong with a signature's algorithm, whoever made it.
pub(super) fn weak_signature(signed_der: &[u8]) -> Option<String> {
    let signed = der::signed(signed_der)?;
    let known = webpki::ALL_VERIFICATION_ALGS
        .iter()
        .any(|algorithm| algorithm.signature_alg_id().as_ref() == signed.algorithm);
    (!known).then(|| signature_name(signed_der))
}

/// What is wrong with a key: a size or kind that no handshake with us could use.
pub(super) fn weak_key(info: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => {
            let bits = rsa_bits(key.modulus);
            let good = RSA_BITS.contains(&bits) && bits.is_multiple_of(8);
            (!good).then(|| format!("RSA of {bits} bits"))
        }
        Ok(
            PublicKey::EC(_)
            | PublicKey::DSA(_)
            | PublicKey::GostR3410(_)
            | PublicKey::GostR3410_2012(_)
            | PublicKey::Unknown(_),
        )
        | Err(_) => unknown_key(info),
    }
}

fn unknown_key(info: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    let algorithm = der::content(info.raw).and_then(der::public_key)?.algorithm;
    let known = webpki::ALL_VERIFICATION_ALGS
        .iter()
        .any(|supported| supported.public_key_alg_id().as_ref() == algorithm);
    (!known).then(|| {
        let curve = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
        let name = algorithm_name(&info.algorithm.algorithm.to_id_string());
        curve.map_or(name.clone(), |curve| format!("{name} with curve {}", curve.to_id_string()))
    })
}

fn signature_name(signed_der: &[u8]) -> String {
    let name = match X509Certificate::from_der(signed_der) {
        Ok((_, parsed)) => algorithm_name(&parsed.signature_algorithm.algorithm.to_id_string()),
        Err(_) => "an algorithm that is not supported".into(),
    };
    format!("signed with {name}")
}
