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
