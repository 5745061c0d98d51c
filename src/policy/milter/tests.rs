//! What a milter may change, what it may not, and what is left of a message in any case.

use proptest::prelude::*;

use super::*;
use crate::mail::dsn::RecipientRequest;
use crate::mail::dsn::request::Notify;
use crate::mail::header::HeaderSection;
use crate::mail::{Address, BodyType, Domain, Envelope, ReversePath, TlsRequired};
use crate::milter::Change;
use crate::observe::test_settings;
use crate::policy::Settings;

const HEAD: &str = "Received: from a by mail1.contoso.example; date\r\n\
    Domain-Secured: none; from=partner.example\r\n\
    Authentication-Results: mail1.contoso.example; none\r\n\
    From: anna@litware.example\r\n\
    Subject: one\r\n\ttwo\r\n\
    no field\r\n\
    Authentication-Results: mx.litware.example; spf=pass\r\n";

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn settings() -> Settings {
    test_settings::with_lists(&["partner.example", "proved.example"], &[])
}

fn edit() -> Edit {
    let mut envelope = Envelope {
        reverse_path: ReversePath::Address(address("anna@litware.example")),
        recipients: vec![
            address("a@contoso.example"),
            address("b@contoso.example"),
            address("c@contoso.example"),
        ],
        body: BodyType::SevenBit,
        smtputf8: false,
        dsn: crate::mail::dsn::Requests::default(),
        tls_required: TlsRequired::Unstated,
    };
    envelope.dsn.set(2, RecipientRequest { notify: Some(Notify::NEVER), original: None });
    Edit::new(HEAD.as_bytes(), 3, envelope)
}

/// Makes one change; what became of it.
fn applied(change: &Change, proved: &[Domain]) -> (Edit, Result<(), Denied>) {
    let settings = settings();
    let recipient = |address: &Address| match address.domain().map(Domain::as_str) {
        Some("contoso.example") => Ok(address.clone()),
        Some(_) | None => Err("550 5.7.1 Relaying denied".to_owned()),
    };
    let rules =
        Rules { settings: &settings, proved, recipient: &recipient, recipients_max: 4, keeps_blank: false };
    let mut edit = edit();
    let done = edit.apply(change, &rules);
    (edit, done)
}

fn add(name: &str, value: &str) -> Change {
    Change::AddHeader { name: name.into(), value: value.into() }
}

fn insert(place: u32, name: &str) -> Change {
    Change::InsertHeader { place, name: name.into(), value: b"x".to_vec() }
}

fn put(number: u32, name: &str, value: &str) -> Change {
    Change::ChangeHeader { number, name: name.into(), value: value.into() }
}

fn sender(path: &str) -> Change {
    Change::Sender { path: path.to_owned(), parameters: String::new() }
}

fn head(change: &Change) -> String {
    let (edit, done) = applied(change, &[]);
    done.unwrap_or_else(|denied| panic!("{denied:?}"));
    String::from_utf8(edit.head()).unwrap()
}

#[test]
fn a_milter_sees_everything_but_our_received() {
    let shown: Vec<(&[u8], &[u8])> = presented(HEAD.as_bytes()).collect();
    let names: Vec<&str> = shown.iter().map(|(name, _)| std::str::from_utf8(name).unwrap()).collect();
    assert_eq!(
        names,
        ["Domain-Secured", "Authentication-Results", "From", "Subject", "Authentication-Results"]
    );
    assert_eq!(shown[3].1, b" one\r\n\ttwo");
}

