//! A set of trust anchors, loaded by `config` and shared by those who use the same set
//! (RFC 5280 6.1.1).

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::good_signatures::GoodSignatures;

/// Anchors of one partner, or the global ones.
pub struct AnchorSet {
    /// Where they came from, as the operator wrote it: `system`, `woodgrove-root.pem`.
    pub source: String,
    pub anchors: Vec<TrustAnchor<'static>>,
    /// Beside each anchor the certificate it was made from, where there was one: its validity and
    /// path length bind too.
    certificates: Vec<Option<CertificateDer<'static>>>,
    /// Of the chains that were judged by these anchors.
    pub(super) signatures: GoodSignatures,
}

/// Why a file holds no trust anchors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    #[error("{source_name}: neither PEM nor DER; give a file of certificates")]
    NotPemOrDer { source_name: String },
    #[error("{source_name}: certificate {position} cannot be read ({error}); have it exported anew")]
    Malformed { source_name: String, position: usize, error: String },
}

impl AnchorSet {
    /// Anchors of which only name and key are known, such as the compiled-in Mozilla set.
    pub fn new(source: impl Into<String>, anchors: Vec<TrustAnchor<'static>>) -> Self {
        let certificates = vec![None; anchors.len()];
        Self { source: source.into(), anchors, certificates, signatures: GoodSignatures::default() }
    }

    /// The readable ones of `certificates`; a system store holds odd ones that nobody chose.
    pub fn from_certificates(
        source: impl Into<String>,
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        let mut set = Self::new(source, Vec::new());
        for certificate in certificates {
            if let Ok(anchor) = webpki::anchor_from_trusted_cert(&certificate) {
                set.anchors.push(anchor.to_owned());
                set.certificates.push(Some(certificate));
            }
        }
        set
    }

    /// Reads a file that the operator named: PEM with one or more certificates, or one DER.
    ///
    /// # Errors
    /// Every certificate in it must be readable: a root that was meant and is left out silently
    /// would show up as `UntrustedRoot` much later.
    pub fn from_pem_or_der(source: &str, bytes: &[u8]) -> Result<Self, AnchorError> {
        let certificates = certificates_from_pem_or_der(bytes)
            .ok_or_else(|| AnchorError::NotPemOrDer { source_name: source.to_owned() })?;
        let mut set = Self::new(source, Vec::new());
        for (index, certificate) in certificates.into_iter().enumerate() {
            let anchor = webpki::anchor_from_trusted_cert(&certificate).map_err(|error| {
                let source_name = source.to_owned();
                AnchorError::Malformed { source_name, position: index + 1, error: format!("{error:?}") }
            })?;
            set.anchors.push(anchor.to_owned());
            set.certificates.push(Some(certificate));
        }
        Ok(set)
    }

    /// One set of several; the source names them all.
    pub fn union(sets: impl IntoIterator<Item = AnchorSet>) -> Self {
        let mut all = Self::new(String::new(), Vec::new());
        for set in sets {
            if !all.source.is_empty() {
                all.source.push_str(", ");
            }
            all.source.push_str(&set.source);
            all.anchors.extend(set.anchors);
            all.certificates.extend(set.certificates);
        }
        all
    }

    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Whether one of the anchors issued this certificate.
    pub fn issued(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok(parsed) = super::certificate::read_certificate(certificate) else { return false };
        let Some(issuer) = super::der::content(parsed.issuer().as_raw()) else { return false };
        let mut named = self.anchors.iter().filter(|anchor| anchor.subject.as_ref() == issuer);
        named.any(|anchor| {
            super::signature::verify(certificate, &anchor.subject_public_key_info)
                != Err(super::signature::SignatureProblem::Wrong)
        })
    }

    /// The certificates from which anchors were made; the compiled-in ones have none.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.certificates.iter().flatten()
    }

    /// Whether it holds the anchors of the system or of Mozilla, which no operator chose one by one.
    pub fn is_public(&self) -> bool {
        self.source.split(", ").any(|source| matches!(source, "system" | "mozilla"))
    }

    /// The certificate from which anchor number `index` was made.
    pub(super) fn certificate(&self, index: usize) -> Option<&CertificateDer<'static>> {
        self.certificates.get(index).and_then(Option::as_ref)
    }
}

/// The certificates of a PEM file in their order, or the one of a DER file; `None` if it is neither
/// or holds none. That a DER certificate is well-formed is not checked here.
pub fn certificates_from_pem_or_der(bytes: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    if super::der::is_one_sequence(bytes) {
        return Some(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    certificates.ok().filter(|found| !found.is_empty())
}

impl std::fmt::Debug for AnchorSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AnchorSet({}, {} anchors)", self.source, self.anchors.len())
    }
}
