//! Messages that are offered: whole and claimable, but their record is withheld for a moment, because
//! next hops may take them before it would be written. Whatever else happens to one makes it durable
//! first, as it then is, in the same change. Legal stages stand in README.md.

use std::collections::HashMap;
use std::mem::replace;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::engine::{Body, Insert, Job, JobKind, Step};
use crate::live::Live;
use crate::offer::Safe;
use crate::{Error, Message, MessageId};

#[derive(Debug, Default)]
pub(crate) struct Offers {
    entries: HashMap<MessageId, Entry>,
}

#[derive(Debug)]
struct Entry {
    stage: Stage,
    message: Arc<Message>,
    /// `None`: in a file.
    content: Option<Bytes>,
    /// Borrowed from the cache.
    memory: usize,
    /// Recipients that next hops have taken.
    taken: Vec<u32>,
    /// There was room on the disk when it was begun.
    has_room: bool,
    /// Whoever offered it does not wait any more.
    left: bool,
    changed: watch::Sender<()>,
}

/// How far an offered message is.
#[derive(Debug)]
enum Stage {
    /// Nothing of it is written, but perhaps a file that nothing names.
    Withheld(Box<Insert>),
    /// The same, and whoever syncs its content file has the insert.
    Completing,
    /// The writer has the insert.
    Committing,
    /// Next hops have taken it for every recipient.
    Taken,
    Durable,
    /// Neither, and never will be.
    Withdrawn(Error),
}

/// What must be done before an offered message can be stored.
pub(crate) enum Completion {
    Nothing,
    /// Somebody is at it; look again when this changes.
    Wait(watch::Receiver<()>),
    /// Sync its content file, then `put_back`.
    Sync(Box<Insert>),
}

impl Entry {
    fn tell(&self) {
        self.changed.send_replace(());
    }

    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Withheld(_) | Stage::Completing | Stage::Committing)
    }
}

impl Offers {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn is_withheld(&self, id: MessageId) -> bool {
        let stage = self.entries.get(&id).map(|entry| &entry.stage);
        matches!(stage, Some(Stage::Withheld(_) | Stage::Completing))
    }

    /// The end of an offer. Gives back what was withheld, to be dropped without a lock: a file goes
    /// with it.
    fn finish(&mut self, live: &Live, id: MessageId, stage: Stage) -> Option<Box<Insert>> {
        let entry = self.entries.get_mut(&id).filter(|entry| entry.is_open())?;
        live.cache().give_back(entry.memory);
        entry.content = None;
        let before = replace(&mut entry.stage, stage);
        entry.tell();
        if entry.left {
            self.entries.remove(&id);
        }
        match before {
            Stage::Withheld(insert) => Some(insert),
            Stage::Completing | Stage::Committing | Stage::Taken | Stage::Durable | Stage::Withdrawn(_) => {
                None
            }
        }
    }

    fn withdraw(&mut self, live: &Live, id: MessageId, why: &Error) -> Option<Box<Insert>> {
        if self.entries.get(&id).is_some_and(Entry::is_open) {
            live.index().forget(id);
        }
        self.finish(live, id, Stage::Withdrawn(retold(why)))
    }

    /// The steps that make a withheld message durable as it is now.
    fn store(&mut self, id: MessageId) -> Option<Vec<Step>> {
        let entry = self.entries.get_mut(&id)?;
        match replace(&mut entry.stage, Stage::Committing) {
            Stage::Withheld(insert) => {
                let taken = entry.taken.iter().map(|recipient| Step::Remove { id, recipient: *recipient });
                Some(std::iter::once(Step::Insert(insert)).chain(taken).collect())
            }
            other => {
                entry.stage = other;
                None
            }
        }
    }
}

impl Live {
    /// Takes a message into the index in memory, and withholds its record. Gives it back where others
    /// have the memory that it needs.
    pub(crate) fn offer(
        &self,
        mut insert: Box<Insert>,
        has_room: bool,
    ) -> Result<watch::Receiver<()>, Box<Insert>> {
        let message = Arc::new(insert.stored());
        let content = match &insert.body {
            Body::Inline(bytes) => Some(bytes.clone()),
            Body::File(_) | Body::Standing { .. } => None,
        };
        let memory = message.memory() + content.as_ref().map_or(0, Bytes::len);
        let (id, (changed, changes)) = (insert.id, watch::channel(()));
        let mut offers = self.offers();
        if !self.cache().lend(memory) {
            return Err(insert);
        }
        insert.offered = true;
        self.index().insert(&insert);
        let stage = Stage::Withheld(insert);
        let (taken, left) = (Vec::new(), false);
        let entry = Entry { stage, message, content, memory, taken, has_room, left, changed };
        offers.entries.insert(id, entry);
        drop(offers);
        self.announce();
        Ok(changes)
    }

