//! What start-up makes of a journal that a crash left behind: torn ends, old generations, gaps, a lost
//! or older index, and a cut at every single operation on the disk.

mod common;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{Error, IoSlice, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::{content, destination, message, options, read};
use sealpost_queue::{
    Change, Disk, DiskFile, DiskLock, Driver, Error as QueueError, Filter, MessageId, Options, Queue, Space,
    Status, SystemDisk,
};
use tempfile::TempDir;

/// A queue without threads, which is left as it stands.
struct Run {
    queue: Queue,
    driver: Driver,
}

fn start(directory: &Path, disk: Arc<dyn Disk>, options: Options) -> Option<Run> {
    let clock = Arc::new(|| 5_000);
    let opened = Queue::open_driven(directory, options, disk, clock);
    opened.ok().map(|(queue, _, driver)| Run { queue, driver })
}

impl Run {
    async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! { biased; done = &mut work => return done, () = tokio::task::yield_now() => {} }
            self.driver.step();
        }
    }

    async fn put(&mut self, seed: u64, size: usize) -> std::result::Result<MessageId, QueueError> {
        let mut draft = self.queue.begin()?;
        draft.append(&content(seed, size))?;
        let queue = self.queue.clone();
        self.drive(queue.commit(draft, message(1_000, &["a@woodgrove.example", "b@fabrikam.example"]))).await
    }

    async fn apply(&mut self, changes: Vec<Change>) -> std::result::Result<(), QueueError> {
        let queue = self.queue.clone();
        self.drive(queue.apply(changes)).await.map(drop)
    }

    async fn remove(&mut self, id: MessageId) -> std::result::Result<(), QueueError> {
        self.apply([0, 1].map(|recipient| Change::Remove { id, recipient }).into()).await
    }
}

fn begin(directory: &TempDir) -> Run {
    start(directory.path(), Arc::new(SystemDisk), options()).expect("the queue opens")
}

fn retry(id: MessageId, recipient: u32) -> Change {
    Change::Retry { id, recipient, next_attempt: 9_000, note: b"450".to_vec() }
}

async fn there(directory: &TempDir) -> Vec<MessageId> {
    let (queue, _) = Queue::open(directory.path(), options()).unwrap();
    let listed = queue.list(Filter::default()).await.unwrap();
    for message in &listed {
        assert_eq!(read(&queue, message.id).await.len() as u64, message.size);
    }
    queue.close().await;
    listed.iter().map(|message| message.id).collect()
}

/// Segments that begin with a record, in the order of their use.
fn segments(directory: &TempDir) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.path().join("journal")).unwrap();
    let mut used: Vec<(u64, PathBuf)> = entries
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            let generation = u64::from_le_bytes(bytes[24..32].try_into().unwrap());
            (bytes[..4] == *b"SPJ1").then_some((generation, path))
        })
        .collect();
    used.sort();
    used.into_iter().map(|(_, path)| path).collect()
}

/// Where records begin in a segment.
fn records(segment: &Path) -> Vec<usize> {
    let bytes = std::fs::read(segment).unwrap();
    let int = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut starts = Vec::new();
    let mut at = 0;
    while bytes[at..].starts_with(b"SPJ1") && bytes[at + 24..at + 32] == bytes[24..32] {
        starts.push(at);
        at += 36 + int(at + 4) + int(at + 8);
    }
    starts
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn lose_index(directory: &TempDir) {
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = std::fs::remove_file(directory.path().join(file));
    }
}

#[tokio::test]
async fn what_is_in_the_journal_alone_is_there_after_a_crash() {
    let directory = TempDir::new().unwrap();
    let mut run = begin(&directory);
    let mut ids = Vec::new();
    for (seed, size) in [0, 10, 70_000, 200_000, 600_000].into_iter().enumerate() {
        ids.push(run.put(seed as u64, size).await.unwrap());
    }
    run.apply(vec![retry(ids[1], 1), Change::Remove { id: ids[1], recipient: 0 }]).await.unwrap();
    run.remove(ids[0]).await.unwrap();
    drop(run);
    let (queue, recovery) = Queue::open(directory.path(), options()).unwrap();
    assert_eq!((recovery.messages, recovery.recipients, recovery.orphans_removed), (4, 7, 0));
    let deferred = queue.get(ids[1]).await.unwrap();
    assert_eq!((deferred.recipients.len(), deferred.recipients[0].attempts), (1, 1));
    assert_eq!((deferred.recipients[0].status, &*deferred.recipients[0].note), (Status::Retry, &b"450"[..]));
    for (seed, size) in [(1, 10), (2, 70_000), (3, 200_000), (4, 600_000)] {
        assert_eq!(read(&queue, ids[seed as usize]).await, content(seed, size));
    }
    queue.close().await;
}

