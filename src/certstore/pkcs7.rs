//! PKCS#7: the certificates of a degenerate SignedData (RFC 5652 5.1 and 5.2), which is how many CAs
//! answer. Only cut, never written again: a signature stands over the octets as they came.

use rustls::pki_types::CertificateDer;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{AnyRef, Decode, Reader, SliceReader};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// `certificates [0] IMPLICIT CertificateSet`
const CERTIFICATES: u8 = 0xa0;
/// A plain X.509 certificate; the other choices are attribute certificates and their like.
const SEQUENCE: u8 = 0x30;

/// Where reading stopped, in words.
pub fn certificates(der: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let stopped = |error: x509_cert::der::Error| error.to_string();
    let content_info = AnyRef::from_der(der).map_err(stopped)?;
    let mut reader = SliceReader::new(content_info.value()).map_err(stopped)?;
    let kind = ObjectIdentifier::decode(&mut reader).map_err(stopped)?;
    if kind != SIGNED_DATA {
        return Err(format!("its content is of type {kind}, not signed data"));
    }
    let explicit = AnyRef::decode(&mut reader).map_err(stopped)?;
    let signed_data = AnyRef::from_der(explicit.value()).map_err(stopped)?;
    let mut certificates = Vec::new();
    for field in members(signed_data.value()).map_err(stopped)? {
        if field.first() == Some(&CERTIFICATES) {
            let set = AnyRef::from_der(field).map_err(stopped)?;
            let found = members(set.value()).map_err(stopped)?;
            let plain = found.into_iter().filter(|member| member.first() == Some(&SEQUENCE));
            certificates.extend(plain.map(|member| CertificateDer::from(member.to_vec())));
        }
    }
    Ok(certificates)
}

/// The values one behind the other, each with tag and length.
fn members(content: &[u8]) -> Result<Vec<&[u8]>, x509_cert::der::Error> {
    let mut reader = SliceReader::new(content)?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        found.push(reader.tlv_bytes()?);
    }
    Ok(found)
}
