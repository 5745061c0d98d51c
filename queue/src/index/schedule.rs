//! Which recipients are due when, by delivery queue. Destinations are interned, so an entry is three
//! numbers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::{Destination, DueDestination, MessageId, UnixMillis};

/// Due recipients are counted up to here; nobody needs more to know that there is much to do.
const COUNTED_MAX: usize = 100;

/// Number of an interned destination.
pub(super) type Slot = u32;

#[derive(Debug, Default)]
pub(super) struct Schedule {
    lanes: Vec<Lane>,
    free: Vec<Slot>,
    names: HashMap<Arc<Destination>, Slot>,
    /// The first due time of every lane that has one.
    heads: BTreeSet<(UnixMillis, Slot)>,
}

#[derive(Debug)]
struct Lane {
    destination: Arc<Destination>,
    due: BTreeSet<(UnixMillis, MessageId, u32)>,
    /// Recipients that name this slot, due or not; at 0 the slot is free.
    users: usize,
}

impl Lane {
    fn due_by(&self, now: UnixMillis) -> Option<DueDestination> {
        let earliest = self.head().filter(|due| *due <= now)?;
        let recipients = self.due.iter().take_while(|(due, ..)| *due <= now).take(COUNTED_MAX).count();
        Some(DueDestination { destination: (*self.destination).clone(), recipients, earliest })
    }

    fn head(&self) -> Option<UnixMillis> {
        self.due.first().map(|(due, _, _)| *due)
    }
}

impl Schedule {
    /// Interns; every call needs its `release`.
    pub(super) fn acquire(&mut self, destination: &Destination) -> Slot {
        if let Some(slot) = self.names.get(destination) {
            self.lanes[*slot as usize].users += 1;
            return *slot;
        }
        let name = Arc::new(destination.clone());
        let lane = Lane { destination: name.clone(), due: BTreeSet::new(), users: 1 };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.lanes[slot as usize] = lane;
                slot
            }
            None => {
                self.lanes.push(lane);
                (self.lanes.len() - 1) as Slot
            }
        };
        self.names.insert(name, slot);
        slot
    }

    pub(super) fn release(&mut self, slot: Slot) {
        let lane = &mut self.lanes[slot as usize];
        lane.users -= 1;
        if lane.users == 0 {
            self.names.remove(&lane.destination);
            self.free.push(slot);
        }
    }

    pub(super) fn list(&mut self, slot: Slot, due: UnixMillis, id: MessageId, recipient: u32) {
        self.change(slot, |lane| lane.due.insert((due, id, recipient)));
    }

    pub(super) fn unlist(&mut self, slot: Slot, due: UnixMillis, id: MessageId, recipient: u32) {
        self.change(slot, |lane| lane.due.remove(&(due, id, recipient)));
    }

    fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Lane) -> bool) {
        let lane = &mut self.lanes[slot as usize];
        let before = lane.head();
        change(lane);
        let after = lane.head();
        if before != after {
            self.heads.extend(after.map(|due| (due, slot)));
            before.map(|due| self.heads.remove(&(due, slot)));
        }
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.lanes.len()
    }

    /// Up to `limit` lanes with something due, the longest waiting first.
    pub(super) fn due(&self, now: UnixMillis, limit: usize) -> Vec<DueDestination> {
        let ready = self.heads.iter().take_while(|(due, _)| *due <= now).take(limit);
        ready.filter_map(|(_, slot)| self.lanes[*slot as usize].due_by(now)).collect()
    }

    pub(super) fn due_at(&self, destination: &Destination, now: UnixMillis) -> Option<DueDestination> {
        self.lanes[self.slot(destination)? as usize].due_by(now)
    }

    pub(super) fn name(&self, slot: Slot) -> &Arc<Destination> {
        &self.lanes[slot as usize].destination
    }

    pub(super) fn slot(&self, destination: &Destination) -> Option<Slot> {
        self.names.get(destination).copied()
    }

    pub(super) fn next_due(&self) -> Option<UnixMillis> {
        self.heads.first().map(|(due, _)| *due)
    }

    pub(super) fn next_due_after(&self, now: UnixMillis) -> Option<UnixMillis> {
        let later_in_due = self.heads.iter().take_while(|(due, _)| *due <= now).filter_map(|(_, slot)| {
            let from = (now.saturating_add(1), MessageId(0), 0);
            self.lanes[*slot as usize].due.range(from..).next().map(|(due, ..)| *due)
        });
        let later = self.heads.range((now.saturating_add(1), 0)..).next().map(|(due, _)| *due);
        later_in_due.chain(later).min()
    }

    /// The message that has been due longest in this delivery queue.
    pub(super) fn first(&self, destination: &Destination, now: UnixMillis) -> Option<(Slot, MessageId)> {
        let slot = *self.names.get(destination)?;
        let (due, id, _) = self.lanes[slot as usize].due.first()?;
        (*due <= now).then_some((slot, *id))
    }
}
