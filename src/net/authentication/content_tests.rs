//! What the library's results become, by tables.

use mail_auth::dkim::{DkimError, Signature};
use mail_auth::{DnsError, Error};

use super::*;

fn silence() -> Error {
    Error::Dns(DnsError::Resolver("no answer".to_owned()))
}

fn wrong() -> Error {
    Error::Dkim(DkimError::FailedBodyHashMatch)
}

fn signed(headers: &[&str], algorithm: Algorithm) -> Signature {
    Signature {
        d: "signed.example".to_owned(),
        s: "s1".to_owned(),
        b: vec![1, 2, 3, 4, 5, 6, 7],
        h: headers.iter().map(|name| (*name).to_owned()).collect(),
        a: algorithm,
        ..Signature::default()
    }
}

#[test]
fn one_good_signature_is_enough_and_an_unknown_one_may_be_good() {
    let good = signed(&["From"], Algorithm::RsaSha256);
    let pass = || DkimOutput::pass().with_signature(&good);
    let (fail, unknown) = (|| DkimOutput::fail(wrong()), || DkimOutput::temp_err(silence()));
    for (outputs, consequence) in [
        (vec![pass()], Consequence::Take),
        (vec![fail(), pass()], Consequence::Take),
        (vec![unknown(), pass()], Consequence::Take),
        (vec![fail(), unknown()], Consequence::Defer),
        (vec![fail()], Consequence::Refuse),
        (vec![fail(), DkimOutput::perm_err(wrong())], Consequence::Refuse),
    ] {
        let findings = dkim(Some(&outputs));
        assert_eq!(findings.len(), outputs.len());
        assert!(findings.iter().all(|found| found.consequence == consequence), "{findings:?}");
    }
    let unsigned = dkim(Some(&[]));
    assert_eq!((unsigned[0].outcome, unsigned[0].consequence), (Outcome::None, Consequence::Take));
    assert_eq!(dkim(None)[0].consequence, Consequence::Defer);
}

#[test]
fn a_signature_is_named_and_a_weak_one_proves_nothing() {
    let good = signed(&["from", "To"], Algorithm::Ed25519Sha256);
    let found = signature(&DkimOutput::pass().with_signature(&good));
    assert_eq!(found.line(), "dkim=pass header.d=signed.example header.s=s1 header.b=AQIDBAUG");
    for weak in [signed(&["From"], Algorithm::RsaSha1), signed(&["To", "Subject"], Algorithm::RsaSha256)] {
        let found = signature(&DkimOutput::pass().with_signature(&weak));
        assert_eq!(found.outcome, Outcome::Policy, "{found:?}");
    }
}

#[test]
fn a_chain_is_whole_broken_or_not_known() {
    for (result, outcome, consequence) in [
        (DkimResult::None, Outcome::None, Consequence::Take),
        (DkimResult::Pass, Outcome::Pass, Consequence::Take),
        (DkimResult::Neutral(wrong()), Outcome::Fail, Consequence::Refuse),
        (DkimResult::PermError(wrong()), Outcome::Fail, Consequence::Refuse),
        (DkimResult::TempError(silence()), Outcome::TempError, Consequence::Defer),
    ] {
        let found = arc(&result);
        assert_eq!((found.outcome, found.consequence), (outcome, consequence), "{result:?}");
    }
}

fn author_of(message: &str) -> Author {
    let parsed = AuthenticatedMessage::parse(message.as_bytes()).unwrap();
    let question = Question {
        checks: &InboundChecks::default(),
        client: "192.0.2.1".parse().unwrap(),
        spf: None,
        message: message.as_bytes(),
        head: message.find("\r\n\r\n").map_or(message.len(), |end| end + 2),
        deadline: Instant::now(),
    };
    author(&question, &parsed)
}

/// Whoever is shown as author must be the one whose policy is asked.
#[test]
fn an_author_that_can_be_read_in_two_ways_is_none() {
    let one = |name: &str| Author::One(Domain::parse(name).unwrap());
    for (head, author) in [
        ("From: Kim <kim@Woodgrove.example>\r\n", one("woodgrove.example")),
        ("From: kim@a.example, \"Lee, X\" <lee@a.example>\r\n", one("a.example")),
        ("From: kim@a.example\r\nFrom: lee@b.example\r\n", Author::Unclear),
        ("From: kim@a.example, lee@b.example\r\n", Author::Unclear),
        ("From : kim@a.example\r\nFrom: lee@b.example\r\n", Author::Unclear),
        ("From: kim\r\nSubject: x\r\n", Author::None),
        ("Subject: x\r\n", Author::None),
    ] {
        assert_eq!(author_of(&format!("{head}\r\nbody\r\n")), author, "{head:?}");
    }
}
