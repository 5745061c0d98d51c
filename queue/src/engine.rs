//! What a storage engine must do, and the steps it is asked to carry out. A second engine (one queue
//! shared by several edges) implements the same two traits.

use std::path::Path;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::content::ContentFile;
use crate::journal::Place;
use crate::{Destination, Error, Filter, Message, MessageId, NewMessage, Recipient, Status, UnixMillis};

/// What makes jobs durable; owned by the writer.
pub(crate) trait Engine: Send {
    /// Makes all jobs durable with one sync, each whole or not at all, and notes in them where they
    /// stand. An error means that none took effect, or, for `Fault::Broken`, that nobody knows.
    fn commit(&mut self, group: &mut [Job]) -> Result<(), Fault>;
    /// The group is visible to everyone: time for what can follow behind.
    fn committed(&mut self);
    /// Called when no more work waits and before the end.
    fn close(&mut self);
}

/// One of those that read, each on a connection of its own.
pub(crate) trait Reader: Send {
    fn message(&mut self, id: MessageId) -> Result<Option<Message>, Error>;
    fn content(&mut self, id: MessageId) -> Result<Option<Stored>, Error>;
    /// Everything read from now on is of this moment, until `release`.
    fn hold(&mut self) -> Result<(), Error>;
    fn release(&mut self);
    /// Messages of which a recipient meets `filter`, oldest first, with all their recipients, until
    /// `take` says that it has enough. `Status::Active` is not known here and matches everything.
    fn select(&mut self, filter: &Filter, take: &mut dyn FnMut(Message) -> bool) -> Result<(), Error>;
}

/// Where the content of a message stands.
pub(crate) enum Stored {
    Inline(Bytes),
    File { len: u64 },
}

/// Content on its way into the queue.
#[derive(Debug)]
pub(crate) enum Body {
    Inline(Bytes),
    File(ContentFile),
    /// On the disk already: in the journal or in a file, found there at start.
    Standing {
        len: u64,
        in_file: bool,
    },
}

impl Body {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::File(file) => file.len(),
            Self::Standing { len, .. } => *len,
        }
    }

    pub(crate) fn in_file(&self) -> bool {
        matches!(self, Self::File(_) | Self::Standing { in_file: true, .. })
    }
}

#[derive(Debug)]
pub(crate) struct Insert {
    pub id: MessageId,
    pub message: NewMessage,
    pub body: Body,
    /// Where the journal holds the content, once it does.
    pub place: Option<Place>,
    /// It was offered first, so that the index in memory has it already.
    pub offered: bool,
}

impl Insert {
    pub(crate) fn new(id: MessageId, message: NewMessage, body: Body) -> Self {
        Self { id, message, body, place: None, offered: false }
    }

    /// The message as it stands in the queue from now on.
    pub(crate) fn stored(&self) -> Message {
        let recipients = self.message.recipients.iter().zip(0..).map(|(recipient, index)| Recipient {
            index,
            address: recipient.address.clone(),
            destination: recipient.destination.clone(),
            status: Status::Ready,
            attempts: 0,
            expires: recipient.expires,
            next_attempt: recipient.due,
            notify_delay_at: recipient.notify_delay_at,
            note: Vec::new(),
        });
        Message {
            id: self.id,
            sender: self.message.sender.clone(),
            received: self.message.received,
            size: self.body.len(),
            meta: self.message.meta.clone(),
            recipients: recipients.collect(),
        }
    }
}

/// Steps that take effect together.
pub(crate) struct Job {
    pub kind: JobKind,
    pub steps: Vec<Step>,
    /// `None`: nobody waits.
    pub reply: Option<oneshot::Sender<Result<(), Error>>>,
    /// Its place in the order of all jobs, once it is durable.
    pub sequence: u64,
}

/// Who brings steps, as far as that decides what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobKind {
    /// Mail that comes in, an operator, the queue itself.
    Plain,
    /// What became of claimed recipients. When all of them are gone, nothing happens at all: no report
    /// enters the queue about a message that never was in it.
    Outcome,
    /// Next hops have taken the recipients, and there is nothing to tell anybody: of a message that is
    /// offered nothing needs to be written.
    Taken,
    /// Makes a message durable that is offered.
    Store(MessageId),
}

impl Job {
    pub(crate) fn new(steps: Vec<Step>) -> Self {
        Self { kind: JobKind::Plain, steps, reply: None, sequence: 0 }
    }

    pub(crate) fn of(kind: JobKind, steps: Vec<Step>) -> Self {
        Self { kind, ..Self::new(steps) }
    }

    pub(crate) fn answer(&mut self, answer: Result<(), Error>) {
        // Whoever gave up waiting finds out from the queue.
        let _ = self.reply.take().map(|reply| reply.send(answer));
    }

    /// Brings mail in; what only tells what became of it is taken longer on a full disk.
    pub(crate) fn inserts(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Insert(_)))
    }

    /// Content that stands in the journal.
    pub(crate) fn bytes(&self) -> u64 {
        let inline = |step: &Step| match step {
            Step::Insert(insert) => match &insert.body {
                Body::Inline(bytes) => bytes.len() as u64,
                Body::File(_) | Body::Standing { .. } => 0,
            },
            _ => 0,
        };
        self.steps.iter().map(inline).sum()
    }
}

