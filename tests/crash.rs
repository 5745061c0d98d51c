//! Kill -9 at random moments under load, restart, count: nothing acknowledged is missing.
//!
//! The seed is printed; `SEALPOST_SEED=N` plays the same moments again. The mailbox behind the edge
//! is down for the first half of the rounds, so that the queue fills, and up for the second, so
//! that messages are also lost hold of in the middle of their delivery.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{OURS, STRANGER_HOST, Site};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sealpost::cli::demo::client::{Client, Disguise, Letter};
use sealpost::cli::demo::mailbox::Mailbox;
use tokio::task::JoinSet;

const CLIENTS: u64 = 4;
/// Content above this size lies in a file of its own.
const LARGE_BYTES: usize = 100 << 10;
const DRAIN: Duration = Duration::from_secs(120);
const SINK: &str = "sink.example";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_in_10_rounds() {
    kill_and_count(10, "").await;
}

/// What is acknowledged is durable, or at the mailbox.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_in_8_rounds_with_cut_through() {
    kill_and_count(8, "cut_through = true\n").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; cargo test --test crash -- --ignored"]
async fn nothing_acknowledged_is_lost_in_50_rounds_with_cut_through() {
    kill_and_count(50, "cut_through = true\n").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; cargo test --test crash -- --ignored"]
async fn nothing_acknowledged_is_lost_in_50_rounds() {
    kill_and_count(50, "").await;
}

async fn kill_and_count(rounds: u64, queue: &str) {
    let seed = std::env::var("SEALPOST_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("SEALPOST_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let site = Site::new().await;
    let sink_address = site.network.free(STRANGER_HOST);
    let settings = settings(sink_address) + queue;
    let mut sink = None;
    let mut acknowledged = BTreeSet::new();
    for round in 0..rounds {
        if round == rounds / 2 {
            sink = Some(Mailbox::start(sink_address).await.unwrap());
        }
        let edge = site.start_edge(&settings);
        let load = Load::start(edge.internal, round, seed);
        let moment = Duration::from_millis(dice.random_range(5..700));
        tokio::time::sleep(moment).await;
        edge.server.kill().unwrap();
        let new = load.stop().await;
        println!("round {round}: killed after {} ms, {} acknowledged", moment.as_millis(), new.len());
        acknowledged.extend(new);
    }
    assert!(acknowledged.len() as u64 > rounds, "hardly anything was acknowledged: no load, no test");
    let sink = sink.expect("the mailbox was started half way");
    let edge = site.start_edge(&settings);
    let seen = drain(&sink, &acknowledged).await;
    let missing: Vec<&String> = acknowledged.iter().filter(|id| !seen.contains_key(*id)).collect();
    let twice = seen.values().filter(|count| **count > 1).count();
    println!("{} acknowledged, {} arrived, {twice} more than once", acknowledged.len(), seen.len());
    assert!(
        missing.is_empty(),
        "seed {seed}: {} acknowledged messages are missing, such as {:?}; queue: {}",
        missing.len(),
        &missing[..missing.len().min(3)],
        edge.command(&["queue", "list"]).1,
    );
}

fn settings(sink: SocketAddr) -> String {
    format!(
        r#"[[send_connector]]
name = "Sink"
address_spaces = ["{SINK}"]
dns_routing_enabled = false
smart_hosts = ["[{}]:{}"]

[queue]
retry_intervals = ["1 s"]
"#,
        sink.ip(),
        sink.port()
    )
}

/// Waits until all that was acknowledged has arrived, or time is up; how often each came.
async fn drain(sink: &Mailbox, acknowledged: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let deadline = Instant::now() + DRAIN;
    loop {
        let mut seen = BTreeMap::new();
        for kept in sink.all() {
            let id = kept.field("Subject").expect("a message whose header is broken");
            let whole = kept.content.ends_with(&format!("end of {id}\r\n"));
            let tail = || kept.content.chars().rev().take(120).collect::<Vec<_>>().into_iter().rev();
            assert!(
                whole,
                "{id} arrived incomplete, {} bytes: …{}",
                kept.content.len(),
                tail().collect::<String>()
            );
            *seen.entry(id).or_insert(0) += 1;
        }
        if Instant::now() > deadline || acknowledged.iter().all(|id| seen.contains_key(id)) {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Clients that send one message after the other until they are stopped or the server is gone.
struct Load {
    clients: JoinSet<Vec<String>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn start(server: SocketAddr, round: u64, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let dice = StdRng::seed_from_u64(seed ^ (round * CLIENTS + client + 1));
            clients.spawn(submit(server, format!("{round}-{client}"), dice, Arc::clone(&stop)));
        }
        Self { clients, stop }
    }

    /// The ids of all messages that were answered with 250.
    async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await.concat()
    }
}

async fn submit(server: SocketAddr, name: String, mut dice: StdRng, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let Ok(mut client) = Client::connect(server, Disguise::Clear).await else { return acknowledged };
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{name}-{number}");
        let letter = letter(&id, dice.random_ratio(1, 10));
        match client.send(&letter).await {
            Ok(reply) if reply.code == 250 => acknowledged.push(id),
            Ok(reply) => panic!("{id} was refused: {reply}"),
            Err(_killed) => break,
        }
    }
    acknowledged
}

fn letter(id: &str, large: bool) -> Letter {
    let mut letter = Letter::new(&format!("load@{OURS}"), &format!("{id}@{SINK}"), id);
    if large {
        letter.content.push_str(&"another line of a large message\r\n".repeat(LARGE_BYTES / 33));
    }
    letter.content.push_str(&format!("end of {id}\r\n"));
    letter
}
