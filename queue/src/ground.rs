//! What a queue stands on: its directory, the disk, the clock, and who does what blocks.

use std::fmt::{self, Debug, Formatter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::disk::{Disk, Space};
use crate::journal::SEGMENT_BYTES_MIN;
use crate::{Error, INLINE_BYTES_MAX, Options, UnixMillis};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// How long an answer about free space is believed, and how many messages long.
const SPACE_BELIEVED_MILLIS: UnixMillis = 100;
const SPACE_BELIEVED_DRAFTS: u32 = 1_000;

/// The clock of the system.
pub(crate) fn system_clock() -> Clock {
    Arc::new(|| {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis::try_from(elapsed.as_millis()).unwrap_or(0)
    })
}

pub(crate) struct Ground {
    pub directory: PathBuf,
    pub disk: Arc<dyn Disk>,
    pub clock: Clock,
    /// The threads of the queue and of the runtime do what blocks; else the caller does.
    pub threads: bool,
    /// Content of more bytes gets a file.
    pub inline_bytes_max: usize,
    /// Drafts that hold up to so much in memory.
    large_drafts: AtomicUsize,
    space: Mutex<Option<Known>>,
}

/// Memory for all drafts that are neither small nor in a file.
const DRAFT_MEMORY_BYTES: usize = 16 << 20;

/// One draft's share of the memory for drafts, given back when dropped.
#[derive(Debug)]
pub(crate) struct Memory(Arc<Ground>);

impl Memory {
    /// `None`: all of it is in use.
    pub(crate) fn of(ground: &Arc<Ground>) -> Option<Self> {
        let most = DRAFT_MEMORY_BYTES / ground.inline_bytes_max;
        let taken = ground.large_drafts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |drafts| {
            (drafts < most).then_some(drafts + 1)
        });
        taken.is_ok().then(|| Self(ground.clone()))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.large_drafts.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What was last heard of the free space.
struct Known {
    at: UnixMillis,
    space: Space,
    asked: u32,
}

impl Debug for Ground {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Ground {
    pub(crate) fn new(
        directory: &Path,
        disk: Arc<dyn Disk>,
        clock: Clock,
        threads: bool,
        options: &Options,
    ) -> Self {
        let segment = options.journal_segment_bytes.max(SEGMENT_BYTES_MIN);
        let quarter = usize::try_from(segment / 4).unwrap_or(usize::MAX);
        Self {
            directory: directory.to_path_buf(),
            disk,
            clock,
            threads,
            inline_bytes_max: INLINE_BYTES_MAX.min(quarter),
            large_drafts: AtomicUsize::new(0),
            space: Mutex::new(None),
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        (self.clock)()
    }

    /// Free and total bytes of the disk, as of a moment ago.
    pub(crate) fn space(&self) -> Result<Space, Error> {
        let now = self.now();
        let mut known = self.space.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &mut *known
            && (0..SPACE_BELIEVED_MILLIS).contains(&(now - known.at))
            && known.asked < SPACE_BELIEVED_DRAFTS
        {
            known.asked += 1;
            return Ok(known.space);
        }
        let space = self.disk.space(&self.directory);
        let space = space.map_err(|error| Error::io("ask for the free space of", &self.directory, error))?;
        *known = Some(Known { at: now, space, asked: 0 });
        Ok(space)
    }

    /// Does what blocks, away from the threads that carry sessions.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if self.threads {
            tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?
        } else {
            work()
        }
    }
}
