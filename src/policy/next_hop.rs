//! A next hop that cannot be used is probed, not hammered: one connection an interval while it is
//! down, and everything at once when it is back.

use std::time::{Duration, Instant};

use super::retry;

/// Longest wait between two probes: a long `retry_intervals` is for messages, and a backlog of
/// thousands should not wait half an hour for a next hop that has long been back.
const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(5 * 60);

/// What is known of a next hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NextHop {
    /// Usable as far as is known.
    #[default]
    Up,
    Down(Down),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Down {
    /// Of the last attempt in vain.
    since: Instant,
    /// In a row.
    failures: u32,
    probe_at: Instant,
    /// A probe is under way.
    probing: bool,
}

/// Who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knock {
    /// Anyone.
    Free,
    /// The one who asked, and nobody else until it is back with an answer.
    Probe,
    /// Nobody for now.
    Wait,
}

impl NextHop {
    /// Asks for leave to connect. Who is told `Probe` owes `answered`, `failed` or `abandoned`.
    pub fn knock(&mut self, now: Instant) -> Knock {
        match self {
            NextHop::Up => Knock::Free,
            NextHop::Down(down) if !down.probing && now >= down.probe_at => {
                down.probing = true;
                Knock::Probe
            }
            NextHop::Down(_) => Knock::Wait,
        }
    }

    /// The next hop could be used; whether it was down before.
    pub fn answered(&mut self) -> bool {
        let was_down = self.is_down();
        *self = NextHop::Up;
        was_down
    }

    /// It could not be used by an attempt that began at `begun`. Attempts that were under way when
    /// it was found down tell nothing new. `intervals` are those of the messages that wait.
    pub fn failed(&mut self, begun: Instant, now: Instant, intervals: &[Duration]) {
        let failures = match self {
            NextHop::Up => 0,
            NextHop::Down(down) if begun < down.since => return,
            NextHop::Down(down) => down.failures,
        };
        let failures = failures.saturating_add(1);
        let wait = retry::interval(intervals, failures).min(PROBE_INTERVAL_MAX);
        *self = NextHop::Down(Down { since: now, failures, probe_at: now + wait, probing: false });
    }

    /// A probe ended without telling anything: the next one may go.
    pub fn abandoned(&mut self) {
        if let NextHop::Down(down) = self {
            down.probing = false;
        }
    }

    /// Something changed that may have mended it, such as the settings: the next probe may go.
    pub fn probe_now(&mut self, now: Instant) {
        if let NextHop::Down(down) = self {
            down.probe_at = now;
        }
    }

    pub fn is_down(&self) -> bool {
        matches!(self, NextHop::Down(_))
    }

    /// When a probe may go; `None` while it is up or a probe is under way.
    pub fn probe_at(&self) -> Option<Instant> {
        match self {
            NextHop::Down(down) if !down.probing => Some(down.probe_at),
            NextHop::Down(_) | NextHop::Up => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn intervals() -> Vec<Duration> {
        vec![MINUTE, MINUTE, 30 * MINUTE]
    }

    #[test]
    fn one_connection_an_interval_while_it_is_down_and_all_when_it_is_back() {
        let start = Instant::now();
        let mut hop = NextHop::default();
        assert_eq!(hop.knock(start), Knock::Free);
        hop.failed(start, start, &intervals());
        // A message a second asks for an hour.
        let (mut probes, mut last) = (0, start);
        for second in 1..3600 {
            let now = start + Duration::from_secs(second);
            match hop.knock(now) {
                Knock::Probe => {
                    assert_eq!(hop.knock(now), Knock::Wait, "one at a time");
                    assert!(now - last >= MINUTE);
                    (probes, last) = (probes + 1, now);
                    hop.failed(now, now, &intervals());
                }
                Knock::Wait => {}
                Knock::Free => panic!("it is down"),
            }
        }
        // Two after a minute each, then every five.
        assert_eq!(probes, 2 + (3600 - 120) / 300);
        let back = start + 70 * MINUTE;
        assert_eq!(hop.knock(back), Knock::Probe);
        assert!(hop.answered());
        assert!(!hop.answered(), "it was up");
        assert_eq!(hop.knock(back), Knock::Free);
    }

    #[test]
    fn attempts_under_way_when_it_went_down_do_not_count() {
        let start = Instant::now();
        let mut hop = NextHop::default();
        hop.failed(start, start + MINUTE, &intervals());
        let once = hop;
        for _ in 0..20 {
            hop.failed(start + MINUTE / 2, start + 2 * MINUTE, &intervals());
        }
        assert_eq!(hop, once);
    }

    #[test]
    fn a_probe_that_came_to_nothing_lets_the_next_one_go() {
        let start = Instant::now();
        let mut hop = NextHop::default();
        hop.failed(start, start, &intervals());
        assert_eq!(hop.probe_at(), Some(start + MINUTE));
        hop.probe_now(start);
        assert_eq!(hop.knock(start), Knock::Probe);
        assert_eq!(hop.probe_at(), None);
        hop.abandoned();
        assert_eq!(hop.knock(start), Knock::Probe);
    }
}
