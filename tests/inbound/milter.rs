//! Milters: every answer at every step, every change, and everything that can go wrong with one.

use std::time::{Duration, Instant};

use rustls::version::TLS13;

use super::access;
use super::client::{Smtp, tls};
use super::rig::{Rig, until};
use super::scripted_milter::ScriptedMilter;

const SETTINGS: &str = r#"
[trust]
anchors = ["contoso-root.pem"]
crl_files = ["woodgrove.crl", "fabrikam.crl"]

[[partner]]
name = "Woodgrove"
domains = ["woodgrove.example"]
domain_secure = ["receive"]
trust_anchors = ["woodgrove-root.pem"]

[authentication]
users_file = "users"

[[accepted_domain]]
name = "contoso.example"

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[milter]]
name = "filter"
address = "inet:{milter}"
command_timeout = "3 s"
content_timeout = "3 s"

[[milter]]
name = "gone"
address = "unix:gone.sock"
connect_timeout = "1 s"
default_action = "accept"

[[milter]]
name = "gone for good"
address = "unix:gone.sock"
connect_timeout = "1 s"
default_action = "reject"

[[receive_connector]]
name = "Internet"
bindings = ["{ip}:0"]
tarpit_interval = "0 s"
milters = ["filter"]

[[receive_connector]]
name = "Users"
bindings = ["{ip6}:0"]
auth_mechanism = ["tls", "basic"]
permissions = ["authenticated-relay"]
milters = ["filter"]

[[receive_connector]]
name = "Watching"
bindings = ["{ip2}:0"]
tarpit_interval = "0 s"
milters = ["filter"]
milter_action = "mark"

[[receive_connector]]
name = "Open"
bindings = ["{ip3}:0"]
milters = ["gone"]

[[receive_connector]]
name = "Shut"
bindings = ["{ip5}:0"]
milters = ["gone", "gone for good"]
"#;

fn rig(milter: &ScriptedMilter) -> Rig {
    let address = milter.address.to_string();
    Rig::start(|_, home| {
        access::write_users(&home.join("users"));
        SETTINGS.replace("{milter}", &address)
    })
}

fn message(subject: &str) -> String {
    format!("Subject: {subject}\r\nX-Gone: x\r\n\r\nold body\r\n")
}

/// Sends from `STEP.DEED@litware.example`; the first reply that refuses, or the last.
fn sent(client: &mut Smtp, deed: &str) -> String {
    let reply = client.send(&format!("{deed}@litware.example"), "bob@contoso.example", &message(deed));
    client.say("RSET");
    reply
}

fn results(rig: &Rig, milter: &str, result: &str) -> u64 {
    let labels = [("milter", milter), ("result", result)];
    rig.find_counter("sealpost_milter_results_total", &labels).unwrap_or(0)
}

#[test]
fn answers_and_changes() {
    let milter = ScriptedMilter::start(0x400);
    let mut rig = rig(&milter);
    what_it_is_told(&mut rig, &milter);
    who_has_logged_in(&rig, &milter);
    chunks(&rig, &milter);
    refusals(&rig);
    consent(&rig, &milter);
    changes(&rig);
    quarantine(&rig);
    discards(&rig);
    watching(&rig);
}

