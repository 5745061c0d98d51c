//! Start-up: take the lock, open or rebuild the index, load it into memory, sweep what a crash left
//! behind. The table of states and crash points is in README.md.

mod replay;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cache::Cache;
use crate::content::{self, header};
use crate::disk::{Disk, DiskLock};
use crate::engine::Step;
use crate::ground::Ground;
use crate::ids::{self, Ids};
use crate::index::Index;
use crate::journal::{self, Missing, SEGMENT_BYTES_MIN, Segments};
use crate::live::Live;
use crate::pending::Pending;
use crate::settler::Settler;
use crate::sqlite::{Marks, SqliteEngine};
use crate::{Error, MessageId, Options, Recovery};

pub(crate) use replay::{Replay, put_back};

pub(crate) const LOCK_FILE: &str = "lock";
/// Of a generation, those that count the segments of one start; the others count starts.
const GENERATION_BITS: u32 = 32;
/// Starts that a lost index may have forgotten.
const STARTS_SKIPPED: u64 = 1_000;

pub(crate) struct Opened {
    pub live: Arc<Live>,
    pub segments: Arc<Segments>,
    pub settler: Settler,
    /// The last generation of a segment, and the last job.
    pub end: (u64, u64),
    pub lock: Box<dyn DiskLock>,
    pub recovery: Recovery,
}

/// Opens the queue, or refuses where mail would be missing in silence.
pub(crate) fn open(ground: &Arc<Ground>, options: &Options) -> Result<Opened, Error> {
    let lock = lock(ground)?;
    open_locked(ground, options, lock, Missing::Refuse, None)
}

/// Nobody else has the queue until the lock is dropped.
pub(crate) fn lock(ground: &Ground) -> Result<Box<dyn DiskLock>, Error> {
    make_directory(&*ground.disk, &ground.directory)?;
    take_lock(&*ground.disk, &ground.directory)
}

/// `ids`: a ceiling of ids that the index does not know.
pub(crate) fn open_locked(
    ground: &Arc<Ground>,
    options: &Options,
    lock: Box<dyn DiskLock>,
    missing: Missing<'_>,
    ids: Option<u64>,
) -> Result<Opened, Error> {
    let Ground { directory, disk, .. } = &**ground;
    make_content_directories(&**disk, directory)?;
    make_directory(&**disk, &directory.join(journal::DIRECTORY))?;
    let segment_bytes = options.journal_segment_bytes.max(SEGMENT_BYTES_MIN);
    let mut found = journal::find(ground, segment_bytes)?;
    let generation = found.last().map_or(0, |segment| segment.generation);
    let engine = SqliteEngine::open(directory, options)?;
    sync_directory(&**disk, directory)?;
    let marks = engine.marks()?;
    let mut index = load(&engine)?;
    let mut replay = Replay::new(&mut index, marks);
    let last = journal::replay(&mut found, replay.settled(), missing, &mut |record| {
        replay.record(&record);
    })?;
    let (mut pending, lost) = replay.finish(last);
    let rebuilt = if lost.is_lost { put_back(ground, &mut index, &mut pending, &lost)? } else { 0 };
    let ids = start_ids(ground, &index, &mut pending, marks.ids.max(ids));
    let recovery = Recovery { rebuilt: rebuilt + lost.from_journal, ..Recovery::default() };
    let live = Arc::new(Live::new(index, Cache::new(options.cache_bytes_max), ids, pending));
    let segments = Arc::new(Segments::new(ground, options, found));
    let mut settler = Settler::new(engine, ground, &live, &segments, marks.settled.unwrap_or(0));
    // From here on the journal of the last run is not needed any more.
    settler.settle_all().map_err(|fault| fault.into_error(directory))?;
    segments.all_settled()?;
    let generation = start_generation(&mut settler, directory, marks, generation)?;
    let recovery = tidy(ground, &live, &mut settler, recovery)?;
    Ok(Opened { live, segments, settler, end: (generation, last), lock, recovery })
}

fn make_directory(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    disk.make_directory(path).map_err(|error| Error::io("create the directory", path, error))
}

/// Two servers on one queue would deliver everything twice. The lock goes with the process.
fn take_lock(disk: &dyn Disk, directory: &Path) -> Result<Box<dyn DiskLock>, Error> {
    let path = directory.join(LOCK_FILE);
    disk.lock(&path).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => Error::Locked(directory.to_path_buf()),
        _ => Error::io("lock", &path, error),
    })
}

