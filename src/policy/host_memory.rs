//! Which hosts could not be reached a moment ago: they are tried last. Whom mail may be given to is
//! no matter of this: every host is judged when it answers, whatever its place.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A host that failed once is tried last for so long; longer with each further failure in a row.
const REST_MIN: Duration = Duration::from_secs(60);
const REST_MAX: Duration = Duration::from_secs(15 * 60);
/// Addresses remembered; beyond it the rested ones go, and then all.
const ADDRESSES_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub struct HostMemory(HashMap<SocketAddr, Failing>);

#[derive(Clone, Copy, Debug)]
struct Failing {
    times: u32,
    last: Instant,
    rests_until: Instant,
}

impl HostMemory {
    /// No connection came about.
    pub fn failed(&mut self, address: SocketAddr, now: Instant) {
        let Self(failing) = self;
        if failing.len() >= ADDRESSES_MAX {
            failing.retain(|_, known| known.rests_until > now);
        }
        if failing.len() >= ADDRESSES_MAX {
            failing.clear();
        }
        let known = failing.entry(address).or_insert(Failing { times: 0, last: now, rests_until: now });
        let rest = REST_MIN.saturating_mul(1 << known.times.min(8)).min(REST_MAX);
        *known = Failing { times: known.times.saturating_add(1), last: now, rests_until: now + rest };
    }

    /// Forgets everything: somebody says that things have changed.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// Whether each of these, at least one, failed within the last minute. Who finds nothing else
    /// need not find it out by a connection of its own.
    pub fn all_failed_lately(&self, addresses: impl IntoIterator<Item = SocketAddr>, now: Instant) -> bool {
        let mut addresses = addresses.into_iter().peekable();
        let lately = |known: &Failing| now.duration_since(known.last) < REST_MIN;
        addresses.peek().is_some() && addresses.all(|address| self.0.get(&address).is_some_and(lately))
    }

    pub fn connected(&mut self, address: SocketAddr) {
        self.0.remove(&address);
    }

    /// `targets` with those that rest behind the others; otherwise their order stays.
    pub fn order<T>(&self, mut targets: Vec<T>, address: impl Fn(&T) -> SocketAddr, now: Instant) -> Vec<T> {
        if !self.0.is_empty() {
            targets.sort_by_key(|target| self.rests(address(target), now));
        }
        targets
    }

    fn rests(&self, address: SocketAddr, now: Instant) -> bool {
        self.0.get(&address).is_some_and(|known| known.rests_until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, number], 25))
    }

    fn order(memory: &HostMemory, now: Instant) -> Vec<u8> {
        memory.order(vec![1, 2, 3], |number| address(*number), now)
    }

    #[test]
    fn a_host_that_did_not_answer_is_tried_last_for_a_while() {
        let (mut memory, now) = (HostMemory::default(), Instant::now());
        assert_eq!(order(&memory, now), [1, 2, 3]);
        memory.failed(address(1), now);
        assert_eq!(order(&memory, now), [2, 3, 1]);
        assert_eq!(order(&memory, now + REST_MIN), [1, 2, 3]);
        memory.failed(address(1), now + REST_MIN);
        assert_eq!(order(&memory, now + 2 * REST_MIN), [2, 3, 1], "it rests longer the second time");
        memory.connected(address(1));
        assert_eq!(order(&memory, now + REST_MIN), [1, 2, 3]);
    }

    #[test]
    fn what_one_found_of_all_hosts_holds_for_the_others_for_a_minute() {
        let (mut memory, now) = (HostMemory::default(), Instant::now());
        let all = |memory: &HostMemory, now| memory.all_failed_lately([address(1), address(2)], now);
        memory.failed(address(1), now);
        assert!(!all(&memory, now), "one is left to try");
        memory.failed(address(2), now);
        assert!(all(&memory, now));
        assert!(!all(&memory, now + REST_MIN), "though it still rests when it has failed often");
        assert!(!memory.all_failed_lately([], now));
        memory.connected(address(2));
        assert!(!all(&memory, now));
        memory.failed(address(2), now);
        memory.forget();
        assert!(!all(&memory, now));
    }

    #[test]
    fn where_all_rest_all_are_tried_in_their_order() {
        let (mut memory, now) = (HostMemory::default(), Instant::now());
        for number in [3, 1, 2] {
            memory.failed(address(number), now);
        }
        assert_eq!(order(&memory, now), [1, 2, 3]);
    }

    #[test]
    fn a_world_of_dead_hosts_takes_a_bounded_memory() {
        let (mut memory, now) = (HostMemory::default(), Instant::now());
        for port in 1..=u16::MAX {
            memory.failed(SocketAddr::from(([192, 0, 2, 1], port)), now);
        }
        assert!(memory.0.len() <= ADDRESSES_MAX);
        (0..100).for_each(|_| memory.failed(address(1), now));
        assert_eq!(memory.0[&address(1)].rests_until, now + REST_MAX);
    }
}