/// Connection, greeting, envelope, header section and body, with the macros of Sendmail's names.
fn what_it_is_told(rig: &mut Rig, milter: &ScriptedMilter) {
    let card = rig.pki.woodgrove(&["woodgrove.example"]);
    let mut client = Smtp::secure(rig.at("Internet"), &tls(&TLS13, Some(&card)));
    assert!(client.say("MAIL FROM:<kim@woodgrove.example> BODY=8BITMIME SIZE=99").starts_with("250"));
    assert!(client.rcpt("bob@contoso.example").starts_with("250"));
    assert!(client.data(b"Subject: told\r\n\tfolded\r\n\r\nbody\r\n").starts_with("250"));
    let heard = milter.heard();
    let find = |start: &str| {
        heard.iter().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {heard:#?}"))
    };
    assert!(find("C [127.").contains("]|4"), "{heard:#?}");
    let connect = find("D Cj|");
    for part in ["j|mx.contoso.example", "{daemon_name}|Internet", "{client_addr}|127.", "v|Sealpost "] {
        assert!(connect.contains(part), "{part}: {connect}");
    }
    let helo = find("D H");
    for part in
        ["{tls_version}|TLSv1.3", "{cipher}|TLS13_", "{cert_subject}|", "{cert_issuer}|", "{verify}|OK"]
    {
        assert!(helo.contains(part), "{part}: {helo}");
    }
    assert!(find("D M").contains("{mail_addr}|kim@woodgrove.example|{mail_host}|woodgrove.example"));
    assert_eq!(find("M "), "M <kim@woodgrove.example>|SIZE=99|BODY=8BITMIME");
    assert!(find("D R").contains("{rcpt_addr}|bob@contoso.example"));
    assert_eq!(find("R "), "R <bob@contoso.example>");
    assert!(find("D T").starts_with("D Ti|"));
    assert!(find("L Domain-Secured|").contains("domain=woodgrove.example"));
    assert_eq!(find("L Subject|"), "L Subject|told\n\tfolded");
    assert!(!heard.iter().any(|line| line.starts_with("L Received")), "{heard:#?}");
    assert_eq!(find("B "), "B body\r\n");
    let kept = rig.arrival("told folded");
    assert!(kept.field("Domain-Secured").is_some_and(|stamp| stamp.contains("verified=")));
    // The connection stays for the session's next message.
    assert!(
        client.send("kim@woodgrove.example", "bob@contoso.example", &message("again")).starts_with("250")
    );
    assert_eq!(milter.heard().iter().filter(|line| line.starts_with('O')).count(), 1);
    client.quit();
}

fn who_has_logged_in(rig: &Rig, milter: &ScriptedMilter) {
    milter.forget();
    let mut client = Smtp::secure(rig.at("Users"), &tls(&TLS13, None));
    assert!(access::log_in(&mut client, "alice", access::PASSWORD).starts_with("235"));
    assert!(client.mail("alice@litware.example").starts_with("250"));
    client.quit();
    let heard = milter.heard();
    let sender = heard.iter().find(|line| line.starts_with("D M")).unwrap();
    assert!(sender.contains("{auth_type}|PLAIN|{auth_authen}|alice|"), "{sender}");
    milter.forget();
    let mut nobody = Smtp::clear(rig.at("Internet"));
    assert!(nobody.mail("a@litware.example").starts_with("250"));
    nobody.quit();
    assert!(!milter.heard().iter().any(|line| line.contains("auth_")));
}

/// One chunk; the reply to it.
fn chunk(client: &mut Smtp, octets: &str, last: bool) -> String {
    let mark = if last { " LAST" } else { "" };
    client.write(format!("BDAT {}{mark}\r\n{octets}", octets.len()).as_bytes());
    client.reply()
}

/// What is refused for its header section is gone before the next message is shown.
fn chunks(rig: &Rig, milter: &ScriptedMilter) {
    let mut client = Smtp::clear(rig.at("Internet"));
    let begin = |client: &mut Smtp| {
        assert!(client.mail("a@litware.example").starts_with("250"));
        assert!(client.rcpt("bob@contoso.example").starts_with("250"));
    };
    begin(&mut client);
    let reply = chunk(&mut client, "Subject: refused\r\nX-Bare: a\nb\r\n\r\nrefused\r\n", true);
    assert_eq!(reply, "550 5.6.0 Message refused: bare LF");
    milter.forget();
    begin(&mut client);
    assert!(chunk(&mut client, "Subject: in chu", false).starts_with("250 2.0.0"));
    assert!(chunk(&mut client, "nks\r\n\r\nfirst", false).starts_with("250 2.0.0"));
    assert!(chunk(&mut client, " and second\r\n", true).starts_with("250 2.6.0"));
    client.quit();
    let heard = milter.heard();
    let of = |letter: &str| heard.iter().filter(|line| line.starts_with(letter)).cloned().collect::<Vec<_>>();
    assert_eq!(of("L "), ["L Subject|in chunks"]);
    assert_eq!(of("B "), ["B first and second\r\n"]);
    let kept = rig.arrival("in chunks");
    assert!(
        kept.content.ends_with("+0000\r\nSubject: in chunks\r\n\r\nfirst and second\r\n"),
        "{}",
        kept.content
    );
}

fn refusals(rig: &Rig) {
    let mut client = Smtp::clear(rig.at("Internet"));
    for step in ["M", "R", "T", "L", "N", "B", "E"] {
        assert_eq!(
            sent(&mut client, &format!("{step}.reject")),
            "550 5.7.1 Refused by a content filter",
            "{step}"
        );
        assert!(sent(&mut client, &format!("{step}.tempfail")).starts_with("451 4.7.1 Put off"), "{step}");
        let reply = sent(&mut client, &format!("{step}.reply"));
        assert_eq!(reply, "554-5.7.9 100% sure\n554 5.7.9 that is spam", "{step}");
    }
    assert!(sent(&mut client, "E.shutdown").starts_with("451 4.7.1 "));
    assert!(client.say("EHLO reject.litware.example").starts_with("250"));
    for _ in 0..2 {
        assert!(sent(&mut client, "plain").starts_with("550 5.7.1 "), "a word on HELO holds for the session");
    }
    client.quit();
    assert_eq!(results(rig, "filter", "reject"), 7 * 2 + 2);
    assert_eq!(results(rig, "filter", "tempfail"), 7 + 1);
}

fn consent(rig: &Rig, milter: &ScriptedMilter) {
    let mut client = Smtp::clear(rig.at("Internet"));
    for (deed, last) in [("M.accept", 'M'), ("R.accept", 'R'), ("L.accept", 'L'), ("E.accept", 'E')] {
        milter.forget();
        assert!(sent(&mut client, deed).starts_with("250 2.6.0 "), "{deed}");
        rig.arrival(deed);
        let told = milter.heard();
        let told = told.iter().rfind(|line| !line.starts_with(['D', 'A', 'Q'])).unwrap();
        assert!(told.starts_with(last), "{deed}: {told}");
    }
    milter.forget();
    assert!(sent(&mut client, "L.skip").starts_with("250"));
    assert_eq!(milter.heard().iter().filter(|line| line.starts_with("L ")).count(), 1);
    milter.forget();
    let lines = "0123456789abcdef0123456789abcd\r\n".repeat(50_000);
    let large = format!("Subject: large\r\n\r\n{lines}");
    assert!(client.send("a@litware.example", "bob@contoso.example", &large).starts_with("250"));
    let body = milter
        .heard()
        .iter()
        .filter_map(|line| line.strip_prefix("B ").map(str::to_owned))
        .collect::<String>();
    assert!(body == lines, "{} of {} octets", body.len(), lines.len());
    assert!(sent(&mut client, "B.skip").starts_with("250"));
    assert!(sent(&mut client, "E.progress").starts_with("250"), "longer than the timeout, and at it");
    client.quit();
}

fn changes(rig: &Rig) {
    let mut client = Smtp::clear(rig.at("Internet"));
    assert!(sent(&mut client, "E.change").starts_with("250 2.6.0 "));
    client.quit();
    let kept = rig.arrival("changed");
    assert_eq!(kept.from, "bounces@litware.example");
    assert_eq!(kept.to, ["added@contoso.example"]);
    assert_eq!(kept.field("Domain-Secured"), None);
    let expected = "X-First: yes\r\nSubject: changed\r\nX-Spam: no\r\n\tnone at all\r\n\r\nnew body\r\nin two pieces\r\n";
    assert!(kept.content.ends_with(expected), "{}", kept.content);
    assert!(kept.content.starts_with("Received: "), "{}", kept.content);
    let denied = || {
        let events = rig.events();
        let count = events.matches("MilterChangeDenied").count();
        (count == 2).then_some(events)
    };
    let events = until("two changes that were denied", denied);
    for what in ["add header Domain-Secured", "add recipient <spy@anywhere.example>"] {
        assert!(events.contains(what), "{what}");
    }
    let mut partner = Smtp::clear(rig.at("Internet"));
    assert!(sent(&mut partner, "E.bad-body").starts_with("451 4.7.1 "), "a body that may not go out");
    partner.quit();
}

fn quarantine(rig: &Rig) {
    let mut client = Smtp::clear(rig.at("Internet"));
    let reply = sent(&mut client, "E.quarantine");
    assert!(reply.starts_with("250 2.6.0 "), "{reply}");
    client.quit();
    let output = std::process::Command::new(super::common::executable())
        .args(["queue", "list", "--status", "suspended", "--json", "-c"])
        .arg(rig.path("sealpost.toml"))
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.contains("E.quarantine@litware.example"), "{listed}");
    until("the event", || rig.events().contains("milter filter: looks odd").then_some(()));
    assert_eq!(results(rig, "filter", "quarantine"), 1);
}