#[test]
fn fields_come_change_and_go_where_the_milter_wants_them() {
    assert_eq!(head(&add("X-Spam", "a\n\tb\r\n")), format!("{HEAD}X-Spam: a\r\n\tb\r\n"));
    let before_subject = HEAD.replace("Subject:", "X-A: x\r\nSubject:");
    assert_eq!(head(&insert(3, "X-A")), before_subject);
    // Never before what is ours.
    assert_eq!(head(&insert(0, "X-A")), HEAD.replace("From:", "X-A: x\r\nFrom:"));
    assert_eq!(head(&insert(99, "X-A")), format!("{HEAD}X-A: x\r\n"));
    let marked = HEAD.replace("Subject: one\r\n\ttwo", "Subject: [spam] one");
    assert_eq!(head(&put(1, "subject", "[spam] one")), marked.replace("Subject", "subject"));
    assert_eq!(head(&put(1, "Subject", "")), HEAD.replace("Subject: one\r\n\ttwo\r\n", ""));
    assert_eq!(head(&put(2, "Subject", "")), HEAD);
    assert_eq!(head(&put(2, "Subject", "more")), format!("{HEAD}Subject: more\r\n"));
    let foreign = "Authentication-Results: mx.litware.example; spf=pass\r\n";
    assert_eq!(head(&put(2, "Authentication-Results", "")), HEAD.replace(foreign, ""));
}

#[test]
fn what_is_ours_or_proves_something_is_no_milters_to_write() {
    for (change, why) in [
        (add("Domain-Secured", "domain=partner.example; verified=chain"), "this server alone"),
        (insert(0, "domain-secured"), "this server alone"),
        (put(1, "DOMAIN-SECURED", ""), "this server alone"),
        (add("X-MS-Exchange-Organization-AuthAs", "Internal"), "this server alone"),
        (add("X-Sealpost-Milter", "x"), "this server alone"),
        (add("Authentication-Results", "mail1.contoso.example; dkim=pass"), "this server alone"),
        (put(1, "Authentication-Results", ""), "this server alone"),
        (put(1, "Authentication-Results", "x; none"), "this server alone"),
        (add("TLS-Required", "No"), "sender's"),
        (add("From", "Boss <boss@partner.example>"), "receive list"),
        (put(1, "From", "boss@partner.example"), "receive list"),
        (put(1, "From", "(((("), "cannot be read"),
        (add("X-A", "x\nDomain-Secured: y"), "continuation"),
        (add("X-A", "x\n \n y"), "continuation"),
        (add("X-A", "x\0y"), "NUL"),
        (add("X-A\r\nDomain-Secured", "x"), "no field name"),
        (add("X-A ", "x"), "no field name"),
        (add("", "x"), "no field name"),
        (add("X-A", &"x".repeat(1000)), "998"),
        (add("X-A", "gr\u{fc}n"), "127"),
    ] {
        let (edit, done) = applied(&change, &[]);
        let denied = done.expect_err("denied");
        assert!(denied.reason.contains(why), "{change:?}: {denied:?}");
        assert_eq!(edit.head(), HEAD.as_bytes(), "{change:?}");
    }
    let proved = [Domain::parse("proved.example").unwrap()];
    assert_eq!(applied(&put(1, "From", "boss@proved.example"), &proved).1, Ok(()));
    assert_eq!(applied(&put(1, "From", "boss@other.example"), &[]).1, Ok(()));
}

#[test]
fn recipients_are_those_that_the_connector_takes() {
    let to = |path: &str| Change::AddRecipient { path: path.to_owned(), parameters: String::new() };
    let (edit, done) = applied(&to("<quarantine@contoso.example>"), &[]);
    assert_eq!(done, Ok(()));
    assert_eq!(edit.envelope.recipients[3], address("quarantine@contoso.example"));
    assert_eq!(applied(&to("a@contoso.example"), &[]).0.envelope.recipients.len(), 3);
    let (edit, done) = applied(&to("<spy@fabrikam.example>"), &[]);
    assert_eq!(edit.envelope.recipients.len(), 3);
    let denied = done.unwrap_err();
    assert_eq!(denied.change, "add recipient <spy@fabrikam.example>");
    assert!(denied.reason.contains("Relaying denied"), "{denied:?}");
    assert!(applied(&to("nobody"), &[]).1.is_err());
}

#[test]
fn who_is_gone_takes_what_was_asked_about_him_along() {
    let (edit, done) = applied(&Change::DeleteRecipient("<B@contoso.example>".to_owned()), &[]);
    assert_eq!(done, Ok(()));
    assert_eq!(edit.envelope.recipients, [address("a@contoso.example"), address("c@contoso.example")]);
    assert_eq!(edit.envelope.dsn.of(1).notify, Some(Notify::NEVER));
    assert!(edit.envelope.dsn.of(2).is_empty());
}

