//! What is in the queue, and what the status page shows of the counters: the course of time, and a
//! few sums.

use std::time::Duration;

use jiff::Timestamp;

use crate::observe::History;
use crate::policy::Settings;
use crate::trust::Direction;

use super::Observer;

impl Observer {
    /// Messages in the queue by status, and the age of the oldest message (`None`: empty).
    pub fn set_queue(
        &self,
        ready: u64,
        retry: u64,
        active: u64,
        suspended: u64,
        oldest_age: Option<Duration>,
    ) {
        for (status, count) in
            [("ready", ready), ("retry", retry), ("active", active), ("suspended", suspended)]
        {
            let labels = [("status", status.to_owned())];
            self.counters.queue.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let seconds = oldest_age.map_or(0, |age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        self.counters.queue_oldest.set(seconds);
    }

    /// What was received, delivered and so on over time.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Takes the counters' next step in `history`; called every second.
    pub fn note_history(&self, now: Timestamp, queued: u64) {
        self.history.note(now, self.counters.totals(), queued);
    }

    /// Open SMTP connections of one direction.
    pub fn open_connections(&self, settings: &Settings, direction: Direction) -> i64 {
        self.counters.open_connections(settings, direction)
    }

    /// Lines that never reached the protocol log, since the start.
    pub fn log_lines_lost(&self) -> u64 {
        self.counters.log_lines_lost.get()
    }

    /// Records that never reached message tracking, since the start.
    pub fn tracking_lost(&self) -> u64 {
        self.counters.tracking_lost.get()
    }
}
