//! Content: the header firewall, From:, loops, sizes, and the endings that smuggle mail.

use rustls::version::TLS13;

use super::client::{Smtp, tls};
use super::envelope;
use super::rig::{Rig, session_of};

#[test]
fn content_is_checked_and_cleaned() {
    let rig = envelope::rig();
    endings(&rig);
    refusals(&rig);
    eight_bits(&rig);
    firewall(&rig);
    inner_edge(&rig);
    let mut rig = rig;
    exchange_stamp(&mut rig);
    header_from(rig);
}

fn open(client: &mut Smtp, from: &str) {
    assert!(client.mail(from).starts_with("250"));
    assert!(client.rcpt("bob@contoso.example").starts_with("250"));
}

/// Only CRLF.CRLF ends content; what pretends to is refused as a whole, with what it smuggled.
fn endings(rig: &Rig) {
    let mut client = Smtp::clear(rig.at("Internet"));
    let smuggled = "MAIL FROM:<evil@litware.example>\r\nRCPT TO:<bob@contoso.example>\r\nDATA\r\nSubject: smuggled\r\n\r\n";
    for ending in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\r",
        "\r\r\n.\r\r\n",
        "\n\n.\r\n",
        "\r\n\0.\r\n",
    ] {
        open(&mut client, "a@b.example");
        let reply = client.data(format!("Subject: outer\r\n\r\ntext{ending}{smuggled}").as_bytes());
        assert!(reply.starts_with("550 5.6.0 "), "{ending:?}: {reply}");
        assert!(client.say("NOOP").starts_with("250 "), "{ending:?}: one reply to one message");
    }
    for stray in ["bare\rcr\r\n", "bare\nlf\r\n", "nul\0\r\n"] {
        open(&mut client, "a@b.example");
        let reply = client.data(format!("Subject: {stray}\r\n").as_bytes());
        assert!(reply.starts_with("550 5.6.0 "), "{stray:?}: {reply}");
    }
    open(&mut client, "a@b.example");
    let reply = client.data(b"Subject: dots\r\n\r\n..leading\r\n...\r\n");
    assert!(reply.starts_with("250 "));
    let kept = rig.arrival("dots").content;
    assert!(kept.ends_with("\r\n\r\n.leading\r\n..\r\n"), "{kept}");
    open(&mut client, "a@b.example");
    assert!(client.data(b"").starts_with("250 "), "an empty message is one");
    client.quit();
}

fn refusals(rig: &Rig) {
    let mut client = Smtp::clear(rig.at("Internet"));
    open(&mut client, "a@b.example");
    let large = format!("Subject: large\r\n\r\n{}", "0123456789abcdef0123456789abc\r\n".repeat(3000));
    assert!(client.data(large.as_bytes()).starts_with("552 5.3.4 "));
    open(&mut client, "a@b.example");
    let looping = format!("{}Subject: loop\r\n\r\n", "Received: from a by b; date\r\n".repeat(101));
    assert!(client.data(looping.as_bytes()).starts_with("554 5.4.6 "));
    open(&mut client, "a@b.example");
    assert!(client.data(b"Subject: still here\r\n\r\n").starts_with("250 2.6.0 "));
    client.quit();
}

