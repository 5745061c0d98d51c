//! What becomes of old protocol log files: they go when `max_age` is over, and the oldest go
//! earlier when both folders together hold more than `max_directory_size`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::file_set::{self, FileSet, Hour, LogFile};
use crate::policy::ProtocolLogSettings;
use crate::trust::Direction;

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
pub(super) fn prune(sets: &[FileSet], settings: &ProtocolLogSettings, now: Timestamp) -> Pruned {
    let mut pruned = Pruned::default();
    let mut files = Vec::new();
    for (set, direction) in sets.iter().zip([Direction::Inbound, Direction::Outbound]) {
        match file_set::list(set.folder(), direction) {
            Ok(list) => files.extend(list),
            Err(error) => pruned.errors.push(format!("cannot list {}: {error}", set.folder().display())),
        }
    }
    files.sort();
    let sized: Vec<(LogFile, u64)> =
        files.into_iter().filter_map(|file| Some((size(&file.path)?, file))).map(|(s, f)| (f, s)).collect();
    pruned.bytes = sized.iter().map(|(_, size)| size).sum();
    for (file, size) in sized {
        let old = is_old(file.hour, settings, now);
        let current = sets.iter().any(|set| set.current() == Some(file.path.as_path()));
        if current || !(old || pruned.bytes > settings.max_directory_size) {
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

/// Whether the hour of a file ended `max_age` ago. An age of zero means never, as in Exchange.
fn is_old(hour: Hour, settings: &ProtocolLogSettings, now: Timestamp) -> bool {
    let end = hour.saturating_add(1).saturating_mul(3600);
    let age = u64::try_from(now.as_second().saturating_sub(end)).unwrap_or(0);
    !settings.max_age.is_zero() && age > settings.max_age.as_secs()
}