fn discards(rig: &Rig) {
    let mut client = Smtp::clear(rig.at("Internet"));
    let before = rig.counter("sealpost_messages_received_total", &[("connector", "Internet")]);
    for step in ["M", "R", "T", "E"] {
        let reply = sent(&mut client, &format!("{step}.discard"));
        assert!(reply.starts_with("250 2.6.0 "), "{step}: {reply}");
    }
    client.quit();
    until("the events", || (rig.events().matches("MessageDiscarded").count() == 4).then_some(()));
    assert_eq!(rig.counter("sealpost_messages_received_total", &[("connector", "Internet")]), before);
}

/// `mark`: everything is told and nothing changed.
fn watching(rig: &Rig) {
    let mut client = Smtp::clear(rig.at("Watching"));
    for (deed, result) in [
        ("M.reject", "reject"),
        ("E.reply", "reject"),
        ("E.discard", "discard"),
        ("E.quarantine", "quarantine"),
        ("E.close", "failed"),
    ] {
        let reply = client.send(
            &format!("{deed}@litware.example"),
            "bob@contoso.example",
            &message(&format!("{deed} watched")),
        );
        assert!(reply.starts_with("250 2.6.0 "), "{deed}: {reply}");
        let mark = rig.arrival(&format!("{deed} watched")).field("X-Sealpost-Milter").expect("a mark");
        assert!(mark.contains(&format!("filter; result={result}")), "{deed}: {mark}");
    }
    let reply = client.send("E.change@litware.example", "bob@contoso.example", &message("as it was"));
    assert!(reply.starts_with("250 2.6.0 "), "{reply}");
    client.quit();
    let kept = rig.arrival("as it was");
    assert_eq!(
        (kept.from.as_str(), &kept.to[..]),
        ("E.change@litware.example", &["bob@contoso.example".to_owned()][..])
    );
    assert!(kept.content.ends_with("X-Gone: x\r\n\r\nold body\r\n"), "{}", kept.content);
    assert!(kept.field("X-Sealpost-Milter").unwrap().contains("changes=10"), "{}", kept.content);
}

