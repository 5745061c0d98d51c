//! The handle: everything the program above may ask of the queue. Clones share one queue.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::disk::{Disk, SystemDisk};
use crate::driver::Driver;
use crate::engine::{Body, Insert, Job, JobKind, Step};
use crate::ground::{Clock, Ground, system_clock};
use crate::journal::{Grown, Journal};
use crate::live::{Lease, Live};
use crate::readers::Readers;
use crate::recovery::Opened;
use crate::settler::Settling;
use crate::sweeper::Sweeper;
use crate::view::View;
use crate::writer::{GROUP_BYTES_MAX, Order, WAITING_MAX, Writer};
use crate::{
    Change, Claim, Content, Destination, Draft, DueDestination, Error, Message, MessageId, NewMessage,
    Options, Recovery, Statistics, Status, UnixMillis, content, recovery,
};

/// An open queue. Cheap to clone; the directory stays locked until `close` is done or the last clone
/// is gone and what was sent to it is written.
#[derive(Clone)]
pub struct Queue {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) ground: Arc<Ground>,
    free_bytes_min: u64,
    free_part: u64,
    pub(crate) orders: mpsc::Sender<Order>,
    writer: Mutex<Option<JoinHandle<()>>>,
    pub(crate) live: Arc<Live>,
    pub(crate) view: View,
    pub(crate) readers: Arc<Readers>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("directory", &self.shared.ground.directory).finish_non_exhaustive()
    }
}

impl Queue {
    /// Opens the queue in `directory`, which is made if need be, and repairs what a crash left.
    /// Blocks. `Error::Locked` if another process has it.
    pub fn open(directory: &Path, options: Options) -> Result<(Self, Recovery), Error> {
        Self::open_on(directory, options, Arc::new(SystemDisk))
    }

    /// As `open`, with all files of the queue but SQLite's on the disk given.
    pub fn open_on(
        directory: &Path,
        options: Options,
        disk: Arc<dyn Disk>,
    ) -> Result<(Self, Recovery), Error> {
        let options = options.on_disk_of(&*disk, directory);
        let ground = Ground::new(directory, disk, system_clock(), true, &options);
        let (queue, recovery, writer) = Self::prepare(ground, options)?;
        let run = move || writer.run();
        let thread = std::thread::Builder::new().name("queue-writer".into()).spawn(run);
        let thread = thread.map_err(|error| Error::io("start a thread for", directory, error))?;
        *queue.shared.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok((queue, recovery))
    }

    /// As `open_on`, without threads: whatever blocks is done by the caller, and nothing is written
    /// but by `Driver::step`. For simulations that give every run the same course.
    pub fn open_driven(
        directory: &Path,
        options: Options,
        disk: Arc<dyn Disk>,
        clock: Clock,
    ) -> Result<(Self, Recovery, Driver), Error> {
        let ground = Ground::new(directory, disk, clock, false, &options);
        let (queue, recovery, writer) = Self::prepare(ground, options)?;
        Ok((queue, recovery, Driver::new(writer)))
    }

    fn prepare(ground: Ground, options: Options) -> Result<(Self, Recovery, Writer<Journal>), Error> {
        let ground = Arc::new(ground);
        let Opened { live, segments, settler, end, lock, recovery } = recovery::open(&ground, &options)?;
        let settler = Arc::new(Mutex::new(settler));
        let settling = Settling::start(settler.clone(), ground.threads, &ground.directory)?;
        // One to write and one in reserve; without room for them, new mail is refused.
        while segments.free() < 2 && matches!(segments.grow(false)?, Grown::Yes) {}
        let (journal, index_max) = (segments.clone(), options.index_bytes_max);
        let engine = Journal::new(&ground, journal, live.clone(), settling, end, index_max);
        let (orders, receiver) = mpsc::channel(WAITING_MAX);
        let sweeper = Sweeper::start(ground.clone());
        let writer = Writer {
            engine,
            live: live.clone(),
            sweeper: sweeper.map_err(|error| Error::io("start a thread for", &ground.directory, error))?,
            orders: receiver,
            group_bytes_max: GROUP_BYTES_MAX.min(segments.bytes / 4),
            directory: ground.directory.clone(),
            lock,
        };
        let shared = Shared {
            free_bytes_min: options.free_bytes_min,
            free_part: options.free_part.max(1),
            orders,
            writer: Mutex::new(None),
            view: View { ground: ground.clone(), live: live.clone(), segments, settler },
            live,
            readers: Readers::new(ground.clone()),
            ground,
        };
        Ok((Self { shared: Arc::new(shared) }, recovery, writer))
    }

    /// Begins a message. `Error::DiskFull` when less is free than `Options` say.
    pub fn begin(&self) -> Result<Draft, Error> {
        self.shared.live.check()?;
        self.check_free_space()?;
        Ok(Draft::new(self.next_id()?, self.shared.ground.clone()))
    }

