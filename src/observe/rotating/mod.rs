//! A log as files of lines that turn over by time and size and go by age and size: what the protocol
//! log and message tracking share. One thread writes; who has a line hands it over through a bounded
//! queue, and waits there or does not.

mod csv;
mod file_set;
mod retention;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot};

pub(super) use csv::field;

/// Lines that may wait for the disk.
const QUEUED_LINES_MAX: usize = 8192;
/// How long a line waits for room in the queue before it is given up.
const STALL: Duration = Duration::from_secs(5);

/// One kind of files.
#[derive(Debug)]
pub(super) struct Series {
    /// Below the log's directory.
    pub folder: &'static str,
    /// Of the files' names.
    pub prefix: &'static str,
    /// A file each UTC day, else each hour.
    pub daily: bool,
    pub log_type: &'static str,
    pub fields: &'static str,
}

/// Where the files lie and how much they may be.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Absolute.
    pub directory: PathBuf,
    pub max_file_size: u64,
    /// Of all series together.
    pub max_directory_size: u64,
    /// Zero: for ever.
    pub max_age: Duration,
}

/// One line, made into text by the writer's thread.
pub(super) trait Row: Send + 'static {
    /// Place of its series among those of the log.
    fn series(&self) -> usize;
    fn at(&self) -> Timestamp;
    /// Appends the line without its end.
    fn write(&self, line: &mut String);
}

/// What is worth an event.
pub(super) enum Trouble {
    /// So many lines never reached the disk.
    Lost(u64),
    Error(String),
    /// A file had to go before its age.
    AgedEarly(PathBuf),
}

/// Turns trouble into the events of one log.
pub(super) type Tell = Arc<dyn Fn(Trouble) + Send + Sync>;

/// The way into one log. Cheap to clone; the writer ends with the last clone.
pub(super) struct RotatingLog<R> {
    queue: mpsc::Sender<Job<R>>,
    state: Arc<State>,
    tell: Tell,
    stall: Duration,
}

/// What the writer thread is asked for.
enum Job<R> {
    Line(R),
    Limits(Limits),
    Flush(oneshot::Sender<()>),
}

/// What writer and writers of lines tell each other.
#[derive(Debug, Default)]
struct State {
    /// The writer gathers no longer: the queue fills, or somebody waits for the disk.
    wanted: Notify,
    /// Somebody waited `STALL` in vain; nobody waits again until the writer moves.
    stalled: AtomicBool,
    /// The last write failed.
    failing: AtomicBool,
}

/// Makes the folders of a log.
pub(super) fn make_folders(limits: &Limits, series: &[&Series]) -> Result<(), (PathBuf, io::Error)> {
    for series in series {
        let path = limits.directory.join(series.folder);
        file_set::make_folder(&path).map_err(|source| (path, source))?;
    }
    Ok(())
}

impl<R: Row> RotatingLog<R> {
    /// Starts the writer, a thread of this name. Files are made with the first line.
    pub(super) fn start(
        name: &str,
        series: &'static [&'static Series],
        limits: &Limits,
        tell: Tell,
    ) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let (queue, jobs) = mpsc::channel(QUEUED_LINES_MAX);
        writer::start(name, series, limits, jobs, Arc::clone(&state), Arc::clone(&tell))?;
        Ok(Self { queue, state, tell, stall: STALL })
    }

    /// Hands a line over; it is on disk within one second. Waits while the queue is full, for at
    /// most five seconds; after that the line is lost, and told.
    pub(super) async fn write(&self, row: R) {
        let job = match self.queue.try_send(Job::Line(row)) {
            Ok(()) => return self.hurry_if_full(),
            Err(mpsc::error::TrySendError::Full(job)) if !self.state.stalled.load(Ordering::Relaxed) => job,
            Err(mpsc::error::TrySendError::Full(_) | mpsc::error::TrySendError::Closed(_)) => {
                return (self.tell)(Trouble::Lost(1));
            }
        };
        if self.queue.send_timeout(job, self.stall).await.is_err() {
            if !self.state.stalled.swap(true, Ordering::Relaxed) {
                let error = "the disk took nothing for 5 s; lines are dropped until it does".to_owned();
                (self.tell)(Trouble::Error(error));
            }
            (self.tell)(Trouble::Lost(1));
        }
    }

    /// Hands a line over without ever waiting: with a full queue it is lost, and told.
    pub(super) fn offer(&self, row: R) {
        match self.queue.try_send(Job::Line(row)) {
            Ok(()) => self.hurry_if_full(),
            Err(_) => (self.tell)(Trouble::Lost(1)),
        }
    }

    fn hurry_if_full(&self) {
        if self.queue.capacity() < QUEUED_LINES_MAX / 2 {
            self.state.wanted.notify_one();
        }
    }

    /// Whether lines are being lost now.
    pub(super) fn is_losing(&self) -> bool {
        self.state.stalled.load(Ordering::Relaxed) || self.state.failing.load(Ordering::Relaxed)
    }

    /// Takes new limits or another directory; lines already handed over go by the old.
    pub(super) async fn reconfigure(&self, limits: Limits) {
        if self.queue.send_timeout(Job::Limits(limits), self.stall).await.is_err() {
            let error = "it took no new settings within 5 s; reload again when it works".to_owned();
            return (self.tell)(Trouble::Error(error));
        }
        self.state.wanted.notify_one();
    }

    /// Returns when every line handed over before is on disk (or lost).
    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.queue.send(Job::Flush(done)).await.is_ok() {
            self.state.wanted.notify_one();
            let _ = flushed.await;
        }
    }

    /// A log whose disk takes nothing, and the queue that fills.
    #[cfg(test)]
    pub(super) fn stuck(room: usize, stall: Duration, tell: Tell) -> (Self, impl Sized) {
        let (queue, jobs) = mpsc::channel(room);
        (Self { queue, state: Arc::default(), tell, stall }, jobs)
    }
}

impl<R> Clone for RotatingLog<R> {
    fn clone(&self) -> Self {
        let Self { queue, state, tell, stall } = self;
        Self { queue: queue.clone(), state: Arc::clone(state), tell: Arc::clone(tell), stall: *stall }
    }
}

impl<R> std::fmt::Debug for RotatingLog<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RotatingLog")
    }
}