/// A disk below 32 MiB gets segments of the least size, whatever share of it they would be.
#[tokio::test]
async fn on_the_smallest_disk_small_content_needs_no_file_either() {
    let directory = TempDir::new().unwrap();
    let smallest = Options { journal_segment_bytes: 0, ..options() };
    let mut run = start(directory.path(), Arc::new(SystemDisk), smallest).expect("the queue opens");
    let (small, large) = (run.put(1, 10_000).await.unwrap(), run.put(2, 300_000).await.unwrap());
    let file = |id: MessageId| {
        let name = id.to_string();
        directory.path().join("content").join(&name[name.len() - 2..]).join(&name)
    };
    assert!(!file(small).exists(), "it stands in the journal");
    assert!(file(large).exists(), "more than a quarter of a segment");
    drop(run);
    assert_eq!(there(&directory).await, [small, large]);
}

#[tokio::test]
async fn a_torn_end_is_the_end() {
    for damage in [0, 20, 40, 500] {
        let directory = TempDir::new().unwrap();
        let mut run = begin(&directory);
        let mut ids = Vec::new();
        for seed in 0..3 {
            ids.push(run.put(seed, 5_000).await.unwrap());
        }
        drop(run);
        let segment = segments(&directory).pop().unwrap();
        flip(&segment, records(&segment).pop().unwrap() + damage);
        assert_eq!(there(&directory).await, ids[..2], "a bit of byte {damage}");
        // What came behind the torn record of old stays behind it.
        assert_eq!(there(&directory).await, ids[..2]);
    }
}

/// Records behind a torn one may be whole: they were not acknowledged either, and stay gone for good.
#[tokio::test]
async fn what_stands_behind_a_torn_record_never_comes_back() {
    let directory = TempDir::new().unwrap();
    let mut run = begin(&directory);
    for seed in 0..4 {
        run.put(seed, 5_000).await.unwrap();
    }
    drop(run);
    let segment = segments(&directory).pop().unwrap();
    flip(&segment, records(&segment)[0]);
    let mut run = begin(&directory);
    let id = run.put(9, 5_000).await.unwrap();
    drop(run);
    assert_eq!(there(&directory).await, [id]);
}

#[tokio::test]
async fn segments_are_used_again_and_their_past_is_not_taken_for_news() {
    let directory = TempDir::new().unwrap();
    let mut run = begin(&directory);
    let lasting = run.put(0, 100).await.unwrap();
    let mut last = lasting;
    for seed in 0..150 {
        last = run.put(seed, 200_000).await.unwrap();
        run.remove(last).await.unwrap();
    }
    let kept = run.put(1, 100).await.unwrap();
    drop(run);
    assert!(std::fs::read_dir(directory.path().join("journal")).unwrap().count() <= 8);
    assert_eq!(there(&directory).await, [lasting, kept]);
    assert!(last < kept);
}

#[tokio::test]
async fn a_gap_in_the_journal_is_not_passed_over_in_silence() {
    let directory = TempDir::new().unwrap();
    let mut run = begin(&directory);
    for seed in 0..12 {
        run.put(seed, 200_000).await.unwrap();
    }
    drop(run);
    let used = segments(&directory);
    assert!(used.len() > 2, "{used:?}");
    flip(&used[0], records(&used[0])[1]);
    let opened = Queue::open(directory.path(), options());
    let Err(error) = opened else { panic!("messages are missing") };
    assert!(matches!(error, QueueError::JournalDamaged { .. }), "{error:?}");
    assert!(error.to_string().contains("queue rebuild"), "{error}");
}

