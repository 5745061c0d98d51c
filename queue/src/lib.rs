//! A durable message queue: opaque content, small typed records, due times. It knows nothing of
//! SMTP. README.md holds the on-disk format and the table of legal states.
//!
//! A message enters by `begin` → `append` → `commit`; it is durable when `commit` returns. `due` says
//! which delivery queues have work, `claim` hands out one message of one of them, `apply` records
//! what came of it. Instead of `commit`, `offer` makes it claimable before it is durable.

#![forbid(unsafe_code)]

mod cache;
mod check;
mod content;
mod disk;
mod draft;
mod driver;
mod engine;
mod ground;
mod ids;
mod index;
mod journal;
mod live;
mod offer;
mod offers;
mod operator;
mod pending;
mod queue;
mod readers;
mod rebuild;
mod recovery;
mod settler;
mod sqlite;
mod sweeper;
mod view;
mod writer;

use std::path::PathBuf;

use bytes::Bytes;

pub use crate::check::{CheckReport, Finding, check};
pub use crate::content::ContentReader;
pub use crate::disk::{Disk, DiskFile, DiskLock, Space, SystemDisk};
pub use crate::draft::Draft;
pub use crate::driver::Driver;
pub use crate::ground::Clock;
pub use crate::index::{Brought, Due};
pub use crate::offer::{Offer, OfferedOr, Safe};
pub use crate::queue::Queue;
pub use crate::rebuild::{RebuildReport, rebuild};

/// Content up to this many bytes stands in the journal and is committed with its record, as long as
/// there is memory for it; larger content has a file of its own.
pub const INLINE_BYTES_MAX: usize = 1280 << 10;
/// Most bytes of `NewMessage::meta`.
pub const META_BYTES_MAX: usize = 64 << 10;
/// Most bytes of a recipient's note.
pub const NOTE_BYTES_MAX: usize = 16 << 10;
/// Most recipients of one message.
pub const RECIPIENTS_MAX: usize = 10_000;

/// For the fuzz target: a job of the journal, read and written again.
#[doc(hidden)]
pub fn reencode_job(job: &[u8]) -> Option<Vec<u8>> {
    journal::reencode(job)
}

/// Milliseconds since the Unix epoch, UTC.
pub type UnixMillis = i64;

/// Name of a message in the queue: unique for the life of the data directory, sorts by age.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct MessageId(pub u64);

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl std::fmt::Debug for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for MessageId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// A delivery queue: next hop × connector × TLS domain ("" where none).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Destination {
    pub next_hop: String,
    pub connector: String,
    pub tls_domain: String,
}

/// A message as it enters the queue.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub sender: String,
    pub received: UnixMillis,
    /// Whatever the caller needs again at delivery; at most 64 KiB.
    pub meta: Vec<u8>,
    pub recipients: Vec<NewRecipient>,
}

#[derive(Clone, Debug)]
pub struct NewRecipient {
    pub address: String,
    pub destination: Destination,
    pub due: UnixMillis,
    /// When the caller gives up on this recipient (`Queue::expired` then names the message);
    /// recipients of one message may differ.
    pub expires: UnixMillis,
    /// When the sender is to be told of a delay; `None`: never.
    pub notify_delay_at: Option<UnixMillis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Claimed; being delivered.
    Active,
    /// Due, never tried.
    Ready,
    /// Tried, waits for its next attempt.
    Retry,
    /// Held by an operator.
    Suspended,
}

/// One recipient as it stands in the queue.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Unique within its message.
    pub index: u32,
    pub address: String,
    pub destination: Destination,
    pub status: Status,
    pub attempts: u32,
    pub next_attempt: UnixMillis,
    pub expires: UnixMillis,
    pub notify_delay_at: Option<UnixMillis>,
    /// What the caller last noted, such as the peer's last reply; opaque, at most 16 KiB.
    pub note: Vec<u8>,
}