#[test]
fn a_proved_sender_stays_what_it_is() {
    let proved = [Domain::parse("litware.example").unwrap()];
    for (path, proved, allowed) in [
        ("<other@fabrikam.example>", &[][..], true),
        ("other@fabrikam.example", &[], true),
        ("<>", &[], true),
        ("<bounces@litware.example>", &proved, true),
        ("<other@fabrikam.example>", &proved, false),
        ("<>", &proved, false),
        ("<boss@partner.example>", &[], false),
        ("<b\u{fc}cher@fabrikam.example>", &[], false),
        ("<>>", &[], false),
    ] {
        let (edit, done) = applied(&sender(path), proved);
        assert_eq!(done.is_ok(), allowed, "{path}: {done:?}");
        let unchanged = edit.envelope.reverse_path.to_string() == "anna@litware.example";
        assert_eq!(unchanged, !allowed, "{path}");
    }
}

#[test]
fn a_new_body_is_whole_lines() {
    let body = |pieces: &[&[u8]]| {
        let mut body = NewBody::default();
        pieces.iter().for_each(|piece| body.push(piece, 20));
        body.finish()
    };
    assert_eq!(body(&[b"a\r", b"\nb\nc"]), Ok(b"a\r\nb\r\nc\r\n".to_vec()));
    assert_eq!(body(&[b""]), Ok(Vec::new()));
    assert_eq!(body(&[b"a\rb\r\n"]), Err(BodyFault::BareCr));
    assert_eq!(body(&[b"a\r"]), Err(BodyFault::BareCr));
    assert_eq!(body(&[b"a\0\r\n"]), Err(BodyFault::Nul));
    assert_eq!(body(&[b"012345678901234567890\r\n"]), Err(BodyFault::LineTooLong(20)));
}

fn any_change() -> impl Strategy<Value = Change> {
    let names = proptest::sample::select(vec![
        "Received",
        "Domain-Secured",
        "domain-secured ",
        "Authentication-Results",
        "X-MS-Exchange-Organization-AuthAs",
        "Subject",
        "X-New",
        "X\r\nDomain-Secured",
    ]);
    let values = proptest::sample::select(vec![
        "",
        "x",
        "mail1.contoso.example; dkim=pass",
        "a\n b",
        "a\r\n\r\nbody",
        "a\nDomain-Secured: x",
        " a\r",
    ]);
    (names, values, 0u32..9, 0u8..3).prop_map(|(name, value, number, kind)| {
        let (name, value) = (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        match kind {
            0 => Change::AddHeader { name, value },
            1 => Change::InsertHeader { place: number, name, value },
            _ => Change::ChangeHeader { number, name, value },
        }
    })
}

proptest! {
    /// Whatever a milter asks for, our own fields stand first and unchanged, nobody forges one, and
    /// the section stays one section.
    #[test]
    fn our_fields_outlive_every_milter(changes in proptest::collection::vec(any_change(), 0..12)) {
        let settings = settings();
        let recipient = |_: &Address| Err(String::new());
        let rules = Rules {
            settings: &settings,
            proved: &[],
            recipient: &recipient,
            recipients_max: 3,
            keeps_blank: false,
        };
        let mut edit = edit();
        for change in &changes {
            let _ = edit.apply(change, &rules);
        }
        let head = edit.head();
        let own: String = HEAD.split_inclusive("\r\n").take(3).collect();
        prop_assert!(head.starts_with(own.as_bytes()));
        prop_assert!(head.ends_with(b"\r\n") && !head.windows(4).any(|four| four == b"\r\n\r\n"));
        let behind = &head[own.len()..];
        let cleaned = crate::policy::header_firewall::incoming(behind, false, settings.ours());
        prop_assert_eq!(behind, &cleaned[..]);
        prop_assert_eq!(HeaderSection::new(&head).fields().filter(|field| field.is_named("Domain-Secured")).count(), 1);
    }
}
