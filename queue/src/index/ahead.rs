//! What a dispatcher needs beside `due` when very much is due: a bounded look, a look at one
//! delivery queue, and bringing forward what waited for a next hop that is back.

use super::Index;
use crate::{Destination, DueDestination, MessageId, Queue, UnixMillis};

/// A bounded look at what is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The longest waiting first.
    pub destinations: Vec<DueDestination>,
    /// There are more.
    pub cut: bool,
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
    /// due later and not held; how many messages that was. Only the memory changes: after a restart
    /// they are due when their record says. Give it a thousand at a time; others wait meanwhile.
    pub fn bring_forward(&self, destination: &Destination, ids: &[MessageId], due: UnixMillis) -> usize {
        let mut index = self.shared.live.index();
        let brought = ids.iter().filter(|id| index.bring_forward(destination, **id, due)).count();
        drop(index);
        if brought > 0 {
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
    ) -> bool {
        let Some(slot) = self.schedule.slot(destination) else { return false };
        let mut brought = false;
        self.change_where(
            id,
            |seat| seat.slot == slot && seat.listed() && seat.due > due,
            |_, seat| (seat.due, brought) = (due, true),
        );
        brought
    }
}
