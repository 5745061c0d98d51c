//! OCSP responses, written octet by octet (RFC 6960 4.2.1, X.690), so that what reads them is not
//! held against itself. Signed by ECDSA on P-256 with SHA-256.
#![allow(dead_code, reason = "each test that includes it uses a part")]

use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, SigningKey};
use rustls::pki_types::CertificateDer;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

#[derive(Clone, Debug)]
pub enum Status {
    Good,
    /// With the code of the reason.
    Revoked(Timestamp, Option<u8>),
    Unknown,
}

/// A response as it is wished for; `Response::of` makes the ordinary one.
#[derive(Clone, Debug)]
pub struct Response {
    pub outcome: u8,
    pub version: Option<u8>,
    pub with_sha256: bool,
    pub issuer_name: Vec<u8>,
    pub issuer_key: Vec<u8>,
    pub serial: Vec<u8>,
    pub status: Status,
    pub this_update: Timestamp,
    pub next_update: Option<Timestamp>,
    /// Object identifier (encoded) of an extension, and whether it is critical.
    pub extension: Option<(Vec<u8>, bool)>,
    /// Certificates that go with it.
    pub enclosed: Vec<CertificateDer<'static>>,
}

impl Response {
    /// About `certificate`, whose issuer's certificate is the other: good from an hour before
    /// `now` to a week after.
    pub fn of(certificate: &CertificateDer<'_>, issuer: &CertificateDer<'_>, now: Timestamp) -> Self {
        let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
        let (_, issuer) = X509Certificate::from_der(issuer).unwrap();
        Self {
            outcome: 0,
            version: None,
            with_sha256: false,
            issuer_name: issuer.subject().as_raw().to_vec(),
            issuer_key: issuer.public_key().subject_public_key.data.to_vec(),
            serial: certificate.raw_serial().to_vec(),
            status: Status::Good,
            this_update: now - SignedDuration::from_hours(1),
            next_update: Some(now + SignedDuration::from_hours(7 * 24)),
            extension: None,
            enclosed: Vec::new(),
        }
    }

    pub fn revoked(self, date: Timestamp, reason: Option<u8>) -> Self {
        Self { status: Status::Revoked(date, reason), ..self }
    }

    pub fn between(self, this_update: Timestamp, next_update: Option<Timestamp>) -> Self {
        Self { this_update, next_update, ..self }
    }

    pub fn enclosing(self, certificate: &CertificateDer<'_>) -> Self {
        Self { enclosed: vec![certificate.clone().into_owned()], ..self }
    }

    pub fn signed_by(&self, key: &KeyPair) -> Vec<u8> {
        if self.outcome != 0 {
            return sequence(&[tagged(0x0A, &[&[self.outcome]])]);
        }
        let data = self.data();
        let signature = tagged(0x03, &[&[0], &key.sign(&data).unwrap()]);
        let algorithm = sequence(&[tagged(0x06, &[&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2]])]);
        let mut basic = vec![data, algorithm, signature];
        if !self.enclosed.is_empty() {
            let all: Vec<&[u8]> = self.enclosed.iter().map(AsRef::as_ref).collect();
            basic.push(tagged(0xA0, &[&tagged(0x30, &all)]));
        }
        let kind = tagged(0x06, &[&[0x2B, 6, 1, 5, 5, 7, 0x30, 1, 1]]);
        let bytes = sequence(&[kind, tagged(0x04, &[&sequence(&basic)])]);
        sequence(&[tagged(0x0A, &[&[0]]), tagged(0xA0, &[&bytes])])
    }

    /// ResponseData, which is what is signed.
    fn data(&self) -> Vec<u8> {
        let mut data = Vec::new();
        data.extend(self.version.map(|version| tagged(0xA0, &[&tagged(0x02, &[&[version]])])));
        let key_hash = Sha1::digest(&self.issuer_key);
        data.push(tagged(0xA2, &[&tagged(0x04, &[&key_hash])]));
        data.push(time(0x18, self.this_update));
        data.push(sequence(&[self.single()]));
        data.extend(self.extension.as_ref().map(|(oid, critical)| {
            let mut extension = vec![tagged(0x06, &[oid])];
            extension.extend(critical.then(|| tagged(0x01, &[&[0xFF]])));
            extension.push(tagged(0x04, &[&[5, 0]]));
            tagged(0xA1, &[&sequence(&[sequence(&extension)])])
        }));
        sequence(&data)
    }

    fn single(&self) -> Vec<u8> {
        let digest = |octets: &[u8]| match self.with_sha256 {
            true => Sha256::digest(octets).to_vec(),
            false => Sha1::digest(octets).to_vec(),
        };
        let algorithm: &[u8] = match self.with_sha256 {
            true => &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1],
            false => &[0x2B, 14, 3, 2, 26],
        };
        let id = sequence(&[
            sequence(&[tagged(0x06, &[algorithm]), tagged(0x05, &[])]),
            tagged(0x04, &[&digest(&self.issuer_name)]),
            tagged(0x04, &[&digest(&self.issuer_key)]),
            tagged(0x02, &[&self.serial]),
        ]);
        let status = match &self.status {
            Status::Good => tagged(0x80, &[]),
            Status::Unknown => tagged(0x82, &[]),
            Status::Revoked(date, reason) => {
                let mut revoked = time(0x18, *date);
                revoked
                    .extend(reason.iter().flat_map(|reason| tagged(0xA0, &[&tagged(0x0A, &[&[*reason]])])));
                tagged(0xA1, &[&revoked])
            }
        };
        let mut single = vec![id, status, time(0x18, self.this_update)];
        single.extend(self.next_update.map(|next| tagged(0xA0, &[&time(0x18, next)])));
        sequence(&single)
    }
}

fn time(tag: u8, at: Timestamp) -> Vec<u8> {
    tagged(tag, &[at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()])
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tagged(0x30, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Tag, length, content: the parts one after the other.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let mut whole = match length {
        0..=0x7F => vec![tag, length as u8],
        0x80..=0xFF => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    whole.extend(content);
    whole
}
