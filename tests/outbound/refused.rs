//! Next hops of listed domains that are not what they should be: the mail waits, says why, and not
//! a word of it is told to them.

use sealpost::cli::demo::pki::{Authority, Validity};
use serde_json::Value;

use super::lab::{Asks, BOTH, Edge, Lab, SENDER, TLS12, TLS13, letter, server_config};
use super::peer::{Answer, Part, Peer};

/// Domain, what `queue why` must name, the enhanced code of `last_reply`.
struct Case {
    domain: &'static str,
    fault: Option<&'static str>,
    status: &'static str,
    peer: Peer,
}

async fn cases(lab: &mut Lab) -> Vec<Case> {
    let mut parts: Vec<(&str, Option<&str>, &str, Part)> = Vec::new();
    let secure = |lab: &mut Lab, domain: &str, asks, versions: &'static [&'static _]| {
        let identity = lab.identity(domain, Validity::Current);
        Part::tls(server_config(&identity, asks, versions))
    };
    parts.push(("clear.example", Some("StartTlsNotOffered"), "4.7.5", Part::default()));
    let helo = Part::default().saying("EHLO", "502 5.5.1 not implemented");
    parts.push(("helo.example", Some("StartTlsNotOffered"), "4.7.5", helo));
    for (domain, words) in [
        ("starttls454.example", "454 4.7.0 TLS not available"),
        ("starttls501.example", "501 5.5.4 no parameters allowed"),
        ("starttls421.example", "421 4.3.2 going down"),
    ] {
        let part = lab.good(domain).saying("STARTTLS", words);
        parts.push((domain, Some("HandshakeFailed"), "4.7.5", part));
    }
    let part = lab.good("injected.example").playing(|moment| match moment.verb {
        "STARTTLS" => Answer::Raw(b"220 go on\r\n250 injected\r\n"),
        _ => Answer::Usual,
    });
    parts.push(("injected.example", Some("HandshakeFailed"), "4.7.5", part));
    let part = lab.good("garbage.example").playing(|moment| match moment.verb {
        "STARTTLS" => Answer::Nonsense(b"this is no ServerHello, whatever it is\r\n"),
        _ => Answer::Usual,
    });
    parts.push(("garbage.example", Some("HandshakeFailed"), "4.7.5", part));
    let part = lab.good("closes.example").playing(|moment| match moment.verb {
        "STARTTLS" => Answer::SayAndClose("220 go on"),
        _ => Answer::Usual,
    });
    parts.push(("closes.example", Some("HandshakeFailed"), "4.7.5", part));
    let part = lab.good("silent.example").playing(|moment| match moment.verb {
        "STARTTLS" => Answer::Close,
        _ => Answer::Usual,
    });
    parts.push(("silent.example", Some("HandshakeFailed"), "4.7.5", part));
    let part = secure(lab, "unasked12.example", Asks::Nothing, TLS12);
    parts.push(("unasked12.example", Some("ClientCertificateNotRequested"), "4.7.5", part));
    let part = secure(lab, "unasked13.example", Asks::Nothing, TLS13);
    parts.push(("unasked13.example", Some("ClientCertificateNotRequested"), "4.7.5", part));
    let part = secure(lab, "refuses12.example", Asks::AndRefuses, TLS12);
    parts.push(("refuses12.example", Some("ClientCertificateRefused"), "4.7.5", part));
    let part = secure(lab, "refuses13.example", Asks::AndRefuses, TLS13);
    parts.push(("refuses13.example", Some("ClientCertificateRefused"), "4.7.5", part));
    let part = lab.good("late13.example").playing(|moment| match (moment.verb, moment.tls) {
        ("EHLO", true) => Answer::Close,
        _ => Answer::Usual,
    });
    parts.push(("late13.example", Some("ClientCertificateRefused"), "4.7.5", part));
    // The MX's own name proves nothing: DNS is what an attacker holds.
    let identity = lab.theirs.issue(&["mx.wrongname.example"], Validity::Current).unwrap();
    let part = Part::tls(server_config(&identity, Asks::Politely, BOTH));
    parts.push(("wrongname.example", Some("NameMismatch"), "4.7.1", part));
    for (domain, validity, fault) in [
        ("expired.example", Validity::Expired, "Expired"),
        ("notyet.example", Validity::NotYet, "NotYetValid"),
    ] {
        let identity = lab.identity(domain, validity);
        let part = Part::tls(server_config(&identity, Asks::Politely, BOTH));
        parts.push((domain, Some(fault), "4.7.5", part));
    }
    let identity = lab.identity("revoked.example", Validity::Current);
    lab.revoke(&identity);
    let part = Part::tls(server_config(&identity, Asks::Politely, BOTH));
    parts.push(("revoked.example", Some("Revoked"), "4.7.5", part));
    let mut stranger = Authority::new("Stranger").unwrap();
    let identity = stranger.issue(&["stranger.example"], Validity::Current).unwrap().with_root(&stranger);
    let part = Part::tls(server_config(&identity, Asks::Politely, BOTH));
    parts.push(("stranger.example", Some("UntrustedRoot"), "4.7.5", part));
    let identity = stranger.issue(&["rootless.example"], Validity::Current).unwrap();
    let part = Part::tls(server_config(&identity, Asks::Politely, BOTH));
    parts.push(("rootless.example", Some("IncompleteChain"), "4.7.5", part));
    parts.push(("shut.example", None, "4.4.2", Part::default().playing(|_| Answer::Close)));
    let part = Part::default().saying("CONNECT", "554 5.7.1 no service here");
    parts.push(("banner554.example", Some("RefusedByPartner"), "5.7.1", part));
    let words = "454 4.7.1 Domain security: NameMismatch: (domain contoso.example, session 08DB\u{1b}[2J)";
    let part = lab.good("unproved.example").saying("MAIL", words);
    parts.push(("unproved.example", Some("RefusedByPartner"), "4.7.1", part));
    let mut cases = Vec::new();
    for (domain, fault, status, part) in parts {
        cases.push(Case { domain, fault, status, peer: lab.partner(domain, part, "").await });
    }
    // Policy of the partner that the peer does not meet.
    let part = secure(lab, "oldtls.example", Asks::Politely, TLS12);
    let peer = lab.partner("oldtls.example", part, "minimum_tls = \"1.3\"").await;
    cases.push(Case { domain: "oldtls.example", fault: Some("TlsVersionTooLow"), status: "4.7.5", peer });
    let part = secure(lab, "pinned.example", Asks::Politely, BOTH);
    let pin = format!("spki_pins = [\"sha256/{}=\"]", "A".repeat(43));
    let peer = lab.partner("pinned.example", part, &pin).await;
    cases.push(Case { domain: "pinned.example", fault: Some("PinMismatch"), status: "4.7.1", peer });
    // An authority whose list nobody has, and whose certificates say nowhere that it is published.
    let mut listless = Authority::new("Listless").unwrap();
    lab.write("listless-root.pem", &listless.root_pem());
    let identity = listless.issue(&["listless.example"], Validity::Current).unwrap();
    let part = Part::tls(server_config(&identity, Asks::Politely, BOTH));
    lab.list_trusting("listless.example", "listless-root.pem", "");
    let peer = lab.peer("listless.example", part).await;
    cases.push(Case { domain: "listless.example", fault: Some("RevocationUnknown"), status: "4.7.5", peer });
    let part = lab.good("ownless.example");
    let peer = lab.partner("ownless.example", part, "certificate = \"client.contoso.example\"").await;
    cases.push(Case {
        domain: "ownless.example",
        fault: Some("OwnCertificateInvalid"),
        status: "4.7.5",
        peer,
    });
    let part = secure(lab, "ownless12.example", Asks::Firmly, TLS12);
    let peer = lab.partner("ownless12.example", part, "certificate = \"client.contoso.example\"").await;
    cases.push(Case {
        domain: "ownless12.example",
        fault: Some("OwnCertificateInvalid"),
        status: "4.7.5",
        peer,
    });
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_for_a_listed_domain_waits_and_says_why_whatever_its_server_does() {
    let mut lab = Lab::new();
    lab.own = Validity::Expired;
    let cases = cases(&mut lab).await;
    let good = lab.good("good.example");
    let good = lab.partner("good.example", good, "").await;
    let plain = lab.peer("plain.example", Part::default()).await;
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    let mut ids = Vec::new();
    for case in &cases {
        // One message for both: the ordinary recipient must not wait for the secured one, nor pull
        // it along.
        let secured = format!("bob@{}", case.domain);
        let to = [secured.as_str(), "eve@plain.example"];
        ids.push(edge.submit(SENDER, &to, &letter(case.domain)).await);
    }
    edge.submit(SENDER, &["bob@good.example", "eve@plain.example"], &letter("good")).await;
    let listed = edge.until("every attempt was made", |listed| {
        listed.len() == cases.len() && listed.iter().all(|message| message["status"] == "retry")
    });
    let listed = listed.await;
    for (case, id) in cases.iter().zip(&ids) {
        let message = listed.iter().find(|message| message["id"] == id.as_str()).unwrap();
        check_waiting(&edge, case, message).await;
    }
    assert_eq!(plain.messages().len(), cases.len() + 1, "ordinary recipients got theirs");
    for message in plain.messages() {
        assert_eq!(message.recipients, ["RCPT TO:<eve@plain.example>"]);
    }
    let message = good.message(|_| true).await;
    assert!(message.tls, "secured mail is never sent in clear");
    assert_eq!(message.recipients, ["RCPT TO:<bob@good.example>"]);
    count(&edge, &cases).await;
}

