//! Offering a message: it can be claimed and delivered at once, while nothing of it is durable. Whoever
//! offers it answers its sender when next hops have taken it or it is durable, and decides how long to
//! wait for the one before asking for the other.

use tokio::sync::{oneshot, watch};

use crate::engine::{Body, Insert, Job, JobKind, Step};
use crate::offers::Completion;
use crate::queue::check_message;
use crate::writer::Order;
use crate::{Draft, Error, MessageId, NewMessage, Queue};

/// Why the sender of a message may be told that it needs it no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safe {
    /// As after `Queue::commit`.
    Durable,
    /// Next hops have taken it for every recipient; nothing of it is left here.
    Taken,
}

/// A message that is offered. Dropped before it is safe it is withdrawn, whole, like a commit that
/// nobody waits for; who drops it afterwards has told of it (`Queue::told`).
#[derive(Debug)]
pub struct Offer {
    queue: Queue,
    id: MessageId,
    changes: watch::Receiver<()>,
}

impl Queue {
    /// As `begin`, also where the disk has no room: such a message must fit into memory, and be taken
    /// by next hops while it is offered.
    pub fn begin_to_offer(&self) -> Result<Draft, Error> {
        match self.begin() {
            Err(Error::DiskFull(_)) => Ok(Draft::without_room(self.next_id()?, self.shared.ground.clone())),
            other => other,
        }
    }

    /// Makes a message claimable before it is durable. Where there is no memory to hold it so, it is
    /// committed.
    pub async fn offer(&self, draft: Draft, message: NewMessage) -> Result<OfferedOr, Error> {
        self.shared.live.check()?;
        check_message(&message)?;
        let (id, has_room) = (draft.id(), draft.has_room());
        let insert = Box::new(Insert::new(id, message, draft.into_body()));
        let insert = match self.shared.live.offer(insert, has_room) {
            Ok(changes) => return Ok(OfferedOr::Offered(Offer { queue: self.clone(), id, changes })),
            Err(insert) => *insert,
        };
        if !has_room {
            self.check_free_space()?;
        }
        let step = self.complete_body(id, insert.message, insert.body).await?;
        self.write(vec![step]).await?;
        Ok(OfferedOr::Durable(id))
    }

    /// Whether a message is offered, and whoever offered it has not told of it.
    pub fn is_offered(&self, id: MessageId) -> bool {
        self.shared.live.watch_offer(id).is_some()
    }

    /// Whether a message is in the queue, durable or offered.
    pub fn contains(&self, id: MessageId) -> bool {
        self.shared.live.index().contains(id)
    }

    /// Returns when whoever offered this message has told of it; at once if nobody has, or did not wait.
    pub async fn told(&self, id: MessageId) {
        if let Some(mut changes) = self.shared.live.watch_offer(id) {
            while changes.changed().await.is_ok() {}
        }
    }

    /// Whether these removals were all of messages that are offered, and nothing need be written.
    pub(crate) async fn take(&self, steps: &[Step]) -> Result<bool, Error> {
        let Some(freed) = self.shared.live.take(steps) else { return Ok(false) };
        if freed.iter().any(|insert| insert.body.in_file()) {
            // Freeing a large file takes its time.
            let free = move || {
                drop(freed);
                Ok(())
            };
            self.shared.ground.blocking(free).await?;
        }
        Ok(true)
    }

    /// Prepares the offered messages that these steps will store: room, and durable content files.
    pub(crate) async fn complete_offers(&self, job: &Job) -> Result<(), Error> {
        if self.shared.live.offers().is_empty() {
            return Ok(());
        }
        for id in job.steps.iter().filter_map(Step::changes) {
            let Err(error) = self.complete_offer(id).await else { continue };
            if job.kind == JobKind::Plain {
                return Err(error);
            }
            self.shared.live.withdraw(id, &error);
            return Err(Error::NoSuchMessage(id));
        }
        Ok(())
    }

    async fn complete_offer(&self, id: MessageId) -> Result<(), Error> {
        if self.shared.live.lacks_room(id) {
            self.check_free_space()?;
        }
        loop {
            let insert = match self.shared.live.completion(id) {
                Completion::Nothing => return Ok(()),
                Completion::Wait(mut changes) => {
                    // An error means that it is over.
                    let _ = changes.changed().await;
                    continue;
                }
                Completion::Sync(insert) => insert,
            };
            let live = self.shared.live.clone();
            let complete = move || {
                let mut insert = insert;
                let Insert { message, body, .. } = &mut *insert;
                let completed = match body {
                    Body::File(file) => file.complete(id, message),
                    Body::Inline(_) | Body::Standing { .. } => Ok(()),
                };
                if let Err(Error::Failed(why)) = &completed {
                    live.fail(why.clone());
                }
                live.put_back(insert);
                completed
            };
            return self.shared.ground.blocking(complete).await;
        }
    }
}

/// What `Queue::offer` came to.
#[derive(Debug)]
pub enum OfferedOr {
    Offered(Offer),
    /// It could not be offered, and is durable.
    Durable(MessageId),
}

impl Offer {
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Waits until the message is safe, or can be no more. Whoever gives up waiting may go on with
    /// `commit`.
    pub async fn outcome(&mut self) -> Result<Safe, Error> {
        loop {
            self.changes.mark_unchanged();
            if let Some(outcome) = self.queue.shared.live.outcome(self.id) {
                return outcome;
            }
            self.changes.changed().await.map_err(|_| Error::Closed)?;
        }
    }

    /// The same for as long as all that is left of the message is being delivered. `None`: it is not.
    pub async fn outcome_in_hand(&mut self) -> Option<Result<Safe, Error>> {
        loop {
            self.changes.mark_unchanged();
            if let Some(outcome) = self.queue.shared.live.outcome(self.id) {
                return Some(outcome);
            }
            if !self.queue.shared.live.index().is_in_hand(self.id) {
                return None;
            }
            self.changes.changed().await.ok()?;
        }
    }

    /// Makes the message durable as it is now, unless it is safe before. After an error it is offered
    /// still.
    pub async fn commit(&mut self) -> Result<Safe, Error> {
        if let Some(outcome) = self.queue.shared.live.outcome(self.id) {
            return outcome;
        }
        let shared = &self.queue.shared;
        shared.live.check()?;
        self.queue.complete_offer(self.id).await?;
        let (reply, answer) = oneshot::channel();
        let job = Job { reply: Some(reply), ..Job::of(JobKind::Store(self.id), Vec::new()) };
        shared.orders.send(Order::Job(job)).await.map_err(|_| Error::Closed)?;
        match answer.await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) => self.outcome().await,
            // Nothing was left to do, or the same is on its way with what became of the message.
            Err(_) => match self.queue.shared.live.is_withheld(self.id) {
                true => Err(Error::Closed),
                false => self.outcome().await,
            },
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.queue.shared.live.abandon(self.id);
    }
}
