//! Send connectors: which mail leaves which way, and on what terms.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::mail::Domain;
use crate::trust::Level;

use super::ProtocolLogging;

/// A member of `address_spaces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressSpace {
    /// `*`
    All,
    /// `x.example`
    Exact(Domain),
    /// `*.x.example`: x.example and everything below.
    Subdomains(Domain),
}

/// `host`, `host:port` or `[192.0.2.1]:25`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmartHost {
    pub host: SmartHostName,
    /// `None`: the connector's `port`.
    pub port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SmartHostName {
    Name(Domain),
    Address(IpAddr),
}

/// `smart_host_auth_mechanism` with what `authentication_credential` holds.
#[derive(Clone)]
pub struct SmartHostAuth {
    pub way: SmartHostWay,
    /// Both empty for EXTERNAL.
    pub user: String,
    pub password: Zeroizing<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmartHostWay {
    /// PLAIN
    Basic,
    /// SCRAM-SHA-256-PLUS where both sides can, else SCRAM-SHA-256
    ScramSha256,
    /// EXTERNAL: our certificate says who we are.
    External,
}

impl fmt::Debug for SmartHostAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} as {:?}", self.way, self.user)
    }
}

/// `tls_auth_level`, for domains that are not on the send list.
pub type TlsAuthLevel = Level;

/// `[[send_connector]]`.
#[derive(Clone, Debug)]
pub struct SendConnector {
    pub name: String,
    pub address_spaces: Vec<AddressSpace>,
    pub cost: u32,
    pub dns_routing_enabled: bool,
    pub smart_hosts: Vec<SmartHost>,
    pub port: u16,
    /// How we log in at the smart hosts.
    pub smart_host_auth: Option<Arc<SmartHostAuth>>,
    /// At most one IPv4 and one IPv6 address.
    pub source_addresses: Vec<IpAddr>,
    pub fqdn: Domain,
    pub domain_secure_enabled: bool,
    pub require_tls: bool,
    /// TLS from the first byte instead of STARTTLS.
    pub implicit_tls: bool,
    pub tls_auth_level: TlsAuthLevel,
    /// TLSA records rule where they can be had (RFC 7672).
    pub dane: bool,
    /// Policies of the recipients' domains rule (RFC 8461).
    pub mta_sts: bool,
    pub post_quantum_key_exchange: bool,
    /// `None`: true towards accepted domains that are not on the send list.
    pub send_organization_headers: Option<bool>,
    pub stamp_exchange_headers: bool,
    pub protocol_logging: ProtocolLogging,
    pub max_messages_per_connection: usize,
    pub max_connections_per_destination: usize,
}

/// The connector for a recipient domain: the most specific address space, then the lowest cost,
/// then the first in the file. For a domain on the send list (`secure`) only connectors with
/// `domain_secure_enabled` are looked at.
pub fn select<'a>(
    connectors: &'a [Arc<SendConnector>],
    domain: Option<&Domain>,
    secure: bool,
) -> Option<&'a Arc<SendConnector>> {
    connectors
        .iter()
        .filter(|connector| !secure || connector.domain_secure_enabled)
        .filter_map(|connector| {
            let spaces = connector.address_spaces.iter();
            let specificity = spaces.filter_map(|space| space.specificity(domain)).max()?;
            Some(((Reverse(specificity), connector.cost), connector))
        })
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, connector)| connector)
}

impl SendConnector {
    /// What it asks of next hops of unlisted domains.
    pub fn level(&self) -> Level {
        let floor = if self.require_tls || self.implicit_tls { Level::EncryptionOnly } else { Level::None };
        self.tls_auth_level.max(floor)
    }
}

impl AddressSpace {
    /// How closely this space fits, higher is closer; `None` when it does not hold the domain.
    /// Address literals (no domain) are held by `*` alone.
    fn specificity(&self, domain: Option<&Domain>) -> Option<usize> {
        match (self, domain) {
            (AddressSpace::All, _) => Some(0),
            (AddressSpace::Exact(space), Some(domain)) => (space == domain).then_some(usize::MAX),
            (AddressSpace::Subdomains(space), Some(domain)) => {
                (domain == space || domain.is_below(space)).then(|| space.as_str().len())
            }
            (_, None) => None,
        }
    }
}

/// As the operator writes it.
impl fmt::Display for SmartHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            SmartHostName::Name(name) => write!(f, "{name}")?,
            SmartHostName::Address(ip) => write!(f, "[{ip}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}
