//! Who gets in: every row of the fault table that a client can bring about, the partner options,
//! and what reply, counters, protocol log and stamp say of it.

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use sealpost::cli::demo::pki::Validity;

use super::client::{Smtp, tls};
use super::pki::{Card, Pki, below_revoked_intermediate, self_signed};
use super::rig::{Rig, session_of};

const WRONG_PIN: &str = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn partner(domain: &str, anchors: &str, more: &str) -> String {
    format!(
        "[[partner]]\nname = \"{domain}\"\ndomains = [\"{domain}\"]\ndomain_secure = [\"receive\"]\n\
         trust_anchors = {anchors}\n{more}\n"
    )
}

fn settings(partners: &[String]) -> String {
    format!(
        r#"
[transport]
tls_receive_domain_secure_list = ["listed.example"]

[trust]
anchors = ["contoso-root.pem"]
crl_files = ["woodgrove.crl", "fabrikam.crl"]

{}
[[accepted_domain]]
name = "contoso.example"

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[receive_connector]]
name = "Inter,\"net\""
bindings = ["{{ip}}:0"]
tarpit_interval = "0 s"
message_rate_limit = 100000
max_inbound_connections_per_source = 1000

[[receive_connector]]
name = "Internet"
bindings = ["{{ip2}}:0"]
tarpit_interval = "0 s"
message_rate_limit = 100000
max_inbound_connections_per_source = 1000
"#,
        partners.concat()
    )
}

const WOODGROVE: &str = "[\"woodgrove-root.pem\"]";
const LETTER: &str = "From: <kim@nowhere.example>\r\nSubject: SUBJECT\r\n\r\nHello.\r\n";

fn letter(subject: &str) -> String {
    LETTER.replace("SUBJECT", subject)
}

/// Each certificate against `woodgrove.example`, over both versions, fresh and resumed.
#[test]
fn every_fault_has_its_reply_counter_and_log_lines() {
    let rig = Rig::start(|_, _| settings(&[partner("woodgrove.example", WOODGROVE, "")]));
    let at = rig.at("Internet");
    assert_eq!(rig.failures("woodgrove.example", "Expired", "enforce"), 0, "a series starts at 0");
    assert_eq!(rig.secured("woodgrove.example"), 0);

    let mut clear = Smtp::clear(at);
    let reply = clear.mail("kim@woodgrove.example");
    expect_refusal(&rig, &reply, "530 5.7.0", "TlsNotStarted", "woodgrove.example");
    let reply = clear.mail("kim@sub.woodgrove.example");
    assert_eq!(reply, "250 2.1.0 Sender OK", "a subdomain is another domain");

    let mut rig = rig;
    for (fault, code, card) in faulty(&mut rig.pki) {
        for version in [&TLS12, &TLS13] {
            refused_fresh_and_resumed(&rig, version, card.as_ref(), code, fault);
        }
        assert_eq!(rig.failures("woodgrove.example", fault, "enforce"), 4, "{fault}");
    }
    assert_eq!(rig.secured("woodgrove.example"), 0);
    let good = rig.pki.woodgrove(&["woodgrove.example"]);
    for version in [&TLS12, &TLS13] {
        admitted_fresh_and_resumed(&rig, version, &good);
    }
    assert_eq!(rig.secured("woodgrove.example"), 4);
    log_is_as_promised(&rig);
}

