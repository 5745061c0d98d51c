//! The in-memory index: every recipient in the queue with its due time and its claim, so that `due`,
//! `claim` and the operator's counts never scan a table. It is rebuilt from the records at start and
//! follows each transaction after it is durable.

mod ahead;
mod schedule;
pub(crate) mod survey;
#[cfg(test)]
mod tests;

pub use ahead::{Brought, Due};

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use schedule::{Schedule, Slot};

use crate::engine::{Insert, Step};
use crate::sqlite::Standing;
use crate::{Destination, DueDestination, MessageId, Statistics, Status, UnixMillis};

#[derive(Debug, Default)]
pub(crate) struct Index {
    messages: BTreeMap<MessageId, Entry>,
    schedule: Schedule,
    /// When a message next needs attention other than delivery: it expires, or a delay is due to be
    /// told. Claimed recipients do not count.
    alarms: BTreeSet<(UnixMillis, MessageId)>,
    /// Messages with a claimed recipient.
    active: BTreeSet<MessageId>,
    tally: [usize; 4],
    last_claim: u32,
}

#[derive(Debug)]
struct Entry {
    received: UnixMillis,
    in_file: bool,
    seats: Vec<Seat>,
}

/// One recipient.
#[derive(Clone, Debug)]
struct Seat {
    due: UnixMillis,
    expires: UnixMillis,
    /// `UnixMillis::MAX`: never.
    notify: UnixMillis,
    number: u32,
    slot: Slot,
    /// Who has claimed it; 0: nobody.
    claim: u32,
    /// Counted up to 65,535.
    attempts: u16,
    held: bool,
}

/// A message's status, and when it needs attention other than delivery.
type Standings = (Status, Option<UnixMillis>);

/// What a claim covers.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub number: u32,
    pub id: MessageId,
    pub recipients: Vec<u32>,
}

impl Seat {
    fn status(&self) -> Status {
        match self {
            Self { claim: 1.., .. } => Status::Active,
            Self { held: true, .. } => Status::Suspended,
            Self { attempts: 1.., .. } => Status::Retry,
            Self { .. } => Status::Ready,
        }
    }

    /// Stands in the schedule.
    fn listed(&self) -> bool {
        self.claim == 0 && !self.held
    }
}

impl Entry {
    /// The liveliest status of the recipients, and when the message needs attention.
    fn standing(&self) -> Standings {
        let status = self.seats.iter().map(Seat::status).min_by_key(|status| rank(*status));
        let unclaimed = self.seats.iter().filter(|seat| seat.claim == 0);
        let alarm = unclaimed.map(|seat| seat.expires.min(seat.notify)).min();
        (status.unwrap_or(Status::Suspended), alarm)
    }

    fn numbers(&self, wanted: impl Fn(&Seat) -> bool) -> Vec<u32> {
        self.seats.iter().filter(|seat| wanted(seat)).map(|seat| seat.number).collect()
    }

    fn position(&self, number: u32) -> Option<usize> {
        self.seats.binary_search_by_key(&number, |seat| seat.number).ok()
    }
}

fn clamped(attempts: u32) -> u16 {
    u16::try_from(attempts).unwrap_or(u16::MAX)
}

fn rank(status: Status) -> usize {
    match status {
        Status::Active => 0,
        Status::Ready => 1,
        Status::Retry => 2,
        Status::Suspended => 3,
    }
}

impl Index {
    /// A recipient found at start.
    pub(crate) fn load(&mut self, standing: &Standing) {
        let seat = Seat {
            due: standing.next_attempt,
            expires: standing.expires,
            notify: standing.notify_delay_at.unwrap_or(UnixMillis::MAX),
            number: standing.number,
            slot: self.schedule.acquire(&standing.destination),
            claim: 0,
            attempts: clamped(standing.attempts),
            held: standing.held,
        };
        let entry = Entry { received: standing.received, in_file: standing.in_file, seats: Vec::new() };
        self.add_seats(standing.id, entry, vec![seat]);
    }

    /// Follows one durable step. Returns the message whose content file may go.
    pub(crate) fn follow(&mut self, step: &Step) -> Option<MessageId> {
        match step {
            Step::Insert(insert) => self.insert(insert),
            Step::Remove { id, recipient } => return self.remove(*id, *recipient),
            Step::Retry { id, recipient, attempts, next_attempt, .. } => {
                self.change(*id, *recipient, |_, seat| {
                    (seat.due, seat.attempts, seat.claim) = (*next_attempt, clamped(*attempts), 0);
                });
            }
            Step::Move { id, recipient, destination } => self.change(*id, *recipient, |schedule, seat| {
                schedule.release(seat.slot);
                (seat.slot, seat.claim) = (schedule.acquire(destination), 0);
            }),
            Step::DelayNotified { id, recipient } => {
                self.change(*id, *recipient, |_, seat| seat.notify = UnixMillis::MAX);
            }
            Step::Hold { id, recipient, held } => self.change(*id, *recipient, |_, seat| seat.held = *held),
            Step::Due { id, recipient, due } => self.change(*id, *recipient, |_, seat| seat.due = *due),
            Step::ReserveIds { .. } => {}
        }
        None
    }

