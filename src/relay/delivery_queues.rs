//! What is known of each delivery queue while it has work or trouble: its workers, how many
//! connections its peer takes, whether its next hop can be used, and who waits for that. It
//! outlives the workers; the rules stand in `policy`.

mod offering;
mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealpost_queue::{Destination, DueDestination, MessageId};
use tokio::sync::Notify;

use crate::policy::concurrency::Window;
use crate::policy::cut_through::Record;
use crate::policy::fair_share::{self, Claim, Standing};
use crate::policy::next_hop::NextHop;
use crate::policy::{AddressSpace, Priority, SendConnector, Settings};

use super::record::AttemptNote;

pub use worker::{Failed, Worker};

/// Workers of all delivery queues together (Exchange's MaxOutboundConnections).
pub const WORKERS_MAX: usize = 1000;
/// Delivery queues remembered that have no worker, and messages remembered to wait for a next hop;
/// what is beyond takes its own time.
const REMEMBERED_MAX: usize = 10_000;
const WAITING_MAX: usize = 1_000_000;
/// What a peer showed of its capacity is forgotten after this.
const CAPACITY_MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// All of them.
#[derive(Default)]
pub struct DeliveryQueues {
    inner: Mutex<Inner>,
    /// Rung when a worker ended, or a probe may go that might not have been waited for.
    pub changed: Notify,
}

#[derive(Default)]
struct Inner {
    queues: HashMap<Destination, Known>,
    workers: usize,
    waiting: usize,
    /// What came of offering messages where no connection was open, by connector.
    apart: HashMap<String, Record>,
    /// The lowest turn of those that were given workers last.
    clock: u64,
    /// The last plan gave somebody less than it wanted.
    scarce: bool,
}

/// One delivery queue.
struct Known {
    workers: usize,
    /// Looking for a message, or waiting for one with an open connection.
    idle: usize,
    /// Workers with a connection that was judged and permitted.
    open: usize,
    /// Workers beyond this are to end after the message in hand.
    allowed: usize,
    /// Rung once for each idle worker that is needed.
    bell: Arc<Notify>,
    window: Window,
    /// What came of offering messages to it.
    offered: Record,
    hop: NextHop,
    /// What the last attempt in vain found, and the epochs of what it was judged under.
    finding: AttemptNote,
    epochs: (u64, u64),
    /// Put off without a knock, or by the knock itself.
    waiting: HashSet<MessageId>,
    turn: u64,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            workers: 0,
            idle: 0,
            open: 0,
            allowed: usize::MAX,
            bell: Arc::default(),
            window: Window::default(),
            offered: Record::default(),
            hop: NextHop::default(),
            finding: AttemptNote::default(),
            epochs: (0, 0),
            waiting: HashSet::new(),
            turn: 0,
        }
    }
}

impl Known {
    /// Workers that may be at it. While the next hop is down one is enough: it probes when it is
    /// time, and puts off what is due.
    fn limit(&self, max: usize) -> usize {
        if self.hop.is_down() { 1 } else { self.window.limit(max) }
    }

    fn is_worth_remembering(&self, now: Instant) -> bool {
        let shown = self.window.shrunk_at().is_some_and(|at| now.duration_since(at) < CAPACITY_MAX_AGE);
        self.workers > 0 || self.hop.is_down() || shown
    }
}

/// How a delivery queue fares, for operators.
#[derive(Clone, Debug, Default)]
pub struct Fare {
    /// Workers with a connection that was judged and permitted.
    pub connections: usize,
    /// What the last attempt in vain found; `None` while the next hop can be used.
    pub down: Option<AttemptNote>,
}

/// What to start: a worker for each of these, so many times.
pub type Plan = Vec<(Destination, usize)>;

impl DeliveryQueues {
    /// Wakes idle workers for what is due, and says which to add. Where there are not enough for
    /// all they are shared out, and who has more than its share gives some back.
    pub fn plan(&self, settings: &Settings, due: &[DueDestination]) -> Plan {
        let mut inner = self.lock();
        let mut plan = Plan::new();
        for due in due {
            let max = connector_of(settings, &due.destination)
                .map_or(1, |connector| connector.max_connections_per_destination);
            let more = match inner.queues.get(&due.destination) {
                Some(known) => known.wake_for(due.recipients, max),
                None => due.recipients.min(Window::default().limit(max)),
            };
            if more > 0 {
                plan.push((due.destination.clone(), more));
            }
        }
        let wanted: usize = plan.iter().map(|(_, more)| more).sum();
        if inner.workers + wanted > fair_share::never_kept(WORKERS_MAX) {
            inner.share_out(settings, &mut plan);
        } else if std::mem::take(&mut inner.scarce) {
            inner.queues.values_mut().for_each(|known| known.allowed = usize::MAX);
        }
        plan
    }

    /// Delivery queues whose next hop may be probed now, with a message to do it with. They are
    /// to be made due.
    pub fn due_probes(&self, now: Instant) -> Vec<(Destination, MessageId)> {
        let inner = self.lock();
        let due = inner.queues.iter().filter(|(_, known)| known.hop.probe_at().is_some_and(|at| at <= now));
        due.filter_map(|(destination, known)| Some((destination.clone(), *known.waiting.iter().next()?)))
            .collect()
    }

    /// This message is of no use for a probe.
    pub fn waits_no_more(&self, destination: &Destination, id: MessageId) {
        let mut inner = self.lock();
        let known = inner.queues.get_mut(destination);
        if known.is_some_and(|known| known.waiting.remove(&id)) {
            inner.waiting -= 1;
        }
    }

