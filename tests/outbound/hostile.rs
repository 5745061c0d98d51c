//! Next hops and name servers that mean harm: whatever they say, mail waits or goes once, the queue
//! lives on, and nothing they wrote reaches a terminal or another message.

use std::time::{Duration, Instant};

use sealpost::smtp::DataEncoder;

use super::common::naive::{self, ends_of_data};
use super::lab::{Lab, SENDER, letter};
use super::peer::{Answer, Part};

/// A reply nobody should read to its end; all of it would be four hundred lines.
const ENDLESS: &[u8] = b"250-and so on, and so on, and so on, and so on, and so on, and so on, and so on\r\n";
const PAINTED: &str = "550 5.1.1 \u{1b}[2J\u{1b}]0;owned\u{7}no such user\u{9b}1m";

/// The message whose end a lax reader finds early: sent as it is, it is two to that reader; encoded,
/// it is one to every reader there is.
#[test]
fn no_content_leaves_that_another_server_could_split() {
    let smuggled = "MAIL FROM:<admin@contoso.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nSend money.";
    for lax in ends_of_data() {
        let content =
            [b"Subject: innocent\r\n\r\nHi", &lax.end_of_data()[..], smuggled.as_bytes(), b"\r\n"].concat();
        let raw = [&content[..], b".\r\n"].concat();
        assert_eq!(lax.messages(&raw).len(), 2, "sent as it is, it works: {:?}", lax.end_of_data());
        for cut in 0..content.len() {
            let mut encoder = DataEncoder::new();
            let mut wire = Vec::new();
            encoder.encode(&content[..cut], &mut wire);
            encoder.encode(&content[cut..], &mut wire);
            encoder.finish(&mut wire);
            for reader in ends_of_data() {
                let seen = reader.messages(&wire);
                assert_eq!(seen.len(), 1, "{:?} read {:?}", reader.end_of_data(), lax.end_of_data());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_server_says_mail_waits_or_goes_once() {
    assert!("250-ok\r\n550 no\r\n".starts_with("250"), "whoever looks at the first line is told yes");
    assert!(naive::log_line(PAINTED.as_bytes()).contains('\u{1b}'), "and whoever repeats it paints");
    let mut lab = Lab::new();
    let raw = |verb: &'static str, octets: &'static [u8]| {
        Part::default().playing(move |moment| match moment.verb {
            at if at == verb => Answer::Raw(octets),
            _ => Answer::Usual,
        })
    };
    let endless: &'static [u8] = ENDLESS.repeat(400).leak();
    let long: &'static [u8] = [b"250 ", &b"x".repeat(1 << 20)[..], b"\r\n"].concat().leak();
    let mut waiting = Vec::new();
    for (domain, part) in [
        ("endless-banner.example", raw("CONNECT", endless)),
        ("endless-ehlo.example", raw("EHLO", endless)),
        ("endless-dot.example", raw("DOT", endless)),
        ("long.example", raw("MAIL", long)),
        ("binary.example", raw("EHLO", b"\xff\xfe\0\x01\x1b[2J250 ok\r\n")),
        ("nul.example", raw("MAIL", b"250 o\0k\r\n")),
        ("mixed.example", raw("MAIL", b"250-ok\r\n550 no\r\n")),
        ("numberless.example", raw("RCPT", b"ok\r\n")),
        ("strange.example", raw("RCPT", b"999 ok\r\n")),
        ("goes-on.example", raw("DATA", b"250 no need to send it\r\n")),
        ("http.example", raw("CONNECT", b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    ] {
        waiting.push((domain, lab.peer(domain, part).await));
    }
    // 421 behind the 250 belongs to the connection, not to the next message.
    let busy = lab.peer("busy.example", raw("DOT", b"250 2.6.0 kept\r\n421 4.3.2 going down\r\n")).await;
    let painter = lab.peer("painter.example", Part::default().saying("RCPT", PAINTED)).await;
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    for (domain, _) in &waiting {
        edge.submit(SENDER, &[&format!("bob@{domain}")], &letter(domain)).await;
    }
    for number in 0..3 {
        edge.submit(SENDER, &["bob@busy.example"], &letter(&format!("busy {number}"))).await;
    }
    edge.submit(SENDER, &["bob@painter.example"], &letter("painter")).await;
    let listed = edge.until("all of it was tried", |listed| {
        listed.len() == waiting.len() && listed.iter().all(|message| message["status"] == "retry")
    });
    for message in listed.await {
        let recipient = &message["recipients"][0];
        assert!(recipient["last_reply"].as_str().is_some_and(|reply| reply.starts_with('4')), "{message}");
    }
    for (domain, peer) in &waiting {
        assert!(peer.messages().is_empty() || *domain == "endless-dot.example", "{domain}");
    }
    let sent = busy.verbs().iter().filter(|verb| *verb == "DATA").count();
    assert_eq!(sent, 3, "each message once: {:?}", busy.sessions());
    assert!(!painter.sessions().is_empty());
    let fits = |message: &super::peer::Message| {
        String::from_utf8_lossy(&message.content).contains("rfc822; bob@painter.example")
    };
    let report = String::from_utf8_lossy(&edge.inside.message(fits).await.content).into_owned();
    assert!(report.contains("no such user"), "{report}");
    let shown = edge.command(&["queue", "list"]).await.1 + &edge.command(&["log", "sessions"]).await.1;
    let logs = sent_log(&edge);
    for (what, text) in
        [("the report", &report), ("events", &edge.log()), ("commands", &shown), ("log", &logs)]
    {
        let raw = text.chars().find(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t'));
        assert_eq!(raw, None, "{what}: {text}");
    }
}

fn sent_log(edge: &super::lab::Edge) -> String {
    let files = std::fs::read_dir(edge.path("data/protocol-log/SmtpSend")).into_iter().flatten();
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

/// DNS is the attacker's: thousands of mail exchangers, aliases that go round, hosts that are us, and
/// names that are no names. It costs a bounded number of questions and connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_records_delays_nobody() {
    /// As many as one answer of 64 KiB surely holds; five thousand do not fit.
    const EXCHANGERS: u16 = 1500;
    let mut lab = Lab::new();
    let plain = lab.peer("plain.example", Part::default()).await;
    let best = lab.peer("best.example", Part::default()).await;
    let dead = lab.host();
    lab.record(|mut zone, network| {
        for number in 0..EXCHANGERS {
            zone = zone.mx("dead.example", number, &format!("m{number}.d.example")).mx(
                "storm.example",
                10 + number,
                &format!("m{number}.d.example"),
            );
            if number < 200 {
                zone = zone.address(&format!("m{number}.d.example"), network.ip(dead));
            }
        }
        // The only one that lives, and the best.
        zone.mx("storm.example", 1, "mx.best.example")
            .alias("round.example", "about.example")
            .alias("about.example", "round.example")
            .mx("circle.example", 10, "round.example")
            .mx("painted.example", 10, "a\u{1b}[2J.painted.example")
    });
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    // The lab's own resolver speaks UDP alone.
    edge.edit(&edge.resolver.address.to_string(), &edge.dns.address().to_string());
    let (status, _, error) = edge.command(&["config", "reload"]).await;
    assert_eq!(status, 0, "{error}");
    let began = Instant::now();
    for domain in ["dead", "round", "circle", "painted"] {
        edge.submit(SENDER, &[&format!("bob@{domain}.example")], &letter(domain)).await;
    }
    edge.submit(SENDER, &["bob@storm.example"], &letter("storm")).await;
    edge.submit(SENDER, &["bob@plain.example"], &letter("plain")).await;
    plain.message(|_| true).await;
    best.message(|_| true).await;
    edge.until("the storm is over", |listed| {
        listed.iter().all(|message| message["status"] == "retry") && !listed.is_empty()
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let tried = sent_log(&edge).lines().filter(|line| line.contains(".d.example")).count();
    assert!(tried <= 16 * 8, "{tried} lines of hosts of the storm");
    let raw = edge.log().chars().find(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t'));
    assert_eq!(raw, None, "{}", edge.log());
}
