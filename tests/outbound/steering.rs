//! Steering: another next hop, rules for mail to come, messages in files, and a queue that is long.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealpost::cli::demo::pki::Validity;
use sealpost_queue::{Change, Destination, NewMessage, NewRecipient, Options, Queue};
use serde_json::Value;

use super::common::EDGE;
use super::lab::{Asks, BOTH, Edge, Lab, SENDER, letter, server_config};
use super::peer::{Answer, Part, Peer};

fn closed() -> Part {
    Part::default().playing(|_| Answer::Close)
}

async fn done(edge: &Edge, arguments: &[&str]) -> String {
    let (status, out, error) = edge.command(&[&["queue"], arguments].concat()).await;
    assert_eq!(status, 0, "{arguments:?}: {out}{error}");
    out
}

async fn denied(edge: &Edge, arguments: &[&str], status: i32, why: &str) {
    let (found, out, error) = edge.command(&[&["queue"], arguments].concat()).await;
    assert!(found == status && out.is_empty() && error.contains(why), "{arguments:?}: {found} {out}{error}");
}

fn audit(edge: &Edge) -> String {
    std::fs::read_to_string(edge.path("data/audit.log")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_takes_another_way_and_is_no_less_demanding_there() {
    let mut lab = Lab::new();
    lab.peer("plain.example", closed()).await;
    lab.partner("bank.example", closed(), "").await;
    let [plain_backup, good_backup, impostor] =
        [lab.host(), lab.host(), lab.host()].map(|h| lab.network.at(h));
    let identity = lab.identity("elsewhere.example", Validity::Current);
    let good = lab.good("bank.example");
    let plain_backup = (plain_backup, Peer::start(plain_backup, Part::default()).await);
    let good_backup = (good_backup, Peer::start(good_backup, good).await);
    let part = Part::tls(server_config(&identity, Asks::Firmly, BOTH));
    let impostor = (impostor, Peer::start(impostor, part).await);
    let to = |host: std::net::SocketAddr| format!("[{}]:{}", host.ip(), host.port());
    let ourselves = format!("[{}]:{}", lab.network.ip(EDGE), lab.network.port);
    let mut edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    edge.submit(SENDER, &["a@plain.example"], &letter("plain")).await;
    let secret = edge.submit(SENDER, &["b@bank.example"], &letter("secret")).await;
    edge.until("both wait", |listed| {
        listed.len() == 2 && listed.iter().all(|message| message["status"] == "retry")
    })
    .await;

    denied(&edge, &["redirect", "--all", "--to", &ourselves], 1, "would loop").await;
    denied(&edge, &["redirect", "--all", "--to", "no host"], 1, "not a smart host").await;
    denied(&edge, &["redirect", "--all"], 2, "--to").await;
    denied(&edge, &["redirect", "--all", "--undo"], 1, "no message").await;
    denied(&edge, &["redirect", "--domain", "nobody.example", "--to", "x.example"], 1, "no message").await;

    let out = done(&edge, &["redirect", "--domain", "plain.example", "--to", &to(plain_backup.0)]).await;
    assert_eq!(out, "1 message\n");
    plain_backup.1.message(|_| true).await;

    // A partner's mail goes to a host that proves the partner, whoever names the host.
    let out = done(&edge, &["redirect", &secret, "--to", &to(impostor.0)]).await;
    assert!(out.contains("checked against the recipient's domain: 1 recipient"), "{out}");
    let fault = |listed: &[Value]| listed[0]["recipients"][0]["fault"].clone();
    edge.until("the impostor is found out", |listed| listed.len() == 1 && fault(listed) == "NameMismatch")
        .await;
    assert!(impostor.1.messages().is_empty());
    edge.server.take().unwrap().stop().unwrap();
    edge.restart();
    let listed = edge.list(&["--next-hop", &to(impostor.0), "--fault", "NameMismatch"]).await;
    let recipient = &listed[0]["recipients"][0];
    assert_eq!((&recipient["redirected"], &recipient["tls_domain"]), (&true.into(), &"bank.example".into()));
    let shown = done(&edge, &["show", &secret]).await;
    assert!(shown.contains(&format!("redirected to {}", to(impostor.0))), "{shown}");

    done(&edge, &["redirect", "--all", "--undo"]).await;
    let listed = edge.list(&["--connector", "Internet"]).await;
    assert_eq!(
        (&listed[0]["next_hop"], &listed[0]["recipients"][0]["redirected"]),
        (&"bank.example".into(), &false.into())
    );
    // It is tried the old way first; what is being delivered cannot be sent another.
    edge.until("the old way is no better", |listed| listed[0]["status"] == "retry").await;
    done(&edge, &["redirect", "--domain", "bank.example", "--to", &to(good_backup.0)]).await;
    let message = good_backup.1.message(|_| true).await;
    assert!(message.tls);
    let audit = audit(&edge);
    assert!(
        audit.contains("what=\"queue redirect --undo\"") && audit.contains("new=\"1 message\""),
        "{audit}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_to_come_is_held_by_rules_that_outlive_the_server() {
    let mut lab = Lab::new();
    let one = lab.peer("one.example", Part::default()).await;
    let two = lab.peer("two.example", Part::default()).await;
    lab.peer("three.example", closed()).await;
    let mut edge = lab.start("").await;
    assert_eq!(done(&edge, &["hold", "--list"]).await, "no rule holds mail to come\n");
    done(&edge, &["hold", "--domain", "One.Example"]).await;
    let both = edge.submit(SENDER, &["a@one.example", "b@two.example"], &letter("both")).await;
    two.message(|_| true).await;
    let (_, why, _) = edge.command(&["queue", "why", &both]).await;
    assert!(why.contains("sealpost queue release"), "{why}");
    edge.server.take().unwrap().stop().unwrap();
    edge.restart();
    edge.submit(SENDER, &["c@one.example"], &letter("later")).await;
    let held = edge.list(&["--status", "suspended"]).await;
    assert_eq!(held.len(), 2);
    // What somebody suspends by hand is his, whatever rules end.
    edge.submit(SENDER, &["d@three.example"], &letter("by hand")).await;
    edge.until("it waits", |listed| listed.iter().any(|message| message["status"] == "retry")).await;
    done(&edge, &["suspend", "--domain", "three.example"]).await;
    done(&edge, &["hold", "--domain", "three.example"]).await;
    assert_eq!(
        done(&edge, &["release", "--domain", "three.example"]).await,
        "1 rule ended, 0 messages let go\n"
    );
    done(&edge, &["remove", "--no-dsn", "--domain", "three.example", "--status", "suspended"]).await;
    let rules = edge.json(&["queue", "hold", "--list", "--json"]).await;
    assert_eq!((rules.as_array().unwrap().len(), &rules[0]["domain"]), (1, &"one.example".into()));

    // A second rule holds on what the first lets go.
    done(&edge, &["hold", "--recipient", "<c@one.example>"]).await;
    assert_eq!(
        done(&edge, &["release", "--domain", "one.example"]).await,
        "1 rule ended, 1 message let go\n"
    );
    one.message(|message| message.recipients[0].contains("a@one.example")).await;
    assert_eq!(edge.list(&[]).await.len(), 1);
    assert_eq!(done(&edge, &["release", "--all"]).await, "1 rule ended, 1 message let go\n");
    one.message(|message| message.recipients[0].contains("c@one.example")).await;

    // A rule may end by itself.
    done(&edge, &["hold", "--sender", SENDER, "--until", "2 s"]).await;
    edge.submit(SENDER, &["e@one.example"], &letter("for a while")).await;
    one.message(|message| message.recipients[0].contains("e@one.example")).await;
    // What it held may be there before the rule is struck off the list.
    let mut rules = done(&edge, &["hold", "--list"]).await;
    for _ in 0..100 {
        if rules == "no rule holds mail to come\n" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        rules = done(&edge, &["hold", "--list"]).await;
    }
    assert_eq!(rules, "no rule holds mail to come\n");

    denied(&edge, &["hold"], 2, "--domain").await;
    denied(&edge, &["hold", "--domain", "x.example", "--until", "soon"], 2, "RFC 3339").await;
    denied(&edge, &["hold", "--domain", "x.example", "--until", "2020-01-01T00:00:00Z"], 2, "over").await;
    denied(&edge, &["release"], 2, "--all").await;
    denied(&edge, &["release", "--domain", "x.example"], 1, "hold --list").await;
    let audit = audit(&edge);
    for line in [
        "what=\"queue hold\" old=\"\" -> new=\"rule 1: domain one.example, until released\"",
        "what=\"queue release\" old=\"rule 1: domain one.example\" -> new=\"1 message let go\"",
        "user=\"its time\" what=\"queue release\"",
    ] {
        assert!(audit.contains(line), "{line}: {audit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_leave_as_files_with_their_envelopes() {
    let mut lab = Lab::new();
    lab.peer("one.example", closed()).await;
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    let mut ids = Vec::new();
    for name in ["first", "second"] {
        ids.push(edge.submit(SENDER, &["a@one.example", "b@one.example"], &letter(name)).await);
    }
    let directory = edge.path("exported");
    let to = directory.to_str().unwrap();
    assert_eq!(
        done(&edge, &["export", "--domain", "one.example", "--to", to]).await,
        format!("2 messages in {to}\n")
    );
    for (id, name) in ids.iter().zip(["first", "second"]) {
        let content = std::fs::read(directory.join(format!("{id}.eml"))).unwrap();
        assert!(content.starts_with(b"Received: ") && content.ends_with(&letter(name)), "{id}");
        let envelope = std::fs::read_to_string(directory.join(format!("{id}.json"))).unwrap();
        let envelope: Value = serde_json::from_str(&envelope).unwrap();
        assert_eq!(envelope["sender"], SENDER);
        assert_eq!(envelope["recipients"][1]["address"], "b@one.example");
    }
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 4, "no half file is left");
    denied(&edge, &["export", "--to", to], 2, "--all").await;
    denied(&edge, &["export", "--domain", "one.example"], 2, "--to").await;
    denied(&edge, &["export", "--domain", "nobody.example", "--to", to], 1, "nothing was written").await;
}

const LONG: usize = 12_000;

/// A queue as a long outage leaves it; nothing of it is due today.
async fn fill(data: &Path) {
    let (queue, _) = Queue::open(&data.join("queue"), Options::default()).unwrap();
    let now = jiff::Timestamp::now().as_millisecond();
    let day = 86_400_000;
    let insert = |number: usize| {
        let domain = if number.is_multiple_of(3) { "third.example" } else { "other.example" };
        let destination = Destination {
            next_hop: domain.to_owned(),
            connector: "Internet".to_owned(),
            tls_domain: String::new(),
        };
        let recipient = NewRecipient {
            address: format!("user{number}@{domain}"),
            destination,
            due: now + day,
            expires: now + 2 * day,
            notify_delay_at: None,
        };
        let message = NewMessage {
            sender: String::new(),
            received: now - 1_000,
            meta: Vec::new(),
            recipients: vec![recipient],
        };
        Change::Insert { message, content: Bytes::from_static(b"Subject: x\r\n\r\nx\r\n") }
    };
    let all: Vec<usize> = (0..LONG).collect();
    for part in all.chunks(1_000) {
        queue.apply(part.iter().map(|number| insert(*number)).collect()).await.unwrap();
    }
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_is_listed_to_its_end_and_steered_while_mail_flows() {
    let mut lab = Lab::new();
    let live = lab.peer("live.example", Part::default()).await;
    let mut edge = lab.start("").await;
    edge.server.take().unwrap().stop().unwrap();
    fill(&edge.path("data")).await;
    edge.restart();
    assert_eq!(edge.list(&[]).await.len(), LONG, "not 10,000");
    let (status, out, error) = edge.command(&["queue", "list", "--limit", "7", "--json"]).await;
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert!(status == 0 && listed.as_array().unwrap().len() == 7 && error.contains("more than 7"), "{error}");
    let last = listed[6]["id"].as_str().unwrap();
    assert!(error.contains(&format!("--after {last}")), "{error}");
    let rest = edge.list(&["--after", last, "--domain", "third.example", "--limit", "2"]).await;
    let next = rest.iter().map(|message| message["recipients"][0]["address"].as_str().unwrap());
    assert_eq!(next.collect::<Vec<_>>(), ["user9@third.example", "user12@third.example"]);

    // Mail flows while thousands are changed.
    let mut command = std::process::Command::new(super::common::executable());
    command.args(["queue", "suspend", "--domain", "other.example", "-c"]).arg(&edge.config);
    let suspending = tokio::task::spawn_blocking(move || command.output().unwrap());
    let begun = Instant::now();
    edge.submit(SENDER, &["a@live.example"], &letter("live")).await;
    live.message(|_| true).await;
    assert!(begun.elapsed() < Duration::from_secs(20));
    let output = suspending.await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{} messages\n", LONG / 3 * 2));
    assert!(output.stderr.is_empty(), "no progress where nobody looks");
    assert_eq!(
        done(&edge, &["remove", "--no-dsn", "--status", "suspended"]).await,
        format!("{} messages\n", LONG / 3 * 2)
    );
    assert_eq!(done(&edge, &["suspend", "--all"]).await, format!("{} messages\n", LONG / 3));
    let audit = audit(&edge);
    let line =
        format!("old=\"{{\\\"domain\\\":\\\"other.example\\\"}}\" -> new=\"{} messages\"", LONG / 3 * 2);
    assert!(audit.contains(&line), "{line}: {audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_traced_to_its_end_and_into_the_sessions() {
    let mut lab = Lab::new();
    let identity = lab.identity("elsewhere.example", Validity::Current);
    let part = Part::tls(server_config(&identity, Asks::Firmly, BOTH));
    let _impostor = lab.partner("impostor.example", part, "").await;
    let good = lab.good("good.example");
    let _good = lab.partner("good.example", good, "").await;
    let full = Part::default().saying("RCPT", "550 5.1.1 nobody of this name");
    let _full = lab.peer("full.example", full).await;
    let edge = lab.start("[message_tracking]\nsubject = true\n").await;
    edge.submit(SENDER, &["a@good.example", "b@full.example"], &letter("both")).await;
    let held = edge.submit(SENDER, &["c@impostor.example"], &letter("impostor")).await;
    edge.inside.message(|_| true).await;
    edge.until("the impostor is found out", |listed| {
        listed.len() == 1 && listed[0]["recipients"][0]["fault"] == "NameMismatch"
    })
    .await;
    assert_eq!(edge.command(&["queue", "suspend", &held]).await.0, 0);
    assert_eq!(edge.command(&["queue", "remove", &held, "--no-dsn"]).await.0, 0);

    // A record is on disk within a second, and the last comes after the peer's 250.
    let events = |traced: &Value, message: usize| -> Vec<String> {
        let events = traced["messages"][message]["events"].as_array().cloned().unwrap_or_default();
        events.iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    let traced = loop {
        let (_, out, _) = edge.command(&["trace", "both@contoso.example", "--sessions", "--json"]).await;
        let traced: Value = serde_json::from_str(&out).unwrap();
        if events(&traced, 1).contains(&"SEND".to_owned()) || Instant::now() > deadline {
            break traced;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let mut of_letter = events(&traced, 0);
    of_letter.sort();
    assert_eq!(of_letter, ["FAIL", "RECEIVE", "SEND"], "{traced:#}");
    assert_eq!(events(&traced, 1), ["DSN", "SEND"], "the report and its way home");
    let all = traced["messages"][0]["events"].as_array().unwrap();
    let named = |name: &str| all.iter().find(|entry| entry["event"] == name).unwrap();
    assert_eq!(named("RECEIVE")["recipients"].as_array().unwrap().len(), 2);
    assert_eq!(named("RECEIVE")["subject"], "both");
    assert_eq!(named("SEND")["custom"]["domain-secured"], "good.example");
    assert!(named("FAIL")["status"].as_str().unwrap().starts_with("550 5.1.1"), "{traced:#}");
    assert_eq!(traced["messages"][1]["about"], traced["messages"][0]["queue_id"]);
    // Into the protocol log: the session that sent it, to the letter.
    let session = named("SEND")["custom"]["session"].as_str().unwrap();
    let sessions = traced["sessions"].as_array().unwrap();
    let found = sessions.iter().find(|one| one["session"] == session).expect("the session is shown");
    assert!(found["lines"].to_string().contains(&format!("MAIL FROM:<{SENDER}>")), "{found:#}");

    let mut traced = edge.command(&["trace", "--recipient", "@impostor.example"]).await;
    while !traced.1.contains("DROP") && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
        traced = edge.command(&["trace", "--recipient", "@impostor.example"]).await;
    }
    let (status, out, error) = traced;
    assert!(status == 0 && error.is_empty(), "{error}");
    for line in [
        "DEFER     c@impostor.example",
        "fault NameMismatch",
        "HOLD",
        "DROP",
        "required for impostor.example",
    ] {
        assert!(out.contains(line), "{line} is missing in\n{out}");
    }
    let (status, out, error) = edge.command(&["trace", "never@seen.example"]).await;
    assert!(
        status == 1 && out.is_empty() && error.contains("searched") && error.contains("MSGTRK"),
        "{error}"
    );
    assert_eq!(edge.command(&["trace"]).await.0, 2);
    let metrics = edge.counter("sealpost_message_tracking_records_lost_total").await;
    assert!(metrics == 0.0);
}
