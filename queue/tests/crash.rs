//! kill -9 at random moments while messages are stored, deferred and removed; reopen; count. Nothing
//! acknowledged is missing, nothing removed comes back, nothing is half there.
//!
//! The child is this test binary again. It says on its standard output what was acknowledged, after
//! the queue acknowledged it. `cargo test -p sealpost-queue --test crash -- --ignored` runs many rounds.

mod common;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use common::{content, destination, message, options, read};
use sealpost_queue::{Change, Filter, MessageId, Options, Queue};
use tempfile::TempDir;

const DIRECTORY: &str = "QUEUE_CRASH_DIRECTORY";
const WRITERS: u64 = 8;

/// What the child was told about its messages in all rounds so far.
#[derive(Default)]
struct Acknowledged {
    /// Size of the content, by message.
    stored: HashMap<MessageId, (u64, usize)>,
    removed: HashSet<MessageId>,
    deferred: HashSet<MessageId>,
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    rounds(6);
}

#[test]
#[ignore = "takes minutes"]
fn nothing_acknowledged_is_lost_in_two_hundred_rounds() {
    rounds(200);
}

/// Rounds on one directory; after a few a new one, because every round reads all that is there.
const ROUNDS_A_DIRECTORY: u64 = 20;

fn rounds(count: u64) {
    for first in (0..count).step_by(ROUNDS_A_DIRECTORY as usize) {
        rounds_on_one_directory(first..count.min(first + ROUNDS_A_DIRECTORY));
    }
}

fn rounds_on_one_directory(rounds: Range<u64>) {
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut acknowledged = Acknowledged::default();
    for round in rounds {
        // Some die while they start, the others after some hundred acknowledgements.
        let death = match round % 4 {
            3 => Death::After(Duration::from_millis(round * 7_919 % 50)),
            _ => Death::Said(1 + round * 7_919 % 400),
        };
        let said = run_and_kill(directory.path(), death);
        said.iter().for_each(|line| acknowledged.note(line));
        check(directory.path(), &mut acknowledged, round);
    }
    assert!(acknowledged.stored.len() > 100, "the children did store messages");
    assert!(!acknowledged.removed.is_empty(), "and removed some");
}

#[derive(Clone, Copy)]
enum Death {
    After(Duration),
    /// So many lines.
    Said(u64),
}

fn run_and_kill(directory: &Path, death: Death) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, heard) = mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let mut said: Vec<String> = Vec::new();
    match death {
        Death::After(life) => std::thread::sleep(life),
        Death::Said(count) => said.extend(heard.iter().take(count as usize)),
    }
    child.kill().unwrap();
    child.wait().unwrap();
    said.extend(heard);
    said
}

impl Acknowledged {
    /// A line may be cut short by the kill; then it lacks its full stop.
    fn note(&mut self, line: &str) {
        let Some(line) = line.strip_suffix('.') else { return };
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["stored", id, seed, size] => {
                let content = (seed.parse().unwrap(), size.parse().unwrap());
                self.stored.insert(id.parse().unwrap(), content);
            }
            ["deferred", id] => drop(self.deferred.insert(id.parse().unwrap())),
            ["removed", id] => drop(self.removed.insert(id.parse().unwrap())),
            _ => {}
        }
    }
}

fn check(directory: &Path, acknowledged: &mut Acknowledged, round: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (queue, recovery) = Queue::open(directory, options()).unwrap();
        assert_eq!(recovery.content_missing, [], "round {round}");
        let all = Filter { limit: Some(usize::MAX), ..Filter::default() };
        let there: HashMap<_, _> =
            queue.list(all).await.unwrap().into_iter().map(|message| (message.id, message)).collect();
        assert_eq!(there.len(), recovery.messages);
        for (id, (seed, size)) in &acknowledged.stored {
            if acknowledged.removed.contains(id) {
                assert!(!there.contains_key(id), "round {round}: {id} was removed and is back");
                continue;
            }
            // The removal may have become durable just before it could be acknowledged.
            let Some(message) = there.get(id) else {
                assert!(seed % 3 == 0, "round {round}: {id} was acknowledged and is gone");
                acknowledged.removed.insert(*id);
                continue;
            };
            assert_eq!(read(&queue, *id).await, content(*seed, *size), "round {round}: content of {id}");
            if acknowledged.deferred.contains(id) {
                assert_eq!(message.recipients[0].attempts, 1, "round {round}: the deferral of {id}");
            }
        }
        for message in there.values() {
            assert_eq!(read(&queue, message.id).await.len() as u64, message.size, "whole or not at all");
        }
        queue.close().await;
    });
}

/// Not a test: what `run_and_kill` runs. Every third message is removed again, every other deferred.
#[test]
#[ignore = "the other half of the tests above"]
fn the_child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (queue, _) =
        Queue::open(Path::new(&directory), Options { cache_bytes_max: 100_000, ..options() }).unwrap();
    let writers: Vec<_> =
        (0..WRITERS).map(|number| runtime.spawn(store_for_ever(queue.clone(), number))).collect();
    writers.into_iter().for_each(|writer| runtime.block_on(writer).unwrap());
}

async fn store_for_ever(queue: Queue, number: u64) {
    let next_hop = format!("w{number}.example");
    for seed in number.. {
        let size = match seed % 10 {
            0 => 100_000,
            small => small as usize * 700,
        };
        let id = common::put(&queue, &content(seed, size), message(1_000, &[&format!("a@{next_hop}")])).await;
        say(&format!("stored {id} {seed} {size}"));
        if seed % 3 == 0 {
            queue.apply(vec![Change::Remove { id, recipient: 0 }]).await.unwrap();
            say(&format!("removed {id}"));
        } else if let Some(claim) = queue.claim(&destination(&next_hop), 2_000).await.unwrap() {
            let id = claim.message.id;
            let note = b"450 4.2.1".to_vec();
            if claim.message.recipients[0].attempts == 0 {
                let retry = Change::Retry { id, recipient: 0, next_attempt: 9_000_000, note };
                queue.apply(vec![retry]).await.unwrap();
                say(&format!("deferred {id}"));
            }
        }
    }
}

fn say(line: &str) {
    // One write, so that lines of several writers do not mix.
    std::io::stdout().lock().write_all(format!("{line}.\n").as_bytes()).unwrap();
}
