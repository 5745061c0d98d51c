//! How many connections to one destination at a time: few at first, more while the peer takes what
//! it gets, fewer when it shows that it has enough. Much as TCP finds the capacity of a path.

use std::time::Instant;

/// Connections to a destination of which nothing is known.
const START: usize = 4;
/// Windowfuls of messages that a peer takes, having once had enough, before it is asked for one
/// connection more: each time costs it a refusal.
const PATIENCE: usize = 10;

/// What an attempt told of the peer's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// It took a message.
    Taken,
    /// It refused or dropped a connection while others to it were open, or said that there are too
    /// many (421, or 4xx with such words).
    Enough,
}

/// The present limit of one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    limit: usize,
    /// Messages taken since the limit last rose, once the peer has shown its capacity.
    credit: usize,
    shrunk_at: Option<Instant>,
}

impl Default for Window {
    fn default() -> Self {
        Self { limit: START, credit: 0, shrunk_at: None }
    }
}

impl Window {
    /// Connections that may be open, within `max` (`max_connections_per_destination`).
    pub fn limit(&self, max: usize) -> usize {
        self.limit.min(max).max(1)
    }

    /// When the peer last showed that it has enough; until then a window is not worth remembering.
    pub fn shrunk_at(&self) -> Option<Instant> {
        self.shrunk_at
    }

    /// The window after `feedback` of a connection that began at `begun`, with `open` connections.
    /// It grows by one with each message until the peer first has enough, and slowly from then on;
    /// only while half of it is in use. It is halved once for all that was under way when it was.
    #[must_use]
    pub fn after(self, feedback: Feedback, begun: Instant, now: Instant, open: usize, max: usize) -> Self {
        match feedback {
            Feedback::Taken if open * 2 < self.limit || self.limit >= max => self,
            Feedback::Taken if self.shrunk_at.is_none() => Self { limit: self.limit + 1, ..self },
            Feedback::Taken if self.credit + 1 >= self.limit * PATIENCE => {
                Self { limit: self.limit + 1, credit: 0, ..self }
            }
            Feedback::Taken => Self { credit: self.credit + 1, ..self },
            Feedback::Enough if self.shrunk_at.is_some_and(|at| begun < at) => self,
            Feedback::Enough => {
                let used = self.limit.min(open.max(2)).min(max.max(1));
                Self { limit: (used / 2).max(1), credit: 0, shrunk_at: Some(now) }
            }
        }
    }
}

/// Whether a reply says that there are too many connections or messages at once, rather than
/// something about the message. 421 always does: the peer is about to close (RFC 5321 3.8).
pub fn says_enough(code: u16, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let many = ["too many", "too much", "maximum number", "rate limit", "throttl", "concurren"];
    code == 421
        || (code / 100 == 4
            && text.contains("connection")
            && (many.iter().any(|word| text.contains(word)) || text.contains("limit")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A peer that takes `capacity` connections at once, and as many tries as `rounds`.
    fn play(capacity: usize, max: usize, rounds: usize) -> (Window, usize, usize) {
        let start = Instant::now();
        let (mut window, mut refused, mut most) = (Window::default(), 0, 0);
        for round in 0..rounds {
            let now = start + Duration::from_secs(round as u64);
            let wanted = window.limit(max);
            most = most.max(wanted);
            let open = wanted.min(capacity);
            for _ in 0..open {
                window = window.after(Feedback::Taken, now, now, open, max);
            }
            for _ in open..wanted {
                refused += 1;
                window = window.after(Feedback::Enough, now, now + Duration::from_millis(1), open, max);
            }
        }
        (window, refused, most)
    }

    #[test]
    fn a_peer_that_takes_everything_soon_gets_all_that_is_allowed() {
        let (window, refused, most) = play(usize::MAX, 20, 4);
        assert_eq!((window.limit(20), refused, most), (20, 0, 20));
    }

    #[test]
    fn a_peer_that_takes_few_is_left_with_few_and_seldom_refuses() {
        for capacity in [1, 2, 3, 7] {
            let (window, refused, _) = play(capacity, 20, 1000);
            assert!(window.limit(20) <= capacity + 1, "{capacity}: {window:?}");
            assert!((window.limit(20) + 1) * 2 > capacity, "{capacity}: {window:?}");
            assert!(refused <= 1000 / PATIENCE + 20, "{capacity}: {refused}");
        }
    }

    #[test]
    fn one_burst_of_refusals_halves_once() {
        let now = Instant::now();
        let full = (0..40).fold(Window::default(), |w, _| w.after(Feedback::Taken, now, now, 20, 20));
        assert_eq!(full.limit(20), 20);
        let later = now + Duration::from_secs(1);
        let halved = (0..10).fold(full, |w, _| w.after(Feedback::Enough, now, later, 20, 20));
        assert_eq!(halved.limit(20), 10);
        let again = halved.after(Feedback::Enough, later, later + Duration::from_secs(1), 10, 20);
        assert_eq!(again.limit(20), 5);
    }

    #[test]
    fn what_is_not_used_does_not_grow_and_one_is_always_allowed() {
        let now = Instant::now();
        let window = (0..100).fold(Window::default(), |w, _| w.after(Feedback::Taken, now, now, 1, 20));
        assert_eq!(window.limit(20), START);
        let least = (0..100).fold(window, |w, n| {
            let at = now + Duration::from_secs(n);
            w.after(Feedback::Enough, at, at, 0, 20)
        });
        assert_eq!(least.limit(20), 1);
        assert_eq!(Window::default().limit(0), 1);
        assert_eq!(Window::default().limit(2), 2);
    }

    #[test]
    fn replies_that_mean_too_many_are_told_from_those_about_the_message() {
        let table = [
            (421, "4.3.2 closing", true),
            (450, "4.7.1 Too many connections from your host", true),
            (452, "4.3.2 connection rate limit exceeded", true),
            (451, "4.7.500 Server busy: concurrent connections", true),
            (450, "4.2.1 greylisted, come back", false),
            (452, "4.5.3 too many recipients", false),
            (550, "5.7.1 too many connections", false),
        ];
        for (code, text, expected) in table {
            assert_eq!(says_enough(code, text), expected, "{code} {text}");
        }
    }
}
