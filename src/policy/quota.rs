//! What one source, subnet or partner takes of us in a minute, and what it may. The memory of it is
//! bounded: of more than `REMEMBERED_MAX` in a minute those are forgotten that were quiet longest.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::limit::Limit;

/// Windows of one generation; there are two.
const REMEMBERED_MAX: usize = 50_000;
const WINDOW: Duration = Duration::from_secs(60);

/// What can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    Connection,
    Message,
    Recipient,
    Byte,
    ProtocolError,
}

/// Most of each in a minute; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub connections: u64,
    pub messages: u64,
    pub recipients: u64,
    pub bytes: u64,
    pub protocol_errors: u64,
}

/// What was taken by each `K`.
#[derive(Debug)]
pub struct Ledger<K> {
    recent: HashMap<K, Window>,
    /// Those that were not heard of since `recent` was begun.
    before: HashMap<K, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    taken: Rates,
}

impl Charge {
    pub fn limit(self) -> Limit {
        match self {
            Charge::Connection => Limit::ConnectionRate,
            Charge::Message => Limit::MessageRate,
            Charge::Recipient => Limit::RecipientRate,
            Charge::Byte => Limit::ByteRate,
            Charge::ProtocolError => Limit::ProtocolErrorRate,
        }
    }
}

impl Rates {
    pub fn of(&self, charge: Charge) -> u64 {
        match charge {
            Charge::Connection => self.connections,
            Charge::Message => self.messages,
            Charge::Recipient => self.recipients,
            Charge::Byte => self.bytes,
            Charge::ProtocolError => self.protocol_errors,
        }
    }

    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// What a network of several sources may take.
    pub fn times(&self, factor: u64) -> Self {
        let of = |charge| self.of(charge).saturating_mul(factor);
        Self {
            connections: of(Charge::Connection),
            messages: of(Charge::Message),
            recipients: of(Charge::Recipient),
            bytes: of(Charge::Byte),
            protocol_errors: of(Charge::ProtocolError),
        }
    }

    fn add(&mut self, charge: Charge, amount: u64) {
        let taken = match charge {
            Charge::Connection => &mut self.connections,
            Charge::Message => &mut self.messages,
            Charge::Recipient => &mut self.recipients,
            Charge::Byte => &mut self.bytes,
            Charge::ProtocolError => &mut self.protocol_errors,
        };
        *taken = taken.saturating_add(amount);
    }
}

impl<K> Default for Ledger<K> {
    fn default() -> Self {
        Self { recent: HashMap::new(), before: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash> Ledger<K> {
    /// Which of `charges` has reached its rate.
    pub fn reached(&self, key: K, rates: &Rates, charges: &[Charge], now: Instant) -> Option<Charge> {
        let window = self.recent.get(&key).or_else(|| self.before.get(&key))?;
        if !window.is_open(now) {
            return None;
        }
        charges.iter().copied().find(|charge| {
            let allowed = rates.of(*charge);
            allowed > 0 && window.taken.of(*charge) >= allowed
        })
    }

    pub fn charge(&mut self, key: K, charge: Charge, amount: u64, now: Instant) {
        if self.recent.len() >= REMEMBERED_MAX && !self.recent.contains_key(&key) {
            self.before = std::mem::take(&mut self.recent);
        }
        let known = self.before.get(&key).copied();
        let new = Window { since: now, taken: Rates::default() };
        let window = self.recent.entry(key).or_insert(known.unwrap_or(new));
        if !window.is_open(now) {
            *window = new;
        }
        window.taken.add(charge, amount);
    }

    /// What is over is no longer of interest: quiet hours give the memory back.
    pub fn forget_past(&mut self, now: Instant) {
        for windows in [&mut self.recent, &mut self.before] {
            windows.retain(|_, window| window.is_open(now));
            windows.shrink_to_fit();
        }
    }
}

impl Window {
    fn is_open(&self, now: Instant) -> bool {
        now.duration_since(self.since) < WINDOW
    }
}

/// A source is one IPv4 address or one IPv6 /64, which is what a single host is given.
pub fn source_of(remote: IpAddr) -> IpAddr {
    network(remote, 32, 64)
}

/// A /24, or an IPv6 /48, which is what a site is given.
pub fn subnet_of(remote: IpAddr) -> IpAddr {
    network(remote, 24, 48)
}

fn network(remote: IpAddr, v4_bits: u32, v6_bits: u32) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << (32 - v4_bits)))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - v6_bits)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { connections: 0, messages: 2, recipients: 0, bytes: 0, protocol_errors: 0 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_rate_is_reached_for_a_minute_and_what_has_no_limit_never() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let reached =
            |ledger: &Ledger<IpAddr>, at| ledger.reached(ip("192.0.2.1"), &RATES, &[Charge::Message], at);
        for _ in 0..2 {
            assert_eq!(reached(&ledger, now), None);
            ledger.charge(ip("192.0.2.1"), Charge::Message, 1, now);
            ledger.charge(ip("192.0.2.1"), Charge::Recipient, 1000, now);
        }
        assert_eq!(reached(&ledger, now), Some(Charge::Message));
        assert_eq!(ledger.reached(ip("192.0.2.1"), &RATES, &[Charge::Recipient], now), None);
        assert_eq!(ledger.reached(ip("192.0.2.2"), &RATES, &[Charge::Message], now), None, "another source");
        assert_eq!(reached(&ledger, now + WINDOW), None);
        ledger.charge(ip("192.0.2.1"), Charge::Message, 1, now + WINDOW);
        assert_eq!(reached(&ledger, now + WINDOW), None, "the window began anew");
    }

    #[test]
    fn sources_and_subnets() {
        assert_eq!(source_of(ip("192.0.2.77")), ip("192.0.2.77"));
        assert_eq!(source_of(ip("::ffff:192.0.2.77")), ip("192.0.2.77"));
        assert_eq!(source_of(ip("2001:db8:1:2:3::4")), ip("2001:db8:1:2::"));
        assert_eq!(subnet_of(ip("192.0.2.77")), ip("192.0.2.0"));
        assert_eq!(subnet_of(ip("2001:db8:1:2:3::4")), ip("2001:db8:1::"));
    }

    #[test]
    fn a_flood_of_sources_takes_a_bounded_memory_and_who_stays_active_is_remembered() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let busy = ip("192.0.2.1");
        for number in 0..3 * REMEMBERED_MAX as u128 {
            let network = IpAddr::V6(Ipv6Addr::from(0x2001_0db8 << 96 | number << 64));
            ledger.charge(network, Charge::Message, 1, now);
            if number % 20_000 == 0 {
                ledger.charge(busy, Charge::Message, 1, now);
            }
        }
        assert!(ledger.recent.len() <= REMEMBERED_MAX && ledger.before.len() <= REMEMBERED_MAX);
        assert_eq!(ledger.reached(busy, &RATES, &[Charge::Message], now), Some(Charge::Message));
        ledger.forget_past(now + WINDOW);
        assert!(ledger.recent.capacity() + ledger.before.capacity() < 100);
    }
}
