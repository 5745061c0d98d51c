//! What becomes of old log files: they go when `max_age` is over, and the oldest go earlier when the
//! folders of one log together hold more than `max_directory_size`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Limits;
use super::file_set::{self, FileSet};

/// What one round found and did.
#[derive(Debug, Default)]
pub(super) struct Pruned {
    /// Octets that are left.
    pub(super) bytes: u64,
    /// Files that had to go before their age.
    pub(super) early: Vec<PathBuf>,
    pub(super) errors: Vec<String>,
}

/// Removes what is too old, then the oldest until the size fits. Files being written stay.
pub(super) fn prune(sets: &[FileSet], limits: &Limits, now: Timestamp) -> Pruned {
    let mut pruned = Pruned::default();
    let mut files = Vec::new();
    for set in sets {
        let series = set.series();
        match file_set::list(set.folder(), series) {
            Ok(list) => files.extend(list.into_iter().map(|file| (series.end_of(file.period), file))),
            Err(error) => pruned.errors.push(format!("cannot list {}: {error}", set.folder().display())),
        }
    }
    files.sort();
    let sized: Vec<_> =
        files.into_iter().filter_map(|(end, file)| Some((end, size(&file.path)?, file))).collect();
    pruned.bytes = sized.iter().map(|(_, size, _)| size).sum();
    for (end, size, file) in sized {
        let old = is_old(end, limits, now);
        let current = sets.iter().any(|set| set.current() == Some(file.path.as_path()));
        if current || !(old || pruned.bytes > limits.max_directory_size) {
            continue;
        }
        match std::fs::remove_file(&file.path) {
            Ok(()) => {
                pruned.bytes -= size;
                if !old {
                    pruned.early.push(file.path);
                }
            }
            Err(error) => pruned.errors.push(format!("cannot remove {}: {error}", file.path.display())),
        }
    }
    pruned
}

fn size(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|metadata| metadata.len())
}

/// Whether the hour or day of a file ended `max_age` ago. An age of zero means never, as in Exchange.
fn is_old(end: i64, limits: &Limits, now: Timestamp) -> bool {
    let age = u64::try_from(now.as_second().saturating_sub(end)).unwrap_or(0);
    !limits.max_age.is_zero() && age > limits.max_age.as_secs()
}