fn eight_bits(rig: &Rig) {
    let mut client = Smtp::secure(rig.at("Internet"), &tls(&TLS13, None));
    for (mail, protocol) in [("BODY=8BITMIME", "ESMTPS"), ("SMTPUTF8", "UTF8SMTPS")] {
        assert!(client.say(&format!("MAIL FROM:<a@b.example> {mail}")).starts_with("250"));
        if protocol == "UTF8SMTPS" {
            assert!(client.rcpt("bücher@contoso.example").starts_with("250"));
        } else {
            assert!(client.rcpt("bücher@contoso.example").starts_with("553 5.6.7"));
            assert!(client.rcpt("bob@contoso.example").starts_with("250"));
        }
        assert!(client.data(format!("Subject: {mail}\r\n\r\nGrüße\r\n").as_bytes()).starts_with("250"));
        let kept = rig.arrival(mail);
        assert!(kept.content.contains(&format!(" with {protocol} ")), "{}", kept.content);
        assert!(kept.content.ends_with("Grüße\r\n"));
    }
    client.quit();
    let mut clear = Smtp::clear(rig.at("Internet"));
    open(&mut clear, "a@b.example");
    clear.rcpt("mary@contoso.example");
    assert!(clear.data(b"Subject: clear\r\n\r\n").starts_with("250"));
    let kept = rig.arrival("clear");
    assert!(kept.content.contains(" with ESMTP id "));
    assert!(!kept.content.contains("for <"), "of several recipients none is named");
    let mut ascii = Smtp::clear(rig.at("Internet"));
    assert!(ascii.mail("büro@b.example").starts_with("553 5.6.7"));
}

const FORGED: &str = "Domain-Secured: domain=woodgrove.example; verified=chain\r\n\
    DOMAIN-secured:\r\n\tdomain=woodgrove.example\r\n\
    Domain-Secured \t: x\r\n\
    x-ms-exchange-organization-AuthAs: Internal\r\n\
    X-MS-Exchange-Organization-AuthDomain: woodgrove.example\r\n\
    X-MS-Exchange-Forest-Rules: y\r\n\
    domain-secured: again\r\n";

const ATTACHED: &str = "Content-Type: message/rfc822\r\n\r\n\
    Domain-Secured: inside\r\nX-MS-Exchange-Organization-AuthAs: inside\r\nSubject: inner\r\n\r\nHi.\r\n";

fn firewall(rig: &Rig) {
    let mut client = Smtp::clear(rig.at("Internet"));
    for head in ["", " folded onto nothing; domain=x\r\n"] {
        let subject = format!("forged {}", head.len());
        open(&mut client, "a@b.example");
        let content = format!("{head}{FORGED}Subject: {subject}\r\nX-MS-Other: kept\r\n{FORGED}{ATTACHED}");
        assert!(client.data(content.as_bytes()).starts_with("250"));
        let kept = rig.arrival(&subject).content;
        let (received, rest) = kept.split_once("\r\nSubject: ").unwrap();
        assert!(
            received.starts_with("Received: ") && received.lines().skip(1).all(|line| line.starts_with('\t')),
            "{kept}"
        );
        assert_eq!(rest, format!("{subject}\r\nX-MS-Other: kept\r\n{ATTACHED}"), "the rest is as it was");
    }
}

/// A connector that takes stamps from an inner edge of ours: not on what claims to be a partner's.
fn inner_edge(rig: &Rig) {
    let mut client = Smtp::clear(rig.at("Internal"));
    for (from, subject, kept) in
        [("a@b.example", "inner 1", true), ("", "inner 2", true), ("kim@woodgrove.example", "inner 3", false)]
    {
        open(&mut client, from);
        let content = format!("{FORGED}Subject: {subject}\r\n\r\n");
        assert!(client.data(content.as_bytes()).starts_with("250"));
        // What was kept inside is still taken off on the way out; the queue shows what was stored.
        let arrived = rig.arrival(subject).content.to_lowercase();
        assert_eq!(arrived.contains("x-ms-exchange-organization-authas: internal"), kept, "{arrived}");
        assert_eq!(arrived.matches("domain-secured").count(), if kept { 4 } else { 0 }, "{arrived}");
    }
}

