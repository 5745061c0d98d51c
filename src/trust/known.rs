//! The words of certificates met before. A partner shows the same certificate in every session, and
//! rendering two distinguished names costs about as much as a signature check. Nothing is judged
//! here: what is kept are facts of the octets themselves, which never change.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use super::certificate::{CertificateFacts, CertificateUnreadable};

/// Certificates kept; beyond this all are forgotten.
const CERTIFICATES_MAX: usize = 512;
/// Larger ones are read each time: a stranger chooses what stands in them.
const CERTIFICATE_BYTES_MAX: usize = 4 << 10;

static KNOWN: LazyLock<Mutex<HashMap<[u8; 32], Arc<CertificateFacts>>>> = LazyLock::new(Mutex::default);

/// What a certificate says of itself.
///
/// # Errors
/// When the octets are not one X.509 certificate.
pub(super) fn facts(
    certificate: &CertificateDer<'_>,
) -> Result<Arc<CertificateFacts>, CertificateUnreadable> {
    let read = || CertificateFacts::read(certificate).map(Arc::new);
    if certificate.len() > CERTIFICATE_BYTES_MAX {
        return read();
    }
    let hash = Sha256::digest(certificate.as_ref()).into();
    if let Some(known) = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&hash) {
        return Ok(Arc::clone(known));
    }
    let facts = read()?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= CERTIFICATES_MAX {
        known.clear();
    }
    known.insert(hash, Arc::clone(&facts));
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_met_again_says_the_same() {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["mail.woodgrovebank.example".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let first = facts(certificate.der()).unwrap();
        let again = facts(certificate.der()).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(*first, CertificateFacts::read(certificate.der()).unwrap());
    }

    #[test]
    fn what_is_no_certificate_is_not_kept() {
        assert!(facts(&CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])).is_err());
    }
}
