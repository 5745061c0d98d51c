//! Mail for domains on no list: where it goes, what stops it, and what goes back to its sender.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealpost::cli::demo::pki::{Authority, Validity};

use super::lab::{Asks, BOTH, Lab, OURS, SENDER, letter, server_config};
use super::peer::{Answer, Part, Peer};

/// The contract counts a message once a recipient domain, however many transactions that takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_secured_message_counts_once_though_a_recipient_had_to_wait() {
    let mut lab = Lab::new();
    let recipients = AtomicUsize::new(0);
    let part = lab.good("secured.example").playing(move |moment| match moment.verb {
        // A peer is asked twice what it does about each: this is the second.
        "RCPT" if matches!(recipients.fetch_add(1, Ordering::Relaxed), 2 | 3) => {
            Answer::Say("451 4.2.1 later".to_owned())
        }
        _ => Answer::Usual,
    });
    let peer = lab.partner("secured.example", part, "").await;
    let edge = lab.start("[queue]\nretry_intervals = [\"1 s\"]\n").await;
    edge.submit(SENDER, &["bob@secured.example", "carol@secured.example"], &letter("to two")).await;
    edge.until("both have it", <[_]>::is_empty).await;
    assert_eq!(peer.messages().len(), 2, "in two transactions");
    edge.until_series("sealpost_messages_delivered_total{connector=\"Internet\"}", 2.0).await;
    let series = "sealpost_domain_secure_messages_sent_total{domain=\"secured.example\"}";
    assert_eq!(edge.counter(series).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_good_returns_at_once_and_one_for_now_waits() {
    let mut lab = Lab::new();
    let verbs =
        [("CONNECT", false), ("EHLO", false), ("MAIL", true), ("RCPT", true), ("DATA", true), ("DOT", true)];
    let mut returned: Vec<(String, &str, Peer)> = Vec::new();
    let mut waiting: Vec<(String, &str, Peer)> = Vec::new();
    for (verb, bounces) in verbs {
        let domain = format!("{}550.example", verb.to_lowercase());
        let peer = lab.peer(&domain, Part::default().saying(verb, "550 5.7.99 not here")).await;
        if bounces { &mut returned } else { &mut waiting }.push((domain, "5.7.99", peer));
        let domain = format!("{}451.example", verb.to_lowercase());
        let peer = lab.peer(&domain, Part::default().saying(verb, "451 4.7.98 not now")).await;
        waiting.push((domain, "4.7.98", peer));
    }
    for verb in ["MAIL", "RCPT", "DATA", "DOT"] {
        let domain = format!("{}421.example", verb.to_lowercase());
        let part = Part::default().playing(move |moment| match moment.verb {
            at if at == verb => Answer::SayAndClose("421 4.3.2 going down"),
            _ => Answer::Usual,
        });
        waiting.push((domain.clone(), "4.3.2", lab.peer(&domain, part).await));
        let domain = format!("{}closes.example", verb.to_lowercase());
        let part = Part::default().playing(move |moment| match moment.verb {
            at if at == verb => Answer::Close,
            _ => Answer::Usual,
        });
        waiting.push((domain.clone(), "4.4.2", lab.peer(&domain, part).await));
    }
    // What the next hop cannot take is never bent into shape.
    for (domain, extensions, status) in
        [("seven.example", "PIPELINING", "5.6.3"), ("small.example", "SIZE 20\n8BITMIME", "5.3.4")]
    {
        let peer = lab.peer(domain, Part { extensions, ..Part::default() }).await;
        returned.push((domain.to_owned(), status, peer));
    }
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    let mut ids = Vec::new();
    for (domain, ..) in &returned {
        edge.submit_with(SENDER, " BODY=8BITMIME", &[&format!("bob@{domain}")], &eight_bit(domain)).await;
    }
    for (domain, ..) in &waiting {
        ids.push(edge.submit(SENDER, &[&format!("bob@{domain}")], &letter(domain)).await);
    }
    for (domain, status, peer) in &returned {
        let subject = format!("Undeliverable: your message to bob@{domain}");
        let report = edge.inside.message(|message| text(&message.content).contains(&subject)).await;
        assert!(report.mail.starts_with("MAIL FROM:<>"), "{}", report.mail);
        assert_eq!(report.recipients, [format!("RCPT TO:<{SENDER}>")]);
        let report = text(&report.content);
        assert!(report.contains(&format!("\r\nStatus: {status}\r\n")), "{report}");
        assert!(report.contains("\r\nAction: failed\r\n"));
        assert!(report.contains(&format!("\r\nFinal-Recipient: rfc822; bob@{domain}\r\n")));
        assert!(peer.messages().is_empty());
    }
    let listed = edge.until("only what may still be delivered waits", |listed| {
        listed.len() == waiting.len() && listed.iter().all(|message| message["status"] == "retry")
    });
    let listed = listed.await;
    for ((domain, status, _), id) in waiting.iter().zip(&ids) {
        let message = listed.iter().find(|message| message["id"] == id.as_str()).unwrap();
        let recipient = &message["recipients"][0];
        let reply = recipient["last_reply"].as_str().unwrap();
        assert!(reply.contains(status), "{domain}: {reply}");
        assert!(recipient["fault"].is_null(), "{domain}");
        assert!(message["tls_domain"].is_null());
    }
    let bounced = edge.counter("sealpost_messages_bounced_total").await;
    assert!(bounced >= 1.0, "{bounced}");
    // A report that cannot be delivered is dropped, and nobody is told about it.
    let reports = edge.inside.messages().len();
    edge.submit("", &["bob@rcpt550.example"], &letter("of nobody")).await;
    edge.until("it is dropped", |listed| listed.len() == waiting.len()).await;
    assert_eq!(edge.inside.messages().len(), reports);
    edge.told("DsnDropped").await;
}

fn eight_bit(subject: &str) -> Vec<u8> {
    let mut content = letter(subject);
    content.extend_from_slice("Grüße\r\n".as_bytes());
    content
}

fn text(content: &[u8]) -> String {
    String::from_utf8_lossy(content).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_follows_dns_and_never_comes_back_to_us() {
    let mut lab = Lab::new();
    // Preference: the best host is busy, the next one down, the third takes it.
    let (busy, dead, third) = (lab.host(), lab.host(), lab.host());
    let at = lab.network;
    lab.record(|zone, network| {
        zone.mx("pref.example", 10, "a.pref.example")
            .mx("pref.example", 20, "b.pref.example")
            .mx("pref.example", 30, "c.pref.example")
            .address("a.pref.example", network.ip(busy))
            .address("b.pref.example", network.ip(dead))
            // Of two addresses of one host one is enough.
            .address("c.pref.example", network.ip(dead))
            .address("c.pref.example", network.ip(third))
    });
    let busy = Peer::start(at.at(busy), Part::default().saying("MAIL", "450 4.3.2 busy")).await;
    let third = Peer::start(at.at(third), Part::default()).await;
    // No MX: the domain's own address.
    let implicit = lab.host();
    lab.record(|zone, network| zone.address("implicit.example", network.ip(implicit)));
    let implicit = Peer::start(at.at(implicit), Part { extensions: "", ..Part::default() }).await;
    let old = lab.peer("old.example", Part::default().saying("EHLO", "500 what?")).await;
    let own = format!("mx.{OURS}");
    let (backup, better) = (lab.host(), lab.host());
    lab.record(|zone, network| {
        zone.null_mx("null.example")
            .mx("us.example", 10, &own)
            .mx("us.example", 20, "backup.us.example")
            .address("backup.us.example", network.ip(backup))
            // Our address under another name.
            .mx("alias.example", 10, "mx.alias.example")
            .address("mx.alias.example", network.ip(1))
            .mx("number.example", 10, "192.0.2.1")
            // We are the backup: the better host is down, and the mail must not go down to 30.
            .mx("backup.example", 10, "better.backup.example")
            .address("better.backup.example", network.ip(better))
            .mx("backup.example", 20, &own)
            .mx("backup.example", 30, "backup.us.example")
    });
    let backup = Peer::start(at.at(backup), Part::default()).await;
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    let to = |domain: &str| format!("bob@{domain}");
    for domain in ["pref.example", "implicit.example", "old.example"] {
        edge.submit(SENDER, &[&to(domain)], &letter(domain)).await;
    }
    for domain in ["null.example", "us.example", "alias.example", "number.example", "nowhere.example"] {
        edge.submit(SENDER, &[&to(domain)], &letter(domain)).await;
    }
    edge.submit(SENDER, &[&to("backup.example")], &letter("backup")).await;
    third.message(|_| true).await;
    assert!(busy.verbs().contains(&"MAIL".to_owned()), "the best host was asked first");
    assert!(busy.messages().is_empty());
    assert!(!implicit.message(|_| true).await.mail.contains("SIZE"), "no extension, no parameter");
    old.message(|_| true).await;
    assert!(old.verbs().contains(&"HELO".to_owned()));
    for (domain, status) in [
        ("null.example", "5.1.10"),
        ("us.example", "5.4.6"),
        ("alias.example", "5.4.6"),
        ("number.example", "5.4.4"),
        ("nowhere.example", "5.1.2"),
    ] {
        let about = format!("Final-Recipient: rfc822; bob@{domain}\r\n");
        let report = edge.inside.message(|message| text(&message.content).contains(&about)).await;
        let report = text(&report.content);
        assert!(report.contains(&format!("\r\nStatus: {status}\r\n")), "{report}");
    }
    edge.until("the better host is waited for", |listed| {
        listed.len() == 1 && listed[0]["status"] == "retry" && listed[0]["next_hop"] == "backup.example"
    })
    .await;
    assert!(backup.sessions().is_empty(), "worse hosts than we are never get it");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_used_where_it_is_to_be_had_and_demanded_where_the_connector_says_so() {
    let mut lab = Lab::new();
    let mut stranger = Authority::new("Stranger").unwrap();
    let mut unknown = |domain: &str| {
        let identity = stranger.issue(&[domain], Validity::Current).unwrap();
        Part::tls(server_config(&identity, Asks::Nothing, BOTH))
    };
    let any = lab.peer("any.example", unknown("any.example")).await;
    let part = unknown("nonsense.example").playing(|moment| match moment.verb {
        "STARTTLS" => Answer::Nonsense(b"no TLS here\r\n"),
        _ => Answer::Usual,
    });
    let nonsense = lab.peer("nonsense.example", part).await;
    let refuses = lab.peer("refuses.example", unknown("refuses.example").saying("STARTTLS", "454 no")).await;
    // Level, what the peer has, what comes of it.
    let wrong_name = |lab: &mut Lab| {
        let identity = lab.identity("elsewhere.example", Validity::Current);
        Part::tls(server_config(&identity, Asks::Nothing, BOTH))
    };
    let right = |lab: &mut Lab, domain: &str| {
        let identity = lab.identity(domain, Validity::Current);
        Part::tls(server_config(&identity, Asks::Nothing, BOTH))
    };
    let parts = [
        ("none", Part::default(), None),
        ("encryption-only", Part::default(), Some("StartTlsNotOffered")),
        ("encryption-only", unknown("x.example"), None),
        ("certificate-validation", unknown("x.example"), Some("IncompleteChain")),
        ("certificate-validation", wrong_name(&mut lab), None),
        ("domain-validation", wrong_name(&mut lab), Some("NameMismatch")),
        ("domain-validation", right(&mut lab, "rung7.example"), None),
    ];
    let mut rungs = Vec::new();
    let port = lab.network.port;
    for (number, (level, part, fault)) in (1..).zip(parts) {
        let domain = format!("rung{number}.example");
        lab.connector(&format!(
            "name = \"Rung {number}\"\naddress_spaces = [\"{domain}\"]\nport = {port}\ntls_auth_level = \"{level}\"\ndomain_secure_enabled = false"
        ));
        rungs.push((lab.peer(&domain, part).await, domain, fault));
    }
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    for domain in ["any", "nonsense", "refuses"] {
        edge.submit(SENDER, &[&format!("bob@{domain}.example")], &letter(domain)).await;
    }
    for (_, domain, _) in &rungs {
        edge.submit(SENDER, &[&format!("bob@{domain}")], &letter(domain)).await;
    }
    assert!(any.message(|_| true).await.tls, "an unknown certificate is better than clear text");
    assert!(!nonsense.message(|_| true).await.tls);
    assert_eq!(nonsense.sessions().len(), 2, "a second connection, without STARTTLS");
    assert!(!refuses.message(|_| true).await.tls);
    let waiting = rungs.iter().filter(|(_, _, fault)| fault.is_some()).count();
    let listed = edge.until("the ladder is climbed", |listed| {
        listed.len() == waiting && listed.iter().all(|message| message["status"] == "retry")
    });
    let listed = listed.await;
    for (peer, domain, fault) in &rungs {
        let waits = listed.iter().find(|message| message["next_hop"] == domain.as_str());
        let found = waits.map(|message| message["recipients"][0]["fault"].as_str().unwrap());
        assert_eq!(found, *fault, "{domain}");
        assert_eq!(peer.messages().len(), usize::from(fault.is_none()), "{domain}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_one_delivery_queue_and_so_many_messages() {
    let mut lab = Lab::new();
    let (port, at) = (lab.network.port, lab.network);
    lab.connector(&format!(
        "name = \"Few\"\naddress_spaces = [\"few.example\"]\nport = {port}\nmax_messages_per_connection = 2\nmax_connections_per_destination = 1"
    ));
    let few = lab.peer("few.example", Part::default()).await;
    // One host for two listed domains, proving both.
    let shared = lab.theirs.issue(&["one.example", "two.example"], Validity::Current).unwrap();
    let host = lab.host();
    for domain in ["one.example", "two.example"] {
        lab.list(domain, "");
        lab.record(|zone, _| zone.mx(domain, 10, "mx.shared.example"));
    }
    lab.record(|zone, network| zone.address("mx.shared.example", network.ip(host)));
    let shared = Peer::start(at.at(host), Part::tls(server_config(&shared, Asks::Firmly, BOTH))).await;
    // Smart hosts: a name with a port, a literal with one; the first is dead.
    let (dead, alive) = (lab.host(), lab.host());
    lab.record(|zone, network| zone.address("smart.example", network.ip(alive)));
    let (dead, alive_port) = (lab.network.at(dead), lab.network.free(alive).port());
    lab.connector(&format!(
        "name = \"Smart\"\naddress_spaces = [\"*.hosted.example\"]\ndns_routing_enabled = false\nsmart_hosts = [\"smart.example:{alive_port}\", \"[{}]:{}\"]",
        dead.ip(),
        dead.port()
    ));
    let smart = Peer::start((at.ip(alive), alive_port).into(), Part::default()).await;
    let edge = lab.start("").await;
    for number in 0..5 {
        edge.submit(SENDER, &["bob@few.example"], &letter(&format!("few {number}"))).await;
        edge.submit(SENDER, &["a@one.example", "b@two.example"], &letter("both")).await;
        edge.submit(SENDER, &["c@x.hosted.example", "d@hosted.example"], &letter("smart")).await;
    }
    edge.until("all is delivered", <[_]>::is_empty).await;
    let mut per_connection = std::collections::BTreeMap::new();
    for message in few.messages() {
        *per_connection.entry(message.connection).or_insert(0) += 1;
    }
    assert_eq!(per_connection.values().sum::<i32>(), 5);
    assert!(per_connection.values().all(|count| *count <= 2), "{per_connection:?}");
    assert!(per_connection.values().any(|count| *count == 2), "{per_connection:?}");
    let mut domain_of = std::collections::BTreeMap::new();
    assert_eq!(shared.messages().len(), 10);
    for message in shared.messages() {
        let [recipient] = message.recipients.as_slice() else { panic!("{:?}", message.recipients) };
        let known = domain_of.entry(message.connection).or_insert_with(|| recipient.clone());
        assert_eq!(known, recipient, "one connection, one delivery queue");
        assert!(message.tls);
    }
    assert_eq!(smart.messages().len(), 5, "recipients of one smart host travel together");
    assert!(smart.messages().iter().all(|message| message.recipients.len() == 2));
    let series = "sealpost_domain_secure_messages_sent_total{domain=\"two.example\"}";
    assert_eq!(edge.counter(series).await, 5.0);
}

/// LIMITS (RFC 9422), and a peer that says 452 where others say LIMITS (RFC 5321 4.5.3.1.10).
#[tokio::test(flavor = "multi_thread")]
async fn recipients_go_in_as_many_transactions_as_a_peer_wants() {
    let mut lab = Lab::new();
    let limited = Part { extensions: "PIPELINING\nLIMITS MAILMAX=2 RCPTMAX=2", ..Part::default() };
    let limited = lab.peer("limited.example", limited).await;
    let named = Arc::new(AtomicUsize::new(0));
    let at_most_two = Part::default().playing(move |moment| match moment.verb {
        "MAIL" => {
            named.store(0, Ordering::SeqCst);
            Answer::Usual
        }
        // A peer is asked twice about one RCPT: what to keep, and what to say.
        "RCPT" if named.fetch_add(1, Ordering::SeqCst) >= 4 => {
            Answer::Say("452 4.5.3 too many recipients".to_owned())
        }
        _ => Answer::Usual,
    });
    let silent = lab.peer("silent.example", at_most_two).await;
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    for (domain, peer) in [("limited.example", &limited), ("silent.example", &silent)] {
        let recipients: Vec<String> = (0..5).map(|number| format!("r{number}@{domain}")).collect();
        let to: Vec<&str> = recipients.iter().map(String::as_str).collect();
        edge.submit(SENDER, &to, &letter(domain)).await;
        edge.until("all is delivered", <[_]>::is_empty).await;
        let messages = peer.messages();
        assert_eq!(messages.len(), 3, "{domain}: {messages:?}");
        assert!(messages.iter().all(|message| message.recipients.len() <= 2), "{domain}: {messages:?}");
        let mut got: Vec<&String> = messages.iter().flat_map(|message| &message.recipients).collect();
        got.sort();
        let wanted: Vec<String> = recipients.iter().map(|address| format!("RCPT TO:<{address}>")).collect();
        assert!(got.into_iter().eq(&wanted), "{domain}: each once");
    }
    let connections = |peer: &Peer| peer.messages().iter().map(|message| message.connection).collect();
    let of_limited: std::collections::BTreeSet<usize> = connections(&limited);
    let of_silent: std::collections::BTreeSet<usize> = connections(&silent);
    assert_eq!((of_limited.len(), of_silent.len()), (2, 1), "a third MAIL needs another connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_arrives_octet_by_octet() {
    let mut lab = Lab::new();
    let part = lab.good("exact.example");
    let partner = lab.partner("exact.example", part, "").await;
    let part = Part { extensions: "8BITMIME\nSMTPUTF8", ..Part::default() };
    let plain = lab.peer("plain.example", part).await;
    let edge = lab.start("").await;
    let to = ["bob@exact.example", "eve@plain.example"];
    let long = "x".repeat(200_000);
    let bodies: Vec<Vec<u8>> = vec![
        b".\r\n..\r\n...\r\n.leading\r\n".to_vec(),
        b"\r\n\r\n\r\n.".to_vec(),
        "8-bit: äöü €\r\n\0".as_bytes().split_last().unwrap().1.to_vec(),
        format!("{long}\r\n").into_bytes(),
        b"no line end at the end".to_vec(),
        b"".to_vec(),
        filler(1 << 20),
        filler(30 << 20),
    ];
    for (number, body) in bodies.iter().enumerate() {
        let head =
            format!("From: <{SENDER}>\r\nSubject: exact {number}\r\nX-Odd:  two  blanks \r\n\tfolded\r\n");
        let whole = [head.as_bytes(), b"\r\n", body].concat();
        // The largest goes one way only; it takes long enough.
        let (to, peers) = match body.len() {
            0..=0x20_0000 => (&to[..], &[&partner, &plain][..]),
            _ => (&to[..1], &[&partner][..]),
        };
        edge.submit_with(SENDER, " BODY=8BITMIME", to, &whole).await;
        let mut expected = whole;
        if !expected.ends_with(b"\r\n") {
            expected.extend_from_slice(b"\r\n");
        }
        let subject = format!("Subject: exact {number}\r\n");
        for peer in peers {
            let fits = |message: &super::peer::Message| {
                memchr::memmem::find(&message.content[..message.content.len().min(2000)], subject.as_bytes())
                    .is_some()
            };
            let arrived = peer.message(fits).await;
            let (received, rest) = arrived.content.split_at(arrived.content.len() - expected.len());
            let differs = rest.iter().zip(&expected).position(|(got, wanted)| got != wanted);
            assert_eq!(
                differs,
                None,
                "message {number} was altered: {:?}",
                text(&rest[..rest.len().min(400)])
            );
            let received = text(received);
            assert!(received.starts_with("Received: "), "{received}");
            assert!(!received.contains("Domain-Secured"), "{received}");
        }
    }
    // Addresses beyond ASCII go where SMTPUTF8 is spoken.
    edge.submit_with("jürgen@contoso.example", " SMTPUTF8", &["bäcker@plain.example"], &letter("utf8")).await;
    let arrived = plain.message(|message| message.mail.contains("jürgen")).await;
    assert!(arrived.mail.contains(" SMTPUTF8"), "{}", arrived.mail);
    assert_eq!(arrived.recipients, ["RCPT TO:<bäcker@plain.example>"]);
}

fn filler(octets: usize) -> Vec<u8> {
    let line = b"The quick brown fox jumps over the lazy dog. \xC3\xA4\r\n.\r\n";
    line.iter().copied().cycle().take(octets / line.len() * line.len()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_inside_says_of_itself_stays_inside() {
    let mut lab = Lab::new();
    let port = lab.network.port;
    let plain = lab.peer("plain.example", Part::default()).await;
    let branch = lab.peer("branch.example", Part::default()).await;
    lab.connector(&format!(
        "name = \"Branch\"\naddress_spaces = [\"branch.example\"]\nport = {port}\nsend_organization_headers = true"
    ));
    let edge = lab.start("").await;
    let mut content = b"Domain-Secured: domain=partner.example; verified=chain\r\n\
        X-MS-Exchange-Organization-AuthAs: Internal\r\nX-MS-Exchange-Forest-Y: z\r\n"
        .to_vec();
    content.extend_from_slice(&letter("inside"));
    content.extend_from_slice(b"Domain-Secured: in the body\r\n");
    let to = ["bob@plain.example", "eve@branch.example", SENDER];
    edge.submit(SENDER, &to, &content).await;
    let outside = text(&plain.message(|_| true).await.content);
    assert!(!outside.contains("AuthAs") && !outside.contains("Forest") && !outside.contains("verified="));
    assert!(outside.contains("Domain-Secured: in the body"));
    for peer in [&branch, &edge.inside] {
        let inside = text(&peer.message(|_| true).await.content);
        assert!(inside.contains("verified=chain") && inside.contains("AuthAs: Internal"), "{inside}");
    }
}

/// A name server in trouble says nothing about a domain: everything waits, nothing bounces, and when
/// it is well again all goes its way, secured mail under mutual TLS as ever.
#[tokio::test(flavor = "multi_thread")]
async fn while_dns_fails_mail_waits_and_then_goes() {
    let mut lab = Lab::new();
    let good = lab.good("bank.example");
    let bank = lab.partner("bank.example", good, "").await;
    let plain = lab.peer("plain.example", Part::default()).await;
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    edge.resolver.fail(true);
    let to = ["bob@bank.example", "eve@plain.example"];
    let id = edge.submit(SENDER, &to, &letter("servfail")).await;
    let listed = edge
        .until("both recipients were tried", |listed| {
            let recipients = listed.iter().flat_map(|message| message["recipients"].as_array().unwrap());
            recipients.filter(|recipient| recipient["status"] == "retry").count() == to.len()
        })
        .await;
    assert_eq!(listed.len(), 1);
    for recipient in listed[0]["recipients"].as_array().unwrap() {
        let reply = recipient["last_reply"].as_str().unwrap();
        assert!(
            reply.starts_with("451 4.4.3 ") && reply.contains("looking up the mail exchangers"),
            "{reply}"
        );
        assert_eq!(recipient["fault"], serde_json::Value::Null, "DNS is no fault of the partner's TLS");
    }
    assert!(edge.resolver.failures() > 0);
    assert!(bank.sessions().is_empty() && plain.sessions().is_empty());
    assert!(edge.inside.messages().is_empty(), "nobody is told that mail has failed");

    edge.resolver.fail(false);
    let (status, _, error) = edge.command(&["queue", "retry", &id]).await;
    assert_eq!(status, 0, "{error}");
    assert!(bank.message(|_| true).await.tls);
    plain.message(|_| true).await;
    edge.until("the queue is empty", <[serde_json::Value]>::is_empty).await;
}
