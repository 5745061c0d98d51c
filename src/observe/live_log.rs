//! The protocol log as it is written, for the status page: the last lines in memory, kept only while
//! somebody looks, so that sessions pay nothing for it otherwise.

mod selection;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use crate::session::transcript::Line;
use crate::trust::Direction;

use super::LogRecord;
use super::log_reader::Session;

pub use selection::Selection;

/// Lines kept, and the octets of their texts.
const LINES_MAX: usize = 4_000;
const BYTES_MAX: usize = 4 << 20;
/// Lines are kept for so long after somebody last looked, seconds.
const KEPT_FOR_NOBODY: i64 = 120;
/// Lines for who begins to look, the newest, and how long others wait for one.
const NEWCOMER_LINES_MAX: usize = 500;
const PATIENCE: Duration = Duration::from_secs(20);
/// New lines are waited for so long, so that a busy server answers seldom and with many.
const GATHER: Duration = Duration::from_millis(250);
/// Who may wait at one time.
const WAITING_MAX: usize = 16;

/// One line as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveLine {
    /// Rises by one with each line.
    pub number: u64,
    #[serde(serialize_with = "millis")]
    pub at: Timestamp,
    pub direction: Direction,
    pub connector: String,
    pub session: String,
    pub sequence: u32,
    pub local: String,
    pub remote: String,
    /// As in the protocol log: `+ - > < *`.
    pub event: char,
    pub data: String,
    pub context: String,
}

/// The next lines of who looks.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    #[serde(serialize_with = "lines")]
    pub lines: Vec<Arc<LiveLine>>,
    /// What to ask for next.
    pub next: u64,
    /// Lines that are no longer there, whether they would have been shown or not.
    pub missed: u64,
}

/// Too many look.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{WAITING_MAX} others follow the protocol log; close one, or use `sealpost log follow`")]
pub struct Crowded;

#[derive(Debug)]
pub struct LiveLog {
    /// Lines are kept until this time, seconds since the Unix epoch.
    wanted_until: AtomicI64,
    ring: Mutex<Ring>,
    news: watch::Sender<u64>,
    places: Semaphore,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Arc<LiveLine>>,
    bytes: usize,
    /// Of the next line.
    next: u64,
}

impl Default for LiveLog {
    fn default() -> Self {
        Self {
            wanted_until: AtomicI64::new(i64::MIN),
            ring: Mutex::default(),
            news: watch::Sender::new(0),
            places: Semaphore::new(WAITING_MAX),
        }
    }
}

impl LiveLog {
    /// Keeps a line, if anybody looks.
    pub(super) fn take(&self, direction: Direction, record: &LogRecord) {
        if record.at.as_second() > self.wanted_until.load(Ordering::Relaxed) {
            return;
        }
        let next = self.lock().push(direction, record);
        self.news.send_replace(next);
    }

    /// The lines from number `from` on that are selected; without a number those that are there.
    /// Waits up to 20 s for one. A number that was never given is one of an earlier server.
    pub async fn after(&self, from: Option<u64>, selection: &Selection) -> Result<Answer, Crowded> {
        let _place = self.places.try_acquire().map_err(|_| Crowded)?;
        let until = Timestamp::now().as_second().saturating_add(KEPT_FOR_NOBODY);
        self.wanted_until.fetch_max(until, Ordering::Relaxed);
        let mut news = self.news.subscribe();
        let mut answer = self.lock().answer(from, selection);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while from.is_some() && answer.lines.is_empty() && !self.places.is_closed() {
            match tokio::time::timeout_at(deadline, news.changed()).await {
                Ok(Ok(())) => tokio::time::sleep(GATHER).await,
                Ok(Err(_)) | Err(_) => break,
            }
            answer = self.lock().answer(from, selection);
        }
        Ok(answer)
    }

    /// Wakes everyone who waits: the server stops.
    pub fn close(&self) {
        self.places.close();
        self.news.send_replace(u64::MAX);
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// The number of the line behind it.
    fn push(&mut self, direction: Direction, record: &LogRecord) -> u64 {
        let line = LiveLine {
            number: self.next,
            at: record.at,
            direction,
            connector: record.connector.clone(),
            session: record.session.to_string(),
            sequence: record.sequence,
            local: record.local.to_string(),
            remote: record.remote.to_string(),
            event: record.kind.as_char(),
            data: record.data.clone(),
            context: record.context.clone(),
        };
        self.bytes += line.weight();
        self.lines.push_back(Arc::new(line));
        self.next += 1;
        while self.lines.len() > LINES_MAX || (self.bytes > BYTES_MAX && self.lines.len() > 1) {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.weight());
        }
        self.next
    }

    fn answer(&self, from: Option<u64>, selection: &Selection) -> Answer {
        let first = self.lines.front().map_or(self.next, |line| line.number);
        let from = from.filter(|from| *from <= self.next);
        let missed = from.map_or(0, |from| first.saturating_sub(from));
        let selected = selection.of(&self.lines, from.unwrap_or(first));
        let surplus = selected.len().saturating_sub(NEWCOMER_LINES_MAX);
        if from.is_none() {
            return Answer { lines: selected[surplus..].to_vec(), next: self.next, missed };
        }
        Answer { lines: selected, next: self.next, missed }
    }
}

impl LiveLine {
    /// A line that was read from the files, the `number`th of its session.
    pub fn read(session: &Session, line: &Line, number: u64) -> Self {
        Self {
            number,
            at: line.at,
            direction: session.direction,
            connector: session.connector.clone(),
            session: session.id.clone(),
            sequence: line.sequence,
            local: session.local.clone(),
            remote: session.remote.clone(),
            event: line.kind.as_char(),
            data: line.data.clone(),
            context: line.context.clone(),
        }
    }

    fn weight(&self) -> usize {
        self.data.len() + self.context.len() + self.connector.len() + size_of::<Self>()
    }
}

fn lines<S: serde::Serializer>(lines: &[Arc<LiveLine>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(lines.iter().map(AsRef::as_ref))
}

fn millis<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}
