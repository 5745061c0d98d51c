//! What is signed holds, and nothing else does. That others think so too is tests/operators/stamp.rs.

use std::sync::Arc;

use super::*;
use crate::certstore::stamp_key::{self, StampKeyKind};
use crate::mail::Domain;
use crate::net::authentication::Authenticator;
use crate::policy::{DnsSettings, Dnssec};

const MESSAGE: &str = "Received: from a by b\r\nDomain-Secured: domain=woodgrove.example; by=mx.contoso.example\r\n\
    From: Anna <anna@woodgrove.example>\r\nTo: bert@contoso.example\r\nSubject: a  b\r\n\tc\r\n\
    X-Other: 1\r\n\r\nHello\r\n.\r\n\r\n";

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn signing(kind: StampKeyKind) -> StampSigning {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stamp.key");
    std::fs::write(&path, stamp_key::generate(kind).unwrap().as_bytes()).unwrap();
    let key = Arc::new(stamp_key::read(&path).unwrap());
    StampSigning { domain: domain("contoso.example"), selector: domain("stamp"), key }
}

/// In pieces of `octets`.
fn signed(signing: &StampSigning, message: &str, octets: usize) -> String {
    let signer = StampSigner::new(signing).unwrap();
    let mut stream = signer.begin();
    message.as_bytes().chunks(octets).for_each(|piece| stream.write(piece));
    format!("{}{message}", stream.finish().unwrap())
}

async fn verified(message: &str, by: &str, record: &str) -> Result<Proof, Unproved> {
    // Nobody is asked.
    let servers = vec!["127.0.0.1:1".parse().unwrap()];
    let authenticator = Authenticator::new(&DnsSettings { servers, dnssec: Dnssec::Off }).unwrap();
    verify(&authenticator, message.as_bytes(), &domain(by), Some(record)).await
}

#[tokio::test]
async fn both_kinds_of_key_sign_what_verifies() {
    for (kind, algorithm) in
        [(StampKeyKind::Ed25519, "ed25519-sha256"), (StampKeyKind::Rsa2048, "rsa-sha256")]
    {
        let signing = signing(kind);
        let record = stamp_key::record(&signing.key);
        for octets in [1, 7, 4096] {
            let proof =
                verified(&signed(&signing, MESSAGE, octets), "contoso.example", &record).await.unwrap();
            assert_eq!((proof.algorithm, proof.selector.as_str()), (algorithm, "stamp"));
            assert_eq!(proof.stamps, ["domain=woodgrove.example; by=mx.contoso.example"]);
            assert!(proof.signed_at.is_some());
        }
    }
}

#[tokio::test]
async fn a_change_breaks_it_and_a_hop_does_not() {
    let signing = signing(StampKeyKind::Ed25519);
    let record = stamp_key::record(&signing.key);
    let message = signed(&signing, MESSAGE, 4096);
    for (old, new) in [
        ("woodgrove.example; by", "litware.example; by"),
        ("Hello", "Hallo"),
        ("Subject: a", "Subject: z"),
        ("From: Anna", "From: Carl"),
        ("X-Other", "Subject: another\r\nX-Other"),
        ("X-Other", "Cc: another@contoso.example\r\nX-Other"),
        ("Received:", "From: carl@litware.example\r\nReceived:"),
    ] {
        let bent = message.replacen(old, new, 1);
        assert_ne!(bent, message);
        let broken = verified(&bent, "contoso.example", &record).await.unwrap_err();
        assert!(matches!(broken, Unproved::Broken { .. }), "{new}: {broken}");
    }
    for (old, new) in [
        ("DKIM-Signature", "Received: from b by c\r\nDKIM-Signature"),
        ("X-Other: 1", "X-Other: 2"),
        ("\r\n\r\nHello", "\r\nX-Spam: no\r\n\r\nHello"),
    ] {
        let onward = message.replacen(old, new, 1);
        assert_ne!(onward, message);
        verified(&onward, "contoso.example", &record).await.unwrap();
    }
}

#[tokio::test]
async fn a_second_stamp_is_not_taken_for_the_first() {
    let signing = signing(StampKeyKind::Ed25519);
    let record = stamp_key::record(&signing.key);
    let message = signed(&signing, MESSAGE, 4096);
    let forged = "Domain-Secured: domain=fabrikam.example; verified=chain\r\n";
    for bent in [format!("{forged}{message}"), message.replace("X-Other", &format!("{forged}X-Other"))] {
        let broken = verified(&bent, "contoso.example", &record).await.unwrap_err();
        assert!(matches!(broken, Unproved::Broken { .. }), "{broken}");
        let two = format!("{forged}{bent}");
        let added = verified(&two, "contoso.example", &record).await.unwrap_err();
        assert!(matches!(added, Unproved::Added { signed: 2, stamps: 3, .. }), "{added}");
    }
    let two = format!("Domain-Secured: none; from=fabrikam.example\r\n{MESSAGE}");
    let proof = verified(&signed(&signing, &two, 4096), "contoso.example", &record).await.unwrap();
    assert_eq!(proof.stamps.len(), 2);
}

#[tokio::test]
async fn what_others_sign_proves_nothing() {
    let signing = signing(StampKeyKind::Ed25519);
    let record = stamp_key::record(&signing.key);
    let message = signed(&signing, MESSAGE, 4096);
    let other = verified(&message, "woodgrove.example", &record).await.unwrap_err();
    assert!(matches!(other, Unproved::NoSignature { .. }), "{other}");
    let unsigned = verified(MESSAGE, "contoso.example", &record).await.unwrap_err();
    assert!(matches!(unsigned, Unproved::NoSignature { .. }), "{unsigned}");
    let bare = MESSAGE.replace("Domain-Secured", "X-Nothing");
    assert_eq!(verified(&bare, "contoso.example", &record).await, Err(Unproved::NoStamp));
    let wrong_key = stamp_key::record(&self::signing(StampKeyKind::Ed25519).key);
    let broken = verified(&message, "contoso.example", &wrong_key).await.unwrap_err();
    assert!(matches!(broken, Unproved::Broken { .. }), "{broken}");
    let bad = verified(&message, "contoso.example", "v=DKIM1; p=%%%").await.unwrap_err();
    assert!(matches!(bad, Unproved::BadKey { .. } | Unproved::Broken { .. }), "{bad}");
}