    /// A message that is offered; without content it has a file.
    pub(crate) fn offered(&self, id: MessageId) -> Option<(Arc<Message>, Option<Bytes>)> {
        let offers = self.offers();
        let entry = offers.entries.get(&id).filter(|entry| entry.is_open())?;
        Some((entry.message.clone(), entry.content.clone()))
    }

    /// Takes recipients out of messages whose records are withheld, where a job is about no others.
    /// Gives back what must be written no more, to be dropped where that may take its time.
    #[expect(clippy::vec_box, reason = "they stand in boxes already")]
    pub(crate) fn take(&self, steps: &[Step]) -> Option<Vec<Box<Insert>>> {
        let mut offers = self.offers();
        let withheld = |step: &Step| step.changes().is_some_and(|id| offers.is_withheld(id));
        if steps.is_empty() || !steps.iter().all(withheld) {
            return None;
        }
        let mut index = self.index();
        let mut freed = Vec::new();
        for step in steps {
            let Step::Remove { id, recipient } = step else { continue };
            if !index.has(*id, *recipient) {
                continue;
            }
            index.follow(step);
            if let Some(entry) = offers.entries.get_mut(id) {
                entry.taken.push(*recipient);
            }
            if !index.contains(*id) {
                freed.extend(offers.finish(self, *id, Stage::Taken));
            }
        }
        drop((index, offers));
        self.announce();
        Some(freed)
    }

    /// A job as the writer is to carry it out: what it changes is made durable with it. `None`: there
    /// is nothing left to do.
    pub(crate) fn resolve(&self, mut job: Job) -> Option<Job> {
        match job.kind {
            JobKind::Store(id) if job.steps.is_empty() => {
                // Who waits for the answer looks at the stage then.
                job.steps = self.offers().store(id)?;
            }
            JobKind::Taken => {
                if let Some(freed) = self.take(&job.steps) {
                    drop(freed);
                    job.answer(Ok(()));
                    return None;
                }
                self.store_changed(&mut job);
            }
            JobKind::Outcome => {
                if let Some(id) = self.all_gone(&job) {
                    job.answer(Err(Error::NoSuchMessage(id)));
                    return None;
                }
                self.store_changed(&mut job);
            }
            JobKind::Plain | JobKind::Store(_) => self.store_changed(&mut job),
        }
        Some(job)
    }

    fn store_changed(&self, job: &mut Job) {
        let mut offers = self.offers();
        if offers.is_empty() {
            return;
        }
        let mut first = Vec::new();
        for id in job.steps.iter().filter_map(Step::changes) {
            first.extend(offers.store(id).into_iter().flatten());
        }
        if !first.is_empty() {
            first.append(&mut job.steps);
            job.steps = first;
        }
    }

    /// A job that changes recipients, all of whom are gone.
    fn all_gone(&self, job: &Job) -> Option<MessageId> {
        let index = self.index();
        let mut changed = job.steps.iter().filter_map(Step::recipient).peekable();
        let (first, _) = *changed.peek()?;
        changed.all(|(id, recipient)| !index.has(id, recipient)).then_some(first)
    }

    /// These jobs are durable, and visible without their offers.
    pub(crate) fn stored(&self, group: &[Job]) {
        let inserts = group.iter().flat_map(|job| &job.steps).filter_map(Step::offered);
        for insert in inserts {
            drop(self.offers().finish(self, insert.id, Stage::Durable));
        }
    }

