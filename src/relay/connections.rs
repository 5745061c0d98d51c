//! Counting who is connected and how fast each source sends: the limits of a receive connector.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::policy::ReceiveConnector;

/// Sources whose message rate is remembered; beyond it the oldest window is forgotten first.
const RATE_SOURCES_MAX: usize = 100_000;
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// Live counts of every receive connector.
#[derive(Default)]
pub struct Connections {
    counts: Mutex<Counts>,
    rates: Mutex<HashMap<(String, IpAddr), Window>>,
}

#[derive(Default)]
struct Counts {
    by_connector: HashMap<String, usize>,
    by_source: HashMap<(String, IpAddr), usize>,
}

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
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.len() >= RATE_SOURCES_MAX {
            rates.retain(|_, window| now.duration_since(window.since) < RATE_WINDOW);
        }
        let key = (connector.name.clone(), source_of(remote));
        let window = rates.entry(key).or_insert(Window { since: now, messages: 0 });
        if now.duration_since(window.since) >= RATE_WINDOW {
            *window = Window { since: now, messages: 0 };
        }
        window.messages = window.messages.saturating_add(1);
        window.messages <= connector.message_rate_limit
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
fn source_of(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}
