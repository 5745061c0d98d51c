//! A queue of a million: how soon it starts, what it takes of memory, and whether its length slows
//! its head. Fills the disk with about a gigabyte, so it runs only when asked:
//!
//!     cargo test --release -p sealpost-queue --test million -- --ignored --nocapture

mod common;

use std::time::{Duration, Instant};

use common::{message, options};
use sealpost_queue::{Change, Destination, Filter, NewMessage, Queue};

const MESSAGES: usize = 1_000_000;
/// Delivery queues that the messages are spread over.
const DOMAINS: usize = 20_000;
/// Commits under way at a time.
const WRITERS: usize = 256;
/// What is promised is promised of a release build; a debug build gets so many times as long.
const SLACK: u32 = if cfg!(debug_assertions) { 5 } else { 1 };
const START_MAX: Duration = Duration::from_secs(10);
const RESIDENT_MAX: u64 = 300 << 20;
/// One round of a dispatcher, and one claim at the head.
const LOOK_MAX: Duration = Duration::from_millis(50);
const HEAD_MAX: Duration = Duration::from_millis(50);

/// Received at `number` milliseconds of its time, due at once.
fn letter(number: usize) -> NewMessage {
    let received = i64::try_from(number).expect("a small number");
    message(received, &[&format!("user{number}@domain{}.example", number % DOMAINS)])
}

fn destination(number: usize) -> Destination {
    letter(number).recipients.remove(0).destination
}

async fn fill(queue: &Queue) {
    let writers = (0..WRITERS).map(|writer| {
        let queue = queue.clone();
        tokio::spawn(async move {
            for number in (writer..MESSAGES).step_by(WRITERS) {
                let mut draft = queue.begin().expect("a draft");
                draft.append(&[b'x'; 600]).expect("room for content");
                queue.commit(draft, letter(number)).await.expect("a commit");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer that ends");
    }
}

/// Octets that this process has resident.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

/// The longest of a hundred.
async fn slowest<T>(mut act: impl AsyncFnMut(usize) -> T) -> Duration {
    let mut slowest = Duration::ZERO;
    for number in 0..100 {
        let begun = Instant::now();
        act(number).await;
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

/// In two processes, for what filling took of memory is no part of what a start takes.
#[test]
#[ignore = "fills a million messages"]
fn a_million_messages_start_soon_in_little_memory_and_do_not_slow_the_head() {
    const ROLE: &str = "SEALPOST_MILLION_DIRECTORY";
    if let Some(directory) = std::env::var_os(ROLE) {
        return run(measure(directory.as_ref()));
    }
    let directory = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let begun = Instant::now();
    run(async {
        let (queue, _) = Queue::open(directory.path(), options()).expect("an empty queue");
        fill(&queue).await;
        queue.close().await;
    });
    println!("filled in {:.1} s", begun.elapsed().as_secs_f64());
    let test = std::env::current_exe().expect("this test");
    let name = "a_million_messages_start_soon_in_little_memory_and_do_not_slow_the_head";
    let status = std::process::Command::new(test)
        .args(["--ignored", "--exact", "--nocapture", name])
        .env(ROLE, directory.path())
        .status()
        .expect("a second process");
    assert!(status.success());
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(work);
}

async fn measure(directory: &std::path::Path) {
    let before = resident();
    let begun = Instant::now();
    let (queue, recovery) = Queue::open(directory, options()).expect("a queue of a million");
    let started = begun.elapsed();
    let grown = resident() - before;
    println!("started in {:.2} s, {} MiB", started.as_secs_f64(), grown >> 20);
    assert_eq!((recovery.messages, queue.statistics().ready), (MESSAGES, MESSAGES));
    let now = i64::try_from(MESSAGES).expect("a small number");
    let look = slowest(async |_| assert!(queue.due_first(now, 4000).cut)).await;
    let claim = slowest(async |number| {
        let claim = queue.claim(&destination(number), now).await.expect("a queue that works").expect("due");
        queue.apply(vec![Change::Remove { id: claim.message.id, recipient: 0 }]).await.expect("removed");
    });
    let claim = claim.await;
    let commit = slowest(async |number| {
        let mut draft = queue.begin().expect("a draft");
        draft.append(b"x").expect("room");
        queue.commit(draft, letter(MESSAGES + number)).await.expect("a commit");
    });
    let commit = commit.await;
    println!("slowest of 100: look {look:?}, claim and remove {claim:?}, commit {commit:?}");
    let listed = queue.list(Filter { limit: Some(100), ..Filter::default() }).await.expect("a list");
    assert_eq!(listed.len(), 100);
    println!("{} MiB in the end", resident() >> 20);
    assert!(started <= START_MAX * SLACK, "{started:?}");
    assert!(grown <= RESIDENT_MAX, "{} MiB", grown >> 20);
    assert!(look <= LOOK_MAX * SLACK, "{look:?}");
    assert!(claim.max(commit) <= HEAD_MAX * SLACK, "{claim:?} {commit:?}");
    queue.close().await;
}
