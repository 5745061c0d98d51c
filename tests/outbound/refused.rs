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

/// What the partner's postmaster sees as a refusal of the other side is a failure on this side too.
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_refuses_us_is_no_healthy_partner() {
    let mut lab = Lab::new();
    let words = "454 4.7.1 Domain security: NameMismatch: no such name (domain contoso.example, session 08DB\u{1b}[2J)";
    let part = lab.good("unproved.example").saying("MAIL", words);
    let _unproved = lab.partner("unproved.example", part, "").await;
    let for_good = lab.good("for-good.example").saying("MAIL", "550 5.7.5 Domain security: UntrustedRoot");
    let _for_good = lab.partner("for-good.example", for_good, "").await;
    let club = lab.good("club.example").saying("RCPT", "550 5.7.1 members only");
    let _club = lab.partner("club.example", club, "").await;
    let full = lab.good("full.example").saying("RCPT", "452 4.2.2 mailbox full");
    let _full = lab.partner("full.example", full, "").await;
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    let id = edge.submit(SENDER, &["bob@unproved.example"], &letter("unproved")).await;
    edge.submit(SENDER, &["bob@full.example"], &letter("full")).await;
    // Mail that is refused for good waits all the same, as the partner may mend it; not that of a mailbox.
    let kept = edge.submit(SENDER, &["bob@for-good.example"], &letter("for good")).await;
    let returned = edge.submit(SENDER, &["bob@club.example"], &letter("club")).await;
    edge.until("three wait", |listed| {
        let waits = |one: &Value| one["status"] == "retry" && one["sender"] == SENDER;
        listed.iter().filter(|one| waits(one)).count() == 3
            && !listed.iter().any(|one| one["id"] == returned.as_str())
    })
    .await;
    assert_eq!(edge.why(&kept).await["fault"], "RefusedByPartner");

    let why = edge.why(&id).await;
    assert_eq!(why["fault"], "RefusedByPartner", "{why:#}");
    assert_eq!(why["last_reply"], words.replace('\u{1b}', "\\u{1b}"), "word for word");
    let reason = why["reason"].as_str().unwrap();
    assert!(reason.starts_with("mx.unproved.example answered MAIL with: 454 4.7.1 Domain sec"), "{reason}");
    for part in ["\\u{1b}[2J", "We present CN=contoso.example", "SHA-256", "sealpost certificate list"] {
        assert!(reason.contains(part), "no {part} in {reason}");
    }
    assert!(why["mended_by"].as_str().unwrap().starts_with("we, where our certificate"), "{why:#}");
    explained(&edge, &id, why["session"].as_str().unwrap()).await;

    let seen = |json: &Value| json["seen"][0].clone();
    let unproved = seen(&edge.json(&["partner", "show", "unproved.example", "--json"]).await);
    assert_eq!((&unproved["last_good"], &unproved["good"]), (&Value::Null, &Value::from(0)), "{unproved:#}");
    let fact = &unproved["last_failed"]["facts"][0];
    assert_eq!(fact["fault"], "RefusedByPartner");
    assert!(fact["detail"].as_str().unwrap().contains("NameMismatch: no such name"), "{fact}");
    let (_, told, _) = edge.command(&["partner", "show", "unproved.example"]).await;
    for part in ["1 RefusedByPartner (enforce)", "mended by", "what to do", "docs/runbook.md"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    let (_, told, _) = edge.command(&["partner", "list"]).await;
    assert!(told.contains("RefusedByPartner"), "{told}");
    let full = seen(&edge.json(&["partner", "show", "full.example", "--json"]).await);
    assert_eq!((&full["last_failed"], &full["good"]), (&Value::Null, &Value::from(1)), "a full mailbox");
    let series = "sealpost_domain_secure_outbound_session_failures_total{domain=\"unproved.example\",\
                  fault=\"RefusedByPartner\",mode=\"enforce\"}";
    assert_eq!(edge.counter(series).await, 1.0);
}

/// The commands that `queue why` and `queue show` name lead to the session, and so does the queue id.
async fn explained(edge: &Edge, id: &str, session: &str) {
    let command = format!("sealpost log explain {session}");
    for deed in ["why", "show"] {
        let (_, told, _) = edge.command(&["queue", deed, id]).await;
        assert!(told.contains(&command), "{told}");
    }
    // The log is on disk within a second.
    let mut found = (1, String::new(), String::new());
    for _ in 0..100 {
        found = edge.command(&["log", "explain", "--message", id, "--direction", "outbound"]).await;
        if found.0 == 0 && found.1.contains("RefusedByPartner") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let (_, told, error) = found;
    for part in [session, id, "fault         RefusedByPartner", "who acts      we, where our certificate"] {
        assert!(told.contains(part), "no {part} in {told} {error}");
    }
    let (status, _, error) = edge.command(&["queue", "why", "01A2000000000000"]).await;
    assert_eq!(status, 1);
    assert!(error.contains("sealpost trace 01A2000000000000"), "{error}");
}

/// Mail that comes while its next hop is down takes the finding over, and says that it does.
#[tokio::test(flavor = "multi_thread")]
async fn mail_for_a_next_hop_that_is_down_says_that_it_was_not_tried() {
    let mut lab = Lab::new();
    let _clear = lab.partner("clear.example", Part::default(), "").await;
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    let waits = |count| {
        move |listed: &[Value]| listed.len() == count && listed.iter().all(|one| one["status"] == "retry")
    };
    let first = edge.submit(SENDER, &["bob@clear.example"], &letter("first")).await;
    edge.until("the first waits", waits(1)).await;
    let second = edge.submit(SENDER, &["bob@clear.example"], &letter("second")).await;
    edge.until("both wait", waits(2)).await;
    let (first, second) = (edge.why(&first).await, edge.why(&second).await);
    assert_eq!((&first["own_attempts"], &second["own_attempts"]), (&Value::from(1), &Value::from(0)));
    assert_eq!(second["fault"], "StartTlsNotOffered", "{first:#} {second:#}");
    let reason = second["reason"].as_str().unwrap();
    assert!(reason.starts_with("not tried yet: the next hop failed at 20"), "{reason}");
    assert!(reason.ends_with(first["reason"].as_str().unwrap()), "{reason}");
    assert_eq!(second["session"], first["session"]);
    let moments = [&first, &second].map(|why| why["last_attempt"].as_str().unwrap().to_owned());
    assert!(moments[1] <= moments[0] || moments[1][..16] == moments[0][..16], "{moments:?}");
}
