//! Revocation lists from files, read again when they change. A file that cannot be read, or only in
//! part, takes nothing away: what was read of it last stays, because a list that is missing for a
//! moment would let a revoked partner pass where missing lists are forgiven.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk;
use crate::trust::{RevocationList, RevocationSet};

/// Largest file read, in octets; lists of big public CAs stay below 10 MiB.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Reads every list of every file into a set with the given epoch. What cannot be read is reported,
/// with its file and a sentence, and takes nothing away from the rest. Blocks on the disk.
pub fn load(files: &[PathBuf], epoch: u64) -> (RevocationSet, Vec<(PathBuf, String)>) {
    let mut memory = Files::default();
    let problems = memory.read(files).into_iter().filter_map(|news| match news {
        News::Loaded(_) => None,
        News::Failed { file, problem, .. } => Some((file, problem)),
    });
    let problems = problems.collect();
    (RevocationSet { epoch, lists: memory.lists(files), ..RevocationSet::default() }, problems)
}

/// The configured files, and what is in force of each.
#[derive(Default)]
pub struct Files {
    contents: HashMap<PathBuf, Content>,
}

#[derive(Default)]
struct Content {
    lists: Vec<Arc<RevocationList>>,
    /// What is wrong with the file now.
    problems: Vec<String>,
    /// It was not even read.
    is_unreadable: bool,
}

/// What a reading found that the one before had not.
#[derive(Debug)]
pub enum News {
    Loaded(Arc<RevocationList>),
    /// The file, or a list in it, cannot be read. `kept` are lists from before that stay in force.
    Failed {
        file: PathBuf,
        problem: String,
        kept: Vec<Arc<RevocationList>>,
    },
}

impl Files {
    /// Reads the files, forgets those that are no longer among them, and says what is new. Blocks
    /// on the disk.
    pub fn read(&mut self, files: &[PathBuf]) -> Vec<News> {
        self.contents.retain(|file, _| files.contains(file));
        let mut news = Vec::new();
        for file in files {
            let before = self.contents.remove(file).unwrap_or_default();
            let now = Content::read(file, &before, &mut news);
            self.contents.insert(file.clone(), now);
        }
        news
    }

    /// What is in force, in the order of the files.
    pub fn lists(&self, files: &[PathBuf]) -> Vec<Arc<RevocationList>> {
        let contents = files.iter().filter_map(|file| self.contents.get(file));
        contents.flat_map(|content| content.lists.iter().cloned()).collect()
    }

    /// As `read`, but only those that could not be read the last time: what kept them from it may
    /// end without a trace on the file.
    pub fn read_unreadable(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        for (file, content) in &mut self.contents {
            if content.is_unreadable {
                *content = Content::read(file, content, &mut news);
            }
        }
        news
    }
}

impl Content {
    fn read(file: &Path, before: &Content, news: &mut Vec<News>) -> Self {
        let mut now = Self::default();
        match read(file) {
            Err(problem) => {
                now.problems.push(problem);
                now.is_unreadable = true;
            }
            Ok(bytes) => {
                for list in RevocationList::parse_each(&file.display().to_string(), &bytes) {
                    match list {
                        Ok(list) => now.lists.push(before.same(list)),
                        Err(error) => now.problems.push(error.to_string()),
                    }
                }
            }
        }
        let was_bad = !before.problems.is_empty();
        let is_new = |list: &&Arc<RevocationList>| !before.lists.iter().any(|old| Arc::ptr_eq(old, list));
        let mended = was_bad && now.problems.is_empty();
        news.extend(now.lists.iter().filter(|list| mended || is_new(list)).cloned().map(News::Loaded));
        if now.problems.is_empty() {
            return now;
        }
        let is_replaced = |old: &&Arc<RevocationList>| now.lists.iter().any(|new| new.replaces(old));
        let kept: Vec<_> = before.lists.iter().filter(|old| !is_replaced(old)).cloned().collect();
        for problem in now.problems.iter().filter(|problem| !before.problems.contains(problem)) {
            news.push(News::Failed { file: file.to_owned(), problem: problem.clone(), kept: kept.clone() });
        }
        now.lists.extend(kept);
        now
    }

    /// The one that we have, if it is the same: what is known of its signature stays known.
    fn same(&self, list: RevocationList) -> Arc<RevocationList> {
        let known = self.lists.iter().find(|known| known.der == list.der);
        known.map_or_else(|| Arc::new(list), Arc::clone)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    disk::read(path, FILE_BYTES_MAX).map_err(|error| {
        format!("cannot read {}: {error}; check the path and its permissions", path.display())
    })
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
