//! Which host next: from the answer of DNS to hosts in the order to be tried (RFC 5321 section 5,
//! RFC 7505), and which addresses are never a next hop.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::mail::Domain;
use crate::smtp::Reply;

use super::limits::MX_RECORDS_MAX;

/// What DNS says of a domain's mail exchangers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MxAnswer {
    /// Preference and exchange, as DNS has it; a name without its trailing dot.
    Records(Vec<(u16, String)>),
    /// The domain exists and has none.
    NoRecords,
    /// The domain says that it takes no mail (RFC 7505).
    NullMx,
    NoSuchDomain,
    /// Nothing is known for now; the text says why.
    Temporary(String),
}

/// What DNS says of a host's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressAnswer {
    /// At least one, at most `limits::ADDRESSES_TRIED_MAX`, in the order to be tried.
    Addresses(Vec<IpAddr>),
    /// The host does not exist or has none.
    None,
    /// Nothing is known for now; the text says why.
    Temporary(String),
}

/// A host to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTarget {
    /// A name still to be looked up, or an address literal in brackets.
    pub name: String,
    pub port: u16,
}

/// Where the mail of a domain goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// In the order to be tried; at least one.
    Hosts(Vec<HostTarget>),
    /// Nowhere, and never will.
    Bounce(Reply),
    /// Nowhere for now.
    Defer(Reply),
}

/// Plans the way to `domain` (RFC 5321 5.1): by preference, equal ones in the order `shuffle`
/// leaves them in; the domain itself where it has no MX. An exchange that is one of `own_names`
/// ends the list, so that mail only ever moves to better exchanges than we are. At most
/// `limits::MX_RECORDS_MAX` records are looked at, the best ones.
pub fn plan(
    domain: &Domain,
    answer: MxAnswer,
    port: u16,
    own_names: &[Domain],
    shuffle: impl FnMut(&mut [HostTarget]),
) -> Plan {
    match answer {
        MxAnswer::Records(records) => by_preference(domain, records, port, own_names, shuffle),
        MxAnswer::NoRecords if own_names.contains(domain) => Plan::Bounce(loops(domain)),
        MxAnswer::NoRecords => Plan::Hosts(vec![HostTarget { name: domain.to_string(), port }]),
        MxAnswer::NullMx => {
            let text = format!("the domain {domain} takes no mail (null MX)");
            Plan::Bounce(Reply::new(556, (5, 1, 10), text))
        }
        MxAnswer::NoSuchDomain => {
            Plan::Bounce(Reply::new(550, (5, 1, 2), format!("the domain {domain} does not exist in DNS")))
        }
        MxAnswer::Temporary(why) => {
            let text = format!("looking up the mail exchangers of {domain} failed: {why}");
            Plan::Defer(Reply::new(451, (4, 4, 3), text))
        }
    }
}

fn by_preference(
    domain: &Domain,
    mut records: Vec<(u16, String)>,
    port: u16,
    own_names: &[Domain],
    mut shuffle: impl FnMut(&mut [HostTarget]),
) -> Plan {
    records.sort();
    records.truncate(MX_RECORDS_MAX);
    let is_own = |name: &Domain| own_names.contains(name);
    let named = records.into_iter().filter_map(|(preference, name)| Some((preference, exchange(&name)?)));
    let mut seen = HashSet::new();
    let usable: Vec<(u16, Domain)> = named.filter(|(_, name)| seen.insert(name.clone())).collect();
    let ours = usable.iter().filter(|(_, name)| is_own(name)).map(|(preference, _)| *preference).min();
    let mut hosts = Vec::new();
    for group in usable.chunk_by(|a, b| a.0 == b.0) {
        if ours.is_some_and(|ours| group[0].0 >= ours) {
            break;
        }
        let start = hosts.len();
        hosts.extend(group.iter().map(|(_, name)| HostTarget { name: name.to_string(), port }));
        shuffle(&mut hosts[start..]);
    }
    match (hosts.is_empty(), ours) {
        (false, _) => Plan::Hosts(hosts),
        (true, Some(_)) => Plan::Bounce(loops(domain)),
        (true, None) => {
            let text = format!("no MX record of {domain} names a host");
            Plan::Bounce(Reply::new(550, (5, 4, 4), text))
        }
    }
}

