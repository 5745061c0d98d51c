//! `[queue] cut_through`: a 250 that next hops stand for, and whatever else makes a message durable
//! before it is answered.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sealpost::cli::demo::client::{Client, Disguise, Reply};
use serde_json::Value;

use super::common::missing;
use super::disk::SmallDisk;
use super::lab::{Edge, Lab, SENDER, letter};
use super::peer::{Answer, Part};

const ON: &str = "[queue]\ncut_through = true\nretry_intervals = [\"10 min\"]\n";
/// A peer that is so slow is waited for by nobody.
const HANGS: Duration = Duration::from_secs(60);
const QUEUED: &str = "Queued mail for delivery";
const RELAYED: &str = "Relayed to the next hop";
/// On a busy machine a next hop may be too slow for a message, but hardly for so many.
const TRIES: usize = 300;

async fn offer(edge: &Edge, to: &[&str], subject: &str) -> Reply {
    edge.offer(SENDER, "", to, &letter(subject)).await
}

fn id_of(reply: &Reply) -> String {
    assert_eq!(reply.code, 250, "{reply:?}");
    reply.text.split_whitespace().nth(1).unwrap().to_owned()
}

/// Sends until a message is answered because its next hop has it; how many it took, and the last id.
async fn until_relayed(edge: &Edge, to: &[&str]) -> (usize, String) {
    for number in 1..=TRIES {
        let reply = offer(edge, to, &format!("number {number}")).await;
        let id = id_of(&reply);
        if reply.text.contains(RELAYED) {
            return (number, id);
        }
        assert!(reply.text.contains(QUEUED), "{reply:?}");
    }
    panic!("no next hop was ever in time");
}

