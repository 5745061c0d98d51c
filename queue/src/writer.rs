//! The one thread that writes. It commits in groups: whatever arrived while the last transaction was
//! being synced goes into the next one, so one sync carries many messages, and a lone message waits
//! for nobody.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::disk::DiskLock;
use crate::engine::{Body, Engine, Fault, Job, Step};
use crate::live::Live;
use crate::sweeper::Sweeper;
use crate::{Error, MessageId};

/// Jobs that wait; more wait in their callers.
pub(crate) const WAITING_MAX: usize = 1_024;
/// Most jobs, and bytes of content, that share a sync.
const GROUP_JOBS_MAX: usize = 512;
pub(crate) const GROUP_BYTES_MAX: u64 = 8 << 20;

pub(crate) enum Order {
    Job(Job),
    /// Say that this was come to: who waits for it knows that the writer is at work.
    Answer(oneshot::Sender<()>),
    /// Finish what waits, then stop.
    Close,
}

pub(crate) struct Writer<E> {
    pub engine: E,
    pub live: Arc<Live>,
    pub sweeper: Sweeper,
    pub orders: mpsc::Receiver<Order>,
    pub group_bytes_max: u64,
    /// For `Error::DiskFull`.
    pub directory: std::path::PathBuf,
    /// Held until the last write is done.
    pub lock: Box<dyn DiskLock>,
}

impl<E: Engine> Writer<E> {
    /// Runs until every handle is gone or one of them closes the queue.
    pub(crate) fn run(mut self) {
        let mut group = Vec::new();
        while let Some(order) = self.orders.blocking_recv() {
            self.gather(order, &mut group);
            self.commit(std::mem::take(&mut group));
        }
        self.finish();
    }

    /// One group of what waits, if something does. For a driver without threads.
    pub(crate) fn step(&mut self) -> bool {
        let Ok(order) = self.orders.try_recv() else { return false };
        let mut group = Vec::new();
        self.gather(order, &mut group);
        self.commit(group);
        true
    }

    pub(crate) fn finish(mut self) {
        self.engine.close();
        self.sweeper.finish();
        drop(self.lock);
    }

    /// Takes what waits, up to the size of a group.
    fn gather(&mut self, first: Order, group: &mut Vec<Job>) {
        let (mut order, mut bytes) = (Some(first), 0);
        while let Some(next) = order {
            match next {
                Order::Job(job) => {
                    if let Some(job) = self.live.resolve(job) {
                        bytes += job.bytes();
                        group.push(job);
                    }
                }
                // Nobody may wait for it any more.
                Order::Answer(answer) => drop(answer.send(())),
                // Later senders are told so; what was sent before is still received.
                Order::Close => self.orders.close(),
            }
            let full = group.len() >= GROUP_JOBS_MAX || bytes >= self.group_bytes_max;
            order = if full { None } else { self.orders.try_recv().ok() };
        }
    }

    /// One sync for all. If it cannot be, each job is tried alone, so that one that does not fit does
    /// not take the others with it, and removals still make room. When the disk has failed nothing is
    /// tried.
    fn commit(&mut self, mut group: Vec<Job>) {
        if group.is_empty() {
            return;
        }
        match self.transaction(&mut group) {
            Ok(()) => self.done(group),
            // Any of them may be on the disk: what has become of the others says nothing of it.
            Err(Error::Failed(why)) => {
                group.into_iter().for_each(|job| self.refuse(job, Error::Failed(why.clone())));
            }
            // What one of them was to store is not there for the next if it could not be.
            Err(_) if group.len() > 1 => {
                group.into_iter().for_each(|job| self.commit(self.live.resolve(job).into_iter().collect()));
            }
            Err(error) => group.pop().map_or((), |job| self.refuse(job, error)),
        }
    }

    fn transaction(&mut self, group: &mut [Job]) -> Result<(), Error> {
        self.live.check()?;
        self.count_attempts(group);
        self.engine.commit(group).map_err(|fault| {
            if let Fault::Broken(why) = &fault {
                self.live.fail(why.clone());
            }
            fault.into_error(&self.directory)
        })
    }

    /// The journal says how often something was tried, not that it was tried once more.
    fn count_attempts(&self, group: &mut [Job]) {
        let retries = group.iter_mut().flat_map(|job| &mut job.steps).filter_map(|step| match step {
            Step::Retry { id, recipient, attempts, .. } => Some((*id, *recipient, attempts)),
            _ => None,
        });
        for (id, recipient, attempts) in retries {
            *attempts = self.live.index().attempts(id, recipient) + 1;
        }
    }

    fn done(&mut self, mut group: Vec<Job>) {
        group.iter_mut().flat_map(|job| &mut job.steps).for_each(keep_file);
        let files: Vec<MessageId> = self.live.follow(&group);
        self.live.stored(&group);
        group.iter_mut().for_each(|job| job.answer(Ok(())));
        files.into_iter().for_each(|id| self.sweeper.delete(id));
        self.engine.committed();
    }

    fn refuse(&self, mut job: Job, error: Error) {
        if matches!(error, Error::Failed(_)) {
            // The record may turn out to be durable; the next start decides about its file.
            job.steps.iter_mut().for_each(keep_file);
        }
        if job.steps.iter().any(|step| matches!(step, Step::ReserveIds { .. })) {
            self.live.ids.not_raised();
        }
        let withdrawn = self.live.refused(&mut job, &error);
        job.answer(Err(match (withdrawn, error) {
            (_, Error::Failed(why)) => Error::Failed(why),
            (Some(id), _) => Error::NoSuchMessage(id),
            (None, error) => error,
        }));
    }
}

fn keep_file(step: &mut Step) {
    if let Step::Insert(insert) = step
        && let Body::File(file) = &mut insert.body
    {
        file.keep();
    }
}

#[cfg(test)]
mod tests;
