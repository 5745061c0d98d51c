//! Working through one delivery queue: claim a message, try the targets in order, settle each
//! recipient, keep the connection for the next. The outcome of one message is written down while
//! the next is being sent.

mod transact;
mod write_down;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_queue::{Claim, MessageId, Recipient};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::mail::{Address, TlsRequired};
use crate::observe::Event;
use crate::policy::concurrency::Feedback;
use crate::policy::{SendConnector, Settings};
use crate::smtp::Reply;

use super::delivery_queues::{Failed, Worker};
use super::dispatch;
use super::open::{self, Opened};
use super::record::{AttemptNote, MessageMeta};
use super::send::SendConnection;
use super::settle::{Settled, Settlement};
use super::shared::Shared;
use super::targets::{self, NextHop, Target};

/// How long a connection waits for another message of its delivery queue.
const LINGER: Duration = Duration::from_secs(2);
/// How long the targets of a next hop are used before DNS is asked again.
const TARGETS_MAX_AGE: Duration = Duration::from_secs(60);
/// All look-ups for a next hop together, however many hosts its DNS names.
const TARGETS_TIMEOUT: Duration = Duration::from_secs(60);

/// A finding that may return mail at once is not relied upon for longer, however often it was made.
const FINAL_FINDING_MAX_AGE: Duration = Duration::from_secs(60);

struct Delivery {
    shared: Arc<Shared>,
    worker: Worker,
    connection: Option<SendConnection>,
    /// Settings and revocation lists the connection was judged under: after a change of either a
    /// new one is made and judged.
    epochs: (u64, u64),
    /// What the message that the connection was opened for asked of it: one that asks for more needs
    /// another.
    serves: TlsRequired,
    /// When the connection began, for what it tells of the peer's capacity.
    connected_at: Instant,
    targets: Option<Found>,
    /// The peer has enough of us: this worker's place is one too many.
    superfluous: bool,
    messages: usize,
    /// The outcome of the last message, on its way to the disk.
    writing: Option<JoinHandle<()>>,
}

/// Targets as they were found, under which settings and for messages that ask for what.
struct Found {
    since: Instant,
    epoch: u64,
    tls_required: TlsRequired,
    targets: Result<Vec<Target>, Box<AttemptNote>>,
}

/// One recipient of a claim still to be settled.
pub struct Pending {
    pub recipient: Recipient,
    pub address: Address,
    pub note: Option<AttemptNote>,
}

/// Runs until nothing is due for this delivery queue and the connection has lingered.
pub async fn run(shared: Arc<Shared>, worker: Worker) {
    let mut delivery = Delivery {
        shared,
        worker,
        connection: None,
        epochs: (0, 0),
        serves: TlsRequired::Unstated,
        connected_at: Instant::now(),
        targets: None,
        superfluous: false,
        messages: 0,
        writing: None,
    };
    while let Some(claim) = delivery.next_claim().await {
        let settled = delivery.attempt(&claim).await;
        delivery.write_down(claim, settled).await;
    }
    delivery.written_down().await;
    if let Some(connection) = delivery.connection.take() {
        connection.finish().await;
    }
}

impl Pending {
    fn met(self, note: AttemptNote) -> Self {
        Self { note: Some(note.after(self.note)), ..self }
    }
}

impl Delivery {
    /// The next due message; waits a little for one while a connection is open.
    async fn next_claim(&mut self) -> Option<Claim> {
        let until = Instant::now() + LINGER;
        let mut waited = false;
        loop {
            let stopped = self.shared.draining.is_cancelled() || self.shared.queue.has_failed();
            let ends = stopped || self.superfluous;
            if ends || self.worker.must_yield(self.messages, waited) {
                return None;
            }
            let mut bell = std::pin::pin!(self.worker.bell());
            bell.as_mut().enable();
            let _idle = self.worker.idle();
            match self.shared.queue.claim(&self.worker.destination, Shared::now_millis()).await {
                Ok(Some(claim)) => {
                    self.messages += 1;
                    return Some(claim);
                }
                Ok(None) if self.connection.is_none() => return None,
                Ok(None) => {}
                Err(error) => {
                    self.shared.observer.event(Event::StorageFailed { error: error.to_string() });
                    tokio::time::sleep(LINGER).await;
                    return None;
                }
            }
            waited = true;
            tokio::select! {
                () = bell => {}
                () = tokio::time::sleep_until(until.into()) => return None,
                () = self.shared.draining.cancelled() => return None,
            }
        }
    }

