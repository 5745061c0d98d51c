//! Counting who is connected and how fast each source sends: the limits of a receive connector.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::policy::ReceiveConnector;

/// Sources whose message rate is remembered; when so many sent within one minute, all begin anew.
const RATE_SOURCES_MAX: usize = 100_000;
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// Live counts of every receive connector.
#[derive(Default)]
pub struct Connections {
    counts: Mutex<Counts>,
    rates: Mutex<Rates>,
}

#[derive(Default)]
struct Counts {
    by_connector: HashMap<String, usize>,
    by_source: HashMap<(String, IpAddr), usize>,
}

/// By connector and source.
#[derive(Default)]
struct Rates(HashMap<(String, IpAddr), Window>);

struct Window {
    since: Instant,
    messages: u32,
}

/// One connection that is counted; dropping it takes it off.
pub struct Counted {
    connections: Arc<Connections>,
    connector: String,
    source: IpAddr,
}

impl Connections {
    /// Counts a connection, or says why it is one too many (the text of the 421).
    pub fn enter(
        self: &Arc<Self>,
        connector: &ReceiveConnector,
        remote: IpAddr,
    ) -> Result<Counted, &'static str> {
        let source = source_of(remote);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let all = counts.by_connector.get(&connector.name).copied().unwrap_or(0);
        if all >= connector.max_inbound_connections {
            return Err("too many connections to this server; try again later");
        }
        let key = (connector.name.clone(), source);
        let of_source = counts.by_source.get(&key).copied().unwrap_or(0);
        if of_source >= connector.max_inbound_connections_per_source {
            return Err("too many connections from your address; try again later");
        }
        counts.by_connector.insert(connector.name.clone(), all + 1);
        counts.by_source.insert(key, of_source + 1);
        Ok(Counted { connections: Arc::clone(self), connector: connector.name.clone(), source })
    }

    /// Counts one message of `remote` and says whether it is within `message_rate_limit` per minute.
    pub fn allow_message(&self, connector: &ReceiveConnector, remote: IpAddr, now: Instant) -> bool {
        let source = (connector.name.clone(), source_of(remote));
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.count(source, now) <= connector.message_rate_limit
    }
}

impl Rates {
    /// Counts one message; says how many its source sent within its minute.
    fn count(&mut self, source: (String, IpAddr), now: Instant) -> u32 {
        let Self(windows) = self;
        let is_open = |window: &Window| now.duration_since(window.since) < RATE_WINDOW;
        if windows.len() >= RATE_SOURCES_MAX {
            windows.retain(|_, window| is_open(window));
        }
        if windows.len() >= RATE_SOURCES_MAX {
            windows.clear();
        }
        let window = windows.entry(source).or_insert(Window { since: now, messages: 0 });
        if !is_open(window) {
            *window = Window { since: now, messages: 0 };
        }
        window.messages = window.messages.saturating_add(1);
        window.messages
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.connections.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { by_connector, by_source } = &mut *counts;
        take_one(by_connector, &self.connector);
        take_one(by_source, &(self.connector.clone(), self.source));
    }
}

fn take_one<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// A source is one IPv4 address or one IPv6 /64.
pub fn source_of(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> (String, IpAddr) {
        ("Internet".to_owned(), source_of(address.parse().unwrap()))
    }

    #[test]
    fn a_source_is_counted_for_a_minute_and_an_ipv6_network_is_one_source() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        assert_eq!(rates.count(source("2001:db8::1"), now), 1);
        assert_eq!(rates.count(source("2001:db8::2"), now), 2);
        assert_eq!(rates.count(source("2001:db8:0:1::2"), now), 1);
        assert_eq!(rates.count(source("2001:db8::1"), now + RATE_WINDOW), 1);
    }

    #[test]
    fn a_flood_of_sources_takes_a_bounded_memory() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        for number in 0..=RATE_SOURCES_MAX as u128 {
            let network = IpAddr::V6(Ipv6Addr::from(0x2001_0db8 << 96 | number << 64));
            assert_eq!(rates.count(("Internet".to_owned(), network), now), 1);
        }
        assert!(rates.0.len() <= RATE_SOURCES_MAX);
    }
}
