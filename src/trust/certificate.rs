//! The facts of one certificate in words, for logs, stamp, replies and commands. Everything in a
//! certificate is chosen by a stranger: control characters are escaped before anyone reads them.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_cert::der::Decode;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use crate::mail::text::escape;

use super::requirement::SpkiPin;

/// What operators want to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// RFC 4514.
    pub subject: String,
    pub issuer: String,
    /// Lower-case hex, as many digits as octets ask for.
    pub serial: String,
    /// SHA-256 of the certificate, lower-case hex.
    pub thumbprint: String,
    /// subjectAltName dNSNames as written.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Such as `RSA 2048` or `EC P-256`.
    pub key: String,
}

/// The certificate cannot be read; the text says where reading stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate cannot be read ({0}); have it exported anew")]
pub struct CertificateUnreadable(pub String);

impl CertificateFacts {
    /// # Errors
    /// When the octets are not one X.509 certificate.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, CertificateUnreadable> {
        let parsed = read_certificate(certificate)?;
        Self::of(&parsed, certificate)
    }

    pub(super) fn of(
        parsed: &X509Certificate<'_>,
        certificate: &CertificateDer<'_>,
    ) -> Result<Self, CertificateUnreadable> {
        let time = |seconds: i64| {
            Timestamp::from_second(seconds).map_err(|error| CertificateUnreadable(error.to_string()))
        };
        Ok(Self {
            subject: distinguished_name(parsed.subject().as_raw()),
            issuer: distinguished_name(parsed.issuer().as_raw()),
            serial: hex(parsed.raw_serial()),
            thumbprint: thumbprint(certificate),
            names: dns_names(parsed).map(printable).collect(),
            not_before: time(parsed.validity().not_before.timestamp())?,
            not_after: time(parsed.validity().not_after.timestamp())?,
            key: key_words(parsed),
        })
    }
}

/// Reads one certificate and nothing behind it.
pub(super) fn read_certificate<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, CertificateUnreadable> {
    let (rest, parsed) = X509Certificate::from_der(certificate.as_ref())
        .map_err(|error| CertificateUnreadable(error.to_string()))?;
    if rest.is_empty() { Ok(parsed) } else { Err(CertificateUnreadable("octets behind the end".into())) }
}

/// SHA-256 of a certificate, lower-case hex.
pub fn thumbprint(certificate: &CertificateDer<'_>) -> String {
    hex(&Sha256::digest(certificate.as_ref()))
}

/// The pin of a certificate's key; `None` where the certificate cannot be read.
pub fn spki_pin(certificate: &CertificateDer<'_>) -> Option<SpkiPin> {
    Some(SpkiPin::of(read_certificate(certificate).ok()?.public_key().raw))
}

/// As PEM (RFC 7468), to be pasted into a file.
pub fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let digits: String = certificate.chunks(3).map(super::pin::quartet).collect();
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in digits.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// A distinguished name (DER) by RFC 4514, control characters escaped.
pub fn distinguished_name(der: &[u8]) -> String {
    match x509_cert::name::Name::from_der(der) {
        Ok(name) => printable(&name.to_string()),
        Err(_) => format!("#{}", hex(der)),
    }
}

/// The dNSNames of the subjectAltName; none when it cannot be read.
pub(super) fn dns_names<'a>(parsed: &'a X509Certificate<'_>) -> impl Iterator<Item = &'a str> {
    let names = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(san) => Some(san.general_names.as_slice()),
        _ => None,
    });
    names.unwrap_or_default().iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    })
}

/// Names of strangers made safe for one line.
pub fn printable(text: &str) -> String {
    escape(text).into_owned()
}

/// Lower-case hexadecimal digits, two an octet, without separators.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn key_words(parsed: &X509Certificate<'_>) -> String {
    let info = parsed.public_key();
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", rsa_bits(key.modulus)),
        Ok(PublicKey::EC(_)) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            format!("EC {}", curve.map_or("?".into(), |oid| curve_name(&oid.to_id_string())))
        }
        Ok(PublicKey::DSA(_)) => "DSA".into(),
        Ok(PublicKey::GostR3410(_) | PublicKey::GostR3410_2012(_) | PublicKey::Unknown(_)) | Err(_) => {
            algorithm_name(&info.algorithm.algorithm.to_id_string())
        }
    }
}

/// Bits of an RSA modulus, without the sign octet.
pub(super) fn rsa_bits(modulus: &[u8]) -> usize {
    let zeros = modulus.iter().take_while(|&&octet| octet == 0).count();
    let octets = &modulus[zeros..];
    octets.first().map_or(0, |first| octets.len() * 8 - first.leading_zeros() as usize)
}

fn curve_name(oid: &str) -> String {
    match oid {
        "1.2.840.10045.3.1.7" => "P-256".into(),
        "1.3.132.0.34" => "P-384".into(),
        "1.3.132.0.35" => "P-521".into(),
        "1.3.132.0.10" => "secp256k1".into(),
        "1.2.840.10045.3.1.1" => "P-192".into(),
        other => other.into(),
    }
}

/// Names of key and signature algorithms that turn up in certificates; else the OID.
pub(super) fn algorithm_name(oid: &str) -> String {
    let name = match oid {
        "1.2.840.113549.1.1.2" => "MD2 with RSA",
        "1.2.840.113549.1.1.4" => "MD5 with RSA",
        "1.2.840.113549.1.1.5" => "SHA-1 with RSA",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "SHA-256 with RSA",
        "1.2.840.113549.1.1.12" => "SHA-384 with RSA",
        "1.2.840.113549.1.1.13" => "SHA-512 with RSA",
        "1.2.840.113549.1.1.14" => "SHA-224 with RSA",
        "1.2.840.10040.4.1" => "DSA",
        "1.2.840.10040.4.3" => "SHA-1 with DSA",
        "2.16.840.1.101.3.4.3.2" => "SHA-256 with DSA",
        "1.2.840.10045.4.1" => "SHA-1 with ECDSA",
        "1.2.840.10045.4.3.1" => "SHA-224 with ECDSA",
        "1.2.840.10045.4.3.2" => "SHA-256 with ECDSA",
        "1.2.840.10045.4.3.3" => "SHA-384 with ECDSA",
        "1.2.840.10045.4.3.4" => "SHA-512 with ECDSA",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        "2.16.840.1.101.3.4.3.17" => "ML-DSA-44",
        "2.16.840.1.101.3.4.3.18" => "ML-DSA-65",
        "2.16.840.1.101.3.4.3.19" => "ML-DSA-87",
        other => return format!("algorithm {other}"),
    };
    name.into()
}