#[tokio::test]
async fn a_lost_index_is_made_from_what_the_journal_still_tells() {
    let directory = TempDir::new().unwrap();
    let mut run = begin(&directory);
    let (gone, small) = (run.put(0, 100).await.unwrap(), run.put(1, 100).await.unwrap());
    let (large, left) = (run.put(2, 400_000).await.unwrap(), run.put(3, 400_000).await.unwrap());
    run.remove(gone).await.unwrap();
    // Settled, then changed again.
    run.driver.tick();
    run.driver.tick();
    run.remove(left).await.unwrap();
    run.apply(vec![Change::Remove { id: small, recipient: 0 }]).await.unwrap();
    drop(run);
    lose_index(&directory);
    let (queue, recovery) = Queue::open(directory.path(), options()).unwrap();
    assert_eq!((recovery.messages, recovery.recipients, recovery.rebuilt), (2, 3, 2));
    assert_eq!(read(&queue, small).await, content(1, 100));
    assert_eq!(read(&queue, large).await, content(2, 400_000));
    assert!(queue.begin().unwrap().id() > left);
    queue.close().await;
}

/// What version 1 left: an index without marks, and no journal.
#[tokio::test]
async fn a_directory_without_a_journal_is_taken_over() {
    let directory = TempDir::new().unwrap();
    let mut run = begin(&directory);
    let ids = [run.put(0, 100).await.unwrap(), run.put(1, 300_000).await.unwrap()];
    run.driver.finish();
    drop(run.queue);
    std::fs::remove_dir_all(directory.path().join("journal")).unwrap();
    let index = rusqlite::Connection::open(directory.path().join("index.db")).unwrap();
    index.execute_batch("DELETE FROM setting WHERE name <> 'ids'; PRAGMA user_version = 1;").unwrap();
    drop(index);
    assert_eq!(there(&directory).await, ids);
    let mut run = begin(&directory);
    assert!(run.put(2, 100).await.unwrap() > ids[1]);
    run.remove(ids[0]).await.unwrap();
    drop(run);
    assert_eq!(there(&directory).await.len(), 2);
}

/// While nothing is settled, an operator finds everything, and `sqlite3` finds it after two ticks.
#[tokio::test]
async fn what_is_not_settled_can_be_seen_and_steered() {
    let directory = TempDir::new().unwrap();
    let mut run = begin(&directory);
    let first = run.put(0, 100).await.unwrap();
    run.driver.tick();
    run.driver.tick();
    let second = run.put(1, 100).await.unwrap();
    run.apply(vec![retry(first, 0)]).await.unwrap();
    let ids = |messages: Vec<sealpost_queue::Message>| messages.iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids(run.queue.list(Filter::default()).await.unwrap()), [first, second]);
    let of = |status| Filter { status: Some(status), ..Filter::default() };
    assert_eq!(ids(run.queue.list(of(Status::Retry)).await.unwrap()), [first]);
    let one = Filter { limit: Some(1), ..Filter::default() };
    assert_eq!(ids(run.queue.list(one).await.unwrap()), [first]);
    let queue = run.queue.clone();
    assert_eq!(run.drive(queue.suspend(Filter::default())).await.unwrap(), 2);
    assert_eq!(ids(run.queue.list(of(Status::Suspended)).await.unwrap()), [first, second]);
    let rows = || {
        let index = rusqlite::Connection::open(directory.path().join("index.db")).unwrap();
        let count = "SELECT count(*) FROM queue WHERE status = 'suspended'";
        index.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(rows(), 0);
    run.driver.tick();
    run.driver.tick();
    assert_eq!(rows(), 4);
    drop(run);
}

/// Cuts the power of the program, not of the disk, at every operation in turn; what was acknowledged
/// before is there at the next start, and what was not is whole or absent.
#[test]
fn a_cut_at_any_operation_loses_nothing_acknowledged() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut cut = 0;
    loop {
        let directory = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let disk = Arc::new(Cut { left: Arc::new(AtomicI64::new(cut)) });
        let told = runtime.block_on(some_work(directory.path(), disk.clone()));
        runtime.block_on(compare(&directory, &told, cut));
        if disk.left.load(Ordering::Relaxed) >= 0 {
            break;
        }
        // The making of directories at the start is the same each time.
        cut += if cut < 250 { 50 } else { 1 };
    }
    assert!(cut > 300, "{cut} operations are not much");
}

#[derive(Debug, Default)]
struct Told {
    stored: BTreeMap<MessageId, (u64, usize)>,
    removed: Vec<MessageId>,
    /// Asked to be removed, and nobody said whether it was.
    perhaps: Vec<MessageId>,
    deferred: Vec<MessageId>,
}

