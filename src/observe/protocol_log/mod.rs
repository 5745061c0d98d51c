//! The protocol log: CSV as Exchange writes it, one file set for all receive connectors
//! and one for all send connectors (docs/protocol-log.md). Sessions hand lines to one thread
//! through a bounded queue; a full queue makes them wait, and only a disk that fails or stands
//! still for five seconds costs lines, never mail.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

use crate::policy::ProtocolLogSettings;
use crate::session::transcript::{Line, LineKind};
use crate::smtp::SessionId;
use crate::trust::Direction;

use super::rotating::{self, Limits, RotatingLog, Row, Series, Tell, Trouble};
use super::{Event, LiveLog, LogEvent, Observer};

/// The names of the fields, as Exchange writes them.
const FIELDS: &str = "date-time,connector-id,session-id,sequence-number,local-endpoint,\
                      remote-endpoint,event,data,context";
const RECEIVE: Series = Series {
    folder: "SmtpReceive",
    prefix: "RECV",
    daily: false,
    log_type: "SMTP Receive Protocol Log",
    fields: FIELDS,
};
const SEND: Series = Series {
    folder: "SmtpSend",
    prefix: "SEND",
    daily: false,
    log_type: "SMTP Send Protocol Log",
    fields: FIELDS,
};
/// Inbound, outbound.
const SERIES: &[&Series] = &[&RECEIVE, &SEND];

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
    log: RotatingLog<Directed>,
    live: Arc<LiveLog>,
    stop_mail_on_error: Arc<AtomicBool>,
}

/// A record with the side that decides on its file.
struct Directed(Direction, LogRecord);

/// Why the protocol log cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolLogError {
    #[error("cannot make the protocol log directory {path}: {source}; check its owner and the free space", path = .path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("cannot start the protocol log's writer: {0}")]
    Thread(std::io::Error),
}

impl Row for Directed {
    fn series(&self) -> usize {
        match self.0 {
            Direction::Inbound => 0,
            Direction::Outbound => 1,
        }
    }

    fn at(&self) -> Timestamp {
        self.1.at
    }

    fn write(&self, line: &mut String) {
        let LogRecord { at, connector, session, sequence, local, remote, kind, data, context } = &self.1;
        // Writing to a String cannot fail.
        let _ = write!(line, "{at:.3},");
        rotating::field(line, connector);
        let _ = write!(line, ",{session},{sequence},{local},{remote},{},", kind.as_char());
        rotating::field(line, data);
        line.push(',');
        rotating::field(line, context);
    }
}

impl ProtocolLog {
    /// Makes the directories and starts the writer. Files are made with the first line.
    pub fn open(settings: &ProtocolLogSettings, observer: Arc<Observer>) -> Result<Self, ProtocolLogError> {
        let limits = limits(settings);
        rotating::make_folders(&limits, SERIES)
            .map_err(|(path, source)| ProtocolLogError::Directory { path, source })?;
        let log = RotatingLog::start("protocol-log", SERIES, &limits, tell(observer))
            .map_err(ProtocolLogError::Thread)?;
        Ok(Self {
            log,
            live: Arc::default(),
            stop_mail_on_error: Arc::new(AtomicBool::new(settings.stop_mail_on_error)),
        })
    }

    /// Hands a line over; it is on disk within one second. Waits while the queue is full, for at
    /// most five seconds; after that the line is lost, counted and told, and mail goes on unless
    /// `must_stop_mail`.
    pub async fn write(&self, direction: Direction, record: LogRecord) {
        self.live.take(direction, &record);
        self.log.write(Directed(direction, record)).await;
    }

    /// The lines as they are written.
    pub fn live(&self) -> &LiveLog {
        &self.live
    }

    /// Whether `stop_mail_on_error` is set and lines are being lost now: then the server answers
    /// 421 to new connections and begins no delivery, until a write succeeds. The writer tries
    /// again every second.
    pub fn must_stop_mail(&self) -> bool {
        self.stop_mail_on_error.load(Ordering::Relaxed) && self.log.is_losing()
    }

    /// Takes new limits or another directory after a reload; lines already handed over go by the old.
    pub async fn reconfigure(&self, settings: &ProtocolLogSettings) {
        self.stop_mail_on_error.store(settings.stop_mail_on_error, Ordering::Relaxed);
        self.log.reconfigure(limits(settings)).await;
    }

    /// Returns when every line handed over before is on disk (or lost).
    pub async fn flush(&self) {
        self.log.flush().await;
    }
}

fn limits(settings: &ProtocolLogSettings) -> Limits {
    let ProtocolLogSettings { directory, max_file_size, max_directory_size, max_age, stop_mail_on_error: _ } =
        settings;
    Limits {
        directory: directory.clone(),
        max_file_size: *max_file_size,
        max_directory_size: *max_directory_size,
        max_age: *max_age,
    }
}

fn tell(observer: Arc<Observer>) -> Tell {
    Arc::new(move |trouble| {
        observer.event(Event::Log(match trouble {
            Trouble::Lost(lines) => LogEvent::ProtocolLogLost { lines },
            Trouble::Error(error) => LogEvent::ProtocolLogError { error },
            Trouble::AgedEarly(file) => LogEvent::ProtocolLogAgedEarly { file: file.display().to_string() },
        }));
    })
}

#[cfg(test)]
mod tests;
