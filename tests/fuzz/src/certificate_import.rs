//! What `sealpost certificate import` is handed (PEM, DER, PKCS#7, PKCS#12, encrypted keys): no panic,
//! bounded, and whatever is taken can be read as a certificate. The first octet chooses how the
//! rest is dressed, so that the parsers behind PEM are reached as well.

use sealpost::certstore::{Bundle, chain_pem, pem};
use sealpost::trust::CertificateFacts;

const LABELS: &[&str] = &["CERTIFICATE", "PKCS7", "PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"];

pub fn run(input: &[u8]) {
    let Some((&dress, content)) = input.split_first() else { return };
    let dressed = match LABELS.get(usize::from(dress % 8)) {
        Some(label) => pem(label, content).as_bytes().to_vec(),
        None => content.to_vec(),
    };
    for passphrase in [None, Some("passphrase")] {
        let Ok(bundle) = Bundle::read(&dressed, passphrase) else { continue };
        assert!(bundle.certificates.len() <= 256 && bundle.keys.len() <= 256);
        assert!(bundle.certificates.len() + bundle.keys.len() > 0);
        for certificate in &bundle.certificates {
            CertificateFacts::read(certificate).unwrap();
        }
        // What was read once is read again from what we write.
        let certificates = bundle.certificates;
        if !certificates.is_empty() {
            let again = Bundle::read(chain_pem(&certificates).as_bytes(), None).unwrap();
            assert_eq!(again.certificates, certificates);
        }
    }
}
