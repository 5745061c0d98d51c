//! DNS: the mail exchangers of a domain and the addresses of a host (RFC 5321 5.1, RFC 7505), TLSA and
//! TXT records, and whether an answer is authentic. The
//! hosts file and the search list have no say in where mail goes.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use crate::mail::Domain;
use crate::policy::DnsSettings;
use crate::policy::limits::{ADDRESSES_TRIED_MAX, TLSA_RECORDS_MAX};
use crate::policy::routing::{AddressAnswer, MxAnswer};
use crate::trust::tlsa::TlsaRecord;

use super::authentic::{self, Asking};

/// One question to one server, and all of a lookup with its repetitions.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a question without answer is asked again.
const REPETITIONS: usize = 2;
/// A domain that was set up wrongly is seen corrected after this long at most.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(300);
/// TXT records looked at of one name, and octets of each.
const TXT_RECORDS_MAX: usize = 100;
const TXT_BYTES_MAX: usize = 1024;
/// Answers kept.
const CACHE_ENTRIES: u64 = 4096;

/// A resolver with its cache. Share one; make it anew when `[dns]` changes.
pub struct Resolver {
    inner: hickory_resolver::Resolver<Asking<TokioRuntimeProvider>>,
    believed: bool,
}

/// The mail exchangers of a domain, and what DANE asks of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchangers {
    pub answer: MxAnswer,
    /// The answer is authentic. Where there are no records the domain itself is the host, and its
    /// addresses have the word.
    pub secure: bool,
    /// The domain that the asked one is an alias of.
    pub alias_of: Option<String>,
}

