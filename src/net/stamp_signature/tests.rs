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

/// As Exchange and others fold what they pass on.
#[tokio::test]
async fn a_folded_stamp_is_told_on_one_line() {
    let signing = signing(StampKeyKind::Ed25519);
    let record = stamp_key::record(&signing.key);
    let message = signed(&signing, MESSAGE, 4096);
    for fold in ["\r\n ", "\r\n\t", " \r\n\t ", "\t"] {
        let folded = message.replacen("woodgrove.example; by", &format!("woodgrove.example;{fold}by"), 1);
        assert_ne!(folded, message);
        let proof = verified(&folded, "contoso.example", &record).await.unwrap();
        assert_eq!(proof.stamps, ["domain=woodgrove.example; by=mx.contoso.example"], "{fold:?}");
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
    let changed =
        verified(&message.replacen("Hello", "Hallo", 1), "contoso.example", &record).await.unwrap_err();
    assert_eq!(
        changed.to_string(),
        "the signature of contoso.example under stamp does not hold: the body was changed after it was signed; \
         the stamp proves nothing"
    );
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

const FORGED: &str = "domain=fabrikam.example; verified=chain";

#[tokio::test]
async fn a_stamp_that_only_some_see_proves_nothing() {
    let signing = signing(StampKeyKind::Ed25519);
    let record = stamp_key::record(&signing.key);
    let warned =
        MESSAGE.replace("domain=woodgrove.example; by=mx.contoso.example", "none; from=fabrikam.example");
    for message in [MESSAGE, &warned].map(|message| signed(&signing, message, 4096)) {
        verified(&message, "contoso.example", &record).await.unwrap();
        for name in
            ["Domain-Secured ", "Domain-Secured\t", "domain-secured ", "Domain- Secured", "Domain-Secured\0"]
        {
            let bent = format!("{name}: {FORGED}\r\n{message}");
            let refused = verified(&bent, "contoso.example", &record).await.unwrap_err();
            let spelled = Ambiguity::Spelling { name: "Domain-Secured" };
            assert_eq!(refused, Unproved::Ambiguous(spelled), "{name:?}");
        }
        for (fields, ambiguity) in [
            (format!("X-First: 1\r\nDomain-Secured\r\n : {FORGED}\r\n"), Ambiguity::NoColon),
            (format!(" X-First: 1\r\nDomain-Secured: {FORGED}\r\n"), Ambiguity::Orphan),
            (format!("X-Other: 1\rDomain-Secured: {FORGED}\r\n"), Ambiguity::LineEnd),
            (format!("X-Other: 1\nDomain-Secured: {FORGED}\r\n"), Ambiguity::LineEnd),
            ("From : carl@litware.example\r\n".to_owned(), Ambiguity::Spelling { name: "From" }),
        ] {
            let bent = format!("{fields}{message}");
            let refused = verified(&bent, "contoso.example", &record).await.unwrap_err();
            assert_eq!(refused, Unproved::Ambiguous(ambiguity), "{fields:?}");
        }
    }
}

#[tokio::test]
async fn a_stamp_in_the_body_does_not_move_into_the_header() {
    let signing = signing(StampKeyKind::Ed25519);
    let record = stamp_key::record(&signing.key);
    let body = format!("\r\n\r\nDomain-Secured: {FORGED}\r\n\r\nHello");
    let message = signed(&signing, &MESSAGE.replace("\r\n\r\nHello", &body), 4096);
    let proof = verified(&message, "contoso.example", &record).await.unwrap();
    assert_eq!(proof.stamps, ["domain=woodgrove.example; by=mx.contoso.example"]);
    let bent = message.replacen("\r\n\r\n", "\r\njunk\r\n", 1);
    let refused = verified(&bent, "contoso.example", &record).await.unwrap_err();
    assert_eq!(refused, Unproved::Ambiguous(Ambiguity::NoColon));
    // Nor where the only stamp is the one in the body.
    let bare = bent.replacen("Domain-Secured: domain=woodgrove", "X-Other: domain=woodgrove", 1);
    let refused = verified(&bare, "contoso.example", &record).await.unwrap_err();
    assert_eq!(refused, Unproved::Ambiguous(Ambiguity::NoColon));
}

#[test]
fn ordinary_headers_are_read_in_one_way() {
    let head =
        "DKIM-Signature: v=1\r\nFROM: a\r\nSubject: a\r\n\tb: c\r\n d\r\nX-Blank : x\r\nX-Empty:\r\nCc:\r\n";
    assert_eq!(ambiguity(head.as_bytes()), None);
    assert_eq!(ambiguity(b""), None);
}