/// All 256 at once, so that a commit only ever syncs the directory of its own file.
fn make_content_directories(disk: &dyn Disk, directory: &Path) -> Result<(), Error> {
    let content = directory.join(content::DIRECTORY);
    for number in 0..=0xff {
        make_directory(disk, &content.join(format!("{number:02X}")))?;
    }
    sync_directory(disk, &content)
}

fn sync_directory(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    disk.sync_directory(path).map_err(|error| Error::io("sync the directory", path, error))
}

/// A ceiling above every id to come; it is stored with what is settled first.
fn start_ids(ground: &Ground, index: &Index, pending: &mut Pending, stored: Option<u64>) -> Ids {
    let highest = index.highest().map_or(0, |id| id.0 + 1);
    let above = highest.max(stored.unwrap_or(0)).max(pending.ids.unwrap_or(0));
    let first = ids::first(above, ground.now());
    let ceiling = first + ids::BLOCK;
    pending.ids = Some(ceiling);
    Ids::new(first, ceiling)
}

/// No segment is ever written twice under one generation, or what a crash left of the first time could
/// pass for a part of the second. So each start has generations of its own, also after a start of which
/// nothing can be read.
fn start_generation(settler: &mut Settler, directory: &Path, marks: Marks, found: u64) -> Result<u64, Error> {
    let starts = match marks.starts {
        Some(starts) => starts.max(found >> GENERATION_BITS) + 1,
        None => (found >> GENERATION_BITS) + STARTS_SKIPPED,
    };
    settler.note_start(starts).map_err(|fault| fault.into_error(directory))?;
    Ok(starts << GENERATION_BITS)
}

/// Deletes files without a record, holds records without a whole file.
fn tidy(
    ground: &Ground,
    live: &Live,
    settler: &mut Settler,
    mut recovery: Recovery,
) -> Result<Recovery, Error> {
    let mut index = live.index();
    (recovery.messages, recovery.recipients) = index.counts();
    let files = settler.files()?;
    sweep(ground, files, &mut recovery)?;
    let hold = |id: &MessageId| {
        let numbers = index.recipients(*id);
        numbers.into_iter().map(|recipient| Step::Hold { id: *id, recipient, held: true }).collect::<Vec<_>>()
    };
    // A message without content cannot be delivered; it waits for the operator.
    let steps: Vec<Step> = recovery.content_missing.iter().flat_map(hold).collect();
    if !steps.is_empty() {
        settler.change(&steps).map_err(|fault| fault.into_error(&ground.directory))?;
        for step in &steps {
            index.follow(step);
        }
    }
    Ok(recovery)
}

/// Everything in `content/` that is named like a content file.
pub(crate) fn content_files(ground: &Ground) -> Result<Vec<(MessageId, PathBuf)>, Error> {
    let mut files = Vec::new();
    let content = ground.directory.join(content::DIRECTORY);
    for number in 0..=0xff {
        let folder = content.join(format!("{number:02X}"));
        let names = ground.disk.list(&folder).map_err(|error| Error::io("list", &folder, error))?;
        let named = names.iter().filter_map(|name| Some((name.parse().ok()?, folder.join(name))));
        files.extend(named);
    }
    Ok(files)
}

/// What the index holds, in memory.
pub(crate) fn load(engine: &SqliteEngine) -> Result<Index, Error> {
    let mut index = Index::default();
    engine.each(|standing| index.load(&standing))?;
    Ok(index)
}

/// Deletes files without a record, and finds records without a whole file.
fn sweep(ground: &Ground, mut files: HashMap<MessageId, u64>, recovery: &mut Recovery) -> Result<(), Error> {
    for (id, path) in content_files(ground)? {
        match files.get(&id) {
            Some(size) if ground.disk.size(&path).is_ok_and(|bytes| bytes >= header::BYTES + size) => {
                files.remove(&id);
            }
            Some(_) => {}
            None => {
                ground.disk.remove(&path).map_err(|error| Error::io("delete", &path, error))?;
                recovery.orphans_removed += 1;
            }
        }
    }
    recovery.content_missing = files.into_keys().collect();
    recovery.content_missing.sort_unstable();
    Ok(())
}
