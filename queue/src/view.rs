//! The queue as it is now, for those who read: what is not settled, over what the index on the disk
//! says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::engine::{Reader, Stored};
use crate::ground::Ground;
use crate::journal::{Place, Segments};
use crate::live::Live;
use crate::pending::{Entry, State};
use crate::settler::{self, Settler};
use crate::{Content, Error, Filter, Message, MessageId, Status, content};

#[derive(Clone)]
pub(crate) struct View {
    pub ground: Arc<Ground>,
    pub live: Arc<Live>,
    pub segments: Arc<Segments>,
    pub settler: Arc<Mutex<Settler>>,
}

impl View {
    /// What is known of a message without the disk. `None`: ask the index.
    pub(crate) fn known(&self, id: MessageId) -> Option<Option<Message>> {
        match self.live.pending().find(id)?.state {
            State::Gone => Some(None),
            State::Whole { message, .. } => Some(Some((*message).clone())),
            State::Changed(_) => None,
        }
    }

    pub(crate) fn message(&self, reader: &mut dyn Reader, id: MessageId) -> Result<Option<Message>, Error> {
        loop {
            let epoch = self.live.pending().epoch;
            let found = reader.message(id)?;
            let pending = self.live.pending();
            if pending.epoch == epoch {
                return Ok(combined(pending.find(id), found));
            }
            // Part of it was settled meanwhile: neither before nor after.
        }
    }

    /// Where the journal holds the content of a message, if it is there.
    pub(crate) fn place(&self, id: MessageId) -> Option<Place> {
        match self.live.pending().find(id)?.state {
            State::Whole { place, .. } => place,
            State::Gone | State::Changed(_) => None,
        }
    }

    /// Content from the journal. `None`: it was settled meanwhile.
    pub(crate) fn read(&self, place: &Place) -> Result<Option<Content>, Error> {
        let bytes = self.segments.read(place).map_err(|error| {
            Error::io("read the journal in", &self.ground.directory.join(crate::journal::DIRECTORY), error)
        })?;
        Ok(bytes.map(|bytes| Content::Memory(Bytes::from(bytes))))
    }

    pub(crate) fn content(&self, reader: &mut dyn Reader, id: MessageId) -> Result<Content, Error> {
        loop {
            let (epoch, entry) = {
                let pending = self.live.pending();
                (pending.epoch, pending.find(id))
            };
            let found = match entry.map(|entry| entry.state) {
                Some(State::Gone) => return Err(Error::NoSuchMessage(id)),
                Some(State::Whole { place: Some(place), .. }) => self.read(&place)?,
                Some(State::Whole { message, place: None }) => Some(self.file(id, message.size)?),
                Some(State::Changed(_)) | None => match reader.content(id)? {
                    Some(Stored::Inline(bytes)) => Some(Content::Memory(bytes)),
                    Some(Stored::File { len }) => Some(self.file(id, len)?),
                    None => None,
                },
            };
            match found {
                Some(content) => return Ok(content),
                None if self.live.pending().epoch == epoch => return Err(Error::NoSuchMessage(id)),
                None => {}
            }
        }
    }

    fn file(&self, id: MessageId, len: u64) -> Result<Content, Error> {
        Ok(Content::File { file: content::open(&*self.ground.disk, &self.ground.directory, id, len)?, len })
    }

    /// Messages that may meet the filter, oldest first, until `take` says that it has enough.
    pub(crate) fn select(
        &self,
        reader: &mut dyn Reader,
        filter: &Filter,
        take: &mut dyn FnMut(Message) -> bool,
    ) -> Result<(), Error> {
        if let Some(id) = filter.id {
            self.message(reader, id)?.map(take);
            return Ok(());
        }
        let mut pending = {
            // While nothing is settled, both are of one moment.
            let _settler = settler::lock(&self.settler);
            reader.hold()?;
            self.live.pending().all()
        };
        pending.retain(|id, _| filter.after.is_none_or(|after| *id > after));
        if filter.status == Some(Status::Active) {
            return self.select_claimed(reader, filter.after, pending, take);
        }
        let known = pending.keys().copied().collect::<Vec<_>>();
        let mut fresh = BTreeMap::new();
        for (id, entry) in pending {
            let found = if entry.needs_index() { reader.message(id)? } else { None };
            fresh.extend(combined(Some(entry), found).map(|message| (id, message)));
        }
        let mut enough = false;
        reader.select(filter, &mut |message| {
            while let Some(older) = fresh.first_entry().filter(|first| *first.key() < message.id) {
                enough = enough || !take(older.remove());
            }
            enough = enough || (known.binary_search(&message.id).is_err() && !take(message));
            !enough
        })?;
        while let Some((_, message)) = fresh.pop_first().filter(|_| !enough) {
            enough = !take(message);
        }
        Ok(())
    }

    /// Few are claimed at a time: they are asked for one by one.
    fn select_claimed(
        &self,
        reader: &mut dyn Reader,
        after: Option<MessageId>,
        mut pending: BTreeMap<MessageId, Entry>,
        take: &mut dyn FnMut(Message) -> bool,
    ) -> Result<(), Error> {
        let claimed = self.live.index().claimed(after);
        for id in claimed {
            let entry = pending.remove(&id);
            let found =
                if entry.as_ref().is_none_or(Entry::needs_index) { reader.message(id)? } else { None };
            if let Some(message) = combined(entry, found)
                && !take(message)
            {
                break;
            }
        }
        Ok(())
    }
}

/// A message as it is, from what is not settled and what the index has.
fn combined(entry: Option<Entry>, found: Option<Message>) -> Option<Message> {
    match entry.map(|entry| entry.state) {
        None => found,
        Some(State::Gone) => None,
        Some(State::Whole { message, .. }) => Some((*message).clone()),
        Some(State::Changed(steps)) => found.map(|mut message| {
            steps.iter().for_each(|step| step.apply_to(&mut message));
            message
        }),
    }
}
