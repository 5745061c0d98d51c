//! `rebuild`: makes a new index from what can be read of the old one, the journal and the content
//! files, where a start would refuse. The old index is kept beside the new one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::SystemDisk;
use crate::ground::{Ground, system_clock};
use crate::journal::Missing;
use crate::recovery;
use crate::sqlite::{FILE, Look, Marks, Row, SqliteEngine, salvage};
use crate::{Error, Message, Options};

/// What `rebuild` did.
#[derive(Clone, Debug, Default)]
pub struct RebuildReport {
    /// What is in the queue now.
    pub messages: usize,
    pub recipients: usize,
    /// Messages that could be read from the old index.
    pub from_index: usize,
    /// Jobs of the journal that nobody can read any more.
    pub jobs_missing: u64,
    /// Messages without a whole content file; they are held.
    pub content_missing: Vec<crate::MessageId>,
    /// The files of the old index, under their new names.
    pub kept: Vec<PathBuf>,
}

/// Messages read from the old index that are written at once, and bytes of their content.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 8 << 20;

/// Makes a new index for the queue in `directory`. `Error::Locked` while a server has it. Blocks.
///
/// A message may come back that was delivered, if its removal is among what cannot be read; none is
/// left out that can be.
pub fn rebuild(directory: &Path) -> Result<RebuildReport, Error> {
    let options = Options::default();
    let ground = Ground::new(directory, Arc::new(SystemDisk), system_clock(), true, &options);
    let lock = recovery::lock(&ground)?;
    let mut report = RebuildReport::default();
    let now = ground.now();
    let fresh = directory.join(format!("index-rebuilt-{now}"));
    ground.disk.make_directory(&fresh).map_err(|error| Error::io("create the directory", &fresh, error))?;
    let ids = read_old(directory, &fresh, &options, &mut report)?;
    exchange(&ground, &fresh, &directory.join(format!("index-before-{now}")), &mut report)?;
    let missing = Missing::PassOver(&mut report.jobs_missing);
    let mut opened = recovery::open_locked(&Arc::new(ground), &options, lock, missing, ids)?;
    opened.settler.close();
    report.messages = opened.recovery.messages;
    report.recipients = opened.recovery.recipients;
    report.content_missing = opened.recovery.content_missing;
    Ok(report)
}

/// Writes what can be read of the old index into a new one, without marks: so it counts as lost, and
/// the whole journal and all content files are read over it. Returns the old ceiling of ids.
fn read_old(
    directory: &Path,
    fresh: &Path,
    options: &Options,
    report: &mut RebuildReport,
) -> Result<Option<u64>, Error> {
    let mut engine = SqliteEngine::open(fresh, options)?;
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let salvaged = salvage(directory, &mut |message, content| {
        bytes += content.as_ref().map_or(0, Bytes::len);
        batch.push((message, content));
        if batch.len() < BATCH && bytes < BATCH_BYTES {
            return Ok(());
        }
        bytes = 0;
        report.from_index += batch.len();
        write(&mut engine, fresh, &std::mem::take(&mut batch))
    });
    let salvaged = salvaged.and_then(|()| {
        report.from_index += batch.len();
        write(&mut engine, fresh, &batch)
    });
    engine.close();
    match salvaged {
        // So damaged that SQLite does not open it: the journal and the files are what there is.
        Ok(()) | Err(Error::Index(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(Look::open(directory).and_then(|look| look.marks()).map_or(None, |marks| marks.ids))
}

fn write(engine: &mut SqliteEngine, fresh: &Path, batch: &[(Message, Option<Bytes>)]) -> Result<(), Error> {
    let rows = batch
        .iter()
        .map(|(message, content)| Ok(Row::Whole { message, content: content.clone(), replaces: false }));
    engine.settle(rows, Marks::default()).map(drop).map_err(|fault| fault.into_error(fresh))
}

/// The old index into a directory of its own, under its own name, so that SQLite still finds its log;
/// the new one in its place.
fn exchange(ground: &Ground, fresh: &Path, aside: &Path, report: &mut RebuildReport) -> Result<(), Error> {
    let Ground { disk, directory, .. } = ground;
    disk.make_directory(aside).map_err(|error| Error::io("create the directory", aside, error))?;
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("{FILE}{suffix}");
        let (from, to) = (directory.join(&name), aside.join(&name));
        match disk.rename(&from, &to) {
            Ok(()) => report.kept.push(to),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("put aside", &from, error)),
        }
    }
    let made = fresh.join(FILE);
    disk.rename(&made, &directory.join(FILE)).map_err(|error| Error::io("put in its place", &made, error))?;
    // An empty directory is all that is left of the making; one that stays does no harm.
    let _ = disk.remove(&fresh.join(format!("{FILE}-shm")));
    let _ = disk.remove(&fresh.join(format!("{FILE}-wal")));
    let _ = disk.remove_directory(fresh);
    for path in [aside, directory] {
        disk.sync_directory(path).map_err(|error| Error::io("sync the directory", path, error))?;
    }
    Ok(())
}
