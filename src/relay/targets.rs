//! From a delivery queue to the addresses to try, in order: DNS or smart hosts, then the plan.

use std::net::{IpAddr, SocketAddr};

use rand::seq::SliceRandom;

use crate::mail::{Address, Domain, Host};
use crate::net::local;
use sealpost_queue::Destination;

use crate::policy::routing::{self, AddressAnswer, HostTarget, Plan};
use crate::policy::{SendConnector, Settings, SmartHost, SmartHostName, limits};
use crate::smtp::Reply;

use super::route;
use super::shared::Shared;

/// One address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// MX or smart-host name, or the address in brackets.
    pub host: String,
    pub address: SocketAddr,
}

/// Every target of a next hop in the order to be tried, or the reply that stands in their place.
pub async fn find(
    shared: &Shared,
    settings: &Settings,
    connector: &SendConnector,
    destination: &Destination,
    recipient: &Address,
) -> Result<Vec<Target>, Reply> {
    let redirected = route::redirected_to(destination);
    let dns = connector.dns_routing_enabled && redirected.is_none();
    let hosts = match &redirected {
        Some(host) => vec![host_target(host, connector.port)],
        None if dns => dns_hosts(shared, settings, connector, recipient).await?,
        None => smart_hosts(connector),
    };
    let mut targets = Vec::new();
    let mut last_problem = None;
    for host in hosts {
        match addresses_of(shared, &host).await {
            Ok(addresses) => targets.extend(usable(shared, dns, &host, &addresses, &mut last_problem)),
            Err(problem) => note_problem(&mut last_problem, problem),
        }
        if targets.len() >= limits::ADDRESSES_TRIED_MAX {
            targets.truncate(limits::ADDRESSES_TRIED_MAX);
            break;
        }
    }
    if targets.is_empty() {
        let text = format!("no mail host of {} has an address", recipient.host());
        return Err(last_problem.unwrap_or_else(|| Reply::new(451, (4, 4, 4), text)));
    }
    Ok(targets)
}

async fn dns_hosts(
    shared: &Shared,
    settings: &Settings,
    connector: &SendConnector,
    recipient: &Address,
) -> Result<Vec<HostTarget>, Reply> {
    let domain = match recipient.host() {
        Host::Domain(domain) => domain,
        Host::Literal(ip) => return Ok(vec![HostTarget::literal(*ip, connector.port)]),
    };
    let answer = shared.resolver.load_full().mx(domain).await;
    let own = own_names(settings);
    let shuffle = |hosts: &mut [HostTarget]| hosts.shuffle(&mut rand::rng());
    match routing::plan(domain, answer, connector.port, &own, shuffle) {
        Plan::Hosts(hosts) => Ok(hosts),
        Plan::Bounce(reply) | Plan::Defer(reply) => Err(reply),
    }
}

pub(super) fn smart_hosts(connector: &SendConnector) -> Vec<HostTarget> {
    let each = connector.smart_hosts.iter();
    let mut hosts: Vec<HostTarget> = each.map(|smart| host_target(smart, connector.port)).collect();
    hosts.shuffle(&mut rand::rng());
    hosts
}

fn host_target(smart: &SmartHost, default_port: u16) -> HostTarget {
    let port = smart.port.unwrap_or(default_port);
    match &smart.host {
        SmartHostName::Name(name) => HostTarget { name: name.to_string(), port },
        SmartHostName::Address(ip) => HostTarget::literal(*ip, port),
    }
}

/// Names under which an MX record means this server.
pub(super) fn own_names(settings: &Settings) -> Vec<Domain> {
    let connectors = settings.receive_connectors.iter().map(|connector| connector.fqdn.clone());
    connectors.chain([settings.hostname.clone()]).collect()
}

async fn addresses_of(shared: &Shared, host: &HostTarget) -> Result<Vec<IpAddr>, Reply> {
    if let Some(ip) = host.as_literal() {
        return Ok(vec![ip]);
    }
    match shared.resolver.load_full().addresses(&host.name).await {
        AddressAnswer::Addresses(addresses) => Ok(addresses),
        AddressAnswer::None => {
            Err(Reply::new(451, (4, 4, 4), format!("the mail host {} has no address", host.name)))
        }
        AddressAnswer::Temporary(why) => {
            Err(Reply::new(451, (4, 4, 3), format!("looking up {} failed: {why}", host.name)))
        }
    }
}

/// Drops addresses that are ourselves or never a next hop, noting why.
fn usable(
    shared: &Shared,
    dns: bool,
    host: &HostTarget,
    addresses: &[IpAddr],
    problem: &mut Option<Reply>,
) -> Vec<Target> {
    let bound = shared.bound.load();
    let mut targets = Vec::new();
    for ip in routing::by_turns(addresses) {
        let address = SocketAddr::new(ip, host.port);
        let local: &[IpAddr] = if local::is_local(ip) { &[ip] } else { &[] };
        match routing::refuse_target(address, &bound, local, dns) {
            None => targets.push(Target { host: host.name.clone(), address }),
            Some(reply) => note_problem(problem, reply),
        }
    }
    targets
}

/// Keeps what stands in the place of targets: one host that may be there later is reason to wait,
/// whatever is wrong with the others.
fn note_problem(problem: &mut Option<Reply>, found: Reply) {
    let waits = problem.as_ref().is_some_and(|known| !known.is_permanent());
    if !(waits && found.is_permanent()) {
        *problem = Some(found);
    }
}