    pub(crate) fn insert(&mut self, insert: &Insert) {
        let recipients = insert.message.recipients.iter().zip(0..);
        let seats = recipients.map(|(recipient, number)| Seat {
            due: recipient.due,
            expires: recipient.expires,
            notify: recipient.notify_delay_at.unwrap_or(UnixMillis::MAX),
            number,
            slot: self.schedule.acquire(&recipient.destination),
            claim: 0,
            attempts: 0,
            held: false,
        });
        let seats = seats.collect();
        let entry =
            Entry { received: insert.message.received, in_file: insert.body.in_file(), seats: Vec::new() };
        self.add_seats(insert.id, entry, seats);
    }

    fn add_seats(&mut self, id: MessageId, empty: Entry, seats: Vec<Seat>) {
        for seat in seats.iter().filter(|seat| seat.listed()) {
            self.schedule.list(seat.slot, seat.due, id, seat.number);
        }
        let entry = self.messages.entry(id).or_insert(empty);
        let before = (!entry.seats.is_empty()).then(|| entry.standing());
        if entry.seats.is_empty() {
            entry.seats = seats;
        } else {
            entry.seats.extend(seats);
        }
        let after = entry.standing();
        self.restand(id, before, Some(after));
    }

    fn change(&mut self, id: MessageId, number: u32, change: impl FnOnce(&mut Schedule, &mut Seat)) {
        let mut change = Some(change);
        self.change_where(
            id,
            |seat| seat.number == number,
            |schedule, seat| {
                if let Some(change) = change.take() {
                    change(schedule, seat);
                }
            },
        );
    }

    /// Changes the recipients `wanted` of one message and keeps everything derived in step.
    fn change_where(
        &mut self,
        id: MessageId,
        wanted: impl Fn(&Seat) -> bool,
        mut change: impl FnMut(&mut Schedule, &mut Seat),
    ) {
        let Some(entry) = self.messages.get_mut(&id) else { return };
        let before = entry.standing();
        for seat in entry.seats.iter_mut().filter(|seat| wanted(seat)) {
            if seat.listed() {
                self.schedule.unlist(seat.slot, seat.due, id, seat.number);
            }
            change(&mut self.schedule, seat);
            if seat.listed() {
                self.schedule.list(seat.slot, seat.due, id, seat.number);
            }
        }
        let after = entry.standing();
        self.restand(id, Some(before), Some(after));
    }

    fn remove(&mut self, id: MessageId, number: u32) -> Option<MessageId> {
        let entry = self.messages.get_mut(&id)?;
        let position = entry.position(number)?;
        let before = entry.standing();
        let seat = entry.seats.remove(position);
        if seat.listed() {
            self.schedule.unlist(seat.slot, seat.due, id, number);
        }
        self.schedule.release(seat.slot);
        let (gone, in_file) = (entry.seats.is_empty(), entry.in_file);
        let after = (!gone).then(|| entry.standing());
        if gone {
            self.messages.remove(&id);
        }
        self.restand(id, Some(before), after);
        (gone && in_file).then_some(id)
    }

    fn restand(&mut self, id: MessageId, before: Option<Standings>, after: Option<Standings>) {
        if before == after {
            return;
        }
        if let Some((status, alarm)) = before {
            self.tally[rank(status)] -= 1;
            if status == Status::Active {
                self.active.remove(&id);
            }
            alarm.map(|at| self.alarms.remove(&(at, id)));
        }
        if let Some((status, alarm)) = after {
            self.tally[rank(status)] += 1;
            self.active.extend((status == Status::Active).then_some(id));
            self.alarms.extend(alarm.map(|at| (at, id)));
        }
    }

    pub(crate) fn due(&self, now: UnixMillis) -> Vec<DueDestination> {
        self.schedule.due(now, usize::MAX)
    }

    pub(crate) fn next_due(&self) -> Option<UnixMillis> {
        self.schedule.next_due()
    }

    pub(crate) fn next_due_after(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.schedule.next_due_after(now)
    }

    pub(crate) fn next_alarm(&self) -> Option<UnixMillis> {
        self.alarms.first().map(|(at, _)| *at)
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let [active, ready, retry, suspended] = self.tally;
        let oldest_received = self.messages.first_key_value().map(|(_, entry)| entry.received);
        Statistics { active, ready, retry, suspended, oldest_received }
    }

    pub(crate) fn contains(&self, id: MessageId) -> bool {
        self.messages.contains_key(&id)
    }

    pub(crate) fn attempts(&self, id: MessageId, number: u32) -> u32 {
        let seat = self.messages.get(&id).and_then(|entry| Some(&entry.seats[entry.position(number)?]));
        seat.map_or(0, |seat| seat.attempts.into())
    }

