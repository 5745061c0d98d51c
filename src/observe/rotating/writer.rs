//! The thread that owns the files of one log. It takes what is queued, writes it in one go, lets more
//! gather, and makes it durable at the latest half a second later.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::file_set::{FileSet, Written};
use super::{Job, Limits, Row, Series, State, Tell, Trouble, retention};

/// Most lines of one write.
const BATCH_LINES_MAX: usize = 1024;
/// Between two writes of a busy server, so that it wakes this thread twenty times a second and not for
/// each line. It is busy when so many lines came within that time; else a line is written at once.
const GATHER: Duration = Duration::from_millis(50);
const BUSY_LINES: usize = 64;
/// How long a written line may wait for its sync; a second is promised.
const SYNC_AFTER: Duration = Duration::from_millis(500);
/// How often a failing log is tried again, and how often age is looked at.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const AGE_EVERY: Duration = Duration::from_secs(600);

struct Writer {
    limits: Limits,
    series: &'static [&'static Series],
    /// One for each series.
    sets: Vec<FileSet>,
    state: Arc<State>,
    tell: Tell,
    /// Octets in all folders, as far as we know.
    bytes: u64,
    /// Nothing more can be removed until another file is begun.
    exhausted: bool,
    sync_due: Option<Instant>,
    age_due: Instant,
}

pub(super) fn start<R: Row>(
    name: &str,
    series: &'static [&'static Series],
    limits: &Limits,
    jobs: mpsc::Receiver<Job<R>>,
    state: Arc<State>,
    tell: Tell,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut writer = Writer {
        limits: limits.clone(),
        series,
        sets: file_sets(limits, series),
        state,
        tell,
        bytes: 0,
        exhausted: false,
        sync_due: None,
        age_due: Instant::now(),
    };
    let run = move || runtime.block_on(writer.run(jobs));
    std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
    Ok(())
}

fn file_sets(limits: &Limits, series: &[&'static Series]) -> Vec<FileSet> {
    series.iter().map(|series| FileSet::new(&limits.directory, limits.max_file_size, series)).collect()
}

impl Writer {
    async fn run<R: Row>(&mut self, mut jobs: mpsc::Receiver<Job<R>>) {
        let mut batch = Vec::with_capacity(BATCH_LINES_MAX);
        let (mut since, mut lines) = (Instant::now(), 0);
        loop {
            let received = jobs.recv_many(&mut batch, BATCH_LINES_MAX);
            match tokio::time::timeout_at(self.next_step(), received).await {
                Ok(0) => break,
                Ok(count) => {
                    self.state.stalled.store(false, Ordering::Relaxed);
                    self.take(&mut batch);
                    if since.elapsed() > GATHER {
                        (since, lines) = (Instant::now(), 0);
                    }
                    lines += count;
                    if lines >= BUSY_LINES && count < BATCH_LINES_MAX {
                        let _ = tokio::time::timeout(GATHER, self.state.wanted.notified()).await;
                    }
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

    fn take<R: Row>(&mut self, batch: &mut Vec<Job<R>>) {
        let mut flushed = Vec::new();
        let mut line = String::new();
        for job in batch.drain(..) {
            match job {
                Job::Line(row) => self.append(&row, &mut line),
                Job::Limits(limits) => self.reconfigure(limits),
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

    fn append<R: Row>(&mut self, row: &R, line: &mut String) {
        line.clear();
        row.write(line);
        line.push_str("\r\n");
        let series = row.series();
        let result = self.sets[series].append(line, row.at());
        if result.is_err() {
            // The line itself is lost too, unless it was already among the pending.
            (self.tell)(Trouble::Lost(1));
        }
        self.done(series, result);
    }

    fn flush(&mut self) {
        for series in 0..self.sets.len() {
            let result = self.sets[series].flush();
            self.done(series, result);
        }
        if self.bytes > self.limits.max_directory_size && !self.exhausted {
            self.prune();
        }
    }

    fn done(&mut self, series: usize, result: io::Result<Written>) {
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
            Err(error) => self.failed(series, &error),
        }
    }

    fn failed(&mut self, series: usize, error: &io::Error) {
        let set = &mut self.sets[series];
        let lines = set.take_pending_lines();
        let folder = set.folder().display().to_string();
        if lines > 0 {
            (self.tell)(Trouble::Lost(lines));
        }
        if !self.state.failing.swap(true, Ordering::Relaxed) {
            let error = format!("cannot write in {folder}: {error}; lines are dropped until it works again");
            (self.tell)(Trouble::Error(error));
        }
    }

    fn recovered(&self) {
        self.state.failing.store(false, Ordering::Relaxed);
    }

    fn sync(&mut self) {
        self.sync_due = None;
        for series in 0..self.sets.len() {
            if let Err(error) = self.sets[series].sync() {
                self.failed(series, &error);
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
        let pruned = retention::prune(&self.sets, &self.limits, Timestamp::now());
        self.bytes = pruned.bytes;
        self.exhausted = self.bytes > self.limits.max_directory_size;
        for file in pruned.early {
            (self.tell)(Trouble::AgedEarly(file));
        }
        for error in pruned.errors {
            (self.tell)(Trouble::Error(error));
        }
    }

    fn reconfigure(&mut self, limits: Limits) {
        self.flush();
        self.sync();
        self.sets = file_sets(&limits, self.series);
        self.limits = limits;
        self.prune();
    }
}
