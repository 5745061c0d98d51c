//! Start-up: take the lock, open or rebuild the index, load it into memory, sweep what a crash left
//! behind. The table of states and crash points is in README.md.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::OptionalExtension;

use crate::content::{self, ContentFile, header};
use crate::disk::{Disk, DiskLock};
use crate::engine::{Body, Engine, Fault, Insert, Step};
use crate::ground::Ground;
use crate::ids::{self, Ids};
use crate::index::Index;
use crate::sqlite::{SqliteEngine, Standing};
use crate::{Error, MessageId, Options, Recovery};

const LOCK_FILE: &str = "lock";

pub(crate) struct Opened {
    pub engine: SqliteEngine,
    pub index: Index,
    pub ids: Ids,
    pub lock: Box<dyn DiskLock>,
    pub recovery: Recovery,
}

pub(crate) fn open(ground: &Ground, options: &Options) -> Result<Opened, Error> {
    let Ground { directory, disk, .. } = ground;
    make_directory(&**disk, directory)?;
    let lock = take_lock(&**disk, directory)?;
    make_content_directories(&**disk, directory)?;
    let mut engine = SqliteEngine::open(directory, options)?;
    sync_directory(&**disk, directory)?;
    let mut recovery = Recovery::default();
    let ids = start_ids(&mut engine, ground, &mut recovery)?;
    let (mut index, files) = load(&engine, &mut recovery)?;
    sweep(ground, files, &mut recovery)?;
    hold_missing(&mut engine, directory, &mut index, &recovery)?;
    Ok(Opened { engine, index, ids, lock, recovery })
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

/// Stores a ceiling above every id to come. That there is none yet means that this index never
/// finished its first start: it is new, or the old one was lost and content files tell what was in it.
fn start_ids(engine: &mut SqliteEngine, ground: &Ground, recovery: &mut Recovery) -> Result<Ids, Error> {
    let stored: Option<i64> = engine
        .connection()
        .query_row("SELECT value FROM setting WHERE name = 'ids'", [], |row| row.get(0))
        .optional()?;
    let mut steps = match stored {
        Some(_) => Vec::new(),
        None => found_messages(ground)?,
    };
    recovery.rebuilt = steps.len();
    let highest = steps.iter().filter_map(|step| match step {
        Step::Insert(insert) => Some(insert.id.0 + 1),
        _ => None,
    });
    let above = highest.max().unwrap_or(0).max(stored.unwrap_or(0) as u64);
    let first = ids::first(above, ground.now());
    let ceiling = first + ids::BLOCK;
    steps.push(Step::ReserveIds { below: ceiling });
    commit(engine, &ground.directory, &steps)?;
    Ok(Ids::new(first, ceiling))
}

fn commit(engine: &mut SqliteEngine, directory: &Path, steps: &[Step]) -> Result<(), Error> {
    engine.commit(&mut steps.iter()).map_err(|fault| match fault {
        Fault::Full => Error::DiskFull(directory.to_path_buf()),
        Fault::Refused(error) => Error::Index(error),
        Fault::Broken(why) => Error::Failed(why),
    })
}

fn found_messages(ground: &Ground) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for (_, path) in content_files(ground)? {
        if let Some((id, message, len)) = content::recover(&*ground.disk, &path)?
            && content::path_of(&ground.directory, id) == path
            && !message.recipients.is_empty()
        {
            let body = Body::File(ContentFile::found(&ground.disk, &path, len)?);
            steps.push(Step::Insert(Box::new(Insert { id, message, body })));
        }
    }
    Ok(steps)
}

/// Everything in `content/` that is named like a content file.
fn content_files(ground: &Ground) -> Result<Vec<(MessageId, PathBuf)>, Error> {
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
