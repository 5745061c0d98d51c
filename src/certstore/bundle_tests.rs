//! Files of every kind, whole and broken. What OpenSSL writes is tested with OpenSSL
//! (tests/certificates.rs).

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::certstore::{chain_pem, pem};

fn certificate(name: &str) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.der().clone(), key)
}

#[test]
fn a_mixture_is_read_in_its_order_and_twice_the_same_is_once() {
    let ((a, key), (b, _)) = (certificate("a.example"), certificate("b.example"));
    let text = format!(
        "Bag Attributes\n  friendlyName: x\n{}\n{}{}-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        chain_pem(std::slice::from_ref(&b)),
        key.serialize_pem(),
        chain_pem(&[a.clone(), b.clone()]),
    );
    let bundle = Bundle::read(text.as_bytes(), None).unwrap();
    assert_eq!(bundle.certificates, [b, a.clone()]);
    assert_eq!(bundle.keys.len(), 1);
    assert_eq!(Bundle::read(&a, None).unwrap().certificates, [a]);
    assert_eq!(Bundle::read(&key.serialize_der(), None).unwrap().keys.len(), 1);
}

#[test]
fn what_cannot_be_read_is_said_by_its_kind() {
    let (a, _) = certificate("a.example");
    let many: Vec<_> = (0..=ITEMS_MAX).map(|_| certificate("a.example").0).collect();
    let cut = &a[..a.len() - 1];
    let table: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "neither PEM"),
        (b"hello".to_vec(), "neither PEM"),
        (cut.to_vec(), "neither PEM"),
        (vec![0x30, 0x80, 0, 0], "indefinite lengths"),
        (vec![0x30, 3, 2, 1, 5], "not well-formed private key"),
        (vec![0x30, 2, 0x30, 0], "not well-formed X.509"),
        (vec![0x30, 3, 6, 1, 0x2a], "not well-formed PKCS#7"),
        (vec![0x30, 5, 2, 1, 3, 5, 0], "not well-formed PKCS#12"),
        (pem("CERTIFICATE", cut).as_bytes().to_vec(), "not well-formed X.509"),
        (pem("PKCS7", &a).as_bytes().to_vec(), "not well-formed PKCS#7"),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n".to_vec(), "not well-formed PEM"),
        (
            b"-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n".to_vec(),
            "holds no certificate",
        ),
        (
            b"-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
                .to_vec(),
            "pkcs8",
        ),
        (chain_pem(&many).into_bytes(), "more than 256"),
    ];
    for (bytes, words) in table {
        let error = Bundle::read(&bytes, None).unwrap_err().to_string();
        assert!(error.contains(words), "{error} (wanted: {words})");
    }
}

proptest! {
    #[test]
    fn no_octets_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), label in 0..4usize) {
        let label = ["CERTIFICATE", "PKCS7", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"][label];
        let _ = Bundle::read(&bytes, Some("x"));
        let _ = Bundle::read(pem(label, &bytes).as_bytes(), None);
    }

    #[test]
    fn a_certificate_with_one_wrong_octet_is_read_or_refused(at in 0..300usize, octet in any::<u8>()) {
        let (mut der, _) = (certificate("a.example").0.to_vec(), ());
        let at = at % der.len();
        der[at] = octet;
        let _ = Bundle::read(&der, None);
    }
}
