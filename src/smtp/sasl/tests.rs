use super::scram::{Binding, ScramError, begin, client_first};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const BOUND: [u8; 32] = [7; 32];

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

fn said(message: &Secret) -> &str {
    std::str::from_utf8(message.octets()).unwrap()
}

fn verifier() -> Verifier {
    Verifier::of_password("pencil", &Base64::decode_vec("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096)
}

/// The exchange of RFC 7677 3, word for word.
#[test]
fn the_rfcs_own_exchange_is_understood_and_spoken() {
    let (client, first) = begin("user", "pencil", "rOprNGfwEbeRWgbNEkqO", Binding::Unknown);
    assert_eq!(said(&first), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let server = client_first(&first, None, false).unwrap();
    assert_eq!(server.user, "user");
    let (server, challenge) = server.challenge("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", verifier());
    assert_eq!(
        said(&challenge),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let (client, proof) = client.prove(&challenge).unwrap();
    assert_eq!(
        said(&proof),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    let answer = server.finish(&proof).unwrap();
    assert_eq!(said(&answer), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    client.verify(&answer).unwrap();
}

/// A whole exchange; what the server finds, and what the client then finds of the server.
fn exchange(
    password: &str,
    client_binding: Binding,
    plus: Option<[u8; 32]>,
    offered: bool,
) -> Result<Result<(), ScramError>, ScramError> {
    let (client, first) = begin("user", password, "abc", client_binding);
    let (server, challenge) = client_first(&first, plus, offered)?.challenge("def", verifier());
    let (client, proof) = client.prove(&challenge)?;
    server.finish(&proof).map(|answer| client.verify(&answer))
}

#[test]
fn a_proof_is_good_for_one_password_and_one_session() {
    assert_eq!(exchange("pencil", Binding::Unknown, None, true), Ok(Ok(())));
    assert_eq!(exchange("pencil", Binding::Bound(BOUND), Some(BOUND), true), Ok(Ok(())));
    assert_eq!(exchange("pencil", Binding::NotOffered, None, false), Ok(Ok(())));
    assert_eq!(exchange("Pencil", Binding::Unknown, None, true), Err(ScramError::WrongPassword));
    let elsewhere = exchange("pencil", Binding::Bound([8; 32]), Some(BOUND), true);
    assert_eq!(elsewhere, Err(ScramError::WrongBinding), "passed on by somebody in the middle");
    assert_eq!(exchange("pencil", Binding::NotOffered, None, true), Err(ScramError::Downgraded));
    for (binding, plus) in [(Binding::Bound(BOUND), None), (Binding::Unknown, Some(BOUND))] {
        assert_eq!(exchange("pencil", binding, plus, true), Err(ScramError::Malformed));
    }
}

#[test]
fn a_server_that_does_not_know_the_password_is_found_out() {
    let (client, first) = begin("user", "pencil", "abc", Binding::Unknown);
    let (_, challenge) = client_first(&first, None, false).unwrap().challenge("def", verifier());
    let (proved, _) = client.prove(&challenge).unwrap();
    let guess = secret("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_eq!(proved.verify(&guess), Err(ScramError::WrongServer));
    assert_eq!(proved.verify(&secret("e=other-error")), Err(ScramError::Malformed));
    for (challenge, error) in [
        ("r=xyzdef,s=QSXCR+Q6sek8bf92,i=4096", ScramError::WrongNonce),
        ("r=abc,s=QSXCR+Q6sek8bf92,i=4096", ScramError::WrongNonce),
        ("r=abcdef,s=QSXCR+Q6sek8bf92,i=1", ScramError::Iterations),
        ("r=abcdef,s=QSXCR+Q6sek8bf92,i=4000000000", ScramError::Iterations),
        ("r=abcdef,s=,i=4096", ScramError::Malformed),
        ("m=ext,r=abcdef,s=QSXCR+Q6sek8bf92,i=4096", ScramError::Malformed),
    ] {
        assert_eq!(client.prove(&secret(challenge)).map(drop), Err(error), "{challenge}");
    }
}

#[test]
fn first_messages_that_are_refused() {
    for (message, error) in [
        ("n,,m=ext,n=user,r=abc", ScramError::Malformed),
        ("n,,n=us=er,r=abc", ScramError::Malformed),
        ("n,,n=,r=abc", ScramError::Malformed),
        ("n,,n=user,r=", ScramError::Malformed),
        ("n,,n=user,r=a\u{7f}", ScramError::Malformed),
        ("n,,n=user", ScramError::Malformed),
        ("p=tls-unique,,n=user,r=abc", ScramError::Malformed),
        ("n,a=root,n=user,r=abc", ScramError::ActsForAnother),
    ] {
        assert_eq!(client_first(&secret(message), None, true).map(drop), Err(error), "{message}");
    }
    let own = client_first(&secret("n,a=us=2Cer,n=us=2Cer,r=abc"), None, true).unwrap();
    assert_eq!(own.user, "us,er");
    let unique = client_first(&secret("p=tls-unique,,n=user,r=abc"), Some(BOUND), true);
    assert_eq!(unique.map(drop), Err(ScramError::Malformed));
}

#[test]
fn what_is_kept_of_a_password_knows_it_again() {
    let kept = Verifier::of_password("correct horse", b"0123456789abcdef", ITERATIONS);
    assert!(kept.is_of("correct horse") && !kept.is_of("correct horsf") && !kept.is_of(""));
    let written = kept.to_string();
    assert!(written.starts_with("SCRAM-SHA-256$16384:MDEyMzQ1Njc4OWFiY2RlZg==$"), "{written}");
    assert_eq!(written.parse(), Ok(kept.clone()));
    assert!(!format!("{kept:?}").contains('$'), "a verifier is as good as a server");
    let few = written.replace("$16384:", "$100:");
    for (text, error) in [
        (few.as_str(), VerifierError::Iterations),
        ("SCRAM-SHA-1$4096:QQ==$QQ==:QQ==", VerifierError::Malformed),
        ("SCRAM-SHA-256$4096:QQ==$QQ==:QQ==", VerifierError::Malformed),
        ("correct horse", VerifierError::Malformed),
        (&format!("{written}$"), VerifierError::Malformed),
    ] {
        assert_eq!(text.parse::<Verifier>(), Err(error), "{text}");
    }
}

#[test]
fn nobody_looks_like_somebody_each_time() {
    let none = BTreeSet::new();
    let decoy = Verifier::decoy("mallory", b"secret", &none);
    assert_eq!(decoy, Verifier::decoy("mallory", b"secret", &none));
    assert_ne!(decoy.salt, Verifier::decoy("mallet", b"secret", &none).salt);
    assert_ne!(decoy.salt, Verifier::decoy("mallory", b"another", &none).salt);
    assert_eq!(decoy.shape(), Verifier::of_password("x", &[0; SALT_BYTES], ITERATIONS).shape());
}

#[test]
fn nobody_looks_like_one_of_the_users() {
    let users = [(4_096, 16), (10_000, 100)];
    let shapes: BTreeSet<Shape> =
        users.map(|(rounds, salt)| Verifier::of_password("x", &vec![0; salt], rounds).shape()).into();
    let seen: BTreeSet<Shape> =
        (0..64).map(|n| Verifier::decoy(&format!("user{n}"), b"secret", &shapes).shape()).collect();
    assert_eq!(seen, shapes);
}

#[test]
fn plain_holds_three_parts_and_one_user() {
    let login = plain::parse(&plain::message("alice", "s3 cret")).unwrap();
    assert_eq!((login.user.as_str(), login.password.as_str()), ("alice", "s3 cret"));
    assert!(plain::parse(&secret("alice\0alice\0x")).is_some());
    for wrong in ["", "\0", "\0\0", "\0alice\0", "\0\0x", "bob\0alice\0x", "\0alice\0x\0", "alice x"] {
        assert!(plain::parse(&secret(wrong)).is_none(), "{wrong:?}");
    }
    assert!(plain::parse(&Secret::new(*b"\0\xff\0x")).is_none());
    assert!(plain::parse(&plain::message("alice", &"x".repeat(1025))).is_none());
}

#[test]
fn nothing_that_was_said_is_printed() {
    let said = plain::message("alice", "s3cret");
    assert_eq!(format!("{said:?}"), HIDDEN);
    assert_eq!(Secret::decode_initial("="), Ok(Secret::new([])));
    assert_eq!(*Secret::new([]).encode_initial(), "=");
    for wrong in ["*", "=", "QQ", "QQ=", "Q Q=", "QQ==\r"] {
        assert_eq!(Secret::decode(wrong.as_bytes()), Err(NotBase64), "{wrong:?}");
    }
}

proptest! {
    /// No message of the other side makes us panic, and none but the right ones is taken.
    #[test]
    fn strangers_prove_nothing(first in "[nyp=,a-z0-9=]{0,40}", second in "[crp=,A-Za-z0-9+/]{0,80}") {
        for plus in [None, Some(BOUND)] {
            if let Ok(first) = client_first(&secret(&first), plus, true) {
                let (server, _) = first.challenge("nonce", verifier());
                prop_assert!(server.finish(&secret(&second)).is_err());
            }
        }
        let (client, _) = begin("user", "pencil", "abc", Binding::Unknown);
        let _ = client.prove(&secret(&first));
        let _ = plain::parse(&secret(&first));
    }

    #[test]
    fn names_and_octets_survive_the_wire(name in "[ -~]{1,20}", octets in proptest::collection::vec(any::<u8>(), 0..60)) {
        let (_, first) = begin(&name, "x", "abc", Binding::Unknown);
        prop_assert_eq!(client_first(&first, None, false).unwrap().user, name);
        let secret = Secret::new(octets);
        prop_assert_eq!(Secret::decode_initial(&secret.encode_initial()), Ok(secret.clone()));
        prop_assert_eq!(Secret::decode(secret.encode().as_bytes()), Ok(secret));
    }
}
