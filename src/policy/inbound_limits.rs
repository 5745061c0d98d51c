//! What a receive connector lets a client take, beyond the counts of open connections: rates by
//! source and subnet, what a session may do, and the places kept for partners.

use std::time::Duration;

use super::quota::Rates;

/// Keys of `[[receive_connector]]`; units and defaults as in docs/configuration.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundLimits {
    pub max_connections_per_subnet: usize,
    /// Places beyond `max_inbound_connections` that strangers cannot take.
    pub reserved_partner_connections: usize,
    /// Of one source.
    pub rates: Rates,
    /// A subnet may take so many times what a source may.
    pub subnet_rate_factor: u64,
    /// Of one session.
    pub max_protocol_errors: u32,
    /// Octets a second.
    pub minimum_data_rate: u64,
    pub session_timeout: Duration,
}

/// What all sessions of a partner together may take; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartnerLimits {
    pub max_connections: usize,
    pub rates: Rates,
}

impl PartnerLimits {
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// As a connector has them that writes none of these keys.
impl Default for InboundLimits {
    fn default() -> Self {
        Self {
            max_connections_per_subnet: 100,
            reserved_partner_connections: 500,
            rates: Rates {
                connections: 1200,
                messages: 600,
                recipients: 30_000,
                bytes: 0,
                protocol_errors: 600,
            },
            subnet_rate_factor: 5,
            max_protocol_errors: 5,
            minimum_data_rate: 1024,
            session_timeout: Duration::from_secs(24 * 3600),
        }
    }
}
