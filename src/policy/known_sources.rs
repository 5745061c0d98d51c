//! Addresses from which a partner proved itself lately. Before the handshake they are the only hint
//! that a connection may be a partner's, and all it earns is a place that a flood of strangers
//! cannot take: identity is still proved by the certificate alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::quota::source_of;

/// Partners have few addresses; of more than this the one not heard of longest is forgotten.
const KNOWN_MAX: usize = 4096;
/// How long a proof is remembered: a partner that sends once a week keeps its places.
const KNOWN_FOR: Duration = Duration::from_secs(8 * 24 * 3600);

#[derive(Debug, Default)]
pub struct KnownSources(HashMap<IpAddr, Instant>);

impl KnownSources {
    /// A partner proved itself from there.
    pub fn proved(&mut self, remote: IpAddr, now: Instant) {
        let source = source_of(remote);
        if self.0.len() >= KNOWN_MAX && !self.0.contains_key(&source) {
            let oldest = self.0.iter().min_by_key(|(_, at)| **at).map(|(source, _)| *source);
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(source, now);
    }

    pub fn is_known(&self, remote: IpAddr, now: Instant) -> bool {
        self.0.get(&source_of(remote)).is_some_and(|at| now.duration_since(*at) < KNOWN_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_remembered_for_days_and_the_memory_is_bounded() {
        let (mut known, now) = (KnownSources::default(), Instant::now());
        let partner: IpAddr = "192.0.2.1".parse().unwrap();
        known.proved(partner, now);
        assert!(known.is_known(partner, now + KNOWN_FOR / 2));
        assert!(!known.is_known(partner, now + KNOWN_FOR));
        assert!(!known.is_known("192.0.2.2".parse().unwrap(), now));
        for number in 0..KNOWN_MAX as u32 {
            known.proved(IpAddr::V4((0x0a00_0000 + number).into()), now + Duration::from_secs(1));
        }
        assert_eq!(known.0.len(), KNOWN_MAX);
        assert!(!known.is_known(partner, now), "the oldest went first");
    }
}
