//! What start-up does with what a crash may leave, one test for each row of the table in README.md.

mod common;

use std::path::{Path, PathBuf};

use common::{content, destination, message, options, put, read};
use sealpost_queue::{Change, Error, Filter, MessageId, Queue, Recovery, Status};
use tempfile::TempDir;

const LARGE: usize = 200_000;

fn file_of(directory: &Path, id: MessageId) -> PathBuf {
    directory.join("content").join(format!("{:02X}", id.0 & 0xff)).join(id.to_string())
}

async fn with_one_large_message(directory: &TempDir) -> MessageId {
    let (queue, _) = Queue::open(directory.path(), options()).unwrap();
    let id =
        put(&queue, &content(1, LARGE), message(1_000, &["a@woodgrove.example", "b@fabrikam.example"])).await;
    queue.close().await;
    id
}

#[tokio::test]
async fn a_content_file_without_a_record_is_swept() {
    let directory = TempDir::new().unwrap();
    let id = with_one_large_message(&directory).await;
    let never_acknowledged = MessageId(id.0 + 256);
    std::fs::copy(file_of(directory.path(), id), file_of(directory.path(), never_acknowledged)).unwrap();
    std::fs::write(directory.path().join("content/00/notes.txt"), "an operator's own file").unwrap();
    let (queue, recovery) = Queue::open(directory.path(), options()).unwrap();
    assert_eq!(recovery, Recovery { messages: 1, recipients: 2, orphans_removed: 1, ..Recovery::default() });
    assert!(!file_of(directory.path(), never_acknowledged).exists());
    assert!(directory.path().join("content/00/notes.txt").exists(), "foreign files are left alone");
    assert_eq!(read(&queue, id).await, content(1, LARGE));
    queue.close().await;
}

#[tokio::test]
async fn a_record_without_its_content_is_held_and_reported() {
    let directory = TempDir::new().unwrap();
    let id = with_one_large_message(&directory).await;
    let file = file_of(directory.path(), id);
    for damage in [cut_short as fn(&Path), delete] {
        damage(&file);
        let (queue, recovery) = Queue::open(directory.path(), options()).unwrap();
        assert_eq!(recovery.content_missing, [id]);
        assert!(queue.due(i64::MAX).is_empty(), "it cannot be delivered");
        assert!(queue.get(id).await.unwrap().recipients.iter().all(|one| one.status == Status::Suspended));
        queue.close().await;
    }
    let (queue, _) = Queue::open(directory.path(), options()).unwrap();
    assert!(matches!(queue.content(id).await, Err(Error::Io { .. })));
    assert_eq!(queue.remove(Filter::default()).await.unwrap(), 1, "an operator may drop it");
    queue.close().await;
}

fn cut_short(file: &Path) {
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(1_000).unwrap();
}

fn delete(file: &Path) {
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_lost_index_is_rebuilt_from_the_content_files() {
    let directory = TempDir::new().unwrap();
    let id = with_one_large_message(&directory).await;
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = std::fs::remove_file(directory.path().join(file));
    }
    let never_completed = MessageId(id.0 + 256);
    std::fs::write(file_of(directory.path(), never_completed), vec![0; 10_000]).unwrap();
    let (queue, recovery) = Queue::open(directory.path(), options()).unwrap();
    assert_eq!((recovery.rebuilt, recovery.messages, recovery.orphans_removed), (1, 1, 1));
    let found = queue.get(id).await.unwrap();
    assert_eq!((found.sender.as_str(), found.meta.as_slice()), ("anna@contoso.example", &b"tls=1.3"[..]));
    let addresses: Vec<_> = found.recipients.iter().map(|one| one.address.as_str()).collect();
    assert_eq!(addresses, ["a@woodgrove.example", "b@fabrikam.example"]);
    assert_eq!(read(&queue, id).await, content(1, LARGE));
    assert!(queue.begin().unwrap().id() > id);
    queue.close().await;
    let (_, again) = Queue::open(directory.path(), options()).unwrap();
    assert_eq!((again.rebuilt, again.messages), (0, 1), "once is enough");
}

#[tokio::test]
async fn the_content_file_goes_with_the_last_recipient() {
    let directory = TempDir::new().unwrap();
    let id = with_one_large_message(&directory).await;
    let (queue, _) = Queue::open(directory.path(), options()).unwrap();
    queue.apply(vec![Change::Remove { id, recipient: 0 }]).await.unwrap();
    let claim = queue.claim(&destination("fabrikam.example"), 1_000).await.unwrap().expect("one is left");
    assert_eq!(read(&queue, id).await, content(1, LARGE));
    queue.apply(vec![Change::Remove { id, recipient: 1 }]).await.unwrap();
    drop(claim);
    queue.close().await;
    let (_, recovery) = Queue::open(directory.path(), options()).unwrap();
    assert_eq!(recovery.messages, 0);
    assert!(!file_of(directory.path(), id).exists(), "swept now, if not before");
}

/// The stop of a caller between handing over and the answer.
#[tokio::test]
async fn a_commit_nobody_waits_for_is_whole_or_absent() {
    let directory = TempDir::new().unwrap();
    let (queue, _) = Queue::open(directory.path(), options()).unwrap();
    let mut ids = Vec::new();
    for (number, size) in [10, 10_000, LARGE, 10, LARGE, 40_000].into_iter().enumerate() {
        let draft = common::draft(&queue, &content(number as u64, size));
        ids.push((draft.id(), number as u64, size));
        let commit = queue.commit(draft, message(1_000, &["a@woodgrove.example"]));
        // Polled once, so that the message is on its way, then dropped.
        let polled = tokio::time::timeout(std::time::Duration::ZERO, commit).await;
        assert!(polled.is_err() || polled.is_ok_and(|result| result.is_ok()));
    }
    queue.close().await;
    let (queue, recovery) = Queue::open(directory.path(), options()).unwrap();
    assert_eq!(recovery.content_missing, []);
    assert!(recovery.messages >= 4, "small ones had been handed over");
    let there = queue.list(Filter::default()).await.unwrap();
    for found in there {
        let (_, seed, size) = ids.iter().find(|(id, ..)| *id == found.id).expect("one of ours");
        assert_eq!(read(&queue, found.id).await, content(*seed, *size));
    }
    queue.close().await;
}