    /// Whether a next hop that messages wait for is down.
    pub fn any_down(&self) -> bool {
        self.lock().waiting > 0
    }

    /// How a delivery queue fares; nothing is known of one that has neither work nor trouble.
    pub fn fare(&self, destination: &Destination) -> Fare {
        let inner = self.lock();
        let Some(known) = inner.queues.get(destination) else { return Fare::default() };
        Fare { connections: known.open, down: known.hop.is_down().then(|| known.finding.clone()) }
    }

    /// Forgets what is of no more use.
    pub fn tidy(&self, now: Instant) {
        let mut inner = self.lock();
        inner.queues.retain(|_, known| known.is_worth_remembering(now));
        inner.apart.clear();
        inner.waiting = inner.queues.values().map(|known| known.waiting.len()).sum();
    }

    /// An operator wants everything tried at once, or the settings changed: every next hop that is
    /// down may be probed now.
    pub fn probe_now(&self) {
        let now = Instant::now();
        self.lock().queues.values_mut().for_each(|known| known.hop.probe_now(now));
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Wakes an idle worker for each of `messages`; how many workers to add for the others.
    fn wake_for(&self, messages: usize, max: usize) -> usize {
        for _ in 0..messages.min(self.idle) {
            // The one that idles shortest: those that are not needed may linger out.
            self.bell.notify_last();
        }
        messages.saturating_sub(self.idle).min(self.limit(max).saturating_sub(self.workers))
    }
}

impl Inner {
    /// Cuts `plan` down to what is fair, and tells those that have more than their share.
    fn share_out(&mut self, settings: &Settings, plan: &mut Plan) {
        self.scarce = true;
        let more: HashMap<&Destination, usize> = plan.iter().map(|(name, more)| (name, *more)).collect();
        let busy = self.queues.iter().filter(|(name, known)| known.workers > 0 && !more.contains_key(name));
        let mut claims: Vec<(Destination, Claim)> =
            busy.map(|(name, known)| (name.clone(), self.claim(settings, name, Some(known), 0))).collect();
        claims
            .extend(plan.iter().map(|(name, more)| {
                (name.clone(), self.claim(settings, name, self.queues.get(name), *more))
            }));
        let only: Vec<Claim> = claims.iter().map(|(_, claim)| *claim).collect();
        let shares = fair_share::share(WORKERS_MAX, &only);
        let of_strangers = claims.iter().filter(|(_, claim)| claim.standing == Standing::Stranger);
        let theirs: usize = of_strangers.filter_map(|(name, _)| Some(self.queues.get(name)?.workers)).sum();
        let mut free = WORKERS_MAX.saturating_sub(self.workers);
        let mut free_for_strangers = fair_share::never_kept(WORKERS_MAX).saturating_sub(theirs);
        plan.clear();
        let mut served = Vec::new();
        for ((name, claim), share) in claims.into_iter().zip(shares) {
            let has = self.queues.get(&name).map_or(0, |known| known.workers);
            if let Some(known) = self.queues.get_mut(&name) {
                known.allowed = share;
                let beyond = has.saturating_sub(share).min(known.idle);
                (0..beyond).for_each(|_| known.bell.notify_one());
            }
            let mut added = share.saturating_sub(has).min(free);
            if claim.standing == Standing::Stranger {
                added = added.min(free_for_strangers);
                free_for_strangers -= added;
            }
            if added > 0 {
                free -= added;
                served.push((name.clone(), claim));
                plan.push((name, added));
            }
        }
        self.take_turns(served);
    }

    fn claim(&self, settings: &Settings, name: &Destination, known: Option<&Known>, more: usize) -> Claim {
        let (standing, priority) = standing_of(settings, name);
        let busy = known.map_or(0, |known| known.workers.saturating_sub(known.idle));
        let turn = known.map_or(self.clock, |known| known.turn.max(self.clock));
        Claim { standing, priority, wants: busy + more, turn }
    }

    fn take_turns(&mut self, served: Vec<(Destination, Claim)>) {
        let lowest = served.iter().map(|(_, claim)| claim.turn).min();
        self.clock = lowest.unwrap_or(self.clock).max(self.clock);
        for (name, claim) in served {
            self.queues.entry(name).or_default().turn =
                fair_share::next_turn(claim.turn, self.clock, claim.priority);
        }
    }
}

fn connector_of<'a>(settings: &'a Settings, destination: &Destination) -> Option<&'a Arc<SendConnector>> {
    settings.send_connectors.iter().find(|connector| connector.name == destination.connector)
}

/// A partner by its TLS domain; our own mailboxes by a connector that serves nothing but accepted
/// domains; everyone else is a stranger.
fn standing_of(settings: &Settings, destination: &Destination) -> (Standing, Priority) {
    if let Some(partner) = settings.partner_of_tls_domain(&destination.tls_domain) {
        let place = settings.partners.iter().position(|one| Arc::ptr_eq(one, partner));
        return (Standing::Known(place.unwrap_or_default()), partner.priority);
    }
    let ours = |space: &AddressSpace| match space {
        AddressSpace::All => false,
        AddressSpace::Exact(domain) | AddressSpace::Subdomains(domain) => {
            settings.accepted_domain(domain).is_some()
        }
    };
    let inside = connector_of(settings, destination)
        .is_some_and(|connector| connector.address_spaces.iter().all(ours));
    (if inside { Standing::Inside } else { Standing::Stranger }, Priority::Normal)
}

#[cfg(test)]
#[path = "delivery_queues/tests.rs"]
mod tests;
