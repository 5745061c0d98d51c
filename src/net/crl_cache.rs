//! Fetched revocation lists on disk, so that a restart asks nobody and an unreachable server stops
//! no mail. One file a list: a line of JSON that says what it is, then the list in DER. Nothing
//! here is believed without its signature: it is checked at loading, and again by judgement.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::trust::{ListKey, RevocationList, WantedList};

use super::crl_fetch::{LIST_BYTES_MAX, Validators};

/// First member of the line; another format gets another number.
const VERSION: u32 = 1;
/// The line of JSON, in octets.
const HEAD_BYTES_MAX: usize = 256 << 10;
const EXTENSION: &str = "crl";

/// A list that was fetched, and all that is needed to fetch it again.
#[derive(Clone, Debug)]
pub struct CachedList {
    pub list: RevocationList,
    pub origin: Origin,
}

/// Where a list is from, and when it was last got or used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub url: String,
    pub wanted: WantedList,
    /// The last time the server gave it, or said that it is still the same.
    pub fetched: Timestamp,
    /// The last time a verdict needed it, to the day.
    pub used: Timestamp,
    pub validators: Validators,
}

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    #[serde(flatten)]
    origin: Origin,
}

/// Why a file of the cache was thrown away.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is not a cached list of this version")]
    Malformed,
    #[error("{0}")]
    NotTheList(String),
}

/// The directory; only its owner may look inside.
pub struct CrlCache {
    directory: PathBuf,
}

impl CrlCache {
    /// The directory is made when the first list is stored.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Every list that can still be believed, the latest used first, at most `most`. Files that
    /// cannot are removed and told of. Blocks on the disk.
    pub fn load(&self, most: usize) -> (Vec<CachedList>, Vec<(PathBuf, CacheError)>) {
        let (mut lists, problems) = self.look();
        for (file, _) in &problems {
            // What cannot be removed either is met again at the next start.
            let _gone = std::fs::remove_file(file);
        }
        for surplus in lists.split_off(lists.len().min(most)) {
            self.remove(surplus.origin.key());
        }
        (lists, problems)
    }

    /// As `load`, but all lists, and nothing is removed: for commands beside a running server.
    pub fn look(&self) -> (Vec<CachedList>, Vec<(PathBuf, CacheError)>) {
        let mut lists = Vec::new();
        let mut problems = Vec::new();
        for file in self.files() {
            match read(&file) {
                Ok(list) => lists.push(list),
                Err(error) => problems.push((file, error)),
            }
        }
        lists.sort_by_key(|list| std::cmp::Reverse(list.origin.used));
        (lists, problems)
    }

    fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return Vec::new() };
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        files.filter(|file| file.extension().is_some_and(|extension| extension == EXTENSION)).collect()
    }

    /// Writes the list beside its place and then into it, so that a crash leaves the old one.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// The disk's; nothing changed then.
    pub fn store(&self, cached: &CachedList) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let head = Head { version: VERSION, origin: cached.origin.clone() };
        // Mode 0600, and removed by itself if anything fails.
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        serde_json::to_writer(&mut file, &head)?;
        file.write_all(b"\n")?;
        file.write_all(&cached.list.der)?;
        file.as_file().sync_all()?;
        file.persist(self.path(cached.origin.key())).map_err(|error| error.error)?;
        Ok(())
    }

    /// One that is not there is as good as removed.
    pub fn remove(&self, key: ListKey) {
        let _gone = std::fs::remove_file(self.path(key));
    }

    fn path(&self, key: ListKey) -> PathBuf {
        self.directory.join(format!("{key}.{EXTENSION}"))
    }
}

impl Origin {
    pub fn key(&self) -> ListKey {
        self.wanted.key(&self.url)
    }
}

fn read(path: &Path) -> Result<CachedList, CacheError> {
    let limit = LIST_BYTES_MAX + HEAD_BYTES_MAX as u64;
    let mut bytes = Vec::new();
    disk::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    let end = bytes.iter().take(HEAD_BYTES_MAX).position(|&octet| octet == b'\n');
    let (head, der) = bytes.split_at(end.ok_or(CacheError::Malformed)?);
    let head: Head = serde_json::from_slice(head).map_err(|_| CacheError::Malformed)?;
    if head.version != VERSION || bytes.len() as u64 > limit {
        return Err(CacheError::Malformed);
    }
    let refused = |error: &dyn std::fmt::Display| CacheError::NotTheList(error.to_string());
    let mut lists = RevocationList::parse(&head.origin.url, &der[1..]).map_err(|error| refused(&error))?;
    let list = lists.drain(..).next().ok_or(CacheError::Malformed)?;
    // One whose time is over still names those it names.
    head.origin.wanted.check_origin(&list).map_err(|error| refused(&error))?;
    Ok(CachedList { list, origin: head.origin })
}

#[cfg(test)]
#[path = "crl_cache_tests.rs"]
mod tests;