fn faulty(pki: &mut Pki) -> Vec<(&'static str, &'static str, Option<Card>)> {
    let names = &["woodgrove.example"];
    let root = pki.stranger.root().clone();
    let mut untrusted: Card = pki.stranger.issue(names, Validity::Current).unwrap().into();
    untrusted.chain.push(root);
    vec![
        ("NoCertificate", "550 5.7.5", None),
        ("SignatureFailure", "550 5.7.5", Some(pki.impostor.issue(names, Validity::Current).unwrap().into())),
        ("InvalidChain", "550 5.7.5", Some(pki.below_intermediate(false, true))),
        ("UntrustedRoot", "550 5.7.5", Some(untrusted)),
        ("IncompleteChain", "550 5.7.5", Some(pki.below_intermediate(true, false))),
        ("WrongUsage", "550 5.7.5", Some(pki.with_usages(&[CodeSigning]))),
        ("NotYetValid", "550 5.7.5", Some(pki.woodgrove.issue(names, Validity::NotYet).unwrap().into())),
        ("Expired", "550 5.7.5", Some(pki.woodgrove.issue(names, Validity::Expired).unwrap().into())),
        (
            "NameMismatch",
            "550 5.7.1",
            Some(pki.woodgrove(&["mail.woodgrove.example", "*.woodgrove.example"])),
        ),
        (
            "Revoked",
            "550 5.7.5",
            Some(Card { chain: pki.revoked.chain.clone(), key: pki.revoked.key.clone_key() }),
        ),
        ("RevocationUnknown", "454 4.7.5", Some(pki.below_intermediate(true, true))),
    ]
}

fn refused_fresh_and_resumed(
    rig: &Rig,
    version: &'static SupportedProtocolVersion,
    card: Option<&Card>,
    code: &str,
    fault: &str,
) {
    let memory = tls(version, card);
    for resumed in [false, true] {
        let mut client = Smtp::secure(rig.at("Internet"), &memory);
        assert_eq!(client.is_resumed(), resumed, "{fault}");
        let reply = client.mail("kim@woodgrove.example");
        expect_refusal(rig, &reply, code, fault, "woodgrove.example");
        // Nothing was opened, and the session is still good for what it is good for.
        assert!(client.rcpt("bob@contoso.example").starts_with("503 5.5.1"));
        assert_eq!(client.mail("kim@litware.example"), "250 2.1.0 Sender OK");
        client.quit();
    }
}

/// Code, fault, domain and session id, and nothing of our settings.
fn expect_refusal(rig: &Rig, reply: &str, code: &str, fault: &str, domain: &str) {
    assert!(reply.starts_with(&format!("{code} ")), "{fault}: {reply}");
    assert!(!reply.contains('\n'), "{reply}");
    assert!(reply.contains(fault), "{fault}: {reply}");
    assert!(reply.contains(domain), "{fault}: {reply}");
    for secret in ["pem", "Root CA", "sha256", "partner entry", "certificate_names", "/", "CN="] {
        assert!(!reply.contains(secret), "{reply}");
    }
    let session = session_of(reply);
    let lines = rig.session(&session, |line| line.event == ">" && line.data == reply);
    let verdict = lines.iter().find(|line| line.context == "Domain security verdict").unwrap();
    assert_eq!(verdict.event, "*");
    assert!(verdict.data.starts_with(&format!("{fault} domain={domain} ")), "{}", verdict.raw);
    assert!(lines.iter().any(|line| line.context == "Certificate chain validation status"));
}

fn admitted_fresh_and_resumed(rig: &Rig, version: &'static SupportedProtocolVersion, card: &Card) {
    let memory = tls(version, Some(card));
    let protocol = if *version == TLS12 { "TLSv1.2" } else { "TLSv1.3" };
    for resumed in [false, true] {
        let mut client = Smtp::secure(rig.at("Internet"), &memory);
        assert_eq!(client.is_resumed(), resumed);
        let subject = format!("good {protocol} {resumed}");
        let forged = "domain-SECURED : forged\r\n";
        let content = format!("{forged}{}", letter(&subject));
        let reply = client.send("kim@WoodGrove.example", "bob@contoso.example", &content);
        assert!(reply.starts_with("250 2.6.0 "), "{reply}");
        let id = reply.split(' ').nth(2).unwrap().to_owned();
        let kept = rig.arrival(&subject);
        let fields = header_fields(&kept.content);
        // First after our Received, which is the first of all.
        assert!(fields[0].starts_with("Received: from client.litware.example (["), "{}", kept.content);
        for fact in [" with ESMTPS ", protocol, "by mx.contoso.example", "for <bob@contoso.example>", &id] {
            assert!(fields[0].contains(fact), "{fact}: {}", fields[0]);
        }
        check_stamp(&fields[1], protocol);
        assert_eq!(kept.content.to_lowercase().matches("domain-secured").count(), 1, "{}", kept.content);
        assert!(fields[2].starts_with("From: "));
        let session = value(&fields[1], "session");
        let lines = rig.session(session, |line| line.data.contains(&id));
        assert!(lines.iter().any(|line| line.data.starts_with("Admitted domain=woodgrove.example")));
        client.quit();
    }
}

