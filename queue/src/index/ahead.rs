//! What a dispatcher needs beside `due` when very much is due: a bounded look, a look at one
//! delivery queue, and bringing forward what waited for a next hop that is back.

use super::{Index, Seat};
use crate::{Destination, DueDestination, MessageId, Queue, UnixMillis};

/// A bounded look at what is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The longest waiting first.
    pub destinations: Vec<DueDestination>,
    /// There are more.
    pub cut: bool,
}

/// What came of bringing messages forward.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Messages that are due by then, brought forward or not.
    pub due: usize,
    /// Messages with recipients that are claimed, and may be given back with a later time.
    pub claimed: Vec<MessageId>,
}

impl Queue {
    /// As `due`, but of no more than `limit` delivery queues.
    pub fn due_first(&self, now: UnixMillis, limit: usize) -> Due {
        self.shared.live.index().due_first(now, limit)
    }

    /// An earlier write failed, and no outcome can be recorded any more in this run: what is delivered
    /// from now on would be delivered again.
    pub fn has_failed(&self) -> bool {
        self.shared.live.check().is_err()
    }

    /// As `due`, of one delivery queue; `None` where nothing is due.
    pub fn due_at(&self, destination: &Destination, now: UnixMillis) -> Option<DueDestination> {
        self.shared.live.index().schedule.due_at(destination, now)
    }

    /// Makes unclaimed recipients of these messages in one delivery queue due at `due`, if they are
    /// due later and not held. Only the memory changes: after a restart they are due when their
    /// record says. Give it a thousand at a time; others wait meanwhile.
    pub fn bring_forward(&self, destination: &Destination, ids: &[MessageId], due: UnixMillis) -> Brought {
        let mut brought = Brought::default();
        let mut index = self.shared.live.index();
        for id in ids {
            index.bring_forward(destination, *id, due, &mut brought);
        }
        drop(index);
        if brought.due > 0 {
            self.shared.live.announce();
        }
        brought
    }
}

impl Index {
    pub(super) fn due_first(&self, now: UnixMillis, limit: usize) -> Due {
        let mut destinations = self.schedule.due(now, limit.saturating_add(1));
        let cut = destinations.len() > limit;
        destinations.truncate(limit);
        Due { destinations, cut }
    }

    pub(super) fn bring_forward(
        &mut self,
        destination: &Destination,
        id: MessageId,
        due: UnixMillis,
        brought: &mut Brought,
    ) {
        let Some(slot) = self.schedule.slot(destination) else { return };
        let Some(entry) = self.messages.get(&id) else { return };
        let here = || entry.seats.iter().filter(|seat| seat.slot == slot);
        if here().any(|seat| seat.claim != 0) {
            brought.claimed.push(id);
        }
        brought.due += usize::from(here().any(Seat::listed));
        self.change_where(
            id,
            |seat| seat.slot == slot && seat.listed() && seat.due > due,
            |_, seat| seat.due = due,
        );
    }
}
