//! Working through one delivery queue: claim a message, try the targets in order, settle each
//! recipient, keep the connection for the next. The outcome of one message is written down while
//! the next is being sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_queue::{Claim, Recipient};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::mail::Address;
use crate::observe::Event;
use crate::policy::{SendConnector, Settings};
use crate::session::send::{Outcome, Transaction};
use crate::smtp::Reply;

use super::content::{HeadRules, Outgoing};
use super::dispatch::Worker;
use super::open::{self, Opened};
use super::record::{AttemptNote, MessageMeta};
use super::send::SendConnection;
use super::settle::{Settled, Settlement};
use super::shared::Shared;
use super::targets::{self, Target};
use super::{exchange_fields, route};

/// How long a connection waits for another message of its delivery queue.
const LINGER: Duration = Duration::from_secs(2);
/// How long the targets of a next hop are used before DNS is asked again.
const TARGETS_MAX_AGE: Duration = Duration::from_secs(60);
/// All look-ups for a next hop together, however many hosts its DNS names.
const TARGETS_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a next hop that could not be used is left alone. A full queue always has something due,
/// so that the worker alone would never end and never knock again.
const DOWN_MAX_AGE: Duration = Duration::from_secs(60);

struct Delivery {
    shared: Arc<Shared>,
    worker: Worker,
    connection: Option<SendConnection>,
    /// Settings and revocation lists the connection was judged under: after a change of either a
    /// new one is made and judged.
    epochs: (u64, u64),
    targets: Option<(Instant, Vec<Target>)>,
    /// No target could be used: the rest of what is due gets the same finding without a knock.
    down: Option<(Instant, AttemptNote)>,
    /// The outcome of the last message, on its way to the disk.
    writing: Option<JoinHandle<()>>,
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
        targets: None,
        down: None,
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
        loop {
            if self.shared.draining.is_cancelled() {
                return None;
            }
            let mut bell = std::pin::pin!(self.worker.bell());
            bell.as_mut().enable();
            let _idle = self.worker.idle();
            match self.shared.queue.claim(&self.worker.destination, Shared::now_millis()).await {
                Ok(Some(claim)) => return Some(claim),
                Ok(None) if self.connection.is_none() || self.down.is_some() => return None,
                Ok(None) => {}
                Err(error) => {
                    self.shared.observer.event(Event::StorageFailed { error: error.to_string() });
                    tokio::time::sleep(LINGER).await;
                    return None;
                }
            }
            tokio::select! {
                () = bell => {}
                () = tokio::time::sleep_until(until.into()) => return None,
                () = self.shared.draining.cancelled() => return None,
            }
        }
    }

    /// Hands an outcome to the queue; the claim is held until it is durable. At most one waits, so
    /// that a crash leaves at most two messages of a worker delivered and not known to be.
    async fn write_down(&mut self, claim: Claim, settled: Settled) {
        self.written_down().await;
        let shared = Arc::clone(&self.shared);
        self.writing = Some(self.shared.tasks.spawn(async move {
            settled.store(&shared).await;
            drop(claim);
        }));
    }

    async fn written_down(&mut self) {
        if let Some(writing) = self.writing.take() {
            // Fails only by a panic, which has given the claim back.
            let _ = writing.await;
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
        settlement.leave(left, &self.worker.destination);
        settlement.close(Some(&meta)).await
    }

    /// Tries the open connection, then each target, until no recipient is left.
    async fn try_all(
        &mut self,
        settings: &Arc<Settings>,
        connector: &Arc<SendConnector>,
        claim: &Claim,
        meta: &MessageMeta,
        mut pending: Vec<Pending>,
        settlement: &mut Settlement<'_>,
    ) -> Vec<Pending> {
        self.down.take_if(|(since, _)| since.elapsed() >= DOWN_MAX_AGE);
        if let Some((_, note)) = &self.down {
            return with_note(pending, note);
        }
        if self.reusable(settings, connector).await {
            pending = self.transact(settings, connector, claim, meta, pending, settlement).await;
            if pending.is_empty() {
                return pending;
            }
        }
        let targets = match self.targets(settings, connector, &pending[0].address).await {
            Ok(targets) => targets,
            Err(reply) => {
                let note = AttemptNote::ours(&reply, reply.lines.join(" "));
                self.down = Some((Instant::now(), note.clone()));
                return with_note(pending, &note);
            }
        };
        let mut connected = false;
        for target in targets {
            self.close().await;
            match open::open(
                &self.shared,
                settings,
                connector,
                &self.worker.destination,
                &target,
                &pending[0].address,
            )
            .await
            {
                Opened::Ready(connection) => {
                    connected = true;
                    self.epochs = (settings.epoch, connection.lists_epoch);
                    self.connection = Some(*connection);
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
        if !connected {
            let note = pending.first().and_then(|pending| pending.note.clone());
            self.down = note.map(|note| (Instant::now(), note));
        }
        pending
    }

    /// Whether the open connection can take another message under the present settings.
    async fn reusable(&mut self, settings: &Settings, connector: &SendConnector) -> bool {
        let Some(connection) = self.connection.as_mut() else { return false };
        let fresh = self.epochs == (settings.epoch, self.shared.revocation.load().epoch)
            && connection.messages < connector.max_messages_per_connection;
        if fresh && connection.is_ready().await {
            return true;
        }
        self.close().await;
        false
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.finish().await;
        }
    }

    async fn targets(
        &mut self,
        settings: &Settings,
        connector: &SendConnector,
        recipient: &Address,
    ) -> Result<Vec<Target>, Reply> {
        if let Some((since, targets)) = &self.targets
            && since.elapsed() < TARGETS_MAX_AGE
        {
            return Ok(targets.clone());
        }
        let here = &self.worker.destination;
        let looking = targets::find(&self.shared, settings, connector, here, recipient);
        let found = timeout(TARGETS_TIMEOUT, looking).await.unwrap_or_else(|_| {
            let text = format!("finding the mail hosts of {} took over a minute", recipient.host());
            Err(Reply::new(451, (4, 4, 3), text))
        })?;
        self.targets = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    /// One transaction on the open connection; gives back the recipients still unsettled.
    async fn transact(
        &mut self,
        settings: &Settings,
        connector: &SendConnector,
        claim: &Claim,
        meta: &MessageMeta,
        pending: Vec<Pending>,
        settlement: &mut Settlement<'_>,
    ) -> Vec<Pending> {
        let content = match self.outgoing(settings, connector, claim, meta, &pending).await {
            Ok(content) => content,
            Err(note) => return with_note(pending, &note),
        };
        let transaction = Transaction {
            reverse_path: meta.reverse_path.clone(),
            recipients: pending.iter().map(|pending| pending.address.clone()).collect(),
            body: meta.body,
            smtputf8: meta.smtputf8,
            eight_bit: meta.eight_bit,
            size: claim.message.size,
        };
        let Some(connection) = self.connection.as_mut() else { return pending };
        let outcomes = connection.deliver(transaction, content).await;
        let host = connection.opening().host.clone();
        let all_taken = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered { .. }));
        let tail = if all_taken { Vec::new() } else { connection.transcript_tail() };
        let secured = connection.secured.take();
        let mut left = Vec::new();
        let mut delivered = Vec::new();
        for (pending, outcome) in pending.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Delivered { .. } => delivered.push(pending),
                Outcome::Refused { reply, command, from_peer } => {
                    let note = refusal(&reply, command, from_peer, &host).with_transcript(&tail);
                    if reply.is_permanent() && from_peer {
                        settlement.bounce(&pending, note);
                    } else {
                        left.push(pending.met(note));
                    }
                }
                Outcome::Broken { error } => {
                    left.push(pending.met(AttemptNote::broken(&host, &error).with_transcript(&tail)));
                }
            }
        }
        let session = connection.opening().id;
        settlement.delivered(delivered, &host, session, secured);
        left
    }

    /// The content as this connector sends it.
    async fn outgoing(
        &self,
        settings: &Settings,
        connector: &SendConnector,
        claim: &Claim,
        meta: &MessageMeta,
        pending: &[Pending],
    ) -> Result<Outgoing, AttemptNote> {
        let unreadable = |error: String| {
            let reply = Reply::new(451, (4, 3, 0), "the stored content cannot be read");
            AttemptNote::ours(&reply, format!("the content of this message cannot be read: {error}"))
        };
        let content =
            self.shared.queue.content(claim.message.id).await.map_err(|e| unreadable(e.to_string()))?;
        let domain = pending.first().and_then(|pending| pending.address.domain());
        let inside = domain.is_some_and(|domain| {
            settings.accepted_domain(domain).is_some() && !route::is_send_secure(settings, domain)
        });
        let send_organization_headers = connector.send_organization_headers.unwrap_or(inside);
        let exchange_fields = exchange_fields::render(settings, connector, meta);
        let rules = HeadRules { send_organization_headers, exchange_fields: &exchange_fields };
        Outgoing::prepare(content, &rules).map_err(|error| unreadable(error.to_string()))
    }
}

fn refusal(reply: &Reply, command: &str, from_peer: bool, host: &str) -> AttemptNote {
    if from_peer {
        AttemptNote::from_reply(reply, command, host)
    } else {
        AttemptNote { host: Some(host.to_owned()), ..AttemptNote::ours(reply, reply.lines.join(" ")) }
    }
}

fn with_note(pending: Vec<Pending>, note: &AttemptNote) -> Vec<Pending> {
    pending.into_iter().map(|pending| pending.met(note.clone())).collect()
}

fn unreachable(next_hop: &str) -> AttemptNote {
    let text = format!(
        "no send connector serves {next_hop}; add its domain to the address_spaces of one \
         (a domain on the send list needs one with domain_secure_enabled)"
    );
    AttemptNote::ours(&Reply::new(451, (4, 4, 4), text.clone()), text)
}
