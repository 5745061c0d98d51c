//! What the handles, the claims and the writer thread share: index, cache, what is not settled, the news that something
//! changed, and the latch that a failed disk sets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;

use crate::cache::Cache;
use crate::engine::{Job, Step};
use crate::ids::Ids;
use crate::index::{Claimed, Index};
use crate::offers::Offers;
use crate::pending::Pending;
use crate::{Error, MessageId};

#[derive(Debug)]
pub(crate) struct Live {
    index: Mutex<Index>,
    cache: Mutex<Cache>,
    pending: Mutex<Pending>,
    offers: Mutex<Offers>,
    index_full: AtomicBool,
    pub(crate) ids: Ids,
    changes: watch::Sender<u64>,
    failed: OnceLock<String>,
}

impl Live {
    pub(crate) fn new(index: Index, cache: Cache, ids: Ids, pending: Pending) -> Self {
        Self {
            index: Mutex::new(index),
            cache: Mutex::new(cache),
            pending: Mutex::new(pending),
            offers: Mutex::default(),
            index_full: AtomicBool::new(false),
            ids,
            changes: watch::Sender::new(0),
            failed: OnceLock::new(),
        }
    }

    /// Held only for as long as an answer takes; never across an await or a read of the disk.
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages whose records are withheld. Of several locks this is the first.
    pub(crate) fn offers(&self) -> MutexGuard<'_, Offers> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What the index on the disk does not have yet. Of several locks this is the last.
    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index on the disk has taken no more; new mail asks it again first.
    pub(crate) fn index_full(&self) -> bool {
        self.index_full.load(Ordering::Relaxed)
    }

    pub(crate) fn set_index_full(&self, full: bool) {
        self.index_full.store(full, Ordering::Relaxed);
    }

    /// Makes durable jobs visible. Returns messages whose content files may go.
    pub(crate) fn follow(&self, group: &[Job]) -> Vec<MessageId> {
        let mut files = Vec::new();
        let mut index = self.index();
        let mut cache = self.cache();
        let mut pending = self.pending();
        for job in group {
            for step in &job.steps {
                match step {
                    Step::Insert(insert) => {
                        let message = Arc::new(insert.stored());
                        // One that was offered may have been claimed meanwhile.
                        if !insert.offered {
                            index.follow(step);
                        }
                        cache.insert(&message, &insert.body);
                        pending.insert(job.sequence, &message, insert.place, false);
                    }
                    Step::ReserveIds { below } => {
                        self.ids.raised(*below);
                        pending.ids = Some(*below);
                    }
                    change => files.extend(follow_change(
                        (&mut index, &mut cache, &mut pending),
                        job.sequence,
                        change,
                    )),
                }
            }
            pending.last = job.sequence;
        }
        drop((index, cache, pending));
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

/// A step about a message that is gone does nothing.
fn follow_change(
    (index, cache, pending): (&mut Index, &mut Cache, &mut Pending),
    sequence: u64,
    step: &Step,
) -> Option<MessageId> {
    let id = step.changes().filter(|id| index.contains(*id))?;
    let file = index.follow(step);
    let gone = !index.contains(id);
    cache.change(id, step, gone);
    pending.change(sequence, id, step, gone);
    file
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
        let given_back = self.live.index().give_back(&self.claimed);
        if given_back {
            self.live.came_back(self.claimed.id);
            self.live.announce();
        }
    }
}