    pub(crate) fn check_free_space(&self) -> Result<(), Error> {
        let space = self.shared.ground.space()?;
        let kept_free = self.shared.free_bytes_min.min(space.total / self.shared.free_part);
        let full = space.free < kept_free;
        if full { Err(Error::DiskFull(self.shared.ground.directory.clone())) } else { Ok(()) }
    }

    pub(crate) fn next_id(&self) -> Result<MessageId, Error> {
        let Shared { live, orders, .. } = &*self.shared;
        loop {
            if let Some(below) = live.ids.wanted_ceiling() {
                let job = Job::new(vec![Step::ReserveIds { below }]);
                if orders.try_send(Order::Job(job)).is_err() {
                    live.ids.not_raised();
                }
            }
            if let Some(id) = live.ids.take() {
                return Ok(id);
            }
            // Half a million drafts were begun within one sync of the disk; the new ceiling is near.
            live.check()?;
            if orders.is_closed() {
                return Err(Error::Closed);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Stores a message; it is durable when this returns `Ok`, in one transaction shared with whatever
    /// else waited. A caller that stops waiting leaves either the whole message or nothing.
    pub async fn commit(&self, draft: Draft, message: NewMessage) -> Result<MessageId, Error> {
        let id = draft.id();
        let insert = self.complete(draft, message).await?;
        self.write(vec![insert]).await?;
        Ok(id)
    }

    /// Makes the content file durable, if there is one.
    pub(crate) async fn complete(&self, draft: Draft, message: NewMessage) -> Result<Step, Error> {
        self.shared.live.check()?;
        check_message(&message)?;
        let id = draft.id();
        if !draft.has_room() {
            self.check_free_space()?;
        }
        self.complete_body(id, message, draft.into_body()).await
    }

    pub(crate) async fn complete_body(
        &self,
        id: MessageId,
        message: NewMessage,
        body: Body,
    ) -> Result<Step, Error> {
        let insert = match body {
            body @ (Body::Inline(_) | Body::Standing { .. }) => Insert::new(id, message, body),
            Body::File(mut file) => {
                let complete = move || {
                    file.complete(id, &message)?;
                    Ok(Insert::new(id, message, Body::File(file)))
                };
                let result = self.shared.ground.blocking(complete).await;
                if let Err(Error::Failed(why)) = &result {
                    self.shared.live.fail(why.clone());
                }
                result?
            }
        };
        Ok(Step::Insert(Box::new(insert)))
    }

    pub(crate) async fn write(&self, steps: Vec<Step>) -> Result<(), Error> {
        self.send(Job::new(steps)).await
    }

    async fn send(&self, job: Job) -> Result<(), Error> {
        self.shared.live.check()?;
        self.complete_offers(&job).await?;
        let (reply, answer) = oneshot::channel();
        let order = Order::Job(Job { reply: Some(reply), ..job });
        self.shared.orders.send(order).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Carries out changes, all or none, durable on `Ok`. A change about a recipient that is gone does
    /// nothing; when all are, nothing is inserted either (`Error::NoSuchMessage`), unless next hops
    /// took them. Returns the ids of inserted messages, in order.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Vec<MessageId>, Error> {
        let taken = changes.iter().all(|change| matches!(change, Change::Taken { .. }));
        let (mut steps, mut inserted) = (Vec::with_capacity(changes.len()), Vec::new());
        for change in changes {
            steps.push(match change {
                Change::Remove { id, recipient } | Change::Taken { id, recipient } => {
                    Step::Remove { id, recipient }
                }
                Change::Retry { id, recipient, next_attempt, note } => {
                    check_note(&note)?;
                    Step::Retry { id, recipient, attempts: 0, next_attempt, note }
                }
                Change::Move { id, recipient, destination } => Step::Move { id, recipient, destination },
                Change::DelayNotified { id, recipient } => Step::DelayNotified { id, recipient },
                Change::Insert { message, content } => {
                    let mut draft = Draft::new(self.next_id()?, self.shared.ground.clone());
                    inserted.push(draft.id());
                    draft.append(&content)?;
                    self.complete(draft, message).await?
                }
            });
        }
        if taken && self.take(&steps).await? {
            return Ok(inserted);
        }
        self.send(Job::of(if taken { JobKind::Taken } else { JobKind::Outcome }, steps)).await?;
        Ok(inserted)
    }

    /// Delivery queues with something due, the longest waiting first. Reads memory only.
    pub fn due(&self, now: UnixMillis) -> Vec<DueDestination> {
        self.shared.live.index().due(now)
    }

    /// When the first unclaimed recipient is or was due.
    pub fn next_due(&self) -> Option<UnixMillis> {
        self.shared.live.index().next_due()
    }

    /// When something that is not due at `now` becomes due: how long a dispatcher may sleep when it
    /// has taken note of all that is due now.
    pub fn next_due_after(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.shared.live.index().next_due_after(now)
    }

    /// When `expired` or `delayed` next has something to say.
    pub fn next_alarm(&self) -> Option<UnixMillis> {
        self.shared.live.index().next_alarm()
    }

    /// Changes its value whenever `due`, `next_due` or `next_alarm` may answer differently.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.live.subscribe()
    }

    pub fn statistics(&self) -> Statistics {
        self.shared.live.index().statistics()
    }

    /// Claims the message that has been due longest in a delivery queue, with its due recipients.
    pub async fn claim(&self, destination: &Destination, now: UnixMillis) -> Result<Option<Claim>, Error> {
        let claimed = self.shared.live.index().claim_due(destination, now);
        match claimed {
            Some(claimed) => self.claim_of(Lease::new(&self.shared.live, claimed)).await,
            None => Ok(None),
        }
    }

    /// Claims recipients past their expiry, also held ones, of up to `limit` messages.
    pub async fn expired(&self, now: UnixMillis, limit: usize) -> Result<Vec<Claim>, Error> {
        let claimed = self.shared.live.index().claim_expired(now, limit);
        let leases: Vec<_> =
            claimed.into_iter().map(|claimed| Lease::new(&self.shared.live, claimed)).collect();
        let mut claims = Vec::with_capacity(leases.len());
        for lease in leases {
            claims.extend(self.claim_of(lease).await?);
        }
        Ok(claims)
    }

    /// `None`: its message was removed a moment ago.
    pub(crate) async fn claim_of(&self, lease: Lease) -> Result<Option<Claim>, Error> {
        let Some(mut message) = self.read_message(lease.id()).await? else { return Ok(None) };
        message.recipients.retain(|recipient| lease.recipients().binary_search(&recipient.index).is_ok());
        message.recipients.iter_mut().for_each(|recipient| recipient.status = Status::Active);
        Ok((!message.recipients.is_empty()).then_some(Claim { message, lease }))
    }

    /// Messages with recipients whose delay the sender is to be told of, with only those recipients.
    /// Not those that have expired or are claimed. This does not claim them.
    pub async fn delayed(&self, now: UnixMillis, limit: usize) -> Result<Vec<Message>, Error> {
        let late = self.shared.live.index().delayed(now, limit);
        let mut messages = Vec::with_capacity(late.len());
        for (id, numbers) in late {
            if let Some(mut message) = self.read_message(id).await? {
                message.recipients.retain(|recipient| numbers.binary_search(&recipient.index).is_ok());
                messages.push(message);
            }
        }
        Ok(messages)
    }

    async fn read_message(&self, id: MessageId) -> Result<Option<Message>, Error> {
        let cached = self.shared.live.cache().find(id);
        if let Some(cached) = cached {
            return Ok(Some((*cached.message).clone()));
        }
        if let Some((message, _)) = self.shared.live.offered(id) {
            return Ok(Some((*message).clone()));
        }
        if let Some(known) = self.shared.view.known(id) {
            return Ok(known);
        }
        let view = self.shared.view.clone();
        self.shared.readers.read(move |reader| view.message(reader, id)).await
    }

    /// The content of a message, from memory if it was committed a moment ago.
    pub async fn content(&self, id: MessageId) -> Result<Content, Error> {
        let cached = self.shared.live.cache().find(id).and_then(|cached| cached.content);
        if let Some(bytes) = cached {
            return Ok(Content::Memory(bytes));
        }
        let offered = self.shared.live.offered(id).map(|(message, content)| (message.size, content));
        match offered {
            Some((_, Some(bytes))) => return Ok(Content::Memory(bytes)),
            Some((len, None)) => {
                let Ground { disk, directory, .. } = &*self.shared.ground;
                return content::open_offered(&**disk, directory, id, len)
                    .map(|file| Content::File { file, len });
            }
            None => {}
        }
        let view = self.shared.view.clone();
        if let Some(place) = self.shared.view.place(id) {
            let view = view.clone();
            if let Some(content) = self.shared.ground.blocking(move || view.read(&place)).await? {
                return Ok(content);
            }
        }
        self.shared.readers.read(move |reader| view.content(reader, id)).await
    }

    /// Finishes what was sent before, tidies up and unlocks the directory. Later calls of other clones
    /// get `Error::Closed`.
    pub async fn close(self) {
        // An error means that it is closed already.
        let _ = self.shared.orders.send(Order::Close).await;
        self.shared.readers.close();
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }
}

pub(crate) fn check_message(message: &NewMessage) -> Result<(), Error> {
    match message {
        NewMessage { recipients, .. } if recipients.is_empty() => {
            Err(Error::Invalid("a message without recipients"))
        }
        NewMessage { recipients, .. } if recipients.len() > crate::RECIPIENTS_MAX => {
            Err(Error::Invalid("a message with more than 10,000 recipients"))
        }
        NewMessage { meta, .. } if meta.len() > crate::META_BYTES_MAX => {
            Err(Error::Invalid("more than 64 KiB of meta"))
        }
        _ => Ok(()),
    }
}

fn check_note(note: &[u8]) -> Result<(), Error> {
    if note.len() > crate::NOTE_BYTES_MAX {
        Err(Error::Invalid("a note of more than 16 KiB"))
    } else {
        Ok(())
    }
}
