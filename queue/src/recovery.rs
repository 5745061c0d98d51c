//! Start-up: take the lock, open or rebuild the index, load it into memory, sweep what a crash left
//! behind. The table of states and crash points is in README.md.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::OptionalExtension;
use rustix::fs::FlockOperation;

use crate::content::{self, ContentFile, header};
use crate::engine::{Body, Engine, Fault, Insert, Step};
use crate::ids::{self, Ids};
use crate::index::Index;
use crate::sqlite::{SqliteEngine, Standing};
use crate::{Error, MessageId, Options, Recovery, UnixMillis};

const LOCK_FILE: &str = "lock";

pub(crate) struct Opened {
    pub engine: SqliteEngine,
    pub index: Index,
    pub ids: Ids,
    pub lock: File,
    pub recovery: Recovery,
}

pub(crate) fn open(directory: &Path, options: &Options) -> Result<Opened, Error> {
    make_directory(directory)?;
    let lock = take_lock(directory)?;
    make_content_directories(directory)?;
    let mut engine = SqliteEngine::open(directory, options)?;
    sync_directory(directory)?;
    let mut recovery = Recovery::default();
    let ids = start_ids(&mut engine, directory, &mut recovery)?;
    let (mut index, files) = load(&engine, &mut recovery)?;
    sweep(directory, files, &mut recovery)?;
    hold_missing(&mut engine, directory, &mut index, &recovery)?;
    Ok(Opened { engine, index, ids, lock, recovery })
}

fn make_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::io("create the directory", path, error))
}

/// Two servers on one queue would deliver everything twice. The lock goes with the process.
fn take_lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join(LOCK_FILE);
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| Error::io("open the lock file", &path, error))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked(directory.to_path_buf())),
        Err(error) => Err(Error::io("lock", &path, error.into())),
    }
}

/// All 256 at once, so that a commit only ever syncs the directory of its own file.
fn make_content_directories(directory: &Path) -> Result<(), Error> {
    let content = directory.join(content::DIRECTORY);
    for number in 0..=0xff {
        make_directory(&content.join(format!("{number:02X}")))?;
    }
    sync_directory(&content)
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|error| Error::io("sync the directory", path, error))
}

/// Stores a ceiling above every id to come. That there is none yet means that this index never
/// finished its first start: it is new, or the old one was lost and content files tell what was in it.
fn start_ids(engine: &mut SqliteEngine, directory: &Path, recovery: &mut Recovery) -> Result<Ids, Error> {
    let stored: Option<i64> = engine
        .connection()
        .query_row("SELECT value FROM setting WHERE name = 'ids'", [], |row| row.get(0))
        .optional()?;
    let mut steps = match stored {
        Some(_) => Vec::new(),
        None => found_messages(directory)?,
    };
    recovery.rebuilt = steps.len();
    let highest = steps.iter().filter_map(|step| match step {
        Step::Insert(insert) => Some(insert.id.0 + 1),
        _ => None,
    });
    let above = highest.max().unwrap_or(0).max(stored.unwrap_or(0) as u64);
    let first = ids::first(above, now());
    let ceiling = first + ids::BLOCK;
    steps.push(Step::ReserveIds { below: ceiling });
    commit(engine, directory, &steps)?;
    Ok(Ids::new(first, ceiling))
}

fn now() -> UnixMillis {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::try_from(elapsed.as_millis()).unwrap_or(0)
}

fn commit(engine: &mut SqliteEngine, directory: &Path, steps: &[Step]) -> Result<(), Error> {
    engine.commit(&mut steps.iter()).map_err(|fault| match fault {
        Fault::Full => Error::DiskFull(directory.to_path_buf()),
        Fault::Refused(error) => Error::Index(error),
        Fault::Broken(why) => Error::Failed(why),
    })
}

fn found_messages(directory: &Path) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for (_, path) in content_files(directory)? {
        if let Some((id, message, len)) = content::recover(&path)?
            && content::path_of(directory, id) == path
            && !message.recipients.is_empty()
        {
            let body = Body::File(ContentFile::found(&path, len)?);
            steps.push(Step::Insert(Box::new(Insert { id, message, body })));
        }
    }
    Ok(steps)
}

/// Everything in `content/` that is named like a content file.
fn content_files(directory: &Path) -> Result<Vec<(MessageId, PathBuf)>, Error> {
    let mut files = Vec::new();
    let content = directory.join(content::DIRECTORY);
    for number in 0..=0xff {
        let folder = content.join(format!("{number:02X}"));
        let entries = std::fs::read_dir(&folder).map_err(|error| Error::io("list", &folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| Error::io("list", &folder, error))?;
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            files.extend(id.map(|id| (id, entry.path())));
        }
    }
    Ok(files)
}

/// The in-memory index, and the messages that have content files, with the size of their content.
fn load(engine: &SqliteEngine, recovery: &mut Recovery) -> Result<(Index, HashMap<MessageId, u64>), Error> {
    let (mut index, mut files) = (Index::default(), HashMap::new());
    Standing::each(engine.connection(), |standing| {
        index.load(&standing);
        recovery.recipients += 1;
        if standing.in_file {
            files.insert(standing.id, standing.size);
        }
    })?;
    recovery.messages = index.len();
    Ok((index, files))
}

/// Deletes files without a record, and finds records without a whole file.
fn sweep(directory: &Path, mut files: HashMap<MessageId, u64>, recovery: &mut Recovery) -> Result<(), Error> {
    for (id, path) in content_files(directory)? {
        match files.get(&id) {
            Some(size) if path.metadata().is_ok_and(|file| file.len() >= header::BYTES + size) => {
                files.remove(&id);
            }
            Some(_) => {}
            None => {
                std::fs::remove_file(&path).map_err(|error| Error::io("delete", &path, error))?;
                recovery.orphans_removed += 1;
            }
        }
    }
    recovery.content_missing = files.into_keys().collect();
    recovery.content_missing.sort_unstable();
    Ok(())
}

/// A message without content cannot be delivered; it waits for the operator.
fn hold_missing(
    engine: &mut SqliteEngine,
    directory: &Path,
    index: &mut Index,
    recovery: &Recovery,
) -> Result<(), Error> {
    let hold = |id: &MessageId| {
        let numbers = index.recipients(*id);
        numbers.into_iter().map(|recipient| Step::Hold { id: *id, recipient, held: true }).collect::<Vec<_>>()
    };
    let steps: Vec<Step> = recovery.content_missing.iter().flat_map(hold).collect();
    if !steps.is_empty() {
        commit(engine, directory, &steps)?;
        for step in &steps {
            index.follow(step);
        }
    }
    Ok(())
}