    async fn attempt(&mut self, claim: &Claim) -> Settled {
        let settings = self.shared.settings.load_full();
        let shared = Arc::clone(&self.shared);
        let mut settlement = Settlement::new(&shared, &settings, claim);
        let meta = match MessageMeta::from_bytes(&claim.message.meta) {
            Ok(meta) => meta,
            Err(error) => {
                settlement.unreadable(claim, &error.to_string());
                return settlement.close(None).await;
            }
        };
        let pending = settlement.due_here(claim, &self.worker.destination);
        let connector = settings.send_connectors.iter().find(|c| c.name == self.worker.destination.connector);
        let left = match connector {
            _ if pending.is_empty() => pending,
            Some(connector) => {
                self.try_all(&settings, connector, claim, &meta, pending, &mut settlement).await
            }
            None => with_note(pending, &unreachable(&self.worker.destination.next_hop)),
        };
        settlement.leave(left, &self.worker.destination, meta.tls_required);
        settlement.close(Some(&meta)).await
    }

    /// Tries the open connection, then each target, until no recipient is left. While the next hop
    /// is down nobody knocks but the one who probes it.
    async fn try_all(
        &mut self,
        settings: &Arc<Settings>,
        connector: &Arc<SendConnector>,
        claim: &Claim,
        meta: &MessageMeta,
        mut pending: Vec<Pending>,
        settlement: &mut Settlement<'_>,
    ) -> Vec<Pending> {
        let mut usable = self.reusable(settings, connector, meta.tls_required, &pending).await;
        if usable {
            pending = self.transact(settings, connector, claim, meta, pending, settlement).await;
            if pending.is_empty() {
                return pending;
            }
        }
        self.close().await;
        let begun = match self.worker.knock((settings.epoch, self.shared.revocation.load().epoch)) {
            Ok(begun) => begun,
            // It is down for those whom the policy of the recipient's domain keeps from it.
            Err(finding) if meta.tls_required == TlsRequired::No && finding.is_of_published_policy() => {
                Instant::now()
            }
            Err(finding) => {
                self.worker.waits(claim.message.id);
                return with_note(pending, &finding.of_the_next_hop());
            }
        };
        let mut targets =
            match self.targets(settings, connector, &pending[0].address, meta.tls_required).await {
                Ok(targets) => self.shared.in_order_of_hope(targets),
                Err(note) => {
                    return self.in_vain(settings, begun, &note, (claim, meta), with_note(pending, &note));
                }
            };
        if !self.worker.is_probing() && self.shared.all_failed_lately(&targets) {
            let note = unreached(&targets);
            return self.in_vain(settings, begun, &note, (claim, meta), with_note(pending, &note));
        }
        let id = claim.message.id.to_string();
        while let Some(host) = targets.first().map(|target| target.host.clone()) {
            self.close().await;
            let of_host = targets.iter().take_while(|target| target.host == host).count();
            let ways = &targets[..of_host];
            let (opened, tried) = open::open(&self.shared, settings, connector, ways, Some(&id)).await;
            targets.retain(|target| target.host != host || !tried.contains(&target.address));
            match opened {
                Opened::Ready(connection) => {
                    usable = true;
                    self.serves = meta.tls_required;
                    self.keep(settings, *connection, begun);
                }
                Opened::Failed(note) => {
                    pending = with_note(pending, &note);
                    continue;
                }
            }
            pending = self.transact(settings, connector, claim, meta, pending, settlement).await;
            if pending.is_empty() {
                return pending;
            }
        }
        let note = pending.first().and_then(|pending| pending.note.clone());
        match note.filter(|_| !usable) {
            Some(note) => self.in_vain(settings, begun, &note, (claim, meta), pending),
            None => pending,
        }
    }

    /// An open connection: what waited for one may go.
    fn keep(&mut self, settings: &Settings, connection: SendConnection, begun: Instant) {
        self.epochs = (settings.epoch, connection.lists_epoch);
        self.connected_at = begun;
        self.connection = Some(connection);
        let waited = self.worker.opened();
        self.release(waited);
    }

    /// The next hop is back, if anything waited for that.
    fn release(&self, waited: Option<Vec<MessageId>>) {
        let Some(waited) = waited else { return };
        let destination = self.worker.destination.clone();
        let (next_hop, connector) = (destination.next_hop.clone(), destination.connector.clone());
        self.shared.observer.event(Event::NextHopUp { next_hop, connector, waited: waited.len() });
        self.shared.tasks.spawn(dispatch::release(Arc::clone(&self.shared), destination, waited));
    }