/// One message as it stands in the queue, without its content.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: MessageId,
    pub sender: String,
    pub received: UnixMillis,
    pub size: u64,
    pub meta: Vec<u8>,
    pub recipients: Vec<Recipient>,
}

impl Message {
    /// Bytes of memory, about.
    pub(crate) fn memory(&self) -> usize {
        let per_recipient = |recipient: &Recipient| {
            let Recipient { address, destination, note, .. } = recipient;
            let Destination { next_hop, connector, tls_domain } = destination;
            let names = address.len() + next_hop.len() + connector.len() + tls_domain.len();
            size_of::<Recipient>() + names + note.len()
        };
        let recipients: usize = self.recipients.iter().map(per_recipient).sum();
        size_of::<Self>() + self.sender.len() + self.meta.len() + recipients
    }
}

/// A claim on the due recipients of one message in one delivery queue. They stay `Active` until
/// `apply` names them or the claim is dropped (which makes them due again at once).
#[derive(Debug)]
pub struct Claim {
    /// Its recipients are only those of this claim, all `Active`.
    pub message: Message,
    /// Gives the recipients back when dropped.
    #[expect(dead_code, reason = "held for its Drop")]
    pub(crate) lease: live::Lease,
}

/// Content of a message, from its first byte.
#[derive(Debug)]
pub enum Content {
    Memory(Bytes),
    /// Reads from the first byte of content; `len` bytes follow.
    File {
        file: ContentReader,
        len: u64,
    },
}

/// A delivery queue that has something to deliver now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDestination {
    pub destination: Destination,
    /// Due recipients nobody has claimed; counted up to 100.
    pub recipients: usize,
    /// Since when the first of them is due.
    pub earliest: UnixMillis,
}

/// A delivery queue with all that is in it; recipients are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationSummary {
    pub destination: Destination,
    pub active: usize,
    pub ready: usize,
    pub retry: usize,
    pub suspended: usize,
    /// When its oldest message was received.
    pub oldest_received: UnixMillis,
    /// Of those that wait for one; `None`: all are held or in hand.
    pub next_attempt: Option<UnixMillis>,
    /// The message that was tried most often, if any was.
    pub most_tried: Option<MessageId>,
}

impl DestinationSummary {
    fn of(destination: &Destination, received: UnixMillis) -> Self {
        Self {
            destination: destination.clone(),
            active: 0,
            ready: 0,
            retry: 0,
            suspended: 0,
            oldest_received: received,
            next_attempt: None,
            most_tried: None,
        }
    }
}

/// How much is in the queue: messages, each counted under the liveliest status of its recipients
/// (active, ready, retry, suspended).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Statistics {
    pub active: usize,
    pub ready: usize,
    pub retry: usize,
    pub suspended: usize,
    /// When the oldest message was received.
    pub oldest_received: Option<UnixMillis>,
}

/// What start-up found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    pub messages: usize,
    pub recipients: usize,
    /// Content files without a record: never acknowledged, or already delivered. Deleted.
    pub orphans_removed: usize,
    /// Messages put back from their content files because the index was lost.
    pub rebuilt: usize,
    /// Messages whose content file is gone or cut short; they are held (`Suspended`).
    pub content_missing: Vec<MessageId>,
}

/// Settings of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Memory for messages committed a moment ago, so that delivery need not read the disk.
    pub cache_bytes_max: usize,
    /// Free bytes on the disk below which no new message is taken, so that the outcome of those
    /// already here can still be recorded.
    pub free_bytes_min: u64,
    /// On a small disk one part in so many is enough, if that is less.
    pub free_part: u64,
    /// Largest size of the index (records and small content); beyond it `Error::DiskFull`.
    pub index_bytes_max: Option<u64>,
    /// Size of a segment of the journal; at least 1 MiB. Content of more than a quarter has a file.
    pub journal_segment_bytes: u64,
    /// Most segments of the journal; at least 4.
    pub journal_segments_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes_max: 16 << 20,
            free_bytes_min: 64 << 20,
            free_part: 8,
            index_bytes_max: None,
            journal_segment_bytes: 32 << 20,
            journal_segments_max: 8,
        }
    }
}