    /// A job could not be carried out. What it was to store is withheld on if that was all of it, and
    /// else withdrawn: what became of it cannot be kept. `Some`: so it was with this message.
    pub(crate) fn refused(&self, job: &mut Job, why: &Error) -> Option<MessageId> {
        let mut withdrawn = None;
        for step in std::mem::take(&mut job.steps) {
            let Step::Insert(insert) = step else { continue };
            if !insert.offered {
                continue;
            }
            let id = insert.id;
            let mut offers = self.offers();
            let withheld_on = offers.entries.get_mut(&id).filter(|entry| !entry.left);
            match withheld_on.filter(|_| matches!(job.kind, JobKind::Store(_))) {
                Some(entry) => {
                    entry.stage = Stage::Withheld(insert);
                    entry.tell();
                }
                None => {
                    offers.withdraw(self, id, why);
                    withdrawn = Some(id);
                }
            }
        }
        withdrawn
    }

    /// A message that is withheld was begun although the disk had no room.
    pub(crate) fn lacks_room(&self, id: MessageId) -> bool {
        let offers = self.offers();
        offers.is_withheld(id) && offers.entries.get(&id).is_some_and(|entry| !entry.has_room)
    }

    /// Whether an offered message has a content file that is not synced.
    pub(crate) fn completion(&self, id: MessageId) -> Completion {
        let mut offers = self.offers();
        let Some(entry) = offers.entries.get_mut(&id) else { return Completion::Nothing };
        let is_due = |insert: &Insert| match &insert.body {
            Body::File(file) => !file.is_complete(),
            Body::Inline(_) | Body::Standing { .. } => false,
        };
        match replace(&mut entry.stage, Stage::Completing) {
            Stage::Withheld(insert) if is_due(&insert) => Completion::Sync(insert),
            Stage::Completing => Completion::Wait(entry.changed.subscribe()),
            other => {
                entry.stage = other;
                Completion::Nothing
            }
        }
    }

    /// Ends `Completion::Sync`, whatever came of it.
    pub(crate) fn put_back(&self, insert: Box<Insert>) {
        let mut offers = self.offers();
        let entry = offers.entries.get_mut(&insert.id);
        if let Some(entry) = entry.filter(|entry| matches!(entry.stage, Stage::Completing)) {
            entry.stage = Stage::Withheld(insert);
            entry.tell();
        }
    }

    /// Nobody waits for the message: nothing of it stays, unless it is on its way to the disk.
    pub(crate) fn abandon(&self, id: MessageId) {
        let mut offers = self.offers();
        let Some(entry) = offers.entries.get_mut(&id) else { return };
        entry.left = true;
        if matches!(entry.stage, Stage::Committing) {
            return;
        }
        let withheld = offers.withdraw(self, id, &Error::Closed);
        offers.entries.remove(&id);
        drop(offers);
        drop(withheld);
    }

    /// It could not be prepared for the writer, and what became of it is lost.
    pub(crate) fn withdraw(&self, id: MessageId, why: &Error) {
        let withheld = self.offers().withdraw(self, id, why);
        drop(withheld);
    }

    /// What is to be answered for a message that is offered, once that is certain.
    pub(crate) fn outcome(&self, id: MessageId) -> Option<Result<Safe, Error>> {
        match self.offers().entries.get(&id).map(|entry| &entry.stage) {
            Some(Stage::Taken) => Some(Ok(Safe::Taken)),
            Some(Stage::Durable) => Some(Ok(Safe::Durable)),
            Some(Stage::Withdrawn(why)) => Some(Err(retold(why))),
            Some(Stage::Withheld(_) | Stage::Completing | Stage::Committing) => None,
            None => Some(Err(Error::NoSuchMessage(id))),
        }
    }

    /// Changes with the offer, and ends with it; `None`: there is none.
    pub(crate) fn watch_offer(&self, id: MessageId) -> Option<watch::Receiver<()>> {
        self.offers().entries.get(&id).map(|entry| entry.changed.subscribe())
    }

    pub(crate) fn is_withheld(&self, id: MessageId) -> bool {
        self.offers().is_withheld(id)
    }

    /// A claim on it came back: whoever relies on it being delivered looks again.
    pub(crate) fn came_back(&self, id: MessageId) {
        if let Some(entry) = self.offers().entries.get(&id) {
            entry.tell();
        }
    }
}

/// An error for one more who asks.
fn retold(error: &Error) -> Error {
    match error {
        Error::DiskFull(path) => Error::DiskFull(path.clone()),
        Error::Failed(why) => Error::Failed(why.clone()),
        Error::Closed => Error::Closed,
        Error::Invalid(what) => Error::Invalid(what),
        other => Error::Failed(other.to_string()),
    }
}
