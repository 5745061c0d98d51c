//! DNS: the mail exchangers of a domain and the addresses of a host (RFC 5321 5.1, RFC 7505). The
//! hosts file and the search list have no say in where mail goes.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::mail::Domain;
use crate::policy::DnsSettings;
use crate::policy::limits::ADDRESSES_TRIED_MAX;
use crate::policy::routing::{AddressAnswer, MxAnswer};

/// One question to one server, and all of a lookup with its repetitions.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a question without answer is asked again.
const REPETITIONS: usize = 2;
/// A domain that was set up wrongly is seen corrected after this long at most.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(300);
/// Answers kept.
const CACHE_ENTRIES: u64 = 4096;

/// A resolver with its cache. Share one; make it anew when `[dns]` changes.
pub struct Resolver {
    inner: TokioResolver,
}

/// Why there is no resolver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolverError {
    #[error("the system's resolvers cannot be read from /etc/resolv.conf: {0}; name some in `[dns] servers`")]
    System(String),
    #[error("the DNS resolver cannot be set up: {0}; check `[dns] servers`, or /etc/resolv.conf")]
    SetUp(String),
}

/// Whether the zone of a name is signed (RFC 4034). We do not validate: it is told, and nothing is
/// made to depend on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Signed {
    #[error("signed: a DS record stands for the zone {0} (not validated here)")]
    Yes(String),
    #[error("not signed: no DS record stands for the zone {0}")]
    No(String),
    #[error("not known whether signed: {0}")]
    Unknown(String),
}

/// What a lookup came to, before it is an MX or an address answer.
enum Found {
    Records(Lookup),
    NoRecords,
    NoSuchName,
    Temporary(String),
}

impl Resolver {
    /// Asks the servers of the settings over UDP, and over TCP where an answer is cut off; without
    /// any, those of the system. Call inside the runtime.
    pub fn new(settings: &DnsSettings) -> Result<Self, ResolverError> {
        Self::with_timeout(settings, QUESTION_TIMEOUT)
    }

