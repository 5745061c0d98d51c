//! A certificate that came by mail, in whatever a postmaster elsewhere exports: PEM in any mixture,
//! DER or PKCS#7, as `certificate import` reads it. A private key has no business in it.

use std::path::Path;

use rustls::pki_types::CertificateDer;

use crate::certstore::{Bundle, BundleError};
use crate::disk;
use crate::trust::{CertificateFacts, certificates_from_pem_or_der};

/// Largest file with a certificate: a chain of ten is some 20 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The certificates of a file, end-entity first.
///
/// # Errors
/// What is wrong with the file and what to do, as a sentence.
pub fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = file.display();
    let bytes = disk::read(file, FILE_BYTES_MAX)
        .map_err(|error| format!("{path}: cannot be read ({error}); name a file of certificates"))?;
    match Bundle::read(&bytes, None) {
        Ok(bundle) => {
            if !bundle.keys.is_empty() {
                eprintln!(
                    "sealpost partner: {path} holds a private key; whoever sent it must have a new certificate \
                     issued for another key"
                );
            }
            match bundle.certificates.is_empty() {
                false => Ok(end_entity_first(bundle.certificates)),
                true => Err(format!("{path}: a private key and no certificate; give the certificate alone")),
            }
        }
        Err(BundleError::PassphraseNeeded) => Err(format!(
            "{path}: protected, as files with a private key are; ask for the certificate alone (PEM, DER or PKCS#7)"
        )),
        // What is no X.509 is for the judge to say.
        Err(error) => certificates_from_pem_or_der(&bytes).ok_or_else(|| format!("{path}: {error}")),
    }
}

/// PKCS#7 keeps its certificates in no order: the first that issued no other goes to the front.
fn end_entity_first(mut certificates: Vec<CertificateDer<'static>>) -> Vec<CertificateDer<'static>> {
    let facts: Vec<_> =
        certificates.iter().map(|certificate| CertificateFacts::read(certificate).ok()).collect();
    let issued_another = |index: usize| {
        let Some(this) = &facts[index] else { return false };
        let others = facts.iter().enumerate().filter(|(other, _)| *other != index);
        others.flat_map(|(_, other)| other).any(|other| other.issuer == this.subject)
    };
    if let Some(first) = (0..certificates.len()).find(|index| !issued_another(*index)) {
        let leaf = certificates.remove(first);
        certificates.insert(0, leaf);
    }
    certificates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::pki::{Authority, Validity};
    use crate::trust::to_pem;

    #[test]
    fn the_end_entity_is_found_wherever_it_stands() {
        let mut authority = Authority::new("Woodgrove").unwrap();
        let chain =
            authority.issue(&["woodgrove.example"], Validity::Current).unwrap().with_root(&authority).chain;
        let reversed: Vec<_> = chain.iter().rev().cloned().collect();
        assert_eq!(end_entity_first(reversed), chain);
        assert_eq!(end_entity_first(chain.clone()), chain);
        let alone = vec![chain[1].clone()];
        assert_eq!(end_entity_first(alone.clone()), alone, "a self-signed one is its own end-entity");
    }

    #[test]
    fn what_holds_no_certificate_says_what_to_give() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let tell = |content: &[u8]| {
            std::fs::write(&file, content).unwrap();
            read(&file).unwrap_err()
        };
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert!(tell(key.as_bytes()).contains("give the certificate alone"));
        assert!(tell(b"hello").contains("have it exported again"));
        assert!(tell(&vec![b'x'; 2 << 20]).contains("name a file of certificates"));
        // A sequence that is no certificate is judged, not refused.
        std::fs::write(&file, to_pem(&CertificateDer::from(vec![0x30, 3, 2, 1, 5]))).unwrap();
        assert_eq!(read(&file).unwrap().len(), 1);
    }
}
