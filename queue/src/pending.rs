//! What the journal holds and the index does not yet: messages that came, changed or left since. What
//! came and left meanwhile never gets to the index at all. While the settler writes a part of it, that
//! part is frozen, and what happens to its messages is kept beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::Step;
use crate::journal::Place;
use crate::{Message, MessageId};

#[derive(Debug, Default)]
pub(crate) struct Pending {
    fresh: BTreeMap<MessageId, Entry>,
    frozen: BTreeMap<MessageId, Arc<Entry>>,
    /// Memory of it all, about.
    bytes: usize,
    /// Inline content of messages the index does not have.
    content_bytes: u64,
    /// Counts what was settled: a reader of the index that sees it change reads again.
    pub epoch: u64,
    /// The last job that is here.
    pub last: u64,
    /// The ceiling of ids, if the index does not know it.
    pub ids: Option<u64>,
}

/// What is not settled about one message.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The first job of it.
    pub since: u64,
    /// The index has the message, as it was.
    pub stored: bool,
    pub state: State,
}

#[derive(Debug)]
pub(crate) enum State {
    Gone,
    Changed(Vec<Step>),
    /// `place`: of the content, unless that has a file.
    Whole {
        message: Arc<Message>,
        place: Option<Place>,
    },
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        let state = match &self.state {
            State::Gone => State::Gone,
            State::Changed(steps) => State::Changed(steps.iter().filter_map(Step::copy).collect()),
            State::Whole { message, place } => State::Whole { message: message.clone(), place: *place },
        };
        Self { since: self.since, stored: self.stored, state }
    }
}

impl Entry {
    /// Says only what changed.
    pub(crate) fn needs_index(&self) -> bool {
        matches!(self.state, State::Changed(_))
    }
}

/// A part that is being settled.
pub(crate) struct Part {
    pub entries: Vec<(MessageId, Arc<Entry>)>,
    /// There is nothing more of what was asked for.
    pub last: bool,
}

impl Pending {
    /// A message came. `stored`: the index has it already, found at start.
    pub(crate) fn insert(
        &mut self,
        sequence: u64,
        message: &Arc<Message>,
        place: Option<Place>,
        stored: bool,
    ) {
        let state = State::Whole { message: message.clone(), place };
        self.put(message.id, Entry { since: sequence, stored, state });
    }

    /// A message changed. `gone`: that was its last recipient.
    pub(crate) fn change(&mut self, sequence: u64, id: MessageId, step: &Step, gone: bool) {
        let Some(step) = step.copy() else { return };
        let state = if gone { State::Gone } else { State::Changed(vec![step]) };
        let later = Entry { since: sequence, stored: true, state };
        let before = self.take(id);
        if let Some(entry) = merge(before, later) {
            self.put(id, entry);
        }
    }

    fn put(&mut self, id: MessageId, entry: Entry) {
        let (bytes, content) = weight(&entry);
        (self.bytes, self.content_bytes) = (self.bytes + bytes, self.content_bytes + content);
        self.fresh.insert(id, entry);
    }

    fn take(&mut self, id: MessageId) -> Option<Entry> {
        let entry = self.fresh.remove(&id)?;
        let (bytes, content) = weight(&entry);
        (self.bytes, self.content_bytes) = (self.bytes - bytes, self.content_bytes - content);
        Some(entry)
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.frozen.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the index will hold of it, about.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.bytes as u64 + self.content_bytes
    }

    /// What is known of a message beyond the index.
    pub(crate) fn find(&self, id: MessageId) -> Option<Entry> {
        let frozen = self.frozen.get(&id).map(|entry| (**entry).clone());
        match self.fresh.get(&id) {
            // What is frozen counts as stored for what came later, so that nothing is dropped here.
            Some(fresh) => merge(frozen.map(|one| Entry { stored: true, ..one }), fresh.clone()),
            None => frozen,
        }
    }

    /// All that is known beyond the index.
    pub(crate) fn all(&self) -> BTreeMap<MessageId, Entry> {
        let ids = self.frozen.keys().chain(self.fresh.keys());
        ids.filter_map(|id| Some((*id, self.find(*id)?))).collect()
    }

    /// Takes up to `count` messages with jobs up to `sequence` out, those first that make room. They
    /// stay visible until `settled` or `thaw`.
    pub(crate) fn freeze(&mut self, sequence: u64, count: usize) -> Part {
        let meant = self.fresh.iter().filter(|(_, entry)| entry.since <= sequence);
        let mut ids: Vec<(u8, MessageId)> = meant.map(|(id, entry)| (rank(&entry.state), *id)).collect();
        ids.sort_unstable();
        let last = ids.len() <= count;
        ids.truncate(count);
        for (_, id) in &ids {
            if let Some(entry) = self.take(*id) {
                self.frozen.insert(*id, Arc::new(entry));
            }
        }
        let entries = ids.iter().filter_map(|(_, id)| Some((*id, self.frozen.get(id)?.clone())));
        Part { entries: entries.collect(), last }
    }

    /// The index has what was frozen.
    pub(crate) fn settled(&mut self) {
        self.frozen.clear();
        self.epoch += 1;
    }

    /// The index could not take what was frozen.
    pub(crate) fn thaw(&mut self) {
        for (id, entry) in std::mem::take(&mut self.frozen) {
            let entry = (*entry).clone();
            let merged = match self.take(id) {
                Some(later) => merge(Some(entry), later),
                None => Some(entry),
            };
            if let Some(entry) = merged {
                self.put(id, entry);
            }
        }
    }
}

