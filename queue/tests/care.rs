//! `check` and `rebuild`: what is wrong with a queue on the disk is found, said, and mended as far as
//! it can be.

mod common;

use std::path::{Path, PathBuf};

use common::{content, message, options, put, read};
use sealpost_queue::{Change, Error, Filter, Finding, MessageId, Options, Queue, check, rebuild};
use tempfile::TempDir;

/// The segments that `check` and `rebuild` find must be of the usual size to be used again.
fn usual() -> Options {
    Options { free_bytes_min: 0, ..Options::default() }
}

async fn filled(directory: &TempDir, options: Options) -> Vec<MessageId> {
    let (queue, _) = Queue::open(directory.path(), options).unwrap();
    let mut ids = Vec::new();
    for (seed, size) in [100, 30_000, 100_000, 2_000_000].into_iter().enumerate() {
        let recipients = ["a@woodgrove.example", "b@fabrikam.example"];
        ids.push(put(&queue, &content(seed as u64, size), message(1_000, &recipients)).await);
    }
    queue.apply(vec![Change::Remove { id: ids[0], recipient: 1 }]).await.unwrap();
    queue.close().await;
    ids
}

fn file_of(directory: &TempDir, id: MessageId) -> PathBuf {
    directory.path().join("content").join(format!("{:02X}", id.0 & 0xff)).join(id.to_string())
}

fn sql(directory: &TempDir, sql: &str) {
    rusqlite::Connection::open(directory.path().join("index.db")).unwrap().execute_batch(sql).unwrap();
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_sound_queue_is_found_sound_also_beside_the_server() {
    let directory = TempDir::new().unwrap();
    let ids = filled(&directory, usual()).await;
    let report = check(directory.path()).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.running, report.messages, report.recipients), (false, ids.len(), 7));
    assert_eq!((report.content_files, report.orphans, report.jobs), (2, 0, 0));
    let (queue, _) = Queue::open(directory.path(), usual()).unwrap();
    put(&queue, b"new", message(1_000, &["a@woodgrove.example"])).await;
    let report = check(directory.path()).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.running, report.messages, report.jobs), (true, ids.len() + 1, 1));
    assert!(matches!(rebuild(directory.path()), Err(Error::Locked(_))));
    queue.close().await;
}

#[tokio::test]
async fn each_kind_of_damage_is_named() {
    let directory = TempDir::new().unwrap();
    let ids = filled(&directory, usual()).await;
    let name = |finding: &Finding| finding.to_string();
    flip(&file_of(&directory, ids[2]), 700);
    std::fs::remove_file(file_of(&directory, ids[3])).unwrap();
    let found: Vec<String> = check(directory.path()).unwrap().findings.iter().map(name).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains(&ids[2].to_string()) && found[0].contains("damaged content"), "{found:?}");
    assert!(found[1].contains(&ids[3].to_string()) && found[1].contains("is gone"), "{found:?}");
    sql(&directory, &format!("DELETE FROM content WHERE id = {}", ids[0].0));
    sql(&directory, &format!("DELETE FROM recipient WHERE message = {}", ids[1].0));
    sql(&directory, &format!("DELETE FROM message WHERE id = {}", ids[2].0));
    let found = check(directory.path()).unwrap().findings;
    assert_eq!(
        found,
        [
            Finding::WithoutRecipients(ids[1]),
            Finding::WithoutContent(ids[0]),
            Finding::WithoutMessage(ids[2]),
            Finding::ContentFile { id: ids[3], what: "is gone" },
        ]
    );
    std::fs::write(directory.path().join("index.db"), b"no database at all").unwrap();
    let found = check(directory.path()).unwrap().findings;
    assert!(matches!(found[..], [Finding::NoIndex(_)]), "{found:?}");
    assert!(matches!(check(&directory.path().join("elsewhere")), Err(Error::Io { .. })));
}