fn header_fields(content: &str) -> Vec<String> {
    let head = content.split("\r\n\r\n").next().unwrap();
    let unfolded = head.replace("\r\n\t", " ").replace("\r\n ", " ");
    unfolded.split("\r\n").map(str::to_owned).collect()
}

fn value<'a>(stamp: &'a str, key: &str) -> &'a str {
    let items = stamp.split(": ").nth(1).unwrap();
    let item = items.split("; ").find_map(|item| item.strip_prefix(&format!("{key}=")));
    item.unwrap_or_else(|| panic!("no {key} in {stamp}"))
}

fn check_stamp(field: &str, protocol: &str) {
    let keys: Vec<&str> = field
        .strip_prefix("Domain-Secured: ")
        .unwrap_or_else(|| panic!("no stamp behind Received: {field}"))
        .split("; ")
        .map(|item| item.split_once('=').unwrap().0)
        .collect();
    let order = "domain by session tls cipher subject issuer serial fingerprint names verified";
    assert_eq!(keys, order.split(' ').collect::<Vec<_>>(), "{field}");
    assert_eq!(value(field, "domain"), "woodgrove.example");
    assert_eq!(value(field, "by"), "mx.contoso.example");
    assert_eq!(value(field, "tls"), protocol);
    assert_eq!(value(field, "names"), "\"woodgrove.example\"");
    assert!(value(field, "subject").contains("woodgrove.example"));
    assert!(value(field, "issuer").contains("Woodgrove Root CA"));
    let print = value(field, "fingerprint").strip_prefix("sha256:").unwrap();
    assert!(print.len() == 64 && print.bytes().all(|b| b.is_ascii_hexdigit()), "{print}");
    assert_eq!(value(field, "verified"), "chain,revocation,name");
}

/// The files as Exchange writes them, and every session numbered from 0 without a gap.
fn log_is_as_promised(rig: &Rig) {
    let mut odd = Smtp::clear(rig.at("Inter,\"net\""));
    assert!(odd.say("HELP for, \"me\"\x01").starts_with("214"));
    odd.quit();
    super::rig::until("the odd session", || rig.log_text().contains("HELP").then_some(()));
    let text = rig.log_text();
    let head: Vec<&str> = text.split("\r\n").take(5).collect();
    assert_eq!(head[0], "#Software: Sealpost");
    assert!(head[1].starts_with("#Version: "));
    assert_eq!(head[2], "#Log-type: SMTP Receive Protocol Log");
    assert!(head[3].starts_with("#Date: "));
    assert_eq!(
        head[4],
        "#Fields: date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context"
    );
    assert!(!text.contains("Hello."), "content in the protocol log");
    let sessions = rig.log();
    for lines in sessions.values() {
        for (position, line) in lines.iter().enumerate() {
            assert_eq!(line.sequence, position, "{}", line.raw);
            let time = line.raw.split(',').next().unwrap();
            assert!(time.len() == 24 && time.ends_with('Z') && &time[19..20] == ".", "{}", line.raw);
            assert_eq!(line.session.len(), 16);
        }
        assert_eq!(lines[0].event, "+");
        assert_eq!(lines[1].event, ">", "{}", lines[1].raw);
    }
    tls_facts_stand_in_order(
        sessions
            .values()
            .find(|lines| {
                lines.iter().any(|line| line.data.starts_with("Admitted"))
                    && lines.iter().any(|line| line.context == "Sending certificate")
            })
            .unwrap(),
    );
    let odd = sessions.values().flatten().find(|line| line.data.starts_with("HELP")).unwrap();
    assert_eq!(odd.connector, "Inter,\"net\"");
    assert!(odd.raw.contains(",\"Inter,\"\"net\"\"\","), "{}", odd.raw);
    assert!(odd.raw.contains("\"HELP for, \"\"me\"\"") && !odd.raw.contains('\x01'), "{}", odd.raw);
}

