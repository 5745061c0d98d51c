//! Receive connectors: who may connect where, and what is asked of them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::mail::Domain;

use super::milter::Milters;
use super::{InboundChecks, InboundLimits};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolLogging {
    None,
    Verbose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// May send to accepted domains.
    pub submit: bool,
    /// May send to any recipient.
    pub relay: bool,
    /// The same for whoever has logged in.
    pub authenticated_relay: bool,
}

/// `auth_mechanism` but for `tls`: how a client may say who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthenticationWays {
    /// PLAIN
    pub basic: bool,
    /// SCRAM-SHA-256, and SCRAM-SHA-256-PLUS where the TLS session can be named
    pub scram_sha_256: bool,
    /// EXTERNAL
    pub external: bool,
}

impl AuthenticationWays {
    pub fn is_offered(self) -> bool {
        self != Self::default()
    }
}

/// `[[receive_connector]]`; units and defaults as in docs/configuration.md.
#[derive(Clone, Debug)]
pub struct ReceiveConnector {
    pub name: String,
    pub bindings: Vec<SocketAddr>,
    pub remote_ip_ranges: Vec<IpNet>,
    /// Balancers, whose connections begin with a PROXY header that says who the client is.
    pub proxy_protocol_from: Vec<IpNet>,
    pub fqdn: Domain,
    /// `auth_mechanism` holds `tls`.
    pub offer_starttls: bool,
    pub authentication: AuthenticationWays,
    /// TLS from the first byte on all bindings, and no STARTTLS.
    pub implicit_tls: bool,
    pub post_quantum_key_exchange: bool,
    pub domain_secure_enabled: bool,
    pub require_tls: bool,
    pub permissions: Permissions,
    /// `delivery_status_notification_enabled`
    pub offer_dsn: bool,
    /// `chunking_enabled`
    pub offer_chunking: bool,
    /// `binary_mime_enabled`; of use only with chunking.
    pub offer_binary_mime: bool,
    pub accept_organization_headers: bool,
    pub protocol_logging: ProtocolLogging,
    /// Bytes.
    pub max_message_size: u64,
    pub max_recipients_per_message: usize,
    pub max_inbound_connections: usize,
    pub max_inbound_connections_per_source: usize,
    /// `message_rate_limit` and the other limits of what clients take.
    pub limits: InboundLimits,
    pub connection_timeout: Duration,
    pub connection_inactivity_timeout: Duration,
    pub tarpit_interval: Duration,
    pub checks: Arc<InboundChecks>,
    pub milters: Arc<Milters>,
}

/// Whether connections from `remote` to this binding begin with a PROXY header: nobody else's are read
/// so, and from these nothing is taken without.
pub fn is_balancer(connectors: &[Arc<ReceiveConnector>], binding: SocketAddr, remote: IpAddr) -> bool {
    let mut here = connectors.iter().filter(|connector| connector.bindings.contains(&binding));
    here.any(|connector| connector.is_reached_through(remote))
}

/// The connector of a connection: among those with this binding, the one whose range that holds
/// the remote address is the most specific; of equals the first in the file. Behind a balancer only
/// those count that name it, so that it opens the way to no other.
pub fn select(
    connectors: &[Arc<ReceiveConnector>],
    binding: SocketAddr,
    balancer: Option<IpAddr>,
    remote: IpAddr,
) -> Option<&Arc<ReceiveConnector>> {
    let remote = remote.to_canonical();
    let candidates = connectors.iter().filter(|connector| {
        connector.bindings.contains(&binding)
            && balancer.is_none_or(|balancer| connector.is_reached_through(balancer))
    });
    let ranked = candidates.filter_map(|connector| {
        let ranges = connector.remote_ip_ranges.iter().filter(|range| range.contains(&remote));
        Some((ranges.map(IpNet::prefix_len).max()?, connector))
    });
    ranked
        .fold(None, |best: Option<(u8, &Arc<ReceiveConnector>)>, next| match best {
            Some(best) if best.0 >= next.0 => Some(best),
            _ => Some(next),
        })
        .map(|(_, connector)| connector)
}

impl ReceiveConnector {
    fn is_reached_through(&self, balancer: IpAddr) -> bool {
        let balancer = balancer.to_canonical();
        self.proxy_protocol_from.iter().any(|range| range.contains(&balancer))
    }
}