/// An exchange that names a host. An address is none (RFC 5321 5.1 wants a domain name), though
/// people write it; nor is the root, which is only meaningful alone (RFC 7505 3).
fn exchange(name: &str) -> Option<Domain> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_address = name.parse::<IpAddr>().is_ok() || name.rsplit('.').next().is_some_and(is_number);
    if is_address { None } else { Domain::parse(name).ok() }
}

/// No top-level domain is a number; what ends in one was meant as an address.
fn is_number(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_digit())
}

fn loops(domain: &Domain) -> Reply {
    Reply::new(554, (5, 4, 6), format!("mail for {domain} loops back to this server; it is its best MX host"))
}

impl HostTarget {
    pub fn literal(address: IpAddr, port: u16) -> Self {
        let name = match address {
            IpAddr::V4(address) => format!("[{address}]"),
            IpAddr::V6(address) => format!("[IPv6:{address}]"),
        };
        Self { name, port }
    }

    /// The address, if the name is a literal.
    pub fn as_literal(&self) -> Option<IpAddr> {
        let inner = self.name.strip_prefix('[')?.strip_suffix(']')?;
        inner.strip_prefix("IPv6:").unwrap_or(inner).parse().ok()
    }
}

impl fmt::Display for HostTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// The addresses of one host with the families by turns, the first one's first (RFC 8305 4), so that
/// a family that does not work costs one try and not all of them.
pub fn by_turns(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let Some(first) = addresses.first().map(IpAddr::is_ipv4) else { return Vec::new() };
    let mut of_first = addresses.iter().filter(|address| address.is_ipv4() == first);
    let mut of_other = addresses.iter().filter(|address| address.is_ipv4() != first);
    let mut ordered = Vec::with_capacity(addresses.len());
    while ordered.len() < addresses.len() {
        ordered.extend(of_first.next());
        ordered.extend(of_other.next());
    }
    ordered
}

/// Why `target` is never a next hop, if so. It is ourselves when one of our `bindings` covers its
/// address and port, a wildcard binding covering every one of `local_addresses` and all loopback
/// ones. Other loopback and unspecified addresses that DNS led to (`from_dns`) are refused when we
/// also bind an address that others can reach; a smart host was written down by the operator.
///
/// `bindings` carry the ports really bound.
pub fn refuse_target(
    target: SocketAddr,
    bindings: &[SocketAddr],
    local_addresses: &[IpAddr],
    from_dns: bool,
) -> Option<Reply> {
    let ip = reached(target.ip());
    let is_local = ip.is_loopback() || local_addresses.iter().any(|local| local.to_canonical() == ip);
    let covers = |binding: &SocketAddr| {
        let bound = binding.ip().to_canonical();
        let wildcard = bound.is_unspecified() && bound.is_ipv4() == ip.is_ipv4() && is_local;
        binding.port() == target.port() && (bound == ip || wildcard)
    };
    if bindings.iter().any(covers) {
        let text = format!("mail would loop: the next hop {target} is this server");
        return Some(Reply::new(554, (5, 4, 6), text));
    }
    let reachable = bindings.iter().any(|binding| !binding.ip().to_canonical().is_loopback());
    if from_dns && ip.is_loopback() && reachable {
        let text = format!("DNS names {target} as next hop, an address that only reaches this server");
        return Some(Reply::new(554, (5, 4, 4), text));
    }
    None
}

/// Where a connection to `ip` ends: IPv4 mapped into IPv6 is IPv4, and the unspecified address is
/// taken for loopback.
fn reached(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
