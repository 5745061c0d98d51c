//! What the handles, the claims and the writer thread share: index, cache, the news that something
//! changed, and the latch that a failed disk sets.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;

use crate::cache::Cache;
use crate::engine::Step;
use crate::ids::Ids;
use crate::index::{Claimed, Index};
use crate::{Error, MessageId};

#[derive(Debug)]
pub(crate) struct Live {
    index: Mutex<Index>,
    cache: Mutex<Cache>,
    pub(crate) ids: Ids,
    changes: watch::Sender<u64>,
    failed: OnceLock<String>,
}

impl Live {
    pub(crate) fn new(index: Index, cache: Cache, ids: Ids) -> Self {
        Self {
            index: Mutex::new(index),
            cache: Mutex::new(cache),
            ids,
            changes: watch::Sender::new(0),
            failed: OnceLock::new(),
        }
    }

    /// Held only for as long as an answer takes; never across an await or a read of the disk.
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Makes durable steps visible. Returns messages whose content files may go.
    pub(crate) fn follow<'a>(&self, steps: impl Iterator<Item = &'a Step>) -> Vec<MessageId> {
        let mut files = Vec::new();
        let mut index = self.index();
        let mut cache = self.cache();
        for step in steps {
            files.extend(index.follow(step));
            let gone = matches!(step, Step::Remove { id, .. } if !index.contains(*id));
            cache.follow(step, gone);
            if let Step::ReserveIds { below } = step {
                self.ids.raised(*below);
            }
        }
        drop((index, cache));
        self.announce();
        files
    }

    pub(crate) fn announce(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Nothing is acknowledged any more.
    pub(crate) fn fail(&self, why: String) {
        let _ = self.failed.set(why);
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.failed.get().map_or(Ok(()), |why| Err(Error::Failed(why.clone())))
    }
}

/// A claim on recipients, given back when dropped. What was applied meanwhile is no longer part of it.
#[derive(Debug)]
pub(crate) struct Lease {
    live: Arc<Live>,
    claimed: Claimed,
}

impl Lease {
    pub(crate) fn new(live: &Arc<Live>, claimed: Claimed) -> Self {
        Self { live: live.clone(), claimed }
    }

    pub(crate) fn id(&self) -> MessageId {
        self.claimed.id
    }

    /// Numbers of the recipients, ascending.
    pub(crate) fn recipients(&self) -> &[u32] {
        &self.claimed.recipients
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.live.index().give_back(&self.claimed) {
            self.live.announce();
        }
    }
}