    /// No target could be used. Where others have connections, the peer has enough of us and the
    /// message goes back to be theirs; else the next hop is down. What can never be delivered says
    /// nothing of the next hop.
    fn in_vain(
        &mut self,
        settings: &Settings,
        begun: Instant,
        note: &AttemptNote,
        (claim, meta): (&Claim, &MessageMeta),
        pending: Vec<Pending>,
    ) -> Vec<Pending> {
        let to = self.worker.destination.clone();
        // Nor does a host that does not do what one message alone has asked.
        let asks_for_more = meta.tls_required == TlsRequired::Yes && note.is_of_a_check();
        if (note.permanent && note.fault.is_none()) || asks_for_more {
            let waited = self.worker.answered();
            self.release(waited);
            return pending;
        }
        let longest = if note.permanent { FINAL_FINDING_MAX_AGE } else { Duration::MAX };
        let intervals = settings.retry_intervals(&to.tls_domain).iter();
        let intervals: Vec<Duration> = intervals.map(|interval| (*interval).min(longest)).collect();
        match self.worker.failed(begun, note, &intervals) {
            Failed::Down { newly } => {
                if newly {
                    let (next_hop, connector) = (to.next_hop, to.connector);
                    let reason = note.reason.clone();
                    self.shared.observer.event(Event::NextHopDown { next_hop, connector, reason });
                }
                self.targets = None;
                self.worker.waits(claim.message.id);
                pending
            }
            Failed::OthersAreThere if !note.is_of_a_check() => {
                self.tell(settings, Feedback::Enough, begun);
                self.superfluous = true;
                Vec::new()
            }
            Failed::OthersAreThere => pending,
        }
    }

    fn tell(&self, settings: &Settings, feedback: Feedback, begun: Instant) {
        let name = &self.worker.destination.connector;
        let connector = settings.send_connectors.iter().find(|connector| connector.name == *name);
        let max = connector.map_or(1, |connector| connector.max_connections_per_destination);
        self.worker.feedback(feedback, begun, max);
    }

    /// Whether the open connection can take another message, which asks this of it, under the
    /// present settings.
    async fn reusable(
        &mut self,
        settings: &Settings,
        connector: &SendConnector,
        tls_required: TlsRequired,
        pending: &[Pending],
    ) -> bool {
        let Some(connection) = self.connection.as_mut() else { return false };
        let fresh = self.epochs == (settings.epoch, self.shared.revocation.load().epoch)
            && self.serves >= tls_required
            && connection.messages < connector.max_messages_per_connection;
        let addresses = pending.iter().map(|pending| &pending.address);
        if fresh && connection.is_ready().await && connection.admits(addresses).contains(&true) {
            return true;
        }
        self.close().await;
        false
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.worker.closed();
            connection.finish().await;
        }
    }

    async fn targets(
        &mut self,
        settings: &Settings,
        connector: &SendConnector,
        recipient: &Address,
        tls_required: TlsRequired,
    ) -> Result<Vec<Target>, Box<AttemptNote>> {
        if let Some(found) = &self.targets
            && found.since.elapsed() < TARGETS_MAX_AGE
            && (found.epoch, found.tls_required) == (settings.epoch, tls_required)
        {
            return found.targets.clone();
        }
        let destination = &self.worker.destination;
        let hop = NextHop { settings, connector, destination, recipient, tls_required };
        let looking = targets::find(&self.shared, hop);
        let targets = timeout(TARGETS_TIMEOUT, looking).await.unwrap_or_else(|_| {
            let text = format!("finding the mail hosts of {} took over a minute", recipient.host());
            Err(Box::new(AttemptNote::ours(&Reply::new(451, (4, 4, 3), text.clone()), text)))
        });
        let lasts = targets.as_ref().map_or_else(|note| note.permanent, |_| true);
        let (since, epoch) = (Instant::now(), settings.epoch);
        self.targets = lasts.then(|| Found { since, epoch, tls_required, targets: targets.clone() });
        targets
    }
}

fn with_note(pending: Vec<Pending>, note: &AttemptNote) -> Vec<Pending> {
    pending.into_iter().map(|pending| pending.met(note.clone())).collect()
}

/// The hosts are those of other next hops too, and were found dead for one of these.
fn unreached(targets: &[Target]) -> AttemptNote {
    let host = targets.first().map(|target| format!("{} ({})", target.host, target.address));
    let text = format!("{} took no connection a moment ago", host.unwrap_or_default());
    AttemptNote::ours(&Reply::new(451, (4, 4, 1), text.clone()), text)
}

fn unreachable(next_hop: &str) -> AttemptNote {
    let text = format!(
        "no send connector serves {next_hop}; add its domain to the address_spaces of one \
         (a domain on the send list needs one with domain_secure_enabled)"
    );
    AttemptNote::ours(&Reply::new(451, (4, 4, 4), text.clone()), text)
}
