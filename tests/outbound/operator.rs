//! The operator's half: commands, reload, stop and start, what is written down.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use sealpost::cli::demo::client::{Client, Disguise};
use sealpost::cli::demo::pki::Validity;
use serde_json::Value;

use super::common::executable;
use super::lab::{Asks, BOTH, Lab, SENDER, letter, server_config};
use super::peer::{Answer, Part};

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_obeys_its_operator() {
    let mut lab = Lab::new();
    let down = Part::default().playing(|_| Answer::Close);
    let one = lab.peer("one.example", down.clone()).await;
    let _two = lab.peer("two.example", down).await;
    let mut edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    let big: Vec<u8> =
        [letter("big"), b"\x00\x01\xff"[1..].to_vec(), b"x\r\n".repeat(12 << 20 >> 1)].concat();
    let both = edge.submit(SENDER, &["a@one.example", "b@two.example"], &letter("both")).await;
    let large = edge.submit("zoe@contoso.example", &["c@one.example"], &big).await;
    let null = edge.submit("", &["d@two.example"], &letter("null")).await;
    edge.until("all wait", |listed| {
        listed.len() == 3 && listed.iter().all(|message| message["status"] == "retry")
    })
    .await;
    let ids = |listed: Vec<Value>| -> Vec<String> {
        listed.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
    };
    for (filters, expected) in [
        (&["--domain", "one.example"][..], vec![&both, &large]),
        (&["--domain", "Two.Example."], vec![&both, &null]),
        (&["--sender", "zoe@contoso.example"], vec![&large]),
        (&["--sender", "<>"], vec![&null]),
        (&["--recipient", "<b@two.example>"], vec![&both]),
        (&["--status", "retry"], vec![&both, &large, &null]),
        (&["--status", "suspended"], vec![]),
        (&["--older-than", "1 hour"], vec![]),
        (&["--older-than", "0 s", "--sender", "zoe@contoso.example"], vec![&large]),
    ] {
        let found = ids(edge.list(filters).await);
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filters:?}");
    }
    let (status, out, _) = edge.command(&["queue", "show", &both]).await;
    assert!(status == 0 && out.contains("a@one.example"), "{out}");
    let (status, out, _) = edge.command(&["queue", "why", &both]).await;
    assert!(status == 0 && out.contains("reason"), "{out}");

    let asked = one.sessions().len();
    let (status, out, _) = edge.command(&["queue", "retry", &large]).await;
    assert_eq!((status, out.as_str()), (0, "1 message\n"));
    edge.until("it was tried again", |_| one.sessions().len() > asked).await;

    assert_eq!(edge.command(&["queue", "suspend", "--domain", "two.example"]).await.0, 0);
    let held = edge.list(&["--status", "suspended"]).await;
    assert_eq!(ids(held), [both.as_str(), &null]);
    assert_eq!(edge.command(&["queue", "resume", "--recipient", "b@two.example"]).await.0, 0);
    assert_eq!(ids(edge.list(&["--status", "suspended"]).await), [null.as_str()]);

    let (status, exported, _) = raw(&edge, &["queue", "export", &large]).await;
    assert_eq!(status, 0);
    assert!(exported.ends_with(&big), "{} octets of {}", exported.len(), big.len());
    assert!(exported.starts_with(b"Received: "));

    // Only the recipient that is meant leaves, and its sender is told.
    assert_eq!(edge.command(&["queue", "remove", "--recipient", "b@two.example"]).await.0, 0);
    let report = edge.inside.message(|_| true).await;
    let report = String::from_utf8_lossy(&report.content).into_owned();
    assert!(report.contains("rfc822; b@two.example") && !report.contains("a@one.example"), "{report}");
    let left = edge.list(&["--recipient", "a@one.example"]).await;
    assert_eq!(left[0]["recipients"].as_array().unwrap().len(), 1);
    assert_eq!(edge.command(&["queue", "remove", "--no-dsn", &both, &large]).await.0, 2, "one id at a time");
    assert_eq!(edge.command(&["queue", "remove", "--no-dsn", &both]).await.0, 0);
    assert_eq!(edge.command(&["queue", "remove", "--no-dsn", &large]).await.0, 0);
    assert_eq!(edge.inside.messages().len(), 1, "nobody was told of these");

    // Answers that are no, and questions that are none.
    for (arguments, expected) in [
        (&["queue", "why", &both][..], 1),
        (&["queue", "show", &both], 1),
        (&["queue", "export", &both], 1),
        (&["queue", "remove", &both], 1),
        (&["queue", "retry", "--domain", "nobody.example"], 1),
        (&["queue", "retry"], 2),
        (&["queue", "why", "nonsense"], 2),
        (&["queue", "list", "nonsense"], 2),
        (&["queue", "list", "--status", "lost"], 2),
        (&["queue", "list", "--older-than", "soon"], 2),
        (&["queue", "explode"], 2),
    ] {
        let (status, out, error) = edge.command(arguments).await;
        assert_eq!(status, expected, "{arguments:?}: {out}{error}");
        assert!(out.is_empty() && error.lines().count() >= 1, "{arguments:?}: {out}{error}");
    }
    let audit = std::fs::read_to_string(edge.path("data/audit.log")).unwrap();
    for what in ["queue retry", "queue suspend", "queue resume", "queue remove", "queue remove --no-dsn"] {
        assert!(audit.contains(&format!("what=\"{what}\"")), "{what}: {audit}");
    }
    // What was held stays held, and what waits waits, over a restart.
    edge.server.take().unwrap().stop().unwrap();
    for arguments in [&["queue", "list"][..], &["counters"], &["config", "reload"]] {
        let (status, _, error) = edge.command(arguments).await;
        assert!(status == 1 && error.contains("no server answers"), "{arguments:?}: {status} {error}");
    }
    edge.restart();
    assert_eq!(ids(edge.list(&["--status", "suspended"]).await), [null.as_str()]);
    let second = std::process::Command::new(executable()).args(["serve", "-c"]).arg(&edge.config).output();
    let second = second.unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another server runs on"), "{said}");
    assert_eq!(edge.list(&[]).await.len(), 1, "the first goes on");
}

