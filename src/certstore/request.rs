//! Asking for a certificate: the key, the PKCS#10 request (RFC 2986) with its names as
//! subjectAltName, and the self-signed certificate for labs and pins. Written by hand around
//! x509-cert's parts, because rcgen's names hold each attribute only once (`DC=com,DC=Contoso`).

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData as _, RsaKeySize, SigningKey as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::asn1::{Ia5String, ObjectIdentifier, OctetString};
use x509_cert::der::flagset::FlagSet;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Any, Encode, Tag, TagNumber};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName};
use x509_cert::time::Time;

use super::subject::Subject;

const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
/// AlgorithmIdentifiers of the signatures, whole (RFC 5758 3.2, RFC 8017 A.2.4).
const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const RSA_SHA256: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 11, 5, 0];

/// A kind of key that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    EcP256,
    EcP384,
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

/// What a request or certificate says.
#[derive(Clone, Debug)]
pub struct RequestTerms {
    pub subject: Subject,
    /// For the subjectAltName, A-labels, perhaps with a left-most wildcard.
    pub names: Vec<String>,
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("no key could be made: {0}; try again")]
    KeyGeneration(rcgen::Error),
    #[error("the key of the old certificate cannot be used again: {0}; leave out --keep-key")]
    OldKey(String),
    #[error("the request could not be written: {0}; shorten the subject and the names")]
    Encoding(#[from] x509_cert::der::Error),
    #[error("the request could not be signed: {0}; try again")]
    Signing(rcgen::Error),
}

impl KeyKind {
    /// As `--key` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
        }
    }

    pub fn generate(self) -> Result<KeyPair, RequestError> {
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        match self {
            Self::EcP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::EcP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::Rsa2048 => rsa(RsaKeySize::_2048),
            Self::Rsa3072 => rsa(RsaKeySize::_3072),
            Self::Rsa4096 => rsa(RsaKeySize::_4096),
        }
        .map_err(RequestError::KeyGeneration)
    }
}

/// A key of ours, to be used once more.
pub fn key_pair(key: &PrivateKeyDer<'_>) -> Result<KeyPair, RequestError> {
    let pair = KeyPair::try_from(key).map_err(|error| RequestError::OldKey(error.to_string()))?;
    signature_algorithm(&pair).map(|_| pair)
}

/// The PKCS#10 request in DER.
pub fn signing_request(terms: &RequestTerms, key: &KeyPair) -> Result<Vec<u8>, RequestError> {
    let values = value(Tag::Set, &sequence(&extensions(terms, false)?)?)?;
    let attribute = sequence(&[EXTENSION_REQUEST.to_der()?, values].concat())?;
    let attributes = value(context(0), &attribute)?;
    let info = [vec![2, 1, 0], terms.subject.to_der(), key.subject_public_key_info(), attributes].concat();
    signed(&sequence(&info)?, key)
}

/// A certificate that vouches for itself, for servers and clients.
pub fn self_signed_certificate(
    terms: &RequestTerms,
    key: &KeyPair,
    now: Timestamp,
    lifetime: Duration,
) -> Result<CertificateDer<'static>, RequestError> {
    let begin = Duration::from_secs(now.as_second().max(0).unsigned_abs());
    let validity = [time(begin)?, time(begin + lifetime)?].concat();
    // 126 random bits, the first of them set: never negative, never short (RFC 5280 4.1.2.2).
    let serial = (rand::random::<u128>() >> 2 | 1 << 125).to_be_bytes();
    let body = [
        value(context(0), &[2, 1, 2])?,
        value(Tag::Integer, &serial)?,
        signature_algorithm(key)?.to_vec(),
        terms.subject.to_der(),
        sequence(&validity)?,
        terms.subject.to_der(),
        key.subject_public_key_info(),
        value(context(3), &sequence(&extensions(terms, true)?)?)?,
    ];
    signed(&sequence(&body.concat())?, key).map(CertificateDer::from)
}

fn signed(body: &[u8], key: &KeyPair) -> Result<Vec<u8>, RequestError> {
    let algorithm = signature_algorithm(key)?;
    let signature = key.sign(body).map_err(RequestError::Signing)?;
    let signature = value(Tag::BitString, &[&[0], &signature[..]].concat())?;
    Ok(sequence(&[body, algorithm, &signature].concat())?)
}

fn signature_algorithm(key: &KeyPair) -> Result<&'static [u8], RequestError> {
    let known = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, ECDSA_SHA256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, ECDSA_SHA384),
        (&rcgen::PKCS_RSA_SHA256, RSA_SHA256),
    ];
    let found = known.into_iter().find(|(algorithm, _)| *algorithm == key.algorithm());
    let found = found.map(|(_, identifier)| identifier);
    found.ok_or_else(|| RequestError::OldKey("its algorithm is none we make requests for".to_owned()))
}

/// What the key is for: handshakes as a server and as a client, since we are both; and the names.
fn extensions(terms: &RequestTerms, certificate: bool) -> Result<Vec<u8>, x509_cert::der::Error> {
    let usage = KeyUsage(FlagSet::from(KeyUsages::DigitalSignature));
    let purposes = ExtendedKeyUsage(vec![SERVER_AUTH, CLIENT_AUTH]);
    let mut extensions = extension(KeyUsage::OID, true, &usage.to_der()?)?;
    extensions.extend(extension(ExtendedKeyUsage::OID, false, &purposes.to_der()?)?);
    if certificate {
        let no_authority = BasicConstraints { ca: false, path_len_constraint: None };
        extensions.extend(extension(BasicConstraints::OID, true, &no_authority.to_der()?)?);
    }
    let names: Result<Vec<_>, _> =
        terms.names.iter().map(|name| Ia5String::new(name).map(GeneralName::DnsName)).collect();
    extensions.extend(extension(SubjectAltName::OID, false, &SubjectAltName(names?).to_der()?)?);
    Ok(extensions)
}

fn extension(id: ObjectIdentifier, critical: bool, content: &[u8]) -> Result<Vec<u8>, x509_cert::der::Error> {
    Extension { extn_id: id, critical, extn_value: OctetString::new(content)? }.to_der()
}

/// UTCTime until 2049, GeneralizedTime from then on (RFC 5280 4.1.2.5).
fn time(since_epoch: Duration) -> Result<Vec<u8>, x509_cert::der::Error> {
    Time::try_from(std::time::SystemTime::UNIX_EPOCH + since_epoch)?.to_der()
}

fn sequence(content: &[u8]) -> Result<Vec<u8>, x509_cert::der::Error> {
    value(Tag::Sequence, content)
}

fn value(tag: Tag, content: &[u8]) -> Result<Vec<u8>, x509_cert::der::Error> {
    Any::new(tag, content)?.to_der()
}

fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
