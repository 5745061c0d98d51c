//! Revocation lists from files, read again when they change.

use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::trust::{RevocationList, RevocationSet};

/// Largest file read, in octets; lists of big public CAs stay below 10 MiB.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Reads every list of every file into a set with the given epoch. What cannot be read is reported,
/// with its file and a sentence, and takes nothing away from the rest. Blocks on the disk.
pub fn load(files: &[PathBuf], epoch: u64) -> (RevocationSet, Vec<(PathBuf, String)>) {
    let mut lists = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        let bytes = match read(file) {
            Ok(bytes) => bytes,
            Err(problem) => {
                problems.push((file.clone(), problem));
                continue;
            }
        };
        for list in RevocationList::parse_each(&file.display().to_string(), &bytes) {
            match list {
                Ok(list) => lists.push(Arc::new(list)),
                Err(error) => problems.push((file.clone(), error.to_string())),
            }
        }
    }
    (RevocationSet { epoch, lists, ..RevocationSet::default() }, problems)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let explain = |error: std::io::Error| {
        format!("cannot read {}: {error}; check the path and its permissions", path.display())
    };
    let file = std::fs::File::open(path).map_err(explain)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(explain)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{} is larger than 64 MiB and was not read", path.display()));
    }
    Ok(bytes)
}

/// Notices that a file was changed, replaced, removed or added to the list. It asks the file system
/// for a few numbers each time, so that it can be asked every second or two.
#[derive(Default)]
pub struct Watcher {
    seen: Option<Vec<(PathBuf, Option<Stamp>)>>,
}

/// What changes when a file is written or another takes its place: device, inode, size, and the
/// times of content and inode in seconds and nanoseconds.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

impl Watcher {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether anything is different from the last call. The first call says yes, as nobody knows
    /// what happened between an earlier reading and now.
    pub fn changed(&mut self, files: &[PathBuf]) -> bool {
        let present = files
            .iter()
            .map(|file| (file.clone(), std::fs::metadata(file).ok().map(|metadata| stamp(&metadata))));
        let present = Some(present.collect());
        let changed = self.seen != present;
        self.seen = present;
        changed
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    let written = (metadata.mtime(), metadata.mtime_nsec());
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    (metadata.dev(), metadata.ino(), metadata.size(), written, changed)
}

#[cfg(test)]
#[path = "crl_tests.rs"]
mod tests;