/// What removes comes first: it makes room.
fn rank(state: &State) -> u8 {
    match state {
        State::Gone => 0,
        State::Changed(_) => 1,
        State::Whole { .. } => 2,
    }
}

/// Both as one. `None`: nothing the index has to know.
fn merge(before: Option<Entry>, later: Entry) -> Option<Entry> {
    let Some(before) = before else { return Some(later) };
    let (since, stored) = (before.since, before.stored);
    let state = match (before.state, later.state) {
        (_, State::Gone) if !stored => return None,
        (_, State::Gone) | (State::Gone, State::Changed(_)) => State::Gone,
        (_, whole @ State::Whole { .. }) => whole,
        (State::Changed(mut steps), State::Changed(more)) => {
            steps.extend(more);
            State::Changed(steps)
        }
        (State::Whole { mut message, place }, State::Changed(steps)) => {
            let changed = Arc::make_mut(&mut message);
            steps.iter().for_each(|step| step.apply_to(changed));
            State::Whole { message, place }
        }
    };
    Some(Entry { since, stored, state })
}

/// Bytes in memory, about, and of content in the journal.
fn weight(entry: &Entry) -> (usize, u64) {
    let (bytes, content) = match &entry.state {
        State::Gone => (0, 0),
        State::Changed(steps) => {
            let note = |step: &Step| match step {
                Step::Retry { note, .. } => note.len(),
                _ => 0,
            };
            (steps.iter().map(|step| size_of::<Step>() + note(step)).sum(), 0)
        }
        State::Whole { message, place } => (message.memory(), place.map_or(0, |place| place.len)),
    };
    (size_of::<Entry>() + 64 + bytes, content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Destination, Recipient, Status};

    fn message(id: u64) -> Arc<Message> {
        let destination =
            Destination { next_hop: "h".into(), connector: "c".into(), tls_domain: String::new() };
        let recipient = Recipient {
            index: 0,
            address: "a@h".into(),
            destination,
            status: Status::Ready,
            attempts: 0,
            next_attempt: 1,
            expires: 9,
            notify_delay_at: None,
            note: vec![],
        };
        let id = MessageId(id);
        Arc::new(Message {
            id,
            sender: String::new(),
            received: 0,
            size: 0,
            meta: vec![],
            recipients: vec![recipient],
        })
    }

    fn retry(id: u64, attempts: u32) -> Step {
        Step::Retry { id: MessageId(id), recipient: 0, attempts, next_attempt: 60, note: vec![7] }
    }

    fn remove(id: u64) -> Step {
        Step::Remove { id: MessageId(id), recipient: 0 }
    }

    #[test]
    fn what_came_and_left_leaves_nothing() {
        let mut pending = Pending::default();
        pending.insert(1, &message(1), None, false);
        pending.change(2, MessageId(1), &retry(1, 1), false);
        pending.change(3, MessageId(1), &remove(1), true);
        assert!(pending.is_empty());
        assert_eq!((pending.bytes(), pending.index_bytes()), (0, 0));
    }

    #[test]
    fn what_the_index_has_is_taken_out_of_it() {
        let mut pending = Pending::default();
        pending.insert(1, &message(1), None, true);
        pending.change(2, MessageId(1), &remove(1), true);
        pending.change(3, MessageId(2), &retry(2, 1), false);
        pending.change(4, MessageId(2), &remove(2), true);
        for id in [1, 2] {
            assert!(matches!(pending.find(MessageId(id)), Some(Entry { state: State::Gone, .. })), "{id}");
        }
    }

    #[test]
    fn what_happens_while_a_part_is_settled_is_kept_beside_it() {
        for (settles, left) in [(true, true), (false, false)] {
            let mut pending = Pending::default();
            pending.insert(1, &message(1), None, false);
            let part = pending.freeze(1, 10);
            assert!(part.last && part.entries.len() == 1);
            pending.change(2, MessageId(1), &retry(1, 1), false);
            let Some(Entry { state: State::Whole { message, .. }, .. }) = pending.find(MessageId(1)) else {
                panic!("it is still to be seen whole");
            };
            assert_eq!((message.recipients[0].attempts, message.recipients[0].status), (1, Status::Retry));
            pending.change(3, MessageId(1), &remove(1), true);
            assert!(matches!(pending.find(MessageId(1)), Some(Entry { state: State::Gone, .. })));
            if settles {
                pending.settled();
            } else {
                pending.thaw();
            }
            assert_eq!(pending.find(MessageId(1)).is_some(), left, "settled: {settles}");
        }
    }

    #[test]
    fn removals_are_settled_first_and_only_what_is_old_enough() {
        let mut pending = Pending::default();
        pending.insert(1, &message(1), None, false);
        pending.change(2, MessageId(2), &retry(2, 1), false);
        pending.change(3, MessageId(3), &remove(3), true);
        pending.insert(4, &message(4), None, false);
        let ids = |part: &Part| part.entries.iter().map(|(id, _)| id.0).collect::<Vec<_>>();
        let part = pending.freeze(3, 2);
        assert_eq!((ids(&part), part.last), (vec![3, 2], false));
        pending.settled();
        let part = pending.freeze(3, 2);
        assert_eq!((ids(&part), part.last), (vec![1], true));
    }
}