/// The server is killed as it stands, and started again.
fn crash(edge: &mut Edge) {
    edge.server.take().unwrap().kill().unwrap();
    edge.restart();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_next_hop_takes_in_time_is_told_as_if_it_had_been_queued() {
    let mut lab = Lab::new();
    let part = lab.good("secured.example");
    let peer = lab.partner("secured.example", part, "").await;
    let edge = lab.start(ON).await;
    let (sent, id) = until_relayed(&edge, &["bob@secured.example"]).await;
    edge.until("all are delivered", <[_]>::is_empty).await;
    let messages = peer.messages();
    assert_eq!(messages.len(), sent, "each of them once");
    assert!(messages.iter().all(|message| message.tls), "under a Permit of its own");
    edge.until_series("sealpost_domain_secure_messages_sent_total{domain=\"secured.example\"}", sent as f64)
        .await;
    edge.until_series("sealpost_messages_received_total{connector=\"Internal\"}", sent as f64).await;
    edge.until_series("sealpost_messages_cut_through_total{connector=\"Internal\"}", 1.0).await;
    assert_eq!(edge.counter("sealpost_accept_to_durable_seconds_count").await, (sent - 1) as f64);
    assert_eq!(edge.counter("sealpost_accept_to_delivered_seconds_count").await, sent as f64);
    let events = edge.log();
    let place = |event: &str| {
        let is_meant = |line: &&str| line.contains(event) && line.contains(&id);
        events.lines().position(|line| is_meant(&line)).unwrap_or_else(|| panic!("no {event} of {id}"))
    };
    assert!(place("MessageReceived") < place("MessageDelivered"), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_hop_that_hangs_behind_the_final_dot_keeps_nobody_waiting_and_nothing_is_lost() {
    let mut lab = Lab::new();
    let slow = |moment: &super::peer::Moment<'_>| match moment.verb {
        "DOT" => Answer::Slow(HANGS),
        _ => Answer::Usual,
    };
    let peer = lab.peer("slow.example", Part::default().playing(slow)).await;
    let other = lab.peer("quick.example", Part::default()).await;
    let mut edge = lab.start(ON).await;
    let reply = offer(&edge, &["bob@slow.example", "carol@quick.example"], "to both").await;
    assert!(reply.text.contains(QUEUED), "{reply:?}");
    let id = id_of(&reply);
    peer.message(|message| message.content.ends_with(b"to both\r\n")).await;
    other.message(|message| message.content.ends_with(b"to both\r\n")).await;
    let only_bob = |listed: &[Value]| {
        let recipients = listed.iter().flat_map(|message| message["recipients"].as_array().unwrap());
        recipients.map(|one| one["address"].as_str().unwrap()).collect::<Vec<_>>() == ["bob@slow.example"]
    };
    edge.until("who has it is gone", only_bob).await;
    crash(&mut edge);
    let listed = edge.until("who may not have it is there", only_bob).await;
    assert_eq!(listed[0]["id"], id.as_str());
    assert_eq!(other.messages().len(), 1, "what was taken is not sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_durable_with_what_follows_from_it_before_the_sender_is_answered() {
    let mut lab = Lab::new();
    let _never = lab.peer("never.example", Part::default().saying("DOT", "550 5.7.99 not here")).await;
    let _later = lab.peer("later.example", Part::default().saying("DOT", "451 4.7.98 not now")).await;
    let mut edge = lab.start(ON).await;
    let returned = id_of(&offer(&edge, &["bob@never.example"], "never").await);
    let waits = id_of(&offer(&edge, &["bob@later.example"], "later").await);
    crash(&mut edge);
    let report =
        edge.inside.message(|message| message.content.windows(6).any(|part| part == b"5.7.99")).await;
    assert_eq!(report.recipients, [format!("RCPT TO:<{SENDER}>")]);
    let listed = edge
        .until("only what may still be delivered waits", |listed| {
            listed.len() == 1 && listed[0]["status"] == "retry"
        })
        .await;
    assert_eq!(listed[0]["id"], waits.as_str());
    assert_ne!(returned, waits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_prove_itself_any_more_gets_nothing_of_what_is_offered() {
    let mut lab = Lab::new();
    let part = lab.good("secured.example");
    let peer = lab.partner("secured.example", part, "revocation_depth = \"chain\"").await;
    let edge = lab.start(ON).await;
    let (sent, _) = until_relayed(&edge, &["bob@secured.example"]).await;
    edge.until("all are delivered", <[_]>::is_empty).await;
    // The sender is admitted, the connection to the peer lies ready, and then the rules change.
    let mut client = Client::connect(edge.internal, Disguise::Clear).await.unwrap();
    let mail = format!("MAIL FROM:<{SENDER}>");
    for command in [mail.as_str(), "RCPT TO:<bob@secured.example>", "DATA"] {
        assert!(client.command(command).await.unwrap().is_positive(), "{command}");
    }
    let pin = format!("spki_pins = [\"sha256/{}=\"]", "A".repeat(43));
    edge.edit("revocation_depth = \"chain\"", &pin);
    let (status, _, error) = edge.command(&["config", "reload"]).await;
    assert_eq!(status, 0, "{error}");
    let reply = client.content(&letter("behind the change")).await.unwrap();
    assert!(reply.text.contains(QUEUED), "{reply:?}");
    let id = id_of(&reply);
    edge.until("it waits", |listed| listed.iter().any(|message| message["status"] == "retry")).await;
    assert_eq!(edge.why(&id).await["fault"], "PinMismatch");
    assert_eq!(peer.messages().len(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_lets_pass_what_the_next_hop_takes_and_refuses_the_rest() {
    const NAME: &str = "a_full_disk_lets_pass_what_the_next_hop_takes_and_refuses_the_rest";
    let Some(disk) = SmallDisk::mount(64 << 20) else {
        return missing(NAME, "no right to mount a tmpfs");
    };
    let mut lab = Lab::below(tempfile::Builder::new().prefix("edge-").tempdir_in(disk.path()).unwrap());
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let peer = lab.peer(
        "sink.example",
        Part::default().playing(move |moment| match moment.verb {
            "MAIL" | "CONNECT" if is_down.load(Ordering::Relaxed) => Answer::SayAndClose("421 4.3.2 down"),
            _ => Answer::Usual,
        }),
    );
    let peer = peer.await;
    let edge = lab.start(&format!("{ON}min_free_disk = \"1 KiB\"\n")).await;
    let (before, _) = until_relayed(&edge, &["bob@sink.example"]).await;
    edge.until("all are delivered", <[_]>::is_empty).await;
    fill(disk.path());
    for number in 0..5 {
        let reply = offer(&edge, &["bob@sink.example"], &format!("full {number}")).await;
        assert!(reply.text.contains(RELAYED), "{reply:?}");
    }
    assert_eq!(peer.messages().len(), before + 5);
    down.store(true, Ordering::Relaxed);
    let reply = offer(&edge, &["bob@sink.example"], "in vain").await;
    assert_eq!((reply.code, &reply.text[..5]), (452, "4.3.1"), "{reply:?}");
    assert!(edge.list(&[]).await.is_empty(), "its sender keeps it");
}

/// A server that takes binary content.
fn binary_part() -> Part {
    Part { extensions: "PIPELINING\nSIZE 52428800\n8BITMIME\nCHUNKING\nBINARYMIME", ..Part::default() }
}

/// Sends a message by BDAT, with a NUL in its body, and so many lines before it.
async fn offer_binary(edge: &Edge, to: &str, subject: &str, lines: usize) -> Reply {
    let mut client = Client::connect(edge.internal, Disguise::Clear).await.unwrap();
    let before = "before it\r\n".repeat(lines);
    let content = format!("Subject: {subject}\r\n\r\n{before}bare\nand \0 and\r\n.\r\n");
    let mail = format!("MAIL FROM:<{SENDER}> BODY=BINARYMIME");
    for command in [mail, format!("RCPT TO:<{to}>")] {
        assert!(client.command(&command).await.unwrap().is_positive(), "{command}");
    }
    // What `command` adds is the end of the content.
    let chunk = format!("BDAT {} LAST\r\n{}", content.len(), content.strip_suffix("\r\n").unwrap());
    let reply = client.command(&chunk).await.unwrap();
    client.quit().await;
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_content_passes_in_one_chunk_before_it_is_durable() {
    let mut lab = Lab::new();
    let peer = lab.peer("sink.example", binary_part()).await;
    let edge = lab.start(ON).await;
    let mut sent = 0;
    loop {
        sent += 1;
        let reply = offer_binary(&edge, "bob@sink.example", &format!("number {sent}"), 0).await;
        if reply.text.contains(RELAYED) {
            break;
        }
        assert!(reply.text.contains(QUEUED) && sent < TRIES, "{reply:?}");
    }
    edge.until("all are delivered", <[_]>::is_empty).await;
    let messages = peer.messages();
    assert_eq!(messages.len(), sent, "each of them once");
    for message in messages {
        assert!(message.mail.contains("BODY=BINARYMIME"), "{}", message.mail);
        assert!(message.content.ends_with(b"\r\n\r\nbare\nand \0 and\r\n.\r\n"), "octet by octet");
    }
    assert!(!peer.verbs().contains(&"DATA".to_owned()));
}

/// Its disk being full, a message hangs on its delivery alone; and then the rules change, while its
/// envelope is with the peer. Neither the final dot nor the last octet of a chunk is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_rules_keeps_back_the_end_of_what_is_only_offered() {
    const NAME: &str = "a_change_of_the_rules_keeps_back_the_end_of_what_is_only_offered";
    let Some(disk) = SmallDisk::mount(64 << 20) else {
        return missing(NAME, "no right to mount a tmpfs");
    };
    let mut lab = Lab::below(tempfile::Builder::new().prefix("edge-").tempdir_in(disk.path()).unwrap());
    let slow = Arc::new(AtomicBool::new(false));
    let is_slow = Arc::clone(&slow);
    let part = binary_part().playing(move |moment| match moment.verb {
        "RCPT" if is_slow.load(Ordering::Relaxed) => Answer::Slow(Duration::from_secs(4)),
        _ => Answer::Usual,
    });
    let peer = lab.peer("sink.example", part).await;
    let edge = lab.start(&format!("{ON}min_free_disk = \"1 KiB\"\n")).await;
    let (before, _) = until_relayed(&edge, &["bob@sink.example"]).await;
    edge.until("all are delivered", <[_]>::is_empty).await;
    fill(disk.path());
    slow.store(true, Ordering::Relaxed);
    for (end, kept) in [("DATA", "10 min"), ("BDAT", "11 min")] {
        let said = peer.verbs().iter().filter(|verb| *verb == "RCPT").count();
        let (reply, ()) = tokio::join!(
            async {
                match end {
                    "DATA" => offer(&edge, &["bob@sink.example"], "kept back").await,
                    // Too much to be written at once, or nothing of it would be said.
                    _ => offer_binary(&edge, "bob@sink.example", "kept back", 20_000).await,
                }
            },
            async {
                let is_said = || peer.verbs().iter().filter(|verb| *verb == "RCPT").count() > said;
                while !is_said() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                edge.edit(kept, if kept == "10 min" { "11 min" } else { "12 min" });
                let (status, _, error) = edge.command(&["config", "reload"]).await;
                assert_eq!(status, 0, "{error}");
            }
        );
        assert_eq!((reply.code, &reply.text[..5]), (452, "4.3.1"), "{end}: {reply:?}");
        assert_eq!(peer.messages().len(), before, "{end}: not all of it was said");
        assert!(peer.verbs().contains(&end.to_owned()), "the content was on its way");
        assert!(edge.list(&[]).await.is_empty(), "its sender keeps it");
    }
}

/// But for a little that logs may have; the queue begins no message with so little. Once more if there is
/// room again: a segment of the journal that was being made, and for which there is none, is given up.
fn fill(directory: &Path) {
    const LEFT: u64 = 512 << 10;
    loop {
        fill_once(directory, LEFT);
        std::thread::sleep(Duration::from_millis(500));
        let disk = rustix::fs::statvfs(directory).unwrap();
        if disk.f_bavail * disk.f_frsize <= LEFT {
            return;
        }
    }
}

fn fill_once(directory: &Path, left: u64) {
    use std::io::Write;
    let mut file = std::fs::File::create(directory.join("filler")).unwrap();
    while file.write_all(&[b'x'; 4096]).is_ok() {}
    let taken = file.metadata().unwrap().len();
    file.set_len(taken.checked_sub(left).unwrap()).unwrap();
}
