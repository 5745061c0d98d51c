//! What a session takes is counted against its source and, once it has proved to be one, its partner.

use std::time::Instant;

use crate::mail::Domain;
use crate::policy::quota::Charge;
use crate::session::receive::{Input, Report};

use super::super::shared::Shared;
use super::Driver;

impl Driver {
    pub(super) fn ask_rate(&mut self) {
        self.count_octets();
        let connector = &self.session.opening().connector;
        let asked = self.place.as_ref().map_or(Ok(()), |place| place.ask_message(connector, Instant::now()));
        self.input(Input::RateChecked(asked));
    }

    pub(super) fn ask_partner_rate(&mut self, domain: &Domain) {
        let settings = self.shared.settings.load_full();
        let asked = match (settings.partner_of(domain), &mut self.place) {
            (Some(partner), Some(place)) => place.ask_partner(partner, Instant::now()),
            _ => Ok(()),
        };
        self.input(Input::RateChecked(asked));
    }

    pub(super) fn count(&self, charge: Charge, amount: u64) {
        if let Some(place) = &self.place {
            place.charge(charge, amount, Instant::now());
        }
    }

    /// Octets are gathered here and counted once a message: a rate of minutes need not know sooner.
    pub(super) fn count_octets(&mut self) {
        let octets = std::mem::take(&mut self.read_octets);
        self.count(Charge::Byte, octets);
    }

    /// What a report says of the client, beyond its event.
    pub(super) fn count_report(&self, report: &Report) {
        match report {
            Report::Judged(verdict) => {
                self.shared.revocation.note_use(verdict, Shared::now().wall);
                if verdict.is_good() {
                    self.shared.connections.proved(self.opening.remote.ip(), Instant::now());
                }
            }
            Report::ProtocolError { .. } | Report::HandshakeFailed { .. } => {
                self.count(Charge::ProtocolError, 1);
            }
            Report::HandshakeDone { .. }
            | Report::Accepted { .. }
            | Report::Refused { .. }
            | Report::Checked { .. }
            | Report::Authentication { .. }
            | Report::Verified { .. }
            | Report::Filtered { .. }
            | Report::ChangeDenied { .. }
            | Report::Discarded { .. }
            | Report::LimitReached(_) => {}
        }
    }
}