/// One step; those of one `apply` or `commit` take effect together. A step about a recipient that is
/// gone does nothing. Steps name what is, not by how much it changes: taken twice they are as once.
#[derive(Debug)]
pub(crate) enum Step {
    Insert(Box<Insert>),
    Remove {
        id: MessageId,
        recipient: u32,
    },
    Retry {
        id: MessageId,
        recipient: u32,
        /// With this one; the writer counts.
        attempts: u32,
        next_attempt: UnixMillis,
        note: Vec<u8>,
    },
    Move {
        id: MessageId,
        recipient: u32,
        destination: Destination,
    },
    DelayNotified {
        id: MessageId,
        recipient: u32,
    },
    Hold {
        id: MessageId,
        recipient: u32,
        held: bool,
    },
    Due {
        id: MessageId,
        recipient: u32,
        due: UnixMillis,
    },
    /// No id from `below` on has been given out.
    ReserveIds {
        below: u64,
    },
}

impl Step {
    /// The message a step that is not an insert changes.
    pub(crate) fn changes(&self) -> Option<MessageId> {
        self.recipient().map(|(id, _)| id)
    }

    /// The recipient it changes.
    pub(crate) fn recipient(&self) -> Option<(MessageId, u32)> {
        match self {
            Self::Insert(_) | Self::ReserveIds { .. } => None,
            Self::Remove { id, recipient }
            | Self::Retry { id, recipient, .. }
            | Self::Move { id, recipient, .. }
            | Self::DelayNotified { id, recipient }
            | Self::Hold { id, recipient, .. }
            | Self::Due { id, recipient, .. } => Some((*id, *recipient)),
        }
    }

    /// A message that was offered first.
    pub(crate) fn offered(&self) -> Option<&Insert> {
        match self {
            Self::Insert(insert) => Some(&**insert).filter(|insert| insert.offered),
            _ => None,
        }
    }

    /// Once more, but for inserts, which hold content.
    pub(crate) fn copy(&self) -> Option<Self> {
        Some(match self {
            Self::Insert(_) => return None,
            Self::Remove { id, recipient } => Self::Remove { id: *id, recipient: *recipient },
            Self::Retry { id, recipient, attempts, next_attempt, note } => Self::Retry {
                id: *id,
                recipient: *recipient,
                attempts: *attempts,
                next_attempt: *next_attempt,
                note: note.clone(),
            },
            Self::Move { id, recipient, destination } => {
                Self::Move { id: *id, recipient: *recipient, destination: destination.clone() }
            }
            Self::DelayNotified { id, recipient } => Self::DelayNotified { id: *id, recipient: *recipient },
            Self::Hold { id, recipient, held } => Self::Hold { id: *id, recipient: *recipient, held: *held },
            Self::Due { id, recipient, due } => Self::Due { id: *id, recipient: *recipient, due: *due },
            Self::ReserveIds { below } => Self::ReserveIds { below: *below },
        })
    }

    /// Does to a message what the step says.
    pub(crate) fn apply_to(&self, message: &mut Message) {
        let mut one = |number: &u32, change: &mut dyn FnMut(&mut Recipient)| {
            let found = message.recipients.binary_search_by_key(number, |recipient| recipient.index);
            if let Ok(at) = found {
                change(&mut message.recipients[at]);
            }
        };
        match self {
            Self::Insert(_) | Self::ReserveIds { .. } => {}
            Self::Remove { recipient, .. } => message.recipients.retain(|one| one.index != *recipient),
            Self::Retry { recipient, attempts, next_attempt, note, .. } => one(recipient, &mut |one| {
                (one.attempts, one.next_attempt, one.note) = (*attempts, *next_attempt, note.clone());
                if one.status == Status::Ready {
                    one.status = Status::Retry;
                }
            }),
            Self::Move { recipient, destination, .. } => {
                one(recipient, &mut |one| one.destination = destination.clone());
            }
            Self::DelayNotified { recipient, .. } => one(recipient, &mut |one| one.notify_delay_at = None),
            Self::Hold { recipient, held, .. } => one(recipient, &mut |one| {
                one.status = match (held, one.attempts) {
                    (true, _) => Status::Suspended,
                    (false, 0) => Status::Ready,
                    (false, _) => Status::Retry,
                };
            }),
            Self::Due { recipient, due, .. } => one(recipient, &mut |one| one.next_attempt = *due),
        }
    }
}

/// Why a transaction failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// No room; nothing took effect.
    Full,
    /// More than fits into a segment of the journal; nothing took effect.
    TooLarge,
    /// This transaction cannot be; nothing took effect.
    Refused(rusqlite::Error),
    /// The disk failed: what is durable is unknown until the next start.
    Broken(String),
}

impl Fault {
    pub(crate) fn into_error(self, directory: &Path) -> Error {
        match self {
            Self::Full => Error::DiskFull(directory.to_path_buf()),
            Self::TooLarge => Error::Invalid("more in one step than a segment of the journal holds"),
            Self::Refused(error) => Error::Index(error),
            Self::Broken(why) => Error::Failed(why),
        }
    }
}
