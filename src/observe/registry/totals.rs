//! Sums over connectors and domains, kept beside the series, which cannot be added up cheaply.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::observe::Totals;
use crate::policy::Settings;
use crate::trust::Direction;

use super::{Counters, connection_labels};

#[derive(Debug, Default)]
pub(super) struct Sums {
    pub received: Sum,
    pub delivered: Sum,
    pub refused: Sum,
    pub secured_received: Sum,
    pub secured_sent: Sum,
    pub inbound_failures: Sum,
    pub outbound_failures: Sum,
    pub failed_handshakes: Sum,
}

#[derive(Debug, Default)]
pub(super) struct Sum(AtomicU64);

impl Sum {
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(in crate::observe) fn totals(&self) -> Totals {
        let sums = &self.sums;
        Totals {
            received: sums.received.get(),
            delivered: sums.delivered.get(),
            refused: sums.refused.get(),
            deferred: self.deferred.get(),
            bounced: self.bounced.get(),
            secured_received: sums.secured_received.get(),
            secured_sent: sums.secured_sent.get(),
            inbound_failures: sums.inbound_failures.get(),
            outbound_failures: sums.outbound_failures.get(),
            failed_handshakes: sums.failed_handshakes.get(),
        }
    }

    /// Open connections of all connectors of a direction.
    pub(in crate::observe) fn open_connections(&self, settings: &Settings, direction: Direction) -> i64 {
        let of = |name: &str| {
            self.connections.get(&connection_labels(direction, name)).map_or(0, |gauge| gauge.get())
        };
        match direction {
            Direction::Inbound => settings.receive_connectors.iter().map(|one| of(&one.name)).sum(),
            Direction::Outbound => settings.send_connectors.iter().map(|one| of(&one.name)).sum(),
        }
    }
}
