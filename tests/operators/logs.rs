//! The logs at three in the morning: what `sealpost log` says of a running server, and the event log
//! in the places where operators look.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use sealpost::cli::demo::client::{Disguise, Letter, send};
use serde_json::Value;

use crate::common::{OURS, PARTNER, PATIENCE, Site, executable};

fn letter() -> Letter {
    Letter::new(&format!("a@{PARTNER}"), &format!("b@{OURS}"), "Rates")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// `sealpost log follow`, with its lines and when they came.
struct Follower {
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Follower {
    fn start(config: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(executable());
        command.args(["log", "follow", "--json"]).args(arguments).arg("-c").arg(config);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if told.send((Instant::now(), line)).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// The first line that holds all of this.
    fn wait_for(&self, parts: &[&str]) -> (Instant, Value) {
        loop {
            let (at, line) =
                self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{parts:?} never came"));
            if parts.iter().all(|part| line.contains(part)) {
                return (at, json(&line));
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_followed_live_and_explained_with_remedy_and_who_acts() {
    let site = Site::new().await;
    // So small that each session begins another file.
    let edge = site.start_edge("[protocol_log]\nmax_file_size = \"1 KiB\"\n");
    let follower = Follower::start(&edge.config, &["--partner", "Woodgrove"]);
    // It begins behind what was there: a first refusal shows that it looks.
    let mut refused = Value::Null;
    for _ in 0..100 {
        let reply = send(edge.internet, Disguise::Clear, &letter()).await.unwrap();
        assert_eq!(reply.code, 530, "{reply}");
        if let Ok((_, line)) = follower.lines.recv_timeout(Duration::from_millis(500)) {
            refused = json(&line);
            break;
        }
    }
    assert_eq!(refused["connector"], "Internet");

    let reply = send(edge.internet, Disguise::Anonymous, &letter()).await.unwrap();
    let replied = Instant::now();
    assert_eq!(reply.code, 550, "{reply}");
    let (came, line) = follower.wait_for(&["NoCertificate", "\"event\":\">\""]);
    // A line is on disk within one second, and looked for four times a second.
    assert!(came.duration_since(replied) < Duration::from_secs(4), "{:?}", came.duration_since(replied));
    let session = line["session"].as_str().unwrap();
    assert!(reply.text.contains(session), "{reply}");

    let (status, told, errors) = edge.command(&["log", "explain", session]);
    assert_eq!((status, errors.as_str()), (0, ""), "{told}");
    let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "connected to",
        "TLSv1.3 was agreed",
        "Message 1, from a@woodgrove.example to no recipient, was refused with \"550 5.7.5",
        "fault NoCertificate",
        "what to do let the sending server present its certificate as a TLS client",
        "who acts the sending side",
    ] {
        assert!(flat.contains(words), "{words} in {told}");
    }
    let (status, told, _) = edge.command(&["log", "explain", session, "--json"]);
    let explanation = &json(&told)[0];
    assert_eq!((status, &explanation["deciding"]["fault"]), (0, &"NoCertificate".into()));

    let good = send(edge.internet, Disguise::Certificate(&site.partner), &letter()).await.unwrap();
    assert_eq!(good.code, 250, "{good}");
    follower.wait_for(&["Admitted domain=woodgrove.example"]);
    let count = |arguments: &[&str]| {
        let (_, told, _) =
            edge.command(&[&["log", "sessions", "--json", "--direction", "inbound"], arguments].concat());
        json(&told).as_array().unwrap().len()
    };
    assert_eq!(count(&["--partner", "woodgrove", "--verdict", "admitted", "--outcome", "accepted"]), 1);
    assert_eq!(count(&["--fault", "NoCertificate", "--verdict", "refused"]), 1);
    assert_eq!(count(&["--verdict", "none", "--partner", "Woodgrove"]), 0);
    let (status, _, errors) = edge.command(&["log", "explain"]);
    assert_eq!(status, 2);
    assert!(errors.contains("name a session id"), "{errors}");
}

fn bound(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The first datagram that holds this.
fn datagram(socket: &UnixDatagram, part: &str) -> String {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{part} never came: {error}"));
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        if text.contains(part) {
            return text;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_to_syslog_and_the_journal_and_levels_change_while_it_runs() {
    let site = Site::new().await;
    let (syslog, journal) = (bound(&site.path("syslog.sock")), bound(&site.path("journal.sock")));
    let address = site.path("syslog.sock");
    let edge = site.start_edge(&format!(
        "[event_log]\noutputs = [\"syslog\", \"journald\"]\nsyslog_address = \"{}\"\n\
         syslog_facility = \"local3\"\njournald_socket = \"journal.sock\"\n",
        address.display()
    ));
    let started = datagram(&syslog, "Started");
    assert!(started.starts_with("<158>1 "), "{started}");
    assert!(started.contains(&format!(" mx.{OURS} sealpost ")), "{started}");
    let started = datagram(&journal, "SEALPOST_EVENT=Started\n");
    assert!(started.contains("\nSEALPOST_LISTENING=Internet="), "{started}");

    let (status, told, _) = edge.command(&["log", "level"]);
    assert_eq!((status, told.as_str()), (0, "level warn,sealpost=info, as configured\n"));
    let (status, told, _) = edge.command(&["log", "level", "debug", "--json"]);
    assert_eq!(status, 0, "{told}");
    assert_eq!(json(&told)["level"], "warn,sealpost=debug");
    let changed = datagram(&syslog, "LogLevelsChanged");
    assert!(changed.contains("levels=\"warn,sealpost=debug\""), "{changed}");
    let audit = std::fs::read_to_string(site.path("data/audit.log")).unwrap();
    assert!(
        audit.contains("what=\"log level\" old=\"warn,sealpost=info\" -> new=\"warn,sealpost=debug\""),
        "{audit}"
    );

    // A good verdict is told only to those who ask for everything.
    let reply = send(edge.internet, Disguise::Certificate(&site.partner), &letter()).await.unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let judged = datagram(&journal, "SEALPOST_EVENT=InboundJudged\n");
    assert!(judged.contains("PRIORITY=7\n") && judged.contains("SEALPOST_VERDICT=good\n"), "{judged}");

    let (status, _, errors) = edge.command(&["config", "reload"]);
    assert_eq!(status, 0, "{errors}");
    let (_, told, _) = edge.command(&["log", "level"]);
    assert_eq!(told, "level warn,sealpost=info, as configured\n");
    let (status, _, errors) = edge.command(&["log", "level", "loud"]);
    assert_eq!(status, 2, "{errors}");

    // Nobody reads any more: mail goes on, and what was lost is counted.
    drop((syslog, journal));
    let reply = send(edge.internet, Disguise::Certificate(&site.partner), &letter()).await.unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let lost = || {
        let (_, counters, _) = edge.command(&["counters"]);
        let line =
            counters.lines().find(|line| line.contains("records_lost_total") && line.contains("journald"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let deadline = Instant::now() + PATIENCE;
    while lost() < 1.0 {
        assert!(Instant::now() < deadline, "nothing was counted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Reads one request that has a length, and answers it; returns its body.
fn collected(listener: &std::net::TcpListener) -> serde_json::Value {
    let mut reader = BufReader::new(listener.accept().unwrap().0);
    let mut length = 0;
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0);
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    reader.into_inner().write_all(answer).unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_opentelemetry_gets_the_events() {
    let site = Site::new().await;
    let collector = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = collector.local_addr().unwrap();
    let edge = site.start_edge(&format!("[event_log]\noutputs = [\"otlp\"]\notlp_address = \"{address}\"\n"));
    let names = tokio::task::spawn_blocking(move || {
        let mut names = Vec::new();
        while !names.contains(&"Started".to_owned()) {
            let logs = collected(&collector)["resourceLogs"][0].clone();
            let host = &logs["resource"]["attributes"][2];
            assert_eq!(host["key"], "service.instance.id");
            assert_eq!(host["value"]["stringValue"], format!("mx.{OURS}"));
            let records = logs["scopeLogs"][0]["logRecords"].as_array().unwrap().clone();
            names.extend(records.iter().filter_map(|record| Some(record["eventName"].as_str()?.to_owned())));
        }
        names
    });
    let names = tokio::time::timeout(PATIENCE, names).await.unwrap().unwrap();
    assert!(names.contains(&"Started".to_owned()), "{names:?}");

    // The collector is gone: mail goes on.
    let reply = send(edge.internet, Disguise::Certificate(&site.partner), &letter()).await.unwrap();
    assert_eq!(reply.code, 250, "{reply}");
}