async fn raw(edge: &super::lab::Edge, arguments: &[&str]) -> (i32, Vec<u8>, Vec<u8>) {
    let mut command = std::process::Command::new(executable());
    command.args(arguments).arg("-c").arg(&edge.config);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.code().unwrap(), output.stdout, output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_certificates_change_under_a_running_server() {
    let mut lab = Lab::new();
    lab.own = Validity::Expired;
    let identity = lab.identity("renewed.example", Validity::Current);
    let part = Part::tls(server_config(&identity, Asks::Firmly, BOTH));
    let renewed = lab.partner("renewed.example", part, "certificate = \"client.contoso.example\"").await;
    let valid = lab.ours.issue(&["client.contoso.example"], Validity::Current).unwrap();
    let later = lab.peer("later.example", Part::default()).await;
    let mut edge = lab.start("[queue]\nretry_intervals = [\"1 s\"]\n").await;
    edge.submit(SENDER, &["bob@renewed.example"], &letter("renewed")).await;
    edge.until("our certificate is the trouble", |listed| {
        listed.len() == 1 && listed[0]["recipients"][0]["fault"] == "OwnCertificateInvalid"
    })
    .await;
    // An open session outlives both kinds of reload.
    let mut session = Client::connect(edge.internal, Disguise::Clear).await.unwrap();
    assert!(session.command(&format!("MAIL FROM:<{SENDER}>")).await.unwrap().is_positive());
    valid.write(edge.directory.path(), "client").unwrap();
    let message = renewed.message(|_| true).await;
    assert!(message.tls, "the new certificate was picked up without a restart");

    edge.edit("retry_intervals = [\"1 s\"]", "retry_intervals = [\"2 s\"]");
    edge.server().signal(Signal::HUP).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(edge.path("data/audit.log"))
        .unwrap_or_default()
        .contains("retry_intervals")
    {
        assert!(Instant::now() < deadline, "{}", edge.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    edge.edit("domain_secure = [\"send\"]", "domain_secure = [\"send\", \"receive\"]");
    let (status, out, error) = edge.command(&["config", "reload"]).await;
    assert!(status == 0 && error.is_empty() && out.contains("domain_secure"), "{status} {out} {error}");
    let audit = std::fs::read_to_string(edge.path("data/audit.log")).unwrap();
    assert!(
        audit.lines().any(|line| line.contains("domain_secure") && line.ends_with("SECURE-LIST")),
        "{audit}"
    );
    let good = std::fs::read_to_string(&edge.config).unwrap();
    // A server is found by its data directory, also by who asks it to take another.
    std::fs::write(&edge.config, good.replace("data_directory = \"data\"", "data_directory = \"other\""))
        .unwrap();
    let (status, _, error) = edge.command(&["config", "reload"]).await;
    assert!(status == 1 && error.contains("the one it was started with"), "{status} {error}");
    for bad in [good.replace("retry_intervals", "retry_interval"), good.replace("[queue]", "[queue")] {
        std::fs::write(&edge.config, bad).unwrap();
        let (status, out, error) = edge.command(&["config", "reload"]).await;
        assert!(status == 2 && out.is_empty() && !error.is_empty(), "{status} {out} {error}");
        assert_eq!(edge.command(&["config", "check"]).await.0, 2);
    }
    // The old settings stay, and so do the sessions.
    assert!(session.command("RCPT TO:<bob@later.example>").await.unwrap().is_positive());
    assert_eq!(session.command("DATA").await.unwrap().code, 354);
    assert_eq!(session.content(&letter("later")).await.unwrap().code, 250);
    later.message(|_| true).await;
    std::fs::write(&edge.config, good).unwrap();

    doors(&edge).await;
    logs(&edge).await;

    // SIGTERM: the session in hand may end its message, and nothing is lost.
    let stop = edge.server.take().unwrap();
    let stopped = tokio::task::spawn_blocking(move || stop.stop().unwrap());
    let status = stopped.await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", edge.log());
}

/// /healthz and /metrics, for those who ask for us by our own name.
async fn doors(edge: &super::lab::Edge) {
    assert_eq!(edge.http("/healthz", "localhost").await, (200, "ok\n".to_owned()));
    let (status, metrics) = edge.http("/metrics", &edge.admin.to_string()).await;
    assert_eq!(status, 200);
    for family in [
        "sealpost_domain_secure_messages_received_total{domain=\"renewed.example\"} 0",
        "sealpost_domain_secure_messages_sent_total{domain=\"renewed.example\"} 1",
        "sealpost_messages_received_total{connector=\"Internal\"}",
        "sealpost_messages_delivered_total{connector=\"Internet\"}",
        "sealpost_messages_deferred_total",
        "sealpost_connections{",
        "sealpost_tls_handshakes_total{",
        "sealpost_queue_messages{status=\"retry\"}",
        "sealpost_queue_oldest_message_seconds",
        "sealpost_certificate_expiry_timestamp_seconds{",
        "sealpost_crl_next_update_timestamp_seconds{",
    ] {
        assert!(metrics.contains(family), "{family} is missing in\n{metrics}");
    }
    assert_eq!(edge.http("/metrics", "evil.example").await.0, 421);
    assert_eq!(edge.http("/api/queue", "localhost").await.0, 404);
    let post = "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(edge.request(post).await.0, 405);
    let counters = edge.json(&["counters", "--json"]).await;
    let sent = counters.as_array().unwrap().iter().find(|sample| {
        sample["name"] == "sealpost_domain_secure_messages_sent_total"
            && sample["labels"]["domain"] == "renewed.example"
    });
    assert_eq!(sent.unwrap()["value"], 1.0);
    let (status, text, _) = edge.command(&["counters"]).await;
    assert!(status == 0 && text.contains("sealpost_messages_received_total"), "{text}");
}

async fn logs(edge: &super::lab::Edge) {
    // A line is on disk within one second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let sessions = edge.json(&["log", "sessions", "--domain", "renewed.example", "--json"]).await;
    let outbound: Vec<&Value> =
        sessions.as_array().unwrap().iter().filter(|session| session["direction"] == "outbound").collect();
    assert!(outbound.len() >= 2, "{sessions:#}");
    let failed = edge.json(&["log", "sessions", "--fault", "OwnCertificateInvalid", "--json"]).await;
    assert!(!failed.as_array().unwrap().is_empty());
    let id = outbound.last().unwrap()["session"].as_str().unwrap();
    let (status, shown, _) = edge.command(&["log", "show", id]).await;
    assert_eq!(status, 0);
    for line in [
        "> EHLO mx.contoso.example",
        "> STARTTLS",
        "Sending certificate",
        "Received certificate",
        "Domain security verdict",
        "> MAIL FROM:",
    ] {
        assert!(shown.contains(line), "{line} is missing in\n{shown}");
    }
    assert!(!shown.contains("Subject:"), "content never appears");
    assert_eq!(edge.command(&["log", "sessions", "--domain", "nobody.example"]).await.0, 1);
    let (status, _, error) = edge.command(&["log", "sessions", "--fault", "NameMissmatch"]).await;
    assert!(status == 1 && error.contains("did you mean NameMismatch?"), "{error}");
    let (status, _, error) = edge.command(&["log", "show", "01A2"]).await;
    assert!(status == 2 && error.contains("16 hexadecimal digits"), "{error}");
    follow(edge).await;
}

async fn follow(edge: &super::lab::Edge) {
    let shown = edge.path("followed.jsonl");
    let mut child = std::process::Command::new(executable())
        .args(["log", "follow", "--json", "-c"])
        .arg(&edge.config)
        .stdout(std::fs::File::create(&shown).unwrap())
        .spawn()
        .unwrap();
    // Whether it has begun to look cannot be seen; mail is sent until it is shown.
    let deadline = Instant::now() + Duration::from_secs(20);
    let found = loop {
        edge.submit(SENDER, &["bob@renewed.example"], &letter("followed")).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let text = std::fs::read_to_string(&shown).unwrap();
        let mut whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let is_mail = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["direction"] == "outbound" && line["data"].as_str().unwrap().starts_with("MAIL FROM:")
        };
        if whole.any(is_mail) || Instant::now() > deadline {
            break !text.is_empty();
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found && Instant::now() < deadline, "follow shows what happens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_ends_what_it_began_and_goes_on_later() {
    let mut lab = Lab::new();
    let slow = Part::default().playing(|moment| match moment.verb {
        "DOT" => Answer::Slow(Duration::from_secs(2)),
        _ => Answer::Usual,
    });
    let slow = lab.peer("slow.example", slow).await;
    let later = Part::default().playing(|moment| match moment.connection {
        0 => Answer::Close,
        _ => Answer::Usual,
    });
    let later = lab.peer("later.example", later).await;
    let mut edge = lab.start("[queue]\nretry_intervals = [\"4 s\"]\n").await;
    edge.submit(SENDER, &["bob@later.example"], &letter("later")).await;
    edge.submit(SENDER, &["bob@slow.example"], &letter("slow")).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !slow.verbs().contains(&"DATA".to_owned()) || later.sessions().is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let server = edge.server.take().unwrap();
    let status = tokio::task::spawn_blocking(move || server.stop().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(slow.messages().len(), 1, "what was being delivered is delivered");
    edge.restart();
    later.message(|_| true).await;
    edge.until("nothing is left", <[_]>::is_empty).await;
    assert_eq!(slow.messages().len(), 1, "and not a second time");
    assert_eq!(later.messages().len(), 1);
}
