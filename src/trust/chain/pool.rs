//! The certificates a peer sent, read once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{BasicConstraints, ExtendedKeyUsage, KeyUsage, ParsedExtension};

use crate::trust::certificate::{distinguished_name, dns_names, hex, printable, read_certificate};
use crate::trust::der;
use crate::trust::signature::{self, SignatureProblem};

/// Certificates considered of one peer; a Certificate message of 64 KB holds no more that matter.
const CERTIFICATES_MAX: usize = 100;

/// One readable certificate.
#[derive(Clone)]
pub struct Certificate<'a> {
    pub der: &'a CertificateDer<'a>,
    pub parsed: X509Certificate<'a>,
}

type CheckedSignatures = HashMap<(usize, Vec<u8>), Result<(), SignatureProblem>>;

pub(super) struct Pool<'a> {
    /// The end-entity first; the others once each, in the order sent.
    pub certificates: Vec<Certificate<'a>>,
    /// Position in what was sent, and why it could not be read.
    pub unreadable: Vec<(usize, String)>,
    /// Signatures checked so far, by certificate and issuer's key: paths share them.
    signatures: RefCell<CheckedSignatures>,
}

impl<'a> Pool<'a> {
    pub(super) fn read(
        leaf: &Certificate<'a>,
        rest: &'a [CertificateDer<'a>],
        configured: &'a [CertificateDer<'static>],
    ) -> Self {
        let mut pool =
            Pool { certificates: vec![leaf.clone()], unreadable: Vec::new(), signatures: RefCell::default() };
        for (index, der) in rest.iter().take(CERTIFICATES_MAX).enumerate() {
            if pool.position(der.as_ref()).is_some() {
                continue;
            }
            match Certificate::read(der) {
                Ok(certificate) => pool.certificates.push(certificate),
                Err(error) => pool.unreadable.push((index + 1, error)),
            }
        }
        // Those of the settings were readable when the settings were read.
        for der in configured {
            if pool.position(der.as_ref()).is_none() {
                pool.certificates.extend(Certificate::read(der));
            }
        }
        pool
    }

    /// Whether the key made the signature on that certificate.
    pub(super) fn signature(&self, member: usize, key_content: &[u8]) -> Result<(), SignatureProblem> {
        let question = (member, key_content.to_vec());
        let check = || signature::verify(self.certificates[member].der.as_ref(), key_content);
        self.signatures.borrow_mut().entry(question).or_insert_with(check).clone()
    }

    pub(super) fn position(&self, der: &[u8]) -> Option<usize> {
        self.certificates.iter().position(|known| known.der.as_ref() == der)
    }
}

impl<'a> Certificate<'a> {
    pub(in crate::trust) fn read(der: &'a CertificateDer<'a>) -> Result<Self, String> {
        let parsed = read_certificate(der).map_err(|error| printable(&error.0))?;
        Ok(Self { der, parsed })
    }

    /// For sentences: subject and serial number. Rendered where it is written, for a good chain
    /// needs no sentence and names are slow to render.
    pub(in crate::trust) fn label(&self) -> impl fmt::Display {
        fmt::from_fn(|f| write!(f, "\"{}\" (serial {})", self.subject(), hex(self.parsed.raw_serial())))
    }

    pub(in crate::trust) fn subject(&self) -> String {
        distinguished_name(self.parsed.subject().as_raw())
    }

    pub(in crate::trust) fn issuer(&self) -> String {
        distinguished_name(self.parsed.issuer().as_raw())
    }

    /// subjectAltName dNSNames as written.
    pub(in crate::trust) fn dns_names(&self) -> impl Iterator<Item = &str> {
        dns_names(&self.parsed)
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.parsed.subject().as_raw() == self.parsed.issuer().as_raw()
    }

    /// Content of the subject, as trust anchors keep it.
    pub(super) fn subject_content(&self) -> &[u8] {
        der::content(self.parsed.subject().as_raw()).unwrap_or_default()
    }

    pub(super) fn issuer_content(&self) -> &[u8] {
        der::content(self.parsed.issuer().as_raw()).unwrap_or_default()
    }

    /// Content of the SubjectPublicKeyInfo, as trust anchors keep it.
    pub(super) fn key_content(&self) -> &[u8] {
        der::content(self.parsed.public_key().raw).unwrap_or_default()
    }

    pub(super) fn basic_constraints(&self) -> Option<&BasicConstraints> {
        self.extension(|parsed| match parsed {
            ParsedExtension::BasicConstraints(found) => Some(found),
            _ => None,
        })
    }

    pub(super) fn is_authority(&self) -> bool {
        self.basic_constraints().is_some_and(|constraints| constraints.ca)
    }

    pub(super) fn key_usage(&self) -> Option<&KeyUsage> {
        self.extension(|parsed| match parsed {
            ParsedExtension::KeyUsage(found) => Some(found),
            _ => None,
        })
    }

    pub(super) fn extended_key_usage(&self) -> Option<&ExtendedKeyUsage<'a>> {
        self.extension(|parsed| match parsed {
            ParsedExtension::ExtendedKeyUsage(found) => Some(found),
            _ => None,
        })
    }

    pub(super) fn has_extension(&self, oid: &str) -> bool {
        self.parsed.extensions().iter().any(|extension| extension.oid.to_id_string() == oid)
    }

    pub(super) fn has_critical_alternative_name(&self) -> bool {
        let mut extensions = self.parsed.extensions().iter();
        extensions.any(|extension| extension.critical && extension.oid.to_id_string() == "2.5.29.17")
    }

    fn extension<'s, T>(&'s self, pick: impl Fn(&'s ParsedExtension<'a>) -> Option<T>) -> Option<T> {
        self.parsed.extensions().iter().find_map(|extension| pick(extension.parsed_extension()))
    }
}
