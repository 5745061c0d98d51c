//! What the journal, and content files, say about messages, on its way into memory.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::content_files;
use crate::engine::{Body, Insert, Step};
use crate::ground::Ground;
use crate::index::Index;
use crate::journal::Record;
use crate::pending::Pending;
use crate::sqlite::Marks;
use crate::{Error, MessageId, content};

/// What the journal says, on its way into memory.
pub(crate) struct Replay<'a> {
    index: &'a mut Index,
    pending: Pending,
    marks: Marks,
    lost: Lost,
}

/// What is known when the index was lost. That it has no ids yet means that it never finished its
/// first start: it is new, or the old one is gone, and journal and content files tell what was in it.
#[derive(Default)]
pub(crate) struct Lost {
    pub is_lost: bool,
    pub from_journal: usize,
    /// Messages that left: their files, if there are any, are no messages.
    gone: HashSet<MessageId>,
    /// Recipients that left, of messages of which nothing else is known.
    left: HashMap<MessageId, Vec<u32>>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(index: &'a mut Index, marks: Marks) -> Self {
        let lost = Lost { is_lost: marks.ids.is_none(), ..Lost::default() };
        Self { index, pending: Pending::default(), marks, lost }
    }

    /// Where to begin; a lost index begins with what there is.
    pub(crate) fn settled(&self) -> Option<u64> {
        if self.lost.is_lost { None } else { Some(self.marks.settled.unwrap_or(0)) }
    }

    pub(crate) fn record(&mut self, record: &Record) {
        for step in &record.steps {
            match step {
                Step::Insert(insert) => self.insert(record.sequence, insert, step),
                Step::ReserveIds { below } => self.pending.ids = self.pending.ids.max(Some(*below)),
                change => self.change(record.sequence, change),
            }
        }
        self.pending.last = record.sequence;
    }

    fn change(&mut self, sequence: u64, step: &Step) {
        let Some(id) = step.changes() else { return };
        if self.index.contains(id) {
            self.index.follow(step);
            let gone = !self.index.contains(id);
            self.pending.change(sequence, id, step, gone);
            if gone {
                self.lost.gone.insert(id);
            }
        } else if let (Step::Remove { recipient, .. }, true) = (step, self.lost.is_lost) {
            self.lost.left.entry(id).or_default().push(*recipient);
        }
    }

    fn insert(&mut self, sequence: u64, insert: &Insert, step: &Step) {
        let stored = self.index.contains(insert.id);
        self.index.forget(insert.id);
        self.index.follow(step);
        self.pending.insert(sequence, &Arc::new(insert.stored()), insert.place, stored);
    }

    pub(crate) fn finish(mut self, last: u64) -> (Pending, Lost) {
        self.pending.last = last;
        if self.lost.is_lost {
            self.lost.from_journal = self.index.counts().0;
        }
        (self.pending, self.lost)
    }
}

/// Messages of complete content files that the journal does not know of, without the recipients that
/// it knows to have left.
pub(crate) fn put_back(
    ground: &Ground,
    index: &mut Index,
    pending: &mut Pending,
    lost: &Lost,
) -> Result<usize, Error> {
    let mut count = 0;
    for (id, path) in content_files(ground)? {
        if index.contains(id) || lost.gone.contains(&id) {
            continue;
        }
        if let Some((named, message, len)) = content::recover(&*ground.disk, &path)?
            && named == id
            && content::path_of(&ground.directory, id) == path
            && !message.recipients.is_empty()
        {
            let insert = Insert::new(id, message, Body::Standing { len, in_file: true });
            pending.insert(pending.last, &Arc::new(insert.stored()), None, true);
            index.follow(&Step::Insert(Box::new(insert)));
            for recipient in lost.left.get(&id).into_iter().flatten() {
                let step = Step::Remove { id, recipient: *recipient };
                index.follow(&step);
                pending.change(pending.last, id, &step, !index.contains(id));
            }
            count += usize::from(index.contains(id));
        }
    }
    Ok(count)
}
