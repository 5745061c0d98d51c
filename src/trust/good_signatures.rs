//! Signatures that were found good before, so that a partner's chain costs its signature checks
//! once and not at every MAIL.
//!
//! That a key made a signature over some octets stays true at any time, under any settings and any
//! lists. Nothing else of a judgement is remembered: path, validity, usage, names and revocation
//! are judged afresh each time, so there is nothing to expire.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use sha2::{Digest, Sha256};

/// Signatures kept, 32 octets each; beyond it all are forgotten, for strangers can make any number.
const KEPT_MAX: usize = 4096;

/// SHA-256 over algorithms, key, signed octets and signature of each.
#[derive(Default)]
pub(super) struct GoodSignatures(Mutex<HashSet<[u8; 32]>>);

/// One of webpki's algorithms, with this memory before it.
pub(super) struct Remembering<'a> {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    good: &'a GoodSignatures,
}

impl GoodSignatures {
    /// Every algorithm we know.
    pub(super) fn algorithms(&self) -> impl Iterator<Item = Remembering<'_>> {
        webpki::ALL_VERIFICATION_ALGS
            .iter()
            .map(|algorithm| Remembering { algorithm: *algorithm, good: self })
    }

    fn contains(&self, digest: &[u8; 32]) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    fn insert(&self, digest: [u8; 32]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(digest);
    }
}

impl SignatureVerificationAlgorithm for Remembering<'_> {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let digest = digest(&[
            self.public_key_alg_id().as_ref(),
            self.signature_alg_id().as_ref(),
            key,
            message,
            signature,
        ]);
        if self.good.contains(&digest) {
            return Ok(());
        }
        self.algorithm.verify_signature(key, message, signature)?;
        self.good.insert(digest);
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

impl std::fmt::Debug for Remembering<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Remembering({:?})", self.algorithm)
    }
}

/// Each part behind its length, so that no two lists of parts have the same octets.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PublicKeyData, SigningKey};

    use super::*;

    /// ECDSA P-256 with SHA-256, as rcgen's keys sign.
    fn ask(good: &GoodSignatures, key: &[u8], message: &[u8], signature: &[u8]) -> Vec<bool> {
        let ids = |algorithm: &Remembering<'_>| {
            let wanted: &dyn SignatureVerificationAlgorithm = webpki::aws_lc_rs::ECDSA_P256_SHA256;
            algorithm.signature_alg_id() == wanted.signature_alg_id()
                && algorithm.public_key_alg_id() == wanted.public_key_alg_id()
        };
        let asked = good.algorithms().filter(ids);
        asked.map(|algorithm| algorithm.verify_signature(key, message, signature).is_ok()).collect()
    }

    #[test]
    fn a_good_signature_is_remembered_and_vouches_for_nothing_else() {
        let good = GoodSignatures::default();
        let pair = KeyPair::generate().unwrap();
        let other = KeyPair::generate().unwrap();
        let signature = pair.sign(b"a certificate").unwrap();
        for _ in 0..2 {
            assert_eq!(ask(&good, pair.der_bytes(), b"a certificate", &signature), [true]);
            assert_eq!(good.0.lock().unwrap().len(), 1);
        }
        assert_eq!(ask(&good, pair.der_bytes(), b"another certificate", &signature), [false]);
        assert_eq!(ask(&good, other.der_bytes(), b"a certificate", &signature), [false]);
        let mut damaged = signature;
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(ask(&good, pair.der_bytes(), b"a certificate", &damaged), [false]);
        assert_eq!(good.0.lock().unwrap().len(), 1, "what is bad is not kept");
    }

    #[test]
    fn the_memory_is_bounded() {
        let good = GoodSignatures::default();
        for number in 0..3 * KEPT_MAX {
            good.insert(digest(&[&number.to_be_bytes()]));
            assert!(good.0.lock().unwrap().len() <= KEPT_MAX);
        }
    }
}
