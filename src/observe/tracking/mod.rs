//! Message tracking: one line for each thing that happened to a message, in the CSV that Exchange's
//! people know (docs/message-tracking.md). The lines come from the same events as the event log; what
//! an event does not say of its message stands beside it in a `Tracked`.

mod csv;
pub mod follow;
mod reader;
mod record;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use std::net::SocketAddr;

use crate::mail::Domain;
use crate::policy::MessageTrackingSettings;
use crate::trust::Fault;

use super::rotating::{self, Limits, RotatingLog, Series, Tell, Trouble};
use super::{Event, LogEvent, Observer};

pub use reader::{Entry, Files, TrackingReadError};

use record::Record;

const SERIES: &[&Series] = &[&Series {
    folder: FOLDER,
    prefix: "MSGTRK",
    daily: true,
    log_type: "Message Tracking Log",
    fields: csv::FIELDS,
}];
/// Below the directory of `[message_tracking]`.
pub const FOLDER: &str = "MessageTracking";

/// What the events about one message share.
#[derive(Clone, Debug, Default)]
pub struct MessageFacts {
    /// As it stands in its header, with angle brackets; empty where there is none.
    pub message_id: String,
    /// Empty for the null reverse-path.
    pub sender: String,
    /// Octets of stored content.
    pub size: u64,
    /// When it came in, milliseconds since the Unix epoch.
    pub received: i64,
    /// Who handed it in, and the session's id in the protocol log; empty for messages of our own.
    pub client: String,
    pub session: String,
    /// As it stands in the header; only where the settings allow.
    pub subject: String,
    /// The domain it was secured for as it came in.
    pub secured: Option<Domain>,
}

/// What an event leaves out.
#[derive(Clone, Debug, Default)]
pub struct Tracked {
    pub message: MessageFacts,
    /// Those that the event is about.
    pub recipients: Vec<String>,
    /// Our end of the connection and the other, where there was one.
    pub local: Option<SocketAddr>,
    pub remote: Option<SocketAddr>,
    /// What the client called itself.
    pub remote_name: String,
    /// Of the outbound session that the event comes from.
    pub session: String,
    /// The peer's reply, or ours in its place.
    pub reply: String,
    pub fault: Option<Fault>,
    /// Its delivery is domain-secured for this domain.
    pub tls_domain: String,
    pub cause: Cause,
    /// The queue id of the message that a report is about.
    pub about: Option<MessageFacts>,
}

/// Why a recipient was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    #[default]
    Refused,
    Expired,
    Operator,
}

/// The way into message tracking.
#[derive(Debug)]
pub struct MessageTracking {
    log: RotatingLog<Record>,
    enabled: AtomicBool,
}

/// Why message tracking cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TrackingError {
    #[error("cannot make the message tracking directory {path}: {source}; check its owner and the free space", path = .path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("cannot start the writer of message tracking: {0}")]
    Thread(std::io::Error),
}

impl MessageTracking {
    /// Starts the writer; what goes wrong later is told to the observer, which owns this.
    pub fn open(settings: &MessageTrackingSettings, observer: &Arc<Observer>) -> Result<Self, TrackingError> {
        let limits = limits(settings);
        if settings.enabled {
            rotating::make_folders(&limits, SERIES)
                .map_err(|(path, source)| TrackingError::Directory { path, source })?;
        }
        let log = RotatingLog::start("message-tracking", SERIES, &limits, tell(Arc::downgrade(observer)))
            .map_err(TrackingError::Thread)?;
        Ok(Self { log, enabled: AtomicBool::new(settings.enabled) })
    }

    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Hands the line of an event over and never waits: mail goes first, and what the disk cannot
    /// follow is counted as lost.
    pub(super) fn take(&self, event: &Event, tracked: &Tracked) {
        if self.is_enabled()
            && let Some(record) = Record::of(event, tracked)
        {
            self.log.offer(record);
        }
    }

    /// Takes new settings after a reload.
    pub async fn reconfigure(&self, settings: &MessageTrackingSettings) {
        self.enabled.store(settings.enabled, Ordering::Relaxed);
        self.log.reconfigure(limits(settings)).await;
    }

    /// Returns when every line handed over before is on disk (or lost).
    pub async fn flush(&self) {
        self.log.flush().await;
    }
}

fn limits(settings: &MessageTrackingSettings) -> Limits {
    let MessageTrackingSettings {
        enabled: _,
        directory,
        max_file_size,
        max_directory_size,
        max_age,
        subject: _,
    } = settings;
    Limits {
        directory: directory.clone(),
        max_file_size: *max_file_size,
        max_directory_size: *max_directory_size,
        max_age: *max_age,
    }
}

fn tell(observer: Weak<Observer>) -> Tell {
    Arc::new(move |trouble| {
        let Some(observer) = observer.upgrade() else { return };
        observer.event(Event::Log(match trouble {
            Trouble::Lost(records) => LogEvent::TrackingLost { records },
            Trouble::Error(error) => LogEvent::TrackingError { error },
            Trouble::AgedEarly(file) => LogEvent::TrackingAgedEarly { file: file.display().to_string() },
        }));
    })
}

#[cfg(test)]
mod tests;
