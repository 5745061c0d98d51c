//! When and how often next hops are asked, and what happens when resources run short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sealpost::cli::demo::client::{Client, Disguise};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::lab::{Edge, Lab, OURS, SENDER, letter};
use super::peer::{Answer, Part, Peer};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_next_hop_is_probed_and_when_it_is_back_all_that_waited_goes() {
    let mut lab = Lab::new();
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let part = Part::default().playing(move |moment| match moment.verb {
        "CONNECT" if !is_up.load(Ordering::Relaxed) => Answer::Close,
        _ => Answer::Usual,
    });
    let peer = lab.peer("dead.example", part).await;
    let edge = lab.start("[queue]\nretry_intervals = [\"1 s\", \"10 min\"]\n").await;
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(edge.submit(SENDER, &["bob@dead.example"], &letter(&format!("number {number}"))).await);
    }
    edge.until("each was due twice", |listed| {
        listed.iter().all(|message| message["recipients"][0]["attempts"].as_u64() >= Some(2))
    })
    .await;
    let knocks = peer.sessions().len();
    assert!((2..=15).contains(&knocks), "{knocks} connections for 30 messages due twice");
    let why = edge.why(&ids[29]).await;
    assert!(why["reason"].as_str().unwrap().contains("mx.dead.example"), "{why:#}");
    // One is tried by hand; the others need no hand.
    up.store(true, Ordering::Relaxed);
    assert_eq!(edge.command(&["queue", "retry", &ids[7]]).await.0, 0);
    edge.until("the whole backlog flows", <[_]>::is_empty).await;
    assert_eq!(peer.messages().len(), 30);
    let log = edge.log();
    assert_eq!(log.lines().filter(|line| line.contains("NextHopDown ")).count(), 1, "{log}");
    assert!(log.contains("NextHopUp connector=Internet next_hop=dead.example waited="), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_takes_two_connections_gets_its_mail_over_two() {
    let mut lab = Lab::new();
    let (open, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now_open, turned_away) = (Arc::clone(&open), Arc::clone(&refused));
    let part = Part::default().playing(move |moment| match moment.verb {
        "CONNECT" if now_open.load(Ordering::SeqCst) >= 2 => {
            turned_away.fetch_add(1, Ordering::SeqCst);
            Answer::SayAndClose("421 4.3.2 too many connections")
        }
        "CONNECT" => {
            now_open.fetch_add(1, Ordering::SeqCst);
            Answer::Usual
        }
        "QUIT" => {
            now_open.fetch_sub(1, Ordering::SeqCst);
            Answer::Usual
        }
        "MAIL" => Answer::Slow(Duration::from_millis(5)),
        _ => Answer::Usual,
    });
    let peer = lab.peer("narrow.example", part).await;
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    for number in 0..60 {
        edge.submit(SENDER, &["bob@narrow.example"], &letter(&format!("number {number}"))).await;
    }
    edge.until("all is delivered", <[_]>::is_empty).await;
    assert_eq!(peer.messages().len(), 60);
    assert_eq!(edge.counter("sealpost_messages_deferred_total").await, 0.0, "none had to wait for it");
    let refused = refused.load(Ordering::SeqCst);
    assert!(refused <= 15, "{refused} connections refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_taken_is_given_to_nobody_else_before_the_retry() {
    let mut lab = Lab::new();
    let (first, second) = (lab.host(), lab.host());
    let at = lab.network;
    lab.record(|zone, network| {
        zone.mx("doubt.example", 10, "a.doubt.example")
            .mx("doubt.example", 20, "b.doubt.example")
            .address("a.doubt.example", network.ip(first))
            .address("b.doubt.example", network.ip(second))
    });
    let forgets = Part::default().playing(|moment| match moment.verb {
        "DOT" => Answer::Close,
        _ => Answer::Usual,
    });
    let first = Peer::start(at.at(first), forgets).await;
    let second = Peer::start(at.at(second), Part::default()).await;
    // This one refuses in the midst of the content, and counts what it still has to hear.
    let decided = lab.host();
    lab.record(|zone, network| {
        zone.mx("decided.example", 10, "mx.decided.example")
            .address("mx.decided.example", network.ip(decided))
    });
    let heard = tokio::spawn(refuse_in_the_midst(TcpListener::bind(at.at(decided)).await.unwrap()));
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    edge.submit(SENDER, &["bob@doubt.example"], &letter("doubt")).await;
    let listed = edge.until("it waits", |listed| listed.iter().any(|m| m["status"] == "retry")).await;
    assert_eq!(listed[0]["recipients"][0]["attempts"], 1);
    assert_eq!(first.verbs().iter().filter(|verb| *verb == "DATA").count(), 1);
    assert!(second.sessions().is_empty(), "no second copy is made");
    let large = [letter("large"), b"the quick brown fox\r\n".repeat(1 << 20)].concat();
    edge.submit(SENDER, &["bob@decided.example"], &large).await;
    let about = "Final-Recipient: rfc822; bob@decided.example\r\n";
    let report = edge.inside.message(|m| String::from_utf8_lossy(&m.content).contains(about)).await;
    let report = String::from_utf8_lossy(&report.content).into_owned();
    assert!(report.contains("\r\nStatus: 5.3.4\r\n"), "{report}");
    let heard = heard.await.unwrap();
    assert!(heard < large.len() / 2, "{heard} octets of {} were still sent", large.len());
}

/// Greets, takes an envelope and 100 kB of content, refuses, and reads slowly on. Octets heard.
async fn refuse_in_the_midst(listener: TcpListener) -> usize {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut buffer = vec![0; 64 << 10];
    stream.write_all(b"220 mx.decided.example\r\n").await.unwrap();
    for reply in ["250 mx.decided.example\r\n", "250 ok\r\n", "250 ok\r\n", "354 go on\r\n"] {
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        stream.write_all(reply.as_bytes()).await.unwrap();
    }
    let mut heard = 0;
    while heard < 100_000 {
        heard += stream.read(&mut buffer).await.unwrap();
    }
    stream.write_all(b"552 5.3.4 that is too much\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    loop {
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => heard += count,
            Ok(0) | Err(_) => return heard,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_runs_out_in_every_state_but_not_in_the_middle_of_a_delivery() {
    let mut lab = Lab::new();
    let _dead = lab.peer("dead.example", Part::default().playing(|_| Answer::Close)).await;
    let slow = Part::default().playing(|moment| match moment.verb {
        "DATA" => Answer::Usual,
        "DOT" => Answer::Slow(Duration::from_secs(6)),
        _ => Answer::Usual,
    });
    let slow = lab.peer("slow.example", slow).await;
    // Back pressure is high with these three: what is here runs out of time all the same.
    let more = "[queue]\nmessage_expiration = \"4 s\"\nretry_intervals = [\"10 min\"]\nmax_messages = 3\n";
    let edge = lab.start(more).await;
    let held = edge.submit(SENDER, &["held@dead.example"], &letter("held")).await;
    edge.submit(SENDER, &["waits@dead.example"], &letter("waits")).await;
    assert_eq!(edge.command(&["queue", "suspend", &held]).await.0, 0);
    edge.submit(SENDER, &["bob@slow.example"], &letter("slow")).await;
    for name in ["held", "waits"] {
        let about = format!("Final-Recipient: rfc822; {name}@dead.example\r\n");
        let report = edge.inside.message(|m| String::from_utf8_lossy(&m.content).contains(&about)).await;
        let report = String::from_utf8_lossy(&report.content).into_owned();
        assert!(report.contains("expired after 4 seconds"), "{report}");
    }
    slow.message(|_| true).await;
    edge.until("nothing is left", <[_]>::is_empty).await;
    assert!(edge.inside.messages().iter().all(|m| !String::from_utf8_lossy(&m.content).contains("bob@slow")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_turns_strangers_away_first_and_takes_them_again_when_it_is_shorter() {
    let mut lab = Lab::new();
    let _dead = lab.peer("dead.example", Part::default().playing(|_| Answer::Close)).await;
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\nmax_messages = 10\n").await;
    let level = "sealpost_back_pressure{resource=\"queue-length\"}";
    assert_eq!(mail(&edge, "stranger").await, 250);
    for _ in 0..8 {
        edge.submit(SENDER, &["bob@dead.example"], &letter("waits")).await;
    }
    edge.until_series(level, 1.0).await;
    assert_eq!(mail(&edge, "stranger").await, 452);
    assert_eq!(mail(&edge, "inside").await, 250);
    for _ in 0..2 {
        edge.submit(SENDER, &["bob@dead.example"], &letter("waits")).await;
    }
    edge.until_series(level, 2.0).await;
    assert_eq!(mail(&edge, "inside").await, 452);
    // What is here can still be steered, and the door opens when there is room.
    let listed = edge.list(&[]).await;
    let ids: Vec<&str> = listed.iter().filter_map(|message: &Value| message["id"].as_str()).collect();
    for id in &ids[..3] {
        assert_eq!(edge.command(&["queue", "remove", "--no-dsn", id]).await.0, 0);
    }
    edge.until_series(level, 1.0).await;
    assert_eq!((mail(&edge, "inside").await, mail(&edge, "stranger").await), (250, 452));
    assert_eq!(edge.command(&["queue", "remove", "--no-dsn", "--domain", "dead.example"]).await.0, 0);
    edge.until_series(level, 0.0).await;
    assert_eq!(mail(&edge, "stranger").await, 250);
    let log = edge.log();
    let told = log.lines().filter(|line| line.contains("BackPressureChanged")).count();
    assert_eq!(told, 4, "{log}");
    assert!(log.contains("before=normal pressure=medium resource=queue-length"), "{log}");
}

/// The code that MAIL gets from a stranger or from inside.
async fn mail(edge: &Edge, who: &str) -> u16 {
    let address = if who == "inside" { edge.internal } else { edge.internet };
    let mut client = Client::connect(address, Disguise::Clear).await.unwrap();
    let reply = client.command(&format!("MAIL FROM:<someone@{who}.{OURS}>")).await.unwrap();
    client.quit().await;
    reply.code
}
