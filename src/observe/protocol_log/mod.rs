//! The protocol log's writer: CSV as Exchange writes it, one file set for all receive connectors
//! and one for all send connectors (docs/protocol-log.md). Sessions hand lines to one thread
//! through a bounded queue; a full queue makes them wait, and only a disk that fails or stands
//! still for five seconds costs lines, never mail.

mod csv;
mod file_set;
mod retention;
mod writer;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::policy::ProtocolLogSettings;
use crate::session::transcript::{Line, LineKind};
use crate::smtp::SessionId;
use crate::trust::Direction;

use super::{Event, Observer};

/// Lines that may wait for the disk before sessions do.
const QUEUED_LINES_MAX: usize = 8192;
/// How long a session waits for the log before its line is given up.
const STALL: Duration = Duration::from_secs(5);

/// One line of one session, complete.
#[derive(Clone, Debug)]
pub struct LogRecord {
    pub at: Timestamp,
    pub connector: String,
    pub session: SessionId,
    pub sequence: u32,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub kind: LineKind,
    pub data: String,
    pub context: String,
}

impl LogRecord {
    /// The record of a session's line.
    pub fn of_line(
        line: Line,
        connector: &str,
        session: SessionId,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Self {
        let Line { at, sequence, kind, data, context } = line;
        Self { at, connector: connector.to_owned(), session, sequence, local, remote, kind, data, context }
    }
}

/// The way into the protocol log. Cheap to clone; the writer ends with the last clone.
#[derive(Clone, Debug)]
pub struct ProtocolLog {
    queue: mpsc::Sender<Job>,
    state: Arc<State>,
    observer: Arc<Observer>,
    stall: Duration,
}

/// Why the protocol log cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolLogError {
    #[error("cannot make the protocol log directory {path}: {source}; check its owner and the free space", path = .path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("cannot start the protocol log's writer: {0}")]
    Thread(std::io::Error),
}

/// What the writer thread is asked for.
enum Job {
    Line(Direction, LogRecord),
    Settings(Box<ProtocolLogSettings>),
    Flush(oneshot::Sender<()>),
}

/// What writer and sessions tell each other.
#[derive(Debug, Default)]
struct State {
    /// A session waited `STALL` in vain; nobody waits again until the writer moves.
    stalled: AtomicBool,
    /// The last write failed.
    failing: AtomicBool,
    stop_mail_on_error: AtomicBool,
}

impl ProtocolLog {
    /// Makes the directories and starts the writer. Files are made with the first line.
    pub fn open(settings: &ProtocolLogSettings, observer: Arc<Observer>) -> Result<Self, ProtocolLogError> {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let path = file_set::folder(settings, direction);
            file_set::make_folder(&path).map_err(|source| ProtocolLogError::Directory { path, source })?;
        }
        let state = Arc::new(State::default());
        state.stop_mail_on_error.store(settings.stop_mail_on_error, Ordering::Relaxed);
        let (queue, jobs) = mpsc::channel(QUEUED_LINES_MAX);
        writer::start(settings, jobs, Arc::clone(&state), Arc::clone(&observer))
            .map_err(ProtocolLogError::Thread)?;
        Ok(Self { queue, state, observer, stall: STALL })
    }

    /// Hands a line over; it is on disk within one second. Waits while the queue is full, for at
    /// most five seconds; after that the line is lost, counted and told, and mail goes on unless
    /// `must_stop_mail`.
    pub async fn write(&self, direction: Direction, record: LogRecord) {
        let job = match self.queue.try_send(Job::Line(direction, record)) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(job)) if !self.state.stalled.load(Ordering::Relaxed) => job,
            Err(mpsc::error::TrySendError::Full(_) | mpsc::error::TrySendError::Closed(_)) => {
                return self.lose();
            }
        };
        if self.queue.send_timeout(job, self.stall).await.is_err() {
            self.stall();
            self.lose();
        }
    }

    /// Whether `stop_mail_on_error` is set and lines are being lost now: then the server answers
    /// 421 to new connections and begins no delivery, until a write succeeds. The writer tries
    /// again every second.
    pub fn must_stop_mail(&self) -> bool {
        self.state.stop_mail_on_error.load(Ordering::Relaxed)
            && (self.state.stalled.load(Ordering::Relaxed) || self.state.failing.load(Ordering::Relaxed))
    }

    /// Takes new limits or another directory after a reload; lines already handed over go by the old.
    pub async fn reconfigure(&self, settings: &ProtocolLogSettings) {
        self.state.stop_mail_on_error.store(settings.stop_mail_on_error, Ordering::Relaxed);
        let job = Job::Settings(Box::new(settings.clone()));
        if self.queue.send_timeout(job, self.stall).await.is_err() {
            let error = "it took no new settings within 5 s; reload again when it works".to_owned();
            self.observer.event(Event::ProtocolLogError { error });
        }
    }

    /// Returns when every line handed over before is on disk (or lost).
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.queue.send(Job::Flush(done)).await.is_ok() {
            let _ = flushed.await;
        }
    }

    fn stall(&self) {
        if !self.state.stalled.swap(true, Ordering::Relaxed) {
            let error = "the disk took nothing for 5 s; lines are dropped until it does".to_owned();
            self.observer.event(Event::ProtocolLogError { error });
        }
    }

    fn lose(&self) {
        self.observer.event(Event::ProtocolLogLost { lines: 1 });
    }
}

#[cfg(test)]
mod tests;
