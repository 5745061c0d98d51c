//! What a storage engine must do, and the steps it is asked to carry out. A second engine (one queue
//! shared by several edges) implements the same two traits.

use bytes::Bytes;

use crate::content::ContentFile;
use crate::{Destination, Error, Filter, Message, MessageId, NewMessage, UnixMillis};

/// The one that writes; owned by the writer thread.
pub(crate) trait Engine: Send {
    /// Carries out all steps in one transaction. `Ok` means durable; an error means that none of the
    /// steps took effect, or, for `Fault::Broken`, that nobody knows.
    fn commit(&mut self, steps: &mut dyn Iterator<Item = &Step>) -> Result<(), Fault>;
    /// Called when no more work waits and before the end.
    fn close(&mut self);
}

/// One of those that read, each on a connection of its own.
pub(crate) trait Reader: Send {
    fn message(&mut self, id: MessageId) -> Result<Option<Message>, Error>;
    fn content(&mut self, id: MessageId) -> Result<Option<Stored>, Error>;
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
}

impl Body {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::File(file) => file.len(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Insert {
    pub id: MessageId,
    pub message: NewMessage,
    pub body: Body,
}

/// One step; those of one `apply` or `commit` take effect together. A step about a recipient that is
/// gone does nothing.
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

/// Why a transaction failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// No room; nothing took effect.
    Full,
    /// This transaction cannot be; nothing took effect.
    Refused(rusqlite::Error),
    /// The disk failed: what is durable is unknown until the next start.
    Broken(String),
}