#[tokio::test]
async fn an_index_that_nobody_can_read_is_made_anew_from_the_rest() {
    let directory = TempDir::new().unwrap();
    let ids = filled(&directory, usual()).await;
    std::fs::write(directory.path().join("index.db"), b"no database at all").unwrap();
    assert!(Queue::open(directory.path(), usual()).is_err());
    let report = rebuild(directory.path()).unwrap();
    assert_eq!((report.messages, report.recipients, report.from_index), (ids.len(), 7, 0));
    assert_eq!((report.jobs_missing, report.content_missing.len(), report.kept.len()), (0, 0, 1));
    assert!(report.kept[0].exists());
    assert_eq!(check(directory.path()).unwrap().findings, []);
    let (queue, _) = Queue::open(directory.path(), usual()).unwrap();
    for (seed, (id, size)) in ids.iter().zip([100, 30_000, 100_000, 2_000_000]).enumerate() {
        assert_eq!(read(&queue, *id).await, content(seed as u64, size));
    }
    assert!(queue.begin().unwrap().id() > ids[3]);
    queue.close().await;
}

/// The journal is gone, or begins anew after messages that only the index has.
#[tokio::test]
async fn what_only_the_index_has_is_read_from_it() {
    let directory = TempDir::new().unwrap();
    let ids = filled(&directory, usual()).await;
    std::fs::remove_dir_all(directory.path().join("journal")).unwrap();
    sql(&directory, &format!("DELETE FROM recipient WHERE message = {}", ids[1].0));
    sql(&directory, "UPDATE setting SET value = 9000000000000000 WHERE name = 'ids'");
    let report = rebuild(directory.path()).unwrap();
    assert_eq!((report.from_index, report.messages, report.recipients), (3, 3, 5));
    assert_eq!(check(directory.path()).unwrap().findings, []);
    let (queue, _) = Queue::open(directory.path(), usual()).unwrap();
    assert_eq!(read(&queue, ids[0]).await, content(0, 100));
    assert!(queue.begin().unwrap().id().0 >= 9_000_000_000_000_000, "no id is given out twice");
    queue.close().await;
}

#[tokio::test]
async fn a_gap_in_the_journal_is_passed_over_when_asked_to() {
    let directory = TempDir::new().unwrap();
    let (queue, _, mut driver) = Queue::open_driven(
        directory.path(),
        options(),
        std::sync::Arc::new(sealpost_queue::SystemDisk),
        std::sync::Arc::new(|| 1_000),
    )
    .unwrap();
    let mut ids = Vec::new();
    for seed in 0..12 {
        let bytes = content(seed, 200_000);
        let stored = put(&queue, &bytes, message(1_000, &["a@woodgrove.example"]));
        tokio::pin!(stored);
        let _ = tokio::time::timeout(std::time::Duration::ZERO, &mut stored).await;
        driver.step();
        ids.push(stored.await);
    }
    drop((queue, driver));
    let damaged = content(1, 200_000);
    let place = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        // A record's content stands somewhere behind its header.
        let at = bytes.windows(64).position(|some| some == &damaged[..64])?;
        Some((path, at))
    };
    let entries = std::fs::read_dir(directory.path().join("journal")).unwrap();
    let (first, at) = entries.map(|entry| entry.unwrap().path()).find_map(place).unwrap();
    flip(&first, at + 100);
    let found = check(directory.path()).unwrap().findings;
    assert!(matches!(found[..], [Finding::JournalDamaged { jobs: 1, .. }]), "{found:?}");
    assert!(matches!(Queue::open(directory.path(), options()), Err(Error::JournalDamaged { .. })));
    let report = rebuild(directory.path()).unwrap();
    assert_eq!((report.jobs_missing, report.messages), (1, ids.len() - 1));
    let (queue, _) = Queue::open(directory.path(), options()).unwrap();
    let there: Vec<_> =
        queue.list(Filter::default()).await.unwrap().iter().map(|message| message.id).collect();
    ids.remove(1);
    assert_eq!(there, ids);
    queue.close().await;
}