fn tls_facts_stand_in_order(lines: &[super::rig::LogLine]) {
    let facts: Vec<&str> =
        lines.iter().filter(|line| line.event == "*").map(|line| line.context.as_str()).collect();
    let of_certificate = [
        "Certificate subject",
        "Certificate issuer name",
        "Certificate serial number",
        "Certificate thumbprint",
        "Certificate alternate names",
        "Certificate validity",
    ];
    let mut expected = vec!["Sending certificate"];
    expected.extend(of_certificate);
    expected.push("Received certificate");
    expected.extend(of_certificate);
    expected.extend(["TLS protocol", "TLS cipher suite", "TLS key exchange"]);
    expected.extend(["Certificate chain validation status", "Domain security verdict"]);
    assert_eq!(facts, expected);
    let protocol = lines.iter().find(|line| line.context == "TLS protocol").unwrap();
    assert!(protocol.data == "TLSv1.2" || protocol.data == "TLSv1.3", "{}", protocol.raw);
}

/// The settings of partner entries, one partner each.
#[test]
fn partner_options_decide() {
    let mut cards: Vec<(&str, Card, &str)> = Vec::new();
    let mut rig = Rig::start(|pki, home| {
        std::fs::write(home.join("stranger-root.pem"), pki.stranger.root_pem()).unwrap();
        for (domain, expected) in [("deep.example", "550 5.7.5/Revoked"), ("shallow.example", "250 2.1.0")] {
            let list = home.join(format!("{domain}.crl"));
            cards.push((domain, below_revoked_intermediate(pki, home, domain), expected));
            std::fs::rename(home.join("issuing.crl"), list).unwrap();
        }
        settings(&option_partners(pki, &mut cards))
            .replace("\"fabrikam.crl\"]", "\"fabrikam.crl\", \"deep.example.crl\", \"shallow.example.crl\"]")
    });
    let at = rig.at("Internet");
    for (domain, card, expected) in &cards {
        let mut client = Smtp::secure(at, &tls(&TLS13, Some(card)));
        let reply = client.mail(&format!("kim@{domain}"));
        assert!(reply.starts_with(expected.split('/').next().unwrap()), "{domain} {expected}: {reply}");
        if let Some(fault) = expected.split('/').nth(1) {
            assert!(reply.contains(&format!("{fault}:")), "{domain}: {reply}");
            assert!(reply.contains(domain), "{reply}");
        }
    }
    minimum_tls(&rig);
    softly_revoked_has_no_revocation_in_its_stamp(&rig, &cards);
    report_mode(&mut rig);
    one_session_for_many(&rig, &cards);
}