async fn check_waiting(edge: &Edge, case: &Case, message: &Value) {
    let domain = case.domain;
    assert_eq!(message["sender"], SENDER);
    assert_eq!(message["next_hop"], domain);
    assert_eq!(message["connector"], "Internet");
    assert_eq!(message["tls_domain"], domain);
    assert!(message["size"].as_u64().unwrap() > 100);
    for time in ["received", "expires"] {
        assert!(message[time].as_str().unwrap().ends_with('Z'), "{message}");
    }
    let [recipient] = message["recipients"].as_array().unwrap().as_slice() else {
        panic!("{domain}: one recipient is left: {message}");
    };
    assert_eq!(recipient["address"], format!("bob@{domain}"));
    assert_eq!(recipient["status"], "retry");
    assert_eq!(recipient["fault"].as_str(), case.fault, "{domain}: {message:#}");
    let reply = recipient["last_reply"].as_str().unwrap();
    assert!(reply.contains(case.status), "{domain}: {reply}");
    assert!(recipient["next_attempt"].is_string());
    let why = edge.why(message["id"].as_str().unwrap()).await;
    assert_eq!(why["id"], message["id"]);
    assert_eq!(why["fault"].as_str(), case.fault);
    assert_eq!(why["next_attempt"], recipient["next_attempt"]);
    assert!(!why["reason"].as_str().unwrap().is_empty());
    if case.fault.is_some() {
        assert!(!why["wanted"].as_str().unwrap().is_empty(), "{why:#}");
        assert!(!why["got"].as_str().unwrap().is_empty(), "{why:#}");
    }
    for verb in case.peer.verbs() {
        assert!(["EHLO", "STARTTLS", "QUIT"].contains(&verb.as_str()), "{domain} heard {verb}");
    }
    assert!(!case.peer.sessions().is_empty(), "{domain} was never asked");
    assert!(case.peer.messages().is_empty());
}

/// Once a session that connected and was not admitted.
async fn count(edge: &Edge, cases: &[Case]) {
    for Case { domain, fault, .. } in cases {
        let Some(fault) = fault else { continue };
        let series = format!(
            "sealpost_domain_secure_outbound_session_failures_total{{domain=\"{domain}\",fault=\"{fault}\",mode=\"enforce\"}}"
        );
        assert_eq!(edge.counter(&series).await, 1.0, "{series}");
    }
    let sent = "sealpost_domain_secure_messages_sent_total{domain=\"good.example\"}";
    assert_eq!(edge.counter(sent).await, 1.0);
}