/// The addresses of a host, and what DANE asks of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAnswer {
    pub addresses: AddressAnswer,
    /// Every address, and every alias on the way to it, is authentic.
    pub secure: bool,
    /// The host that the asked one is an alias of.
    pub alias_of: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsaLookup {
    /// At least one, authentic.
    Secure(Vec<TlsaRecord>),
    /// There are none, or none that could be believed.
    None,
    /// Nothing is known for now, or the answer is a forgery.
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxtAnswer {
    /// Each with its strings joined.
    Records(Vec<String>),
    None,
    Temporary(String),
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
    /// And whether they are authentic.
    Records(Lookup, bool),
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
        let (config, options) = configuration_within(settings, question)?;
        let believed = authentic::is_believed(settings.dnssec, &config);
        let provider = Asking { connections: TokioRuntimeProvider::default(), authentic: believed };
        let builder = hickory_resolver::Resolver::builder_with_config(config, provider);
        let inner =
            builder.with_options(options).build().map_err(|error| ResolverError::SetUp(error.to_string()))?;
        Ok(Self { inner, believed })
    }

    /// Whether an answer can be secure at all (`[dns] dnssec`).
    pub fn has_dnssec(&self) -> bool {
        self.believed
    }

    /// The mail exchangers of a domain.
    pub async fn mx(&self, domain: &Domain) -> MxAnswer {
        self.exchangers(domain).await.answer
    }

    /// The same, with what DANE asks.
    pub async fn exchangers(&self, domain: &Domain) -> Exchangers {
        let plain = |answer| Exchangers { answer, secure: self.believed, alias_of: None };
        match self.find(domain.as_str(), RecordType::MX).await {
            Found::Records(lookup, secure) => Exchangers {
                answer: exchanges(&lookup),
                secure,
                alias_of: end_of_aliases(&lookup, RecordType::MX, domain.as_str()),
            },
            Found::NoRecords => plain(MxAnswer::NoRecords),
            Found::NoSuchName => plain(MxAnswer::NoSuchDomain),
            Found::Temporary(why) => plain(MxAnswer::Temporary(why)),
        }
    }

    /// The addresses of a host.
    pub async fn addresses(&self, host: &str) -> AddressAnswer {
        self.host(host).await.addresses
    }

    /// The addresses of a host, IPv4 first, because a host without a way to IPv6 is still the more
    /// common fault. What one family has is enough, even if the other could not be asked.
    pub async fn host(&self, host: &str) -> HostAnswer {
        let (v4, v6) = tokio::join!(self.find(host, RecordType::A), self.find(host, RecordType::AAAA));
        let mut addresses = Vec::new();
        let mut problem = None;
        let (mut secure, mut alias_of) = (true, None);
        for (found, kind) in [(v4, RecordType::A), (v6, RecordType::AAAA)] {
            match found {
                Found::Records(lookup, is_secure) => {
                    addresses.extend(ips(&lookup));
                    secure &= is_secure;
                    alias_of = alias_of.or_else(|| end_of_aliases(&lookup, kind, host));
                }
                Found::NoRecords | Found::NoSuchName => {}
                Found::Temporary(why) => problem = Some(why),
            }
        }
        addresses.truncate(ADDRESSES_TRIED_MAX);
        let addresses = match (addresses.is_empty(), problem) {
            (false, _) => AddressAnswer::Addresses(addresses),
            (true, Some(why)) => AddressAnswer::Temporary(why),
            (true, None) => AddressAnswer::None,
        };
        HostAnswer { addresses, secure: secure && self.believed, alias_of }
    }

    /// The IPv4 addresses of a name that is no host, such as an entry of a block list.
    pub async fn ipv4(&self, name: &str) -> AddressAnswer {
        match self.find(name, RecordType::A).await {
            Found::Records(lookup, _) => {
                AddressAnswer::Addresses(ips(&lookup).take(ADDRESSES_TRIED_MAX).collect())
            }
            Found::NoRecords | Found::NoSuchName => AddressAnswer::None,
            Found::Temporary(why) => AddressAnswer::Temporary(why),
        }
    }

    /// Whether the host is an alias, and that much is authentic.
    pub async fn is_secure_alias(&self, host: &str) -> bool {
        let found = self.find(host, RecordType::CNAME).await;
        matches!(found, Found::Records(lookup, true) if lookup.answers().iter().any(is_alias))
    }

    /// The TLSA records of an SMTP server (RFC 7672 2.2).
    pub async fn tlsa(&self, base: &str, port: u16) -> TlsaLookup {
        match self.find(&format!("_{port}._tcp.{base}"), RecordType::TLSA).await {
            Found::Records(lookup, true) => {
                let records: Vec<TlsaRecord> = tlsa_records(&lookup).take(TLSA_RECORDS_MAX).collect();
                if records.is_empty() { TlsaLookup::None } else { TlsaLookup::Secure(records) }
            }
            Found::Records(_, false) | Found::NoRecords | Found::NoSuchName => TlsaLookup::None,
            Found::Temporary(why) => TlsaLookup::Failed(why),
        }
    }

    pub async fn txt(&self, name: &str) -> TxtAnswer {
        match self.find(name, RecordType::TXT).await {
            Found::Records(lookup, _) => TxtAnswer::Records(texts(&lookup).take(TXT_RECORDS_MAX).collect()),
            Found::NoRecords | Found::NoSuchName => TxtAnswer::None,
            Found::Temporary(why) => TxtAnswer::Temporary(why),
        }
    }

    /// Whether the zone that holds `domain` is signed: its parent then has a DS record for it.
    pub async fn signed(&self, domain: &Domain) -> Signed {
        let zone = match self.zone(domain).await {
            Ok(zone) => zone,
            Err(why) => return Signed::Unknown(why),
        };
        match self.find(&zone, RecordType::DS).await {
            Found::Records(lookup, _) if !lookup.answers().is_empty() => Signed::Yes(zone),
            Found::Records(..) | Found::NoRecords | Found::NoSuchName => Signed::No(zone),
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
        match tokio::time::timeout(LOOKUP_TIMEOUT, self.inner.lookup(fqdn.clone(), kind)).await {
            Ok(Ok(lookup)) => {
                let secure = self.believed && authentic::is_whole(&lookup, &fqdn);
                Found::Records(lookup, secure)
            }
            Ok(Err(error)) => classify(name, &error),
            Err(_) => Found::Temporary(format!("no answer for {name} within {} s", LOOKUP_TIMEOUT.as_secs())),
        }
    }
}

/// How `[dns]` asks, for resolvers that others bring.
pub(super) fn configuration_of(
    settings: &DnsSettings,
) -> Result<(ResolverConfig, ResolverOpts), ResolverError> {
    configuration_within(settings, QUESTION_TIMEOUT)
}

fn configuration_within(
    settings: &DnsSettings,
    question: Duration,
) -> Result<(ResolverConfig, ResolverOpts), ResolverError> {
    let (config, mut options) = if settings.servers.is_empty() {
        read_system_conf().map_err(|error| ResolverError::System(error.to_string()))?
    } else {
        (configuration(settings), ResolverOpts::default())
    };
    set_options(&mut options, question);
    Ok((config, options))
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

/// The owner of the records of this type, where it is not the name that was asked for.
fn end_of_aliases(lookup: &Lookup, kind: RecordType, asked: &str) -> Option<String> {
    let record = lookup.answers().iter().find(|record| record.record_type() == kind)?;
    let owner = text(&record.name);
    (!owner.eq_ignore_ascii_case(asked.trim_end_matches('.'))).then_some(owner)
}

fn is_alias(record: &Record) -> bool {
    record.record_type() == RecordType::CNAME
}

fn tlsa_records(lookup: &Lookup) -> impl Iterator<Item = TlsaRecord> + '_ {
    lookup.answers().iter().filter_map(|record| match &record.data {
        RData::TLSA(tlsa) => Some(TlsaRecord {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        }),
        _ => None,
    })
}

fn texts(lookup: &Lookup) -> impl Iterator<Item = String> + '_ {
    lookup.answers().iter().filter_map(|record| match &record.data {
        RData::TXT(txt) => {
            let octets: Vec<u8> = txt.txt_data.iter().flatten().copied().take(TXT_BYTES_MAX).collect();
            Some(String::from_utf8_lossy(&octets).into_owned())
        }
        _ => None,
    })
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