/// All segments of the journal together may be one part in so many of the disk.
const JOURNAL_PART: u64 = 4;

impl Options {
    /// A small disk gets a smaller journal: it is reserved at once, and mail needs room too. Segments
    /// of another size are settled at the start and made anew.
    fn on_disk_of(self, disk: &dyn Disk, directory: &std::path::Path) -> Self {
        let Some(space) = directory.ancestors().find_map(|place| disk.space(place).ok()) else { return self };
        let segments = u64::try_from(self.journal_segments_max).unwrap_or(u64::MAX).max(1);
        let share = space.total / JOURNAL_PART / segments;
        Self { journal_segment_bytes: self.journal_segment_bytes.min(share >> 20 << 20), ..self }
    }
}

/// Steps of one atomic change.
#[derive(Clone, Debug)]
pub enum Change {
    /// Delivered or bounced: the recipient leaves the queue; with the last one the message goes.
    Remove { id: MessageId, recipient: u32 },
    /// As `Remove`, where the next hop has taken the message for this recipient, and so answers for
    /// it: where a change holds nothing else, a message that is offered needs no record.
    Taken { id: MessageId, recipient: u32 },
    /// Tried in vain.
    Retry { id: MessageId, recipient: u32, next_attempt: UnixMillis, note: Vec<u8> },
    /// Rerouted by changed settings.
    Move { id: MessageId, recipient: u32, destination: Destination },
    /// The delay notice was sent.
    DelayNotified { id: MessageId, recipient: u32 },
    /// A message made by us, such as a delivery status notification, with its content.
    Insert { message: NewMessage, content: Bytes },
}

/// Which messages an operator means; all conditions must hold.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Filter {
    pub id: Option<MessageId>,
    /// Only messages behind this one: where the last page ended.
    #[serde(default)]
    pub after: Option<MessageId>,
    /// Domain of a recipient, or the next hop.
    pub domain: Option<String>,
    pub sender: Option<String>,
    pub recipient: Option<String>,
    pub status: Option<Status>,
    pub received_before: Option<UnixMillis>,
    /// At most this many messages. `None`: 10,000 for `list`, all for an operator's changes.
    pub limit: Option<usize>,
}

/// Some of the messages a filter means.
#[derive(Debug, Default)]
pub struct Page {
    pub messages: Vec<Message>,
    /// `Filter::after` of the next page; `None`: this was the last.
    pub next: Option<MessageId>,
}

/// Recipients of one message that an operator means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub id: MessageId,
    /// Their numbers, ascending.
    pub recipients: Vec<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the disk that holds {path} is full; free space there", path = .0.display())]
    DiskFull(PathBuf),
    #[error("another server runs on {path}; stop it or choose another data_directory", path = .0.display())]
    Locked(PathBuf),
    #[error("cannot {what} {path}: {source}", path = .path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the queue index failed: {0}")]
    Index(#[from] rusqlite::Error),
    #[error("an earlier write failed and the queue takes nothing more until the server is restarted: {0}")]
    Failed(String),
    #[error("no message {0} in the queue")]
    NoSuchMessage(MessageId),
    #[error(
        "the journal of the queue has a gap before {path}, so messages may be missing; `sealpost queue check` tells \
         what is there, `sealpost queue rebuild` goes on without what is not", path = .path.display()
    )]
    JournalDamaged { path: PathBuf },
    #[error("the queue does not take this: {0}")]
    Invalid(&'static str),
    #[error("the queue is closed because the server stops")]
    Closed,
    #[error("the content file {path} is damaged: {what}; restore it or remove the message", path = .path.display())]
    Damaged { path: PathBuf, what: &'static str },
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::DiskFull(path.to_path_buf()),
            _ => Self::Io { what, path: path.to_path_buf(), source },
        }
    }
}
