//! Responses that OpenSSL made, and octets that are none.

use proptest::prelude::*;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

/// Shared with the tests of a running server.
#[path = "../../tests/common/ocsp.rs"]
pub(crate) mod maker;

const ROOT: &[u8] = include_bytes!("testdata/ocsp/root.crt");
const LEAF: &[u8] = include_bytes!("testdata/ocsp/leaf.crt");
const GOOD: &[u8] = include_bytes!("testdata/ocsp/good.der");
const REVOKED: &[u8] = include_bytes!("testdata/ocsp/revoked.der");
const BY_ISSUER: &[u8] = include_bytes!("testdata/ocsp/by-issuer.der");

fn answer(staple: &[u8], certificate: &[u8]) -> Result<Answer, StapleProblem> {
    let (_, leaf) = X509Certificate::from_der(certificate).unwrap();
    let (_, root) = X509Certificate::from_der(ROOT).unwrap();
    BasicResponse::read(staple)?.answer(&Question {
        issuer: leaf.issuer().as_raw(),
        issuer_key: &root.public_key().subject_public_key.data,
        serial: leaf.raw_serial(),
    })
}

#[test]
fn what_openssl_answers_is_understood() {
    let next = "2036-11-19T04:38:43Z".parse().unwrap();
    for (staple, certificates) in [(GOOD, 1), (BY_ISSUER, 0)] {
        let read = BasicResponse::read(staple).unwrap();
        assert_eq!(read.certificates.len(), certificates);
        let answer = answer(staple, LEAF).unwrap();
        assert!(matches!(answer.status, Status::Good));
        assert_eq!(answer.next_update, Some(next));
        assert_eq!(staple_next_update(staple), Some(next));
    }
    let Status::Revoked(entry) = answer(REVOKED, LEAF).unwrap().status else { panic!("not revoked") };
    assert_eq!(entry.date, "2026-11-01T08:00:00Z".parse().unwrap());
    assert_eq!(entry.reason, Some("key compromise"));
    assert_eq!(answer(GOOD, ROOT).err(), Some(StapleProblem::OtherCertificate));
}

#[test]
fn a_response_is_read_whole_or_not_at_all() {
    for cut in 0..GOOD.len() {
        assert!(BasicResponse::read(&GOOD[..cut]).is_err(), "cut at {cut}");
    }
    assert!(matches!(BasicResponse::read(&[GOOD, b"x"].concat()), Err(StapleProblem::Malformed(_))));
    let large = vec![0x30; STAPLE_BYTES_MAX + 1];
    assert_eq!(BasicResponse::read(&large).err(), Some(StapleProblem::TooLarge));
    assert_eq!(staple_next_update(&GOOD[1..]), None);
}

proptest! {
    #[test]
    fn a_changed_octet_never_panics(position in 0..GOOD.len(), octet in any::<u8>()) {
        let mut changed = GOOD.to_vec();
        changed[position] = octet;
        let _ = (answer(&changed, LEAF).is_ok(), staple_next_update(&changed));
    }
}
