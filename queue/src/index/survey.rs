//! All delivery queues with what waits in each, put together piece by piece, so that mail need not
//! wait for who looks at a queue of a million.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{Entry, Index, Seat};
use crate::{Destination, DestinationSummary, MessageId, Status};

/// Messages looked at under one lock.
const PIECE: usize = 5_000;
/// Delivery queues told apart; the recipients of further ones are counted together.
const DESTINATIONS_MAX: usize = 10_000;

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    found: HashMap<Arc<Destination>, (DestinationSummary, u16)>,
    others: usize,
}

impl Index {
    /// Looks at the next messages behind `after`; where to go on, if there is more.
    pub(crate) fn survey(&self, after: Option<MessageId>, survey: &mut Survey) -> Option<MessageId> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        let messages = self.messages.range((behind, Bound::Unbounded)).take(PIECE);
        for (count, (id, entry)) in (1..).zip(messages) {
            for seat in &entry.seats {
                survey.add(self.schedule.name(seat.slot), *id, entry, seat);
            }
            last = (count == PIECE).then_some(*id);
        }
        last
    }
}

impl Survey {
    fn add(&mut self, destination: &Arc<Destination>, id: MessageId, entry: &Entry, seat: &Seat) {
        if self.found.len() >= DESTINATIONS_MAX && !self.found.contains_key(destination) {
            self.others += 1;
            return;
        }
        let (summary, attempts) = self
            .found
            .entry(Arc::clone(destination))
            .or_insert_with(|| (DestinationSummary::of(destination, entry.received), 0));
        match seat.status() {
            Status::Active => summary.active += 1,
            Status::Ready => summary.ready += 1,
            Status::Retry => summary.retry += 1,
            Status::Suspended => summary.suspended += 1,
        }
        summary.oldest_received = summary.oldest_received.min(entry.received);
        if seat.listed() {
            summary.next_attempt = Some(summary.next_attempt.map_or(seat.due, |next| next.min(seat.due)));
        }
        if seat.attempts > *attempts {
            (summary.most_tried, *attempts) = (Some(id), seat.attempts);
        }
    }

    /// The queues with the oldest message first, and the recipients in those that were too many.
    pub(crate) fn finish(self) -> (Vec<DestinationSummary>, usize) {
        let mut found: Vec<_> = self.found.into_values().map(|(summary, _)| summary).collect();
        found.sort_by(|a, b| {
            (a.oldest_received, &a.destination.next_hop).cmp(&(b.oldest_received, &b.destination.next_hop))
        });
        (found, self.others)
    }
}
