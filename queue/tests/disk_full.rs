//! A full disk refuses new mail with `Error::DiskFull`, loses nothing, and goes on when there is room.

mod common;

use std::process::Command;

use common::{content, destination, message, options, put, read};
use sealpost_queue::{Change, Error, Filter, MessageId, Options, Queue};
use tempfile::TempDir;

const DIRECTORY: &str = "QUEUE_LIMITED_DIRECTORY";

#[tokio::test]
async fn a_full_index_refuses_and_recovers_when_messages_leave() {
    let directory = TempDir::new().unwrap();
    let limited = Options { index_bytes_max: Some(2 << 20), ..options() };
    let (queue, _) = Queue::open(directory.path(), limited).unwrap();
    let (mut stored, refused) = fill(&queue).await;
    assert!(matches!(refused, Error::DiskFull(_)), "{refused:?}");
    assert!(refused.to_string().contains("free space"), "{refused}");
    assert!(stored.len() > 20, "2 MiB hold more than {} messages of 32 KiB", stored.len());
    for id in &stored {
        assert_eq!(read(&queue, *id).await, content(id.0, 32 << 10));
    }
    for id in stored.drain(..10) {
        queue.apply(vec![Change::Remove { id, recipient: 0 }]).await.expect("a removal needs no room");
    }
    stored.push(store(&queue).await.expect("there is room again"));
    queue.close().await;
    let (queue, recovery) = Queue::open(directory.path(), limited).unwrap();
    assert_eq!(recovery.messages, stored.len());
    for id in stored {
        assert_eq!(read(&queue, id).await, content(id.0, 32 << 10));
    }
    queue.close().await;
}

/// Those that fit are taken even when they share a transaction with one that does not.
#[tokio::test]
async fn in_a_group_only_what_does_not_fit_is_refused() {
    let directory = TempDir::new().unwrap();
    let limited = Options { index_bytes_max: Some(1 << 20), ..options() };
    let (queue, _) = Queue::open(directory.path(), limited).unwrap();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { store(&queue).await })
        })
        .collect();
    let mut stored = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(id) => stored.push(id),
            Err(error) => assert!(matches!(error, Error::DiskFull(_)), "{error:?}"),
        }
    }
    assert!((10..100).contains(&stored.len()), "{} of 100 fit into 1 MiB", stored.len());
    let there = queue.list(Filter::default()).await.unwrap();
    stored.sort_unstable();
    assert_eq!(there.iter().map(|message| message.id).collect::<Vec<_>>(), stored);
    queue.close().await;
}

#[tokio::test]
async fn too_little_free_space_refuses_new_mail_but_records_deliveries() {
    let directory = TempDir::new().unwrap();
    let (queue, _) = Queue::open(directory.path(), options()).unwrap();
    let id = put(&queue, b"here already", message(1_000, &["a@woodgrove.example"])).await;
    queue.close().await;
    let greedy = Options { free_bytes_min: u64::MAX, free_part: 1, ..options() };
    let (queue, _) = Queue::open(directory.path(), greedy).unwrap();
    assert!(matches!(queue.begin(), Err(Error::DiskFull(_))));
    let claim = queue.claim(&destination("woodgrove.example"), 1_000).await.unwrap();
    queue.apply(vec![Change::Remove { id, recipient: 0 }]).await.unwrap();
    drop(claim);
    assert_eq!(queue.list(Filter::default()).await.unwrap().len(), 0);
    queue.close().await;
}

/// The kernel refuses to let a content file grow (`ulimit -f`), as a full disk would.
#[test]
fn a_content_file_that_cannot_grow_is_refused_and_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let said = with_small_files_only(&directory, "the_child_with_a_large_message");
    assert!(said.contains("refused and recovered"), "{said}");
    let (_, recovery) = Queue::open(directory.path(), options()).unwrap();
    assert_eq!((recovery.messages, recovery.orphans_removed, recovery.content_missing.len()), (1, 0, 0));
}

#[tokio::test]
#[ignore = "the other half of the test above"]
async fn the_child_with_a_large_message() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (queue, _) = Queue::open(std::path::Path::new(&directory), options()).unwrap();
    let mut large = queue.begin().unwrap();
    let refused = (0..64).map(|_| large.append(&[b'x'; 100_000])).find_map(Result::err);
    assert!(matches!(refused, Some(Error::DiskFull(_))), "{refused:?}");
    drop(large);
    put(&queue, &content(1, 100_000), message(1, &["a@b.example"])).await;
    queue.close().await;
    println!("refused and recovered");
}

/// An index that the kernel does not let grow is an input/output error: what is durable is unknown, so
/// nothing is acknowledged any more; what was, is there at the next start.
#[test]
fn after_an_input_output_error_nothing_is_acknowledged_until_the_next_start() {
    let directory = TempDir::new().unwrap();
    let said = with_small_files_only(&directory, "the_child_with_a_small_index");
    let acknowledged: Vec<MessageId> =
        said.lines().filter_map(|line| line.strip_prefix("stored ").map(|id| id.parse().unwrap())).collect();
    assert!(acknowledged.len() > 10 && said.contains("latched"), "{said}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (queue, _) = Queue::open(directory.path(), options()).unwrap();
        for id in acknowledged {
            assert_eq!(read(&queue, id).await, content(id.0, 32 << 10));
        }
        store(&queue).await.expect("it goes on");
        queue.close().await;
    });
}

#[tokio::test]
#[ignore = "the other half of the test above"]
async fn the_child_with_a_small_index() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (queue, _) = Queue::open(std::path::Path::new(&directory), options()).unwrap();
    println!();
    let refused = loop {
        match store(&queue).await {
            Ok(id) => println!("stored {id}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Failed(_)), "{refused:?}");
    assert!(matches!(queue.begin(), Err(Error::Failed(_))));
    let removal = queue.apply(vec![Change::Remove { id: MessageId(1), recipient: 0 }]).await;
    assert!(matches!(removal, Err(Error::Failed(_))), "{removal:?}");
    assert!(!queue.list(Filter::default()).await.unwrap().is_empty(), "but it can be read");
    println!("latched");
}

/// Runs a test of this file in a process that cannot make files of more than 2 MiB.
fn with_small_files_only(directory: &TempDir, child: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", child, "--ignored", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn fill(queue: &Queue) -> (Vec<MessageId>, Error) {
    let mut stored = Vec::new();
    loop {
        match store(queue).await {
            Ok(id) => stored.push(id),
            Err(error) => return (stored, error),
        }
        assert!(stored.len() < 1_000, "the limit holds");
    }
}

async fn store(queue: &Queue) -> Result<MessageId, Error> {
    let mut draft = queue.begin()?;
    draft.append(&content(draft.id().0, 32 << 10))?;
    queue.commit(draft, message(1_000, &["a@woodgrove.example"])).await
}
