//! The thread that owns the protocol log's files. It takes what is queued, writes it in one go and
//! makes it durable at the latest half a second later.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::file_set::{FileSet, Written};
use super::{Job, LogRecord, State, csv, retention};
use crate::observe::{Event, Observer};
use crate::policy::ProtocolLogSettings;
use crate::trust::Direction;

/// Most lines of one write.
const BATCH_LINES_MAX: usize = 1024;
/// How long a written line may wait for its sync; CONTRACT section 5 allows a second.
const SYNC_AFTER: Duration = Duration::from_millis(500);
/// How often a failing log is tried again, and how often age is looked at.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const AGE_EVERY: Duration = Duration::from_secs(600);

struct Writer {
    settings: ProtocolLogSettings,
    /// Inbound, outbound.
    sets: [FileSet; 2],
    state: Arc<State>,
    observer: Arc<Observer>,
    /// Octets in both folders, as far as we know.
    bytes: u64,
    /// Nothing more can be removed until another file is begun.
    exhausted: bool,
    sync_due: Option<Instant>,
    age_due: Instant,
}

pub(super) fn start(
    settings: &ProtocolLogSettings,
    jobs: mpsc::Receiver<Job>,
    state: Arc<State>,
    observer: Arc<Observer>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut writer = Writer {
        settings: settings.clone(),
        sets: file_sets(settings),
        state,
        observer,
        bytes: 0,
        exhausted: false,
        sync_due: None,
        age_due: Instant::now(),
    };
    let run = move || runtime.block_on(writer.run(jobs));
    std::thread::Builder::new().name("protocol-log".to_owned()).spawn(run)?;
    Ok(())
}

fn file_sets(settings: &ProtocolLogSettings) -> [FileSet; 2] {
    [FileSet::new(settings, Direction::Inbound), FileSet::new(settings, Direction::Outbound)]
}

impl Writer {
    async fn run(&mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH_LINES_MAX);
        loop {
            let received = jobs.recv_many(&mut batch, BATCH_LINES_MAX);
            match tokio::time::timeout_at(self.next_step(), received).await {
                Ok(0) => break,
                Ok(_) => {
                    self.state.stalled.store(false, Ordering::Relaxed);
                    self.take(&mut batch);
                }
                Err(_) => {}
            }
            self.keep_house();
        }
        self.sync();
    }

    fn next_step(&self) -> Instant {
        let mut next = self.age_due;
        if let Some(sync) = self.sync_due {
            next = next.min(sync);
        }
        if self.state.failing.load(Ordering::Relaxed) {
            next = next.min(Instant::now() + PROBE_EVERY);
        }
        next
    }

    fn take(&mut self, batch: &mut Vec<Job>) {
        let mut flushed = Vec::new();
        let mut line = String::new();
        for job in batch.drain(..) {
            match job {
                Job::Line(direction, record) => self.append(direction, &record, &mut line),
                Job::Settings(settings) => self.reconfigure(*settings),
                Job::Flush(done) => flushed.push(done),
            }
        }
        self.flush();
        if !flushed.is_empty() {
            self.sync();
        }
        for done in flushed {
            let _: Result<(), ()> = oneshot::Sender::send(done, ());
        }
    }

    fn append(&mut self, direction: Direction, record: &LogRecord, line: &mut String) {
        line.clear();
        csv::write(line, record);
        let set = self.set(direction);
        let result = set.append(line, record.at);
        if result.is_err() {
            // The line itself is lost too, unless it was already among the pending.
            self.observer.event(Event::ProtocolLogLost { lines: 1 });
        }
        self.done(direction, result);
    }

    fn flush(&mut self) {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let result = self.set(direction).flush();
            self.done(direction, result);
        }
        if self.bytes > self.settings.max_directory_size && !self.exhausted {
            self.prune();
        }
    }

    fn done(&mut self, direction: Direction, result: io::Result<Written>) {
        match result {
            Ok(written) => {
                self.bytes += written.bytes;
                if written.bytes > 0 {
                    self.recovered();
                    self.sync_due.get_or_insert_with(|| Instant::now() + SYNC_AFTER);
                }
                if written.new_file {
                    self.prune();
                }
            }
            Err(error) => self.failed(direction, &error),
        }
    }

    fn failed(&mut self, direction: Direction, error: &io::Error) {
        let set = self.set(direction);
        let lines = set.take_pending_lines();
        let folder = set.folder().display().to_string();
        if lines > 0 {
            self.observer.event(Event::ProtocolLogLost { lines });
        }
        if !self.state.failing.swap(true, Ordering::Relaxed) {
            let error = format!("cannot write in {folder}: {error}; lines are dropped until it works again");
            self.observer.event(Event::ProtocolLogError { error });
        }
    }

    fn recovered(&self) {
        self.state.failing.store(false, Ordering::Relaxed);
    }

    fn sync(&mut self) {
        self.sync_due = None;
        for direction in [Direction::Inbound, Direction::Outbound] {
            if let Err(error) = self.set(direction).sync() {
                self.failed(direction, &error);
            }
        }
    }

    fn keep_house(&mut self) {
        let now = Instant::now();
        if self.sync_due.is_some_and(|due| due <= now) {
            self.sync();
        }
        if self.age_due <= now {
            self.prune();
        }
        if self.state.failing.load(Ordering::Relaxed) {
            self.probe();
        }
    }

    /// Tries again without waiting for a line: with `stop_mail_on_error` there may be none.
    fn probe(&mut self) {
        let at = Timestamp::now();
        if self.sets.iter_mut().all(|set| set.probe(at).is_ok()) {
            self.recovered();
        }
    }

    fn prune(&mut self) {
        self.age_due = Instant::now() + AGE_EVERY;
        let pruned = retention::prune(&self.sets, &self.settings, Timestamp::now());
        self.bytes = pruned.bytes;
        self.exhausted = self.bytes > self.settings.max_directory_size;
        for file in pruned.early {
            self.observer.event(Event::ProtocolLogAgedEarly { file: file.display().to_string() });
        }
        for error in pruned.errors {
            self.observer.event(Event::ProtocolLogError { error });
        }
    }

    fn reconfigure(&mut self, settings: ProtocolLogSettings) {
        self.flush();
        self.sync();
        self.sets = file_sets(&settings);
        self.settings = settings;
        self.prune();
    }

    fn set(&mut self, direction: Direction) -> &mut FileSet {
        match direction {
            Direction::Inbound => &mut self.sets[0],
            Direction::Outbound => &mut self.sets[1],
        }
    }
}