#[test]
fn a_milter_that_breaks_down_decides_nothing() {
    // It answers to every step, so that it can go wrong at each.
    let milter = ScriptedMilter::start(0x400);
    let rig = rig(&milter);
    let mut client = Smtp::clear(rig.at("Internet"));
    for step in ["M", "R", "T", "L", "N", "B", "E"] {
        for deed in ["close", "garbage", "unknown", "huge", "forged-reply"] {
            let reply = sent(&mut client, &format!("{step}.{deed}"));
            assert_eq!(reply, "451 4.7.1 Service unavailable, try again later", "{step}.{deed}");
        }
        if step != "E" {
            let reply = sent(&mut client, &format!("{step}.early-change"));
            assert!(reply.starts_with("451 4.7.1 "), "{step}: {reply}");
        }
    }
    for deed in ["M.hang", "E.hang", "E.half"] {
        let begun = Instant::now();
        assert!(sent(&mut client, deed).starts_with("451 4.7.1 "), "{deed}");
        assert!(begun.elapsed() >= Duration::from_secs(3), "{deed}");
    }
    // One event for all of it, until it works again.
    until("the event", || rig.events().contains("MilterDown").then_some(()));
    assert!(sent(&mut client, "plain").starts_with("250 2.6.0 "));
    until("the event", || rig.events().contains("MilterUp").then_some(()));
    assert_eq!(rig.events().matches("MilterDown").count(), 1);
    client.quit();
    down_from_the_start(&rig);
}

fn down_from_the_start(rig: &Rig) {
    let mut open = Smtp::clear(rig.at("Open"));
    for number in 0..3 {
        let subject = format!("open {number}");
        let reply = open.send("a@litware.example", "bob@contoso.example", &message(&subject));
        assert!(reply.starts_with("250 2.6.0 "), "{reply}");
        rig.arrival(&subject);
    }
    open.quit();
    assert_eq!(results(rig, "gone", "failed"), 3);
    let mut shut = Smtp::clear(rig.at("Shut"));
    assert!(shut.mail("a@litware.example").starts_with("550 5.7.1 "));
    shut.quit();
    let told = || (rig.events().matches("MilterDown").count() == 3).then_some(());
    until("one event a milter", told);
}

/// One that wants to hear of nothing but the end is shown everything at once.
#[test]
fn steps_that_are_not_wanted_are_left_out() {
    // No connection, HELO, body or DATA, and no answers to what comes before the end.
    let milter = ScriptedMilter::start(0x01 | 0x02 | 0x10 | 0x200 | 0x80 | 0x4000 | 0x8000 | 0x4_0000);
    let rig = rig(&milter);
    let mut client = Smtp::clear(rig.at("Internet"));
    let large = format!("Subject: large\r\n\r\n{}", "0123456789\r\n".repeat(200_000));
    assert!(client.send("E.accept@litware.example", "bob@contoso.example", &large).starts_with("250 2.6.0 "));
    client.quit();
    let letters: String = milter
        .heard()
        .iter()
        .filter_map(|line| line.chars().next())
        .filter(|letter| *letter != 'D')
        .collect();
    assert_eq!(letters.trim_end_matches('Q'), "OMRLNE");
    rig.arrival("large");
}
