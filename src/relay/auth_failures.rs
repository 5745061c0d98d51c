//! Who guesses passwords: attempts to log in that failed, by source. Beyond a limit a source is not
//! heard for the rest of its window, whichever connector it comes to.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures of one source within one window before it is not heard any more.
const FAILURES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// Sources that are remembered; when so many failed within one window, all begin anew.
const SOURCES_MAX: usize = 100_000;

#[derive(Default)]
pub struct AuthFailures(Mutex<HashMap<IpAddr, Failures>>);

struct Failures {
    since: Instant,
    count: u32,
}

impl AuthFailures {
    /// Notes how an attempt of `source` ended. A success takes nothing back: who has one account
    /// might guess at others.
    pub fn failed(&self, source: IpAddr, now: Instant) {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= SOURCES_MAX {
            sources.retain(|_, failures| failures.last(now));
        }
        if sources.len() >= SOURCES_MAX {
            sources.clear();
        }
        let failures = sources.entry(source).or_insert(Failures { since: now, count: 0 });
        if !failures.last(now) {
            *failures = Failures { since: now, count: 0 };
        }
        failures.count = failures.count.saturating_add(1);
    }

    /// Whether `source` is not to be heard.
    pub fn blocks(&self, source: IpAddr, now: Instant) -> bool {
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.get(&source).is_some_and(|failures| failures.last(now) && failures.count >= FAILURES_MAX)
    }
}

impl Failures {
    fn last(&self, now: Instant) -> bool {
        now.duration_since(self.since) < WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_guesses_is_not_heard_for_a_while_and_others_are() {
        let (failures, now) = (AuthFailures::default(), Instant::now());
        let [guesser, other] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        for _ in 0..FAILURES_MAX {
            assert!(!failures.blocks(guesser, now));
            failures.failed(guesser, now);
        }
        assert!(failures.blocks(guesser, now) && !failures.blocks(other, now));
        assert!(failures.blocks(guesser, now + WINDOW - Duration::from_secs(1)));
        assert!(!failures.blocks(guesser, now + WINDOW));
        failures.failed(guesser, now + WINDOW);
        assert!(!failures.blocks(guesser, now + WINDOW), "a new window begins at nothing");
    }

    #[test]
    fn a_flood_of_sources_takes_a_bounded_memory() {
        let (failures, now) = (AuthFailures::default(), Instant::now());
        for number in 0..=u32::try_from(SOURCES_MAX).unwrap() {
            failures.failed(IpAddr::V4(number.into()), now);
        }
        assert!(failures.0.lock().unwrap().len() <= SOURCES_MAX);
    }
}