fn option_partners(pki: &mut Pki, cards: &mut Vec<(&'static str, Card, &'static str)>) -> Vec<String> {
    let pinned = pki.woodgrove(&["pinned.example"]);
    let two = pki.woodgrove(&["twopins.example"]);
    let (own, old) = (self_signed("self.example", -1..90), self_signed("old.example", -9..-1));
    let other = self_signed("elsewhere.example", -1..90);
    let pins = |pins: &[&str]| format!("spki_pins = {pins:?}");
    let stranger = "[\"stranger-root.pem\"]";
    let partners = vec![
        partner("deep.example", WOODGROVE, ""),
        partner("shallow.example", WOODGROVE, "revocation_depth = \"end-entity\""),
        partner("strict.example", WOODGROVE, "minimum_tls = \"1.3\""),
        partner("named.example", WOODGROVE, "certificate_names = [\".hosts.example\", \"mx.named.example\"]"),
        partner("pinned.example", WOODGROVE, &pins(&[WRONG_PIN])),
        partner("twopins.example", WOODGROVE, &pins(&[WRONG_PIN, &two.pin()])),
        partner("self.example", "[]", &pins(&[&own.pin()])),
        partner("old.example", "[]", &pins(&[&old.pin()])),
        partner("other.example", "[]", &pins(&[&other.pin()])),
        partner("client.example", WOODGROVE, "extended_key_usage = \"client\""),
        partner("server.example", WOODGROVE, "extended_key_usage = \"server\""),
        partner("hard.example", stranger, ""),
        partner("soft.example", stranger, "revocation = \"soft-fail\""),
        partner("off.example", stranger, "revocation = \"off\""),
        partner("report.example", WOODGROVE, "mode = \"report\""),
        partner("defer.example", WOODGROVE, "on_inbound_failure = \"defer\""),
        partner("fabrikam.example", "[\"fabrikam-root.pem\"]", ""),
        partner("woodgrove.example", WOODGROVE, ""),
    ];
    let usage = |pki: &mut Pki, name: &str, usage| {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        Card::from(pki.woodgrove.sign(params, Validity::Current).unwrap())
    };
    let named = |pki: &mut Pki, name: &str| pki.woodgrove(&[name]);
    let of_stranger =
        |pki: &mut Pki, name: &str| Card::from(pki.stranger.issue(&[name], Validity::Current).unwrap());
    let ok = "250 2.1.0";
    cards.extend([
        ("named.example", named(pki, "a.b.hosts.example"), ok),
        ("named.example", named(pki, "*.hosts.example"), ok),
        ("named.example", named(pki, "mx.named.example"), ok),
        ("named.example", named(pki, "hosts.example"), "550 5.7.1/NameMismatch"),
        ("named.example", named(pki, "*.named.example"), ok),
        ("pinned.example", pinned, "550 5.7.1/PinMismatch"),
        ("twopins.example", two, ok),
        ("twopins.example", named(pki, "twopins.example"), "550 5.7.1/PinMismatch"),
        ("self.example", own, ok),
        ("self.example", self_signed("self.example", -1..90), "550 5.7.1/PinMismatch"),
        ("old.example", old, "550 5.7.5/Expired"),
        ("other.example", other, "550 5.7.1/NameMismatch"),
        ("client.example", usage(pki, "client.example", ClientAuth), ok),
        ("client.example", usage(pki, "client.example", ServerAuth), "550 5.7.5/WrongUsage"),
        ("server.example", usage(pki, "server.example", ServerAuth), ok),
        ("server.example", usage(pki, "server.example", ClientAuth), "550 5.7.5/WrongUsage"),
        ("woodgrove.example", usage(pki, "woodgrove.example", ServerAuth), ok),
        ("woodgrove.example", usage(pki, "woodgrove.example", ClientAuth), ok),
        ("woodgrove.example", pki.with_usages(&[]), ok),
        ("hard.example", of_stranger(pki, "hard.example"), "454 4.7.5/RevocationUnknown"),
        ("soft.example", of_stranger(pki, "soft.example"), ok),
        ("off.example", of_stranger(pki, "off.example"), ok),
        // Anchors of a partner replace ours, and vouch for nobody else.
        ("fabrikam.example", named(pki, "fabrikam.example"), "550 5.7.5/IncompleteChain"),
        ("listed.example", named(pki, "listed.example"), "550 5.7.5/IncompleteChain"),
        ("defer.example", named(pki, "wrong.example"), "454 4.7.1/NameMismatch"),
        ("defer.example", self_signed("defer.example", -1..9), "454 4.7.5/UntrustedRoot"),
        ("defer.example", named(pki, "defer.example"), ok),
        // Unlisted, with a certificate nobody asked for.
        ("litware.example", self_signed("whatever.example", -9..-1), ok),
    ]);
    partners
}

fn minimum_tls(rig: &Rig) {
    let mut deferred = Smtp::clear(rig.at("Internet"));
    let reply = deferred.mail("kim@defer.example");
    assert!(reply.starts_with("454 4.7.0 ") && reply.contains("TlsNotStarted"), "{reply}");
    let mut client = Smtp::secure(rig.at("Internet"), &tls(&TLS12, None));
    let reply = client.mail("kim@strict.example");
    // Of two faults the first of the table, and both are in the log.
    assert!(reply.starts_with("550 5.7.5 ") && reply.contains("TlsVersionTooLow"), "{reply}");
    assert_eq!(rig.failures("strict.example", "TlsVersionTooLow", "enforce"), 1);
}

