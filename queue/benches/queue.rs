//! Commit throughput of the queue with 1, 16 and 64 concurrent writers of 4 KiB messages, and the
//! whole life of a message (commit, claim, remove). Each sample is 2,048 messages; the directory is
//! below `$SEALPOST_BENCH_DIR`, else the build directory, because /tmp may be memory.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use sealpost_queue::{Change, Destination, NewMessage, NewRecipient, Options, Queue};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const MESSAGES: usize = 2_048;
const WRITERS: [usize; 3] = [1, 16, 64];

fn main() {
    divan::main();
}

struct Bench {
    runtime: Runtime,
    queue: Queue,
    content: Arc<Vec<u8>>,
    _directory: TempDir,
}

impl Bench {
    fn new(bytes: usize) -> Self {
        let above =
            std::env::var_os("SEALPOST_BENCH_DIR").unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
        let directory = TempDir::new_in(above).expect("a directory to measure in");
        let (queue, _) = Queue::open(directory.path(), Options::default()).expect("an empty queue");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        Self { runtime, queue, content: Arc::new(vec![b'x'; bytes]), _directory: directory }
    }

    /// Runs `writers` tasks that together store `MESSAGES` messages; `deliver`: and take them out again.
    fn run(&self, writers: usize, deliver: bool) {
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let (queue, content) = (self.queue.clone(), self.content.clone());
                self.runtime.spawn(async move {
                    for _ in 0..MESSAGES / writers {
                        store(&queue, writer, &content).await;
                        if deliver {
                            take_out(&queue, writer).await;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            self.runtime.block_on(task).expect("a writer that ends well");
        }
    }
}

fn destination(writer: usize) -> Destination {
    Destination {
        next_hop: format!("woodgrove{writer}.example"),
        connector: "Internet".into(),
        tls_domain: "woodgrove.example".into(),
    }
}

async fn store(queue: &Queue, writer: usize, content: &[u8]) {
    let mut draft = queue.begin().expect("a draft");
    draft.append(content).expect("room");
    let recipient = NewRecipient {
        address: "bob@woodgrove.example".into(),
        destination: destination(writer),
        due: 1_000,
        expires: 172_801_000,
        notify_delay_at: Some(14_401_000),
    };
    let message = NewMessage {
        sender: "anna@contoso.example".into(),
        received: 1_000,
        meta: vec![b'm'; 300],
        recipients: vec![recipient],
    };
    queue.commit(draft, message).await.expect("a durable message");
}

async fn take_out(queue: &Queue, writer: usize) {
    let claim = queue.claim(&destination(writer), 1_000).await.expect("a claim").expect("a due message");
    let content = queue.content(claim.message.id).await.expect("its content");
    divan::black_box(content);
    let remove = Change::Remove { id: claim.message.id, recipient: 0 };
    queue.apply(vec![remove]).await.expect("a durable removal");
}

#[divan::bench(args = WRITERS, sample_count = 10, sample_size = 1)]
fn commit_4_kib(bencher: Bencher, writers: usize) {
    let bench = Bench::new(4 << 10);
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| bench.run(writers, false));
}

#[divan::bench(args = WRITERS, sample_count = 10, sample_size = 1)]
fn commit_claim_remove_4_kib(bencher: Bencher, writers: usize) {
    let bench = Bench::new(4 << 10);
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| bench.run(writers, true));
}

#[divan::bench(args = [64], sample_count = 3, sample_size = 1)]
fn commit_256_kib(bencher: Bencher, writers: usize) {
    let bench = Bench::new(256 << 10);
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| bench.run(writers, false));
}
