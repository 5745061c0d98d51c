//! The two timers of a receive connector: `connection_timeout` since the last completed
//! transaction, and `connection_inactivity_timeout` since the peer was last heard.

use std::time::{Duration, Instant};

use crate::policy::ReceiveConnector;

/// Content that comes at least this fast keeps a connection alive, in octets per second.
const CONTENT_OCTETS_PER_SECOND_MIN: u64 = 1024;

#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The connection, or the last completed transaction.
    since: Option<Instant>,
    /// The last input, or the end of our own last answer to one.
    heard: Option<Instant>,
}

/// How content comes in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub started: Instant,
    pub octets: u64,
}

impl Clock {
    pub fn start(&mut self, now: Instant) {
        self.since = Some(now);
        self.heard = Some(now);
    }

    pub fn heard(&mut self, now: Instant) {
        self.heard = self.heard.max(Some(now));
    }

    /// Our answer waits for `delay`, and the peer with it.
    pub fn delay(&mut self, delay: Duration) {
        self.heard = self.heard.map(|heard| heard + delay);
    }

    /// A transaction was completed.
    pub fn completed(&mut self) {
        self.since = self.heard;
    }

    /// Whether the connection has outlived `connection_timeout`, answers that wait included.
    pub fn is_over(&self, connector: &ReceiveConnector) -> bool {
        self.since.zip(self.heard).is_some_and(|(since, heard)| heard >= since + connector.connection_timeout)
    }

    /// The same within content, which may outlast `connection_timeout` while it keeps its pace.
    pub fn is_over_within(&self, connector: &ReceiveConnector, pace: Pace) -> bool {
        let over = |(since, heard)| heard >= end_of_content(since, connector, pace);
        self.since.zip(self.heard).is_some_and(over)
    }

    pub fn deadline(&self, connector: &ReceiveConnector) -> Option<Instant> {
        let (since, heard) = self.since.zip(self.heard)?;
        Some((since + connector.connection_timeout).min(heard + connector.connection_inactivity_timeout))
    }

    /// As `deadline`, but content may outlast `connection_timeout` while it keeps its pace.
    pub fn content_deadline(&self, connector: &ReceiveConnector, pace: Pace) -> Option<Instant> {
        let (since, heard) = self.since.zip(self.heard)?;
        let connection = end_of_content(since, connector, pace);
        Some(connection.min(heard + connector.connection_inactivity_timeout))
    }
}

fn end_of_content(since: Instant, connector: &ReceiveConnector, pace: Pace) -> Instant {
    let earned = Duration::from_secs(pace.octets / CONTENT_OCTETS_PER_SECOND_MIN);
    (since + connector.connection_timeout).max(pace.started + earned)
}