fn softly_revoked_has_no_revocation_in_its_stamp(rig: &Rig, cards: &[(&str, Card, &str)]) {
    for (domain, verified) in [
        ("soft.example", "chain,name"),
        ("off.example", "chain,name"),
        ("twopins.example", "chain,revocation,pin,name"),
        ("self.example", "pin,name"),
    ] {
        let (_, card, _) =
            cards.iter().find(|(name, _, reply)| name == &domain && reply.starts_with('2')).unwrap();
        let mut client = Smtp::secure(rig.at("Internet"), &tls(&TLS13, Some(card)));
        let reply = client.send(&format!("kim@{domain}"), "bob@contoso.example", &letter(domain));
        assert!(reply.starts_with("250"), "{reply}");
        let kept = rig.arrival(domain);
        assert_eq!(value(&header_fields(&kept.content)[1], "verified"), verified, "{domain}");
    }
}

/// A bad verdict is logged and counted, and then it is as if the domain were not listed: no stamp,
/// no count of secured messages. A good one counts.
fn report_mode(rig: &mut Rig) {
    assert_eq!(rig.failures("report.example", "TlsNotStarted", "report"), 0, "a series starts at 0");
    let mut client = Smtp::clear(rig.at("Internet"));
    let content = letter("reported").replace("nowhere.example", "litware.example");
    let reply = client.send("kim@report.example", "bob@contoso.example", &content);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(rig.failures("report.example", "TlsNotStarted", "report"), 1);
    assert_eq!(rig.secured("report.example"), 0);
    assert!(!rig.arrival("reported").content.contains("Domain-Secured"));
    let content = letter("reported 2").replace("nowhere.example", "report.example");
    assert!(client.send("kim@report.example", "bob@contoso.example", &content).starts_with("250"));
    let mark = rig.arrival("reported 2").field("Domain-Secured");
    assert_eq!(mark.as_deref(), Some("none; from=report.example"), "a From: without a good verdict");
    let card = rig.pki.woodgrove(&["report.example"]);
    let mut client = Smtp::secure(rig.at("Internet"), &tls(&TLS13, Some(&card)));
    let content = letter("reported 3").replace("nowhere.example", "report.example");
    assert!(client.send("kim@report.example", "bob@contoso.example", &content).starts_with("250"));
    let stamp = rig.arrival("reported 3").field("Domain-Secured").unwrap_or_default();
    assert!(stamp.starts_with("domain=report.example;"), "good counts as when enforced: {stamp}");
    assert_eq!(rig.failures("report.example", "TlsNotStarted", "report"), 2);
    assert_eq!(rig.secured("report.example"), 1);
}

/// Partner A, partner B with A's certificate, `<>`, and an unlisted sender, in one session.
fn one_session_for_many(rig: &Rig, cards: &[(&str, Card, &str)]) {
    let (_, card, _) = cards.iter().find(|(name, ..)| *name == "woodgrove.example").unwrap();
    let mut client = Smtp::secure(rig.at("Internet"), &tls(&TLS13, Some(card)));
    let before = rig.secured("woodgrove.example");
    for (from, subject, stamped) in [
        ("kim@woodgrove.example", "many 1", true),
        ("", "many 2", true),
        ("kim@litware.example", "many 3", false),
        ("kim@[192.0.2.1]", "many 4", false),
    ] {
        let reply = client.mail("kim@fabrikam.example");
        assert!(reply.starts_with("550 5.7.5 ") && reply.contains("(domain fabrikam.example"), "{reply}");
        let reply = client.send(from, "bob@contoso.example", &letter(subject));
        assert!(reply.starts_with("250"), "{from}: {reply}");
        let kept = rig.arrival(subject);
        assert_eq!(
            kept.content.contains("Domain-Secured: domain=woodgrove.example"),
            stamped,
            "{}",
            kept.content
        );
    }
    assert_eq!(rig.secured("woodgrove.example") - before, 2);
    assert_eq!(rig.failures("fabrikam.example", "IncompleteChain", "enforce"), 5);
}