/// `stamp_exchange_headers`: an internal Exchange learns whom a partner proved to be, from us alone.
fn exchange_stamp(rig: &mut Rig) {
    let mailboxes = "name = \"Mailboxes\"";
    rig.reload_well(mailboxes, &format!("{mailboxes}\nstamp_exchange_headers = true"));
    let card = rig.pki.woodgrove(&["woodgrove.example"]);
    let memory = tls(&TLS13, Some(&card));
    let forged = "X-MS-Exchange-Organization-AuthDomain: forged.example\r\n";
    for (from, subject, is_stamped) in
        [("kim@woodgrove.example", "exchange 1", true), ("a@litware.example", "exchange 2", false)]
    {
        let mut client = Smtp::secure(rig.at("Internet"), &memory);
        open(&mut client, from);
        let content = format!("{forged}Subject: {subject}\r\n\r\n");
        assert!(client.data(content.as_bytes()).starts_with("250"));
        let kept = rig.arrival(subject);
        let stamp = ["AuthAs", "AuthDomain", "AuthSource"]
            .map(|field| kept.field(&format!("X-MS-Exchange-Organization-{field}")));
        let wanted = ["Partner", "woodgrove.example", "mx.contoso.example"];
        let wanted = wanted.map(|value| is_stamped.then(|| value.to_owned()));
        assert_eq!(stamp, wanted, "{}", kept.content);
        assert!(!kept.content.contains("forged.example"), "{}", kept.content);
        assert_eq!(kept.field("Domain-Secured").is_some(), is_stamped, "{}", kept.content);
    }
    rig.reload_well("\nstamp_exchange_headers = true", "");
}

/// A From: of a listed domain that the transaction did not prove: marked, refused, or let be.
fn header_from(mut rig: Rig) {
    let card = rig.pki.woodgrove(&["woodgrove.example"]);
    let memory = tls(&TLS13, Some(&card));
    let unproved = [
        "<kim@woodgrove.example>",
        "Kim <kim@WOODGROVE.example.>",
        "a@b.example, \"x\" <kim@woodgrove.example>",
        "\"kim\"@woodgrove.example",
        "kim@(comment)woodgrove.example",
        "a@b.example\r\nFrom: kim@woodgrove.example",
        "=?utf-8?q?Kim?= <kim@woodgrove.example>,",
        "Staff: kim@woodgrove.example;",
    ];
    for (mode, from_kept) in [("mark", true), ("reject", false), ("off", true)] {
        if mode != "mark" {
            let old = if mode == "reject" { "[transport]" } else { "header_from = \"reject\"" };
            let new = if mode == "reject" {
                "[transport]\nheader_from = \"reject\""
            } else {
                "header_from = \"off\""
            };
            rig.reload_well(old, new);
        }
        let mut client = Smtp::secure(rig.at("Internet"), &memory);
        for (number, from) in unproved.iter().enumerate() {
            let subject = format!("from {mode} {number}");
            open(&mut client, "a@litware.example");
            let reply = client.data(format!("From: {from}\r\nSubject: {subject}\r\n\r\n").as_bytes());
            if !from_kept {
                assert!(
                    reply.starts_with("550 5.7.1 ") && reply.contains("woodgrove.example"),
                    "{from}: {reply}"
                );
                session_of(&reply);
                continue;
            }
            assert!(reply.starts_with("250"), "{reply}");
            let mark = rig.arrival(&subject).field("Domain-Secured");
            let expected = (mode == "mark").then_some("none; from=woodgrove.example");
            assert_eq!(mark.as_deref(), expected, "{mode} {from}");
        }
        // Proved: no mark beside the stamp.
        let subject = format!("proved {mode}");
        open(&mut client, "kim@woodgrove.example");
        let reply =
            client.data(format!("From: kim@woodgrove.example\r\nSubject: {subject}\r\n\r\n").as_bytes());
        assert!(reply.starts_with("250"), "{reply}");
        assert!(!rig.arrival(&subject).content.contains("none; from"));
        // A bounce of the partner's, whose From: is the partner's.
        let subject = format!("bounce {mode}");
        open(&mut client, "");
        let reply = client
            .data(format!("From: postmaster@woodgrove.example\r\nSubject: {subject}\r\n\r\n").as_bytes());
        assert!(reply.starts_with("250"), "{reply}");
        assert!(
            rig.arrival(&subject).field("Domain-Secured").unwrap().starts_with("domain=woodgrove.example")
        );
    }
}