    fn with_timeout(settings: &DnsSettings, question: Duration) -> Result<Self, ResolverError> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = if settings.servers.is_empty() {
            TokioResolver::builder(provider).map_err(|error| ResolverError::System(error.to_string()))?
        } else {
            TokioResolver::builder_with_config(configuration(settings), provider)
        };
        set_options(builder.options_mut(), question);
        let inner = builder.build().map_err(|error| ResolverError::SetUp(error.to_string()))?;
        Ok(Self { inner })
    }

    /// The mail exchangers of a domain.
    pub async fn mx(&self, domain: &Domain) -> MxAnswer {
        match self.find(domain.as_str(), RecordType::MX).await {
            Found::Records(lookup) => exchanges(&lookup),
            Found::NoRecords => MxAnswer::NoRecords,
            Found::NoSuchName => MxAnswer::NoSuchDomain,
            Found::Temporary(why) => MxAnswer::Temporary(why),
        }
    }

    /// The addresses of a host, IPv4 first, because a host without a way to IPv6 is still the more
    /// common fault. What one family has is enough, even if the other could not be asked.
    pub async fn addresses(&self, host: &str) -> AddressAnswer {
        let (v4, v6) = tokio::join!(self.find(host, RecordType::A), self.find(host, RecordType::AAAA));
        let mut addresses = Vec::new();
        let mut problem = None;
        for found in [v4, v6] {
            match found {
                Found::Records(lookup) => addresses.extend(ips(&lookup)),
                Found::NoRecords | Found::NoSuchName => {}
                Found::Temporary(why) => problem = Some(why),
            }
        }
        addresses.truncate(ADDRESSES_TRIED_MAX);
        match (addresses.is_empty(), problem) {
            (false, _) => AddressAnswer::Addresses(addresses),
            (true, Some(why)) => AddressAnswer::Temporary(why),
            (true, None) => AddressAnswer::None,
        }
    }

    /// Whether the zone that holds `domain` is signed: its parent then has a DS record for it.
    pub async fn signed(&self, domain: &Domain) -> Signed {
        let zone = match self.zone(domain).await {
            Ok(zone) => zone,
            Err(why) => return Signed::Unknown(why),
        };
        match self.find(&zone, RecordType::DS).await {
            Found::Records(lookup) if !lookup.answers().is_empty() => Signed::Yes(zone),
            Found::Records(_) | Found::NoRecords | Found::NoSuchName => Signed::No(zone),
            Found::Temporary(why) => Signed::Unknown(why),
        }
    }

    /// The zone that holds a name: the owner of the SOA in the answer, or beside its absence.
    async fn zone(&self, domain: &Domain) -> Result<String, String> {
        let mut fqdn = Name::from_ascii(domain.as_str()).map_err(|error| error.to_string())?;
        fqdn.set_fqdn(true);
        let asked = tokio::time::timeout(LOOKUP_TIMEOUT, self.inner.lookup(fqdn, RecordType::SOA)).await;
        let owner = match asked {
            Ok(Ok(lookup)) => {
                let is_soa = |record: &&Record| matches!(record.data, RData::SOA(_));
                lookup.answers().iter().find(is_soa).map(|record| record.name.clone())
            }
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => none.soa.map(|soa| soa.name),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no answer within {} s", LOOKUP_TIMEOUT.as_secs())),
        };
        match owner {
            Some(zone) if !zone.is_root() => Ok(text(&zone)),
            Some(_) | None => Err(format!("no zone of {domain} is known")),
        }
    }

    async fn find(&self, name: &str, kind: RecordType) -> Found {
        let Ok(mut fqdn) = Name::from_ascii(name) else {
            return Found::NoSuchName;
        };
        fqdn.set_fqdn(true);
        match tokio::time::timeout(LOOKUP_TIMEOUT, self.inner.lookup(fqdn, kind)).await {
            Ok(Ok(lookup)) => Found::Records(lookup),
            Ok(Err(error)) => classify(name, &error),
            Err(_) => Found::Temporary(format!("no answer for {name} within {} s", LOOKUP_TIMEOUT.as_secs())),
        }
    }
}

fn configuration(settings: &DnsSettings) -> ResolverConfig {
    let servers = settings.servers.iter().map(|server| {
        let mut config = NameServerConfig::udp_and_tcp(server.ip());
        for connection in &mut config.connections {
            connection.port = server.port();
        }
        config
    });
    ResolverConfig::from_name_servers(servers.collect())
}

fn set_options(options: &mut ResolverOpts, question: Duration) {
    options.timeout = question;
    options.attempts = REPETITIONS;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = CACHE_ENTRIES;
    options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
}

/// Only a clear "no" is one; everything else may be different later.
fn classify(name: &str, error: &NetError) -> Found {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Found::NoSuchName,
            ResponseCode::NoError => Found::NoRecords,
            code => Found::Temporary(format!("the name server answers {code} for {name}")),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => {
            Found::Temporary(format!("the name server answers {code} for {name}"))
        }
        NetError::Timeout => Found::Temporary(format!("no name server answers for {name}")),
        other => Found::Temporary(format!("{other} ({name})")),
    }
}

fn exchanges(lookup: &Lookup) -> MxAnswer {
    let records: Vec<(u16, String)> = lookup
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::MX(mx) => Some((mx.preference, text(&mx.exchange))),
            _ => None,
        })
        .collect();
    match records.as_slice() {
        // The name is an alias of one that has none.
        [] => MxAnswer::NoRecords,
        [(_, exchange)] if exchange.is_empty() => MxAnswer::NullMx,
        _ => MxAnswer::Records(records),
    }
}

fn ips(lookup: &Lookup) -> impl Iterator<Item = IpAddr> + '_ {
    lookup.answers().iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    })
}

/// In lower case, without the trailing dot; the root is empty.
fn text(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;
