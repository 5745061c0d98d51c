//! The deadlines of a receive session: `connection_inactivity_timeout` for each command and each
//! piece of content, `connection_timeout` for each transaction, `session_timeout` for all of it.

use std::time::{Duration, Instant};

use crate::policy::{Limit, ReceiveConnector};

use super::state::State;

#[derive(Debug, Default)]
pub(super) struct Clock {
    opened: Option<Instant>,
    /// The connection, or the last completed transaction.
    since: Option<Instant>,
    /// The last command or content, or the end of our own last answer to one.
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
        self.opened = Some(now);
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

    /// What the connection has outlived, answers that wait included. A transaction that has begun
    /// may end, whatever the age of its session.
    pub fn over(&self, connector: &ReceiveConnector, state: &State) -> Option<Limit> {
        let (opened, since, heard) = (self.opened?, self.since?, self.heard?);
        if heard >= since + connector.connection_timeout {
            return Some(Limit::ConnectionTime);
        }
        let is_old = heard >= opened + connector.limits.session_timeout;
        (is_old && !matches!(state, State::Mailing(_))).then_some(Limit::SessionTime)
    }

    /// The same within content, which may outlast `connection_timeout` while it keeps its pace.
    pub fn is_over_within(&self, connector: &ReceiveConnector, pace: Pace) -> bool {
        let over = |(since, heard)| heard >= end_of_content(since, connector, pace);
        self.since.zip(self.heard).is_some_and(over)
    }

    /// Which deadline it is that has passed.
    pub fn passed(&self, connector: &ReceiveConnector, state: &State, now: Instant) -> Limit {
        let is_silent =
            self.heard.is_some_and(|heard| now >= heard + connector.connection_inactivity_timeout);
        match (is_silent, state) {
            (true, _) => Limit::CommandTime,
            (false, State::Receiving(_) | State::BetweenChunks(_) | State::Skipping(_)) => Limit::DataRate,
            (false, state) => {
                let transaction = self.transaction_deadline(connector);
                let is_old =
                    transaction.is_none_or(|deadline| now < deadline) && !matches!(state, State::Mailing(_));
                if is_old { Limit::SessionTime } else { Limit::ConnectionTime }
            }
        }
    }

    /// Between transactions.
    pub fn deadline(&self, connector: &ReceiveConnector) -> Option<Instant> {
        let session = self.opened? + connector.limits.session_timeout;
        Some(self.transaction_deadline(connector)?.min(session))
    }

    pub fn transaction_deadline(&self, connector: &ReceiveConnector) -> Option<Instant> {
        let (since, heard) = self.since.zip(self.heard)?;
        Some((since + connector.connection_timeout).min(heard + connector.connection_inactivity_timeout))
    }

    /// As `transaction_deadline`, but content may outlast `connection_timeout` while it keeps its pace.
    pub fn content_deadline(&self, connector: &ReceiveConnector, pace: Pace) -> Option<Instant> {
        let (since, heard) = self.since.zip(self.heard)?;
        let connection = end_of_content(since, connector, pace);
        Some(connection.min(heard + connector.connection_inactivity_timeout))
    }
}

fn end_of_content(since: Instant, connector: &ReceiveConnector, pace: Pace) -> Instant {
    let earned = Duration::from_secs(pace.octets / connector.limits.minimum_data_rate.max(1));
    (since + connector.connection_timeout).max(pace.started + earned)
}