async fn some_work(directory: &Path, disk: Arc<dyn Disk>) -> Told {
    let mut told = Told::default();
    let Some(mut run) = start(directory, disk, options()) else { return told };
    for (seed, size) in
        [100, 400_000, 5_000, 200_000, 100_000, 250_000, 90_000, 70_000].into_iter().enumerate()
    {
        let seed = seed as u64;
        let Ok(id) = run.put(seed, size).await else { break };
        told.stored.insert(id, (seed, size));
        if seed % 4 == 1 {
            match run.remove(id).await {
                Ok(()) => told.removed.push(id),
                Err(_) => told.perhaps.push(id),
            }
        } else if seed % 4 == 2 && run.apply(vec![retry(id, 0)]).await.is_ok() {
            told.deferred.push(id);
        }
        if seed % 3 == 2 {
            run.driver.tick();
        }
    }
    told
}

async fn compare(directory: &TempDir, told: &Told, cut: i64) {
    let (queue, recovery) = Queue::open(directory.path(), options()).unwrap_or_else(|e| panic!("{cut}: {e}"));
    assert_eq!(recovery.content_missing, [], "cut {cut}");
    let listed = queue.list(Filter::default()).await.unwrap();
    for message in &listed {
        assert_eq!(read(&queue, message.id).await.len() as u64, message.size, "cut {cut}");
        assert!(!told.removed.contains(&message.id), "cut {cut}: {} is back", message.id);
    }
    for (id, (seed, size)) in &told.stored {
        if told.removed.contains(id) {
            continue;
        }
        let Some(found) = listed.iter().find(|message| message.id == *id) else {
            assert!(told.perhaps.contains(id), "cut {cut}: {id} was acknowledged and is gone");
            continue;
        };
        assert_eq!(read(&queue, *id).await, content(*seed, *size), "cut {cut}");
        let attempts = u32::from(told.deferred.contains(id));
        assert!(found.recipients[0].attempts >= attempts, "cut {cut}");
    }
    let claim = queue.claim(&destination("woodgrove.example"), 1_000_000).await.unwrap();
    assert_eq!(claim.is_some(), !listed.is_empty(), "cut {cut}");
    drop(claim);
    queue.close().await;
}

/// Does what it is asked so many times, and nothing from then on.
#[derive(Clone, Debug)]
struct Cut {
    left: Arc<AtomicI64>,
}

#[derive(Debug)]
struct CutFile {
    file: Box<dyn DiskFile>,
    cut: Cut,
}

impl Cut {
    fn count(&self) -> Result<()> {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        if left > 0 { Ok(()) } else { Err(Error::from_raw_os_error(5)) }
    }
}

impl Disk for Cut {
    fn make_directory(&self, path: &Path) -> Result<()> {
        self.count()?;
        SystemDisk.make_directory(path)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        self.count()?;
        Ok(Box::new(CutFile { file: SystemDisk.create(path)?, cut: self.clone() }))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        SystemDisk.open(path)
    }

    fn open_to_write(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        Ok(Box::new(CutFile { file: SystemDisk.open_to_write(path)?, cut: self.clone() }))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>> {
        SystemDisk.lock(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.count()?;
        SystemDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.count()?;
        SystemDisk.remove(path)
    }

    fn remove_directory(&self, path: &Path) -> Result<()> {
        self.count()?;
        SystemDisk.remove_directory(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        SystemDisk.list(path)
    }

    fn sync_directory(&self, path: &Path) -> Result<()> {
        self.count()?;
        SystemDisk.sync_directory(path)
    }

    fn size(&self, path: &Path) -> Result<u64> {
        SystemDisk.size(path)
    }

    fn space(&self, path: &Path) -> Result<Space> {
        SystemDisk.space(path)
    }
}

impl DiskFile for CutFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(bytes, offset)
    }

    /// The last write is torn.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<()> {
        let done = self.cut.count();
        if done.is_err() && self.cut.left.load(Ordering::Relaxed) == -1 {
            let bytes = parts.iter().flat_map(|part| part.to_vec()).collect::<Vec<u8>>();
            self.file.write_at(&[IoSlice::new(&bytes[..bytes.len() / 2])], offset)?;
        }
        done.and_then(|()| self.file.write_at(parts, offset))
    }

    fn preallocate(&self, bytes: u64) -> Result<()> {
        self.cut.count()?;
        self.file.preallocate(bytes)
    }

    fn sync_data(&self) -> Result<()> {
        self.cut.count()?;
        self.file.sync_data()
    }
}