    /// The content got a file of its own. `false`: the message is gone.
    pub(crate) fn put_into_file(&mut self, id: MessageId) -> bool {
        self.messages.get_mut(&id).map(|entry| entry.in_file = true).is_some()
    }

    /// The youngest message.
    pub(crate) fn highest(&self) -> Option<MessageId> {
        self.messages.last_key_value().map(|(id, _)| *id)
    }

    /// Everything that is known of a message is forgotten: it is about to be told again.
    pub(crate) fn forget(&mut self, id: MessageId) {
        for number in self.recipients(id) {
            self.remove(id, number);
        }
    }

    /// Messages, and their recipients.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.messages.len(), self.messages.values().map(|entry| entry.seats.len()).sum())
    }

    /// Numbers of the recipients of a message.
    pub(crate) fn recipients(&self, id: MessageId) -> Vec<u32> {
        self.messages.get(&id).map_or_else(Vec::new, |entry| entry.numbers(|_| true))
    }

    pub(crate) fn is_claimed(&self, id: MessageId, number: u32) -> bool {
        let seat = self.messages.get(&id).and_then(|entry| Some(&entry.seats[entry.position(number)?]));
        seat.is_some_and(|seat| seat.claim != 0)
    }

    /// Whether the message has this recipient.
    pub(crate) fn has(&self, id: MessageId, number: u32) -> bool {
        self.messages.get(&id).is_some_and(|entry| entry.position(number).is_some())
    }

    /// Whether all that is left of a message is claimed.
    pub(crate) fn is_in_hand(&self, id: MessageId) -> bool {
        self.messages.get(&id).is_some_and(|entry| entry.seats.iter().all(|seat| seat.claim != 0))
    }

    /// Messages behind `after` with a claimed recipient, oldest first.
    pub(crate) fn claimed(&self, after: Option<MessageId>) -> Vec<MessageId> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.active.range((behind, Bound::Unbounded)).copied().collect()
    }

    /// Claims the due recipients of the first due message of a delivery queue.
    pub(crate) fn claim_due(&mut self, destination: &Destination, now: UnixMillis) -> Option<Claimed> {
        let (slot, id) = self.schedule.first(destination, now)?;
        self.claim_where(id, |seat| seat.slot == slot && seat.due <= now && seat.listed())
    }

    /// Claims those of `numbers` (ascending) that nobody has, held or not.
    pub(crate) fn claim_these(&mut self, id: MessageId, numbers: &[u32]) -> Option<Claimed> {
        self.claim_where(id, |seat| seat.claim == 0 && numbers.binary_search(&seat.number).is_ok())
    }

    /// Claims expired recipients, held or not, of messages longest ago first.
    pub(crate) fn claim_expired(&mut self, now: UnixMillis, limit: usize) -> Vec<Claimed> {
        let gone = move |seat: &Seat| seat.claim == 0 && seat.expires <= now;
        let expired: Vec<_> = self.alarmed(now, gone).take(limit).map(|(id, _)| id).collect();
        expired.into_iter().filter_map(|id| self.claim_where(id, gone)).collect()
    }

    /// Messages with recipients whose sender is to be told of a delay, and which recipients.
    pub(crate) fn delayed(&self, now: UnixMillis, limit: usize) -> Vec<(MessageId, Vec<u32>)> {
        let late = move |seat: &Seat| seat.claim == 0 && seat.notify <= now && seat.expires > now;
        let alarmed = self.alarmed(now, late).take(limit);
        alarmed.map(|(id, entry)| (id, entry.numbers(late))).collect()
    }

    fn alarmed(
        &self,
        now: UnixMillis,
        because: impl Fn(&Seat) -> bool,
    ) -> impl Iterator<Item = (MessageId, &Entry)> {
        let alarmed = self.alarms.iter().take_while(move |(at, _)| *at <= now);
        let entries = alarmed.filter_map(|(_, id)| Some((*id, self.messages.get(id)?)));
        entries.filter(move |(_, entry)| entry.seats.iter().any(&because))
    }

    fn claim_where(&mut self, id: MessageId, wanted: impl Fn(&Seat) -> bool) -> Option<Claimed> {
        let recipients = self.messages.get(&id)?.numbers(wanted);
        if recipients.is_empty() {
            return None;
        }
        self.last_claim = self.last_claim.checked_add(1).unwrap_or(1);
        let number = self.last_claim;
        self.change_where(
            id,
            |seat| recipients.binary_search(&seat.number).is_ok(),
            |_, seat| seat.claim = number,
        );
        Some(Claimed { number, id, recipients })
    }

    /// Gives back what is still claimed by this claim. Whether anything was.
    pub(crate) fn give_back(&mut self, claimed: &Claimed) -> bool {
        let mut any = false;
        self.change_where(
            claimed.id,
            |seat| seat.claim == claimed.number,
            |_, seat| (seat.claim, any) = (0, true),
        );
        any
    }
}
