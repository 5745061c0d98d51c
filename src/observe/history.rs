//! What was received, delivered, refused and so on over time, for the plots of the status page: an
//! hour by ten seconds and a day by minutes, in memory. It begins anew with the server; who wants
//! more has the counters gathered by Prometheus.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

/// Seconds of one step, and steps kept.
const FINE: (i64, usize) = (10, 360);
const COARSE: (i64, usize) = (60, 1440);

/// Sums over all connectors and domains since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub received: u64,
    pub delivered: u64,
    pub refused: u64,
    pub deferred: u64,
    pub bounced: u64,
    pub secured_received: u64,
    pub secured_sent: u64,
    pub inbound_failures: u64,
    pub outbound_failures: u64,
    pub failed_handshakes: u64,
}

/// What happened within one step, and the most that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// When the step began, seconds since the Unix epoch; a multiple of its length.
    pub at: i64,
    #[serde(flatten)]
    pub added: Totals,
    /// Messages in the queue.
    pub queued: u64,
}

/// One resolution.
#[derive(Clone, Debug, Serialize)]
pub struct Course {
    /// Seconds.
    pub step: i64,
    /// Oldest first; steps in which the server did not run are missing.
    pub points: Vec<Point>,
}

/// Both resolutions.
#[derive(Debug)]
pub struct History(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    before: Totals,
    fine: Ring,
    coarse: Ring,
}

#[derive(Debug)]
struct Ring {
    step: i64,
    keep: usize,
    points: VecDeque<Point>,
}

impl Default for History {
    fn default() -> Self {
        let (fine, coarse) = (Ring::new(FINE), Ring::new(COARSE));
        Self(Mutex::new(Inner { before: Totals::default(), fine, coarse }))
    }
}

impl History {
    /// Takes a look; called every second.
    pub fn note(&self, now: Timestamp, totals: Totals, queued: u64) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let added = totals.since(&inner.before);
        inner.before = totals;
        inner.fine.add(now.as_second(), &added, queued);
        inner.coarse.add(now.as_second(), &added, queued);
    }

    /// The hour by ten seconds, then the day by minutes.
    pub fn shown(&self) -> [Course; 2] {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        [&inner.fine, &inner.coarse]
            .map(|ring| Course { step: ring.step, points: ring.points.iter().copied().collect() })
    }
}

impl Ring {
    fn new((step, keep): (i64, usize)) -> Self {
        Self { step, keep, points: VecDeque::new() }
    }

    /// A clock that was set back adds to the newest step until it has caught up.
    fn add(&mut self, now: i64, added: &Totals, queued: u64) {
        let at = now - now.rem_euclid(self.step);
        match self.points.back_mut() {
            Some(newest) if newest.at >= at => {
                newest.added = newest.added.plus(added);
                newest.queued = newest.queued.max(queued);
            }
            Some(_) | None => {
                if self.points.len() >= self.keep {
                    self.points.pop_front();
                }
                self.points.push_back(Point { at, added: *added, queued });
            }
        }
    }
}

impl Totals {
    fn each(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            received: of(self.received, other.received),
            delivered: of(self.delivered, other.delivered),
            refused: of(self.refused, other.refused),
            deferred: of(self.deferred, other.deferred),
            bounced: of(self.bounced, other.bounced),
            secured_received: of(self.secured_received, other.secured_received),
            secured_sent: of(self.secured_sent, other.secured_sent),
            inbound_failures: of(self.inbound_failures, other.inbound_failures),
            outbound_failures: of(self.outbound_failures, other.outbound_failures),
            failed_handshakes: of(self.failed_handshakes, other.failed_handshakes),
        }
    }

    fn since(&self, before: &Self) -> Self {
        self.each(before, u64::saturating_sub)
    }

    fn plus(&self, added: &Self) -> Self {
        self.each(added, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn received(received: u64) -> Totals {
        Totals { received, ..Totals::default() }
    }

    #[test]
    fn what_was_added_stands_in_its_step() {
        let history = History::default();
        for (second, total, queued) in [(118, 3, 1), (119, 4, 7), (120, 4, 2), (131, 9, 0)] {
            history.note(at(second), received(total), queued);
        }
        let [fine, coarse] = history.shown();
        let told = |course: &Course| {
            course.points.iter().map(|p| (p.at, p.added.received, p.queued)).collect::<Vec<_>>()
        };
        assert_eq!((fine.step, told(&fine)), (10, vec![(110, 4, 7), (120, 0, 2), (130, 5, 0)]));
        assert_eq!((coarse.step, told(&coarse)), (60, vec![(60, 4, 7), (120, 5, 2)]));
    }

    #[test]
    fn a_clock_set_back_loses_nothing() {
        let history = History::default();
        history.note(at(200), received(1), 0);
        history.note(at(50), received(3), 0);
        let [fine, _] = history.shown();
        assert_eq!(fine.points.iter().map(|p| (p.at, p.added.received)).collect::<Vec<_>>(), [(200, 3)]);
    }

    #[test]
    fn a_day_and_an_hour_are_all_that_is_kept() {
        let history = History::default();
        for minute in 0..3_000 {
            history.note(at(minute * 60), received(u64::try_from(minute).unwrap()), 0);
        }
        let [fine, coarse] = history.shown();
        assert_eq!((fine.points.len(), coarse.points.len()), (360, 1440));
        assert_eq!(coarse.points[0].at, (3_000 - 1440) * 60);
    }
}
