//! From a delivery queue to the addresses to try, in order: DNS or smart hosts, then the plan.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rand::seq::SliceRandom;
use sealpost_queue::Destination;

use crate::mail::{Address, Domain, Host, TlsRequired};
use crate::net::resolver::HostAnswer;
use crate::net::{dane, local};
use crate::observe::Event;
use crate::policy::mta_sts::StsPolicy;
use crate::policy::outbound::{self, Demand, HostPlan, Published, Skipped, TlsaAnswer, Way};
use crate::policy::routing::{self, AddressAnswer, HostTarget, Plan};
use crate::policy::{SendConnector, Settings, SmartHost, SmartHostName, limits};
use crate::smtp::Reply;
use crate::trust::Mode;

use super::record::AttemptNote;
use super::shared::Shared;
use super::tls_report::{self, Reported};
use super::{mta_sts, route};

/// One address to connect to.
#[derive(Clone, Debug)]
pub struct Target {
    /// MX or smart-host name, or the address in brackets.
    pub host: String,
    pub address: SocketAddr,
    /// What the server there must prove.
    pub demand: Arc<Demand>,
    /// Whom sessions with it are told to.
    pub reported: Option<Arc<Reported>>,
}

/// The next hop of one delivery queue.
#[derive(Clone, Copy)]
pub struct NextHop<'a> {
    pub settings: &'a Settings,
    pub connector: &'a SendConnector,
    pub destination: &'a Destination,
    pub recipient: &'a Address,
    /// What the message asks.
    pub tls_required: TlsRequired,
}

impl NextHop<'_> {
    /// The queue's, where its domain is on the send list.
    fn tls_domain(&self) -> Option<Domain> {
        Domain::parse(&self.destination.tls_domain).ok()
    }
}

/// Every target of a next hop in the order to be tried, or what stands in their place.
pub async fn find(shared: &Arc<Shared>, hop: NextHop<'_>) -> Result<Vec<Target>, Box<AttemptNote>> {
    let way = route_of(shared, hop).await.map_err(|reply| ours(&reply))?;
    let mut targets = Vec::new();
    let mut last_problem = None;
    for host in &way.hosts {
        match targets_of(shared, hop, &way, host).await {
            Ok((found, problem)) => {
                targets.extend(found);
                problem.into_iter().for_each(|problem| note_problem(&mut last_problem, problem));
            }
            Err(problem) => note_problem(&mut last_problem, *problem),
        }
        if targets.len() >= limits::ADDRESSES_TRIED_MAX {
            targets.truncate(limits::ADDRESSES_TRIED_MAX);
            break;
        }
    }
    if targets.is_empty() {
        let text = format!("no mail host of {} has an address", hop.recipient.host());
        let none = || ours(&Reply::new(451, (4, 4, 4), text));
        return Err(last_problem.map_or_else(none, Box::new));
    }
    Ok(targets)
}

/// The hosts of a next hop, and what is published about all of them.
struct Route {
    hosts: Vec<HostTarget>,
    /// The operator named none of them.
    by_dns: bool,
    sts: Option<Arc<StsPolicy>>,
    /// The names of the hosts can be relied on: DNS vouches for them, or the operator.
    named_securely: bool,
    /// The same, also where DANE is not used.
    certain: bool,
    /// What was to be reached (RFC 7672 3.2.2).
    names: Vec<Domain>,
}

async fn route_of(shared: &Arc<Shared>, hop: NextHop<'_>) -> Result<Route, Reply> {
    let NextHop { settings, connector, recipient, .. } = hop;
    let waived = hop.tls_required == TlsRequired::No;
    let asks = !waived && outbound::asks_the_world(settings, hop.tls_domain().as_ref());
    let chosen = match route::redirected_to(hop.destination) {
        Some(host) => Some(vec![host_target(&host, connector.port)]),
        None => (!connector.dns_routing_enabled).then(|| smart_hosts(connector)),
    };
    if let Some(hosts) = chosen {
        let named_securely = asks && connector.dane;
        return Ok(Route {
            hosts,
            by_dns: false,
            sts: None,
            named_securely,
            certain: true,
            names: Vec::new(),
        });
    }
    let domain = match recipient.host() {
        Host::Domain(domain) => domain,
        Host::Literal(ip) => {
            let hosts = vec![HostTarget::literal(*ip, connector.port)];
            let (named_securely, certain) = (false, false);
            return Ok(Route { hosts, by_dns: true, sts: None, named_securely, certain, names: Vec::new() });
        }
    };
    let policy =
        async { if asks && connector.mta_sts { mta_sts::policy_of(shared, domain).await } else { None } };
    let resolver = shared.resolver.load_full();
    let (exchangers, sts) = tokio::join!(resolver.exchangers(domain), policy);
    let names: Vec<Domain> = std::iter::once(domain.clone())
        .chain(exchangers.alias_of.as_deref().and_then(|name| Domain::parse_rooted(name).ok()))
        .collect();
    let certain = exchangers.secure;
    let named_securely = asks && connector.dane && certain;
    let shuffle = |hosts: &mut [HostTarget]| hosts.shuffle(&mut rand::rng());
    match routing::plan(domain, exchangers.answer, connector.port, &own_names(settings), shuffle) {
        Plan::Hosts(hosts) => Ok(Route { hosts, by_dns: true, sts, named_securely, certain, names }),
        Plan::Bounce(reply) | Plan::Defer(reply) => Err(reply),
    }
}

/// The addresses of one host with what must be proved there, and why some of them are none.
async fn targets_of(
    shared: &Arc<Shared>,
    hop: NextHop<'_>,
    route: &Route,
    host: &HostTarget,
) -> Result<(Vec<Target>, Option<AttemptNote>), Box<AttemptNote>> {
    let answer = addresses_of(shared, host).await;
    let addresses = match answer.addresses {
        AddressAnswer::Addresses(ref addresses) => addresses.clone(),
        AddressAnswer::None => {
            let text = format!("the mail host {} has no address", host.name);
            return Err(ours(&Reply::new(451, (4, 4, 4), text)));
        }
        AddressAnswer::Temporary(ref why) => {
            let text = format!("looking up {} failed: {why}", host.name);
            return Err(ours(&Reply::new(451, (4, 4, 3), text)));
        }
    };
    let mut problem = None;
    let addresses = usable(shared, route.by_dns, host, &addresses, &mut problem);
    if addresses.is_empty() {
        return Ok((Vec::new(), problem));
    }
    let (demand, reported) = demand(shared, hop, route, host, &answer).await.map_err(Box::new)?;
    let target = |address| Target {
        host: host.name.clone(),
        address,
        demand: Arc::clone(&demand),
        reported: reported.clone(),
    };
    Ok((addresses.into_iter().map(target).collect(), problem))
}

/// What a server at this host must prove, or which policy keeps us from it.
async fn demand(
    shared: &Arc<Shared>,
    hop: NextHop<'_>,
    route: &Route,
    host: &HostTarget,
    answer: &HostAnswer,
) -> Result<(Arc<Demand>, Option<Arc<Reported>>), AttemptNote> {
    let resolver = shared.resolver.load_full();
    let tlsa = if route.named_securely && resolver.has_dnssec() && host.as_literal().is_none() {
        dane::look_up(&resolver, &host.name, host.port, answer, &route.names).await
    } else {
        TlsaAnswer::NotApplicable
    };
    let published = Published { tlsa, sts: route.sts.clone() };
    let tls_domain = hop.tls_domain();
    let way = Way {
        settings: hop.settings,
        connector: hop.connector,
        tls_domain: tls_domain.as_ref(),
        domain: &proved_name(hop, host),
        host: &host.name,
        is_certain: route.certain,
        tls_required: hop.tls_required,
        published: &published,
    };
    match outbound::plan(&way) {
        HostPlan::Connect(demand) => {
            if let Some(tested) = &demand.tested {
                tell_skipped(shared, tested, Mode::Report);
            }
            let reported = Reported::of(&way, &demand).map(Arc::new);
            Ok((Arc::from(demand), reported))
        }
        HostPlan::Unfit(reply) => {
            let host = Some(host.name.clone());
            Err(AttemptNote { host, ..AttemptNote::ours(&reply, reply.lines.join(" ")) })
        }
        HostPlan::Skip(skipped) => {
            tell_skipped(shared, &skipped, Mode::Enforce);
            tls_report::skipped(shared, &way, &skipped);
            Err(AttemptNote::from_skipped(&skipped))
        }
    }
}

fn tell_skipped(shared: &Shared, skipped: &Skipped, mode: Mode) {
    shared.observer.event(Event::PolicyHostSkipped {
        domain: skipped.domain.clone(),
        host: skipped.host.clone(),
        policy: skipped.ruling.policy,
        outcome: skipped.ruling.outcome,
        mode,
        reason: skipped.reason.clone(),
    });
}

/// The name an unlisted next hop must prove under `domain-validation`: the recipient domain, or the
/// smart host's own name where one is configured.
fn proved_name(hop: NextHop<'_>, host: &HostTarget) -> Domain {
    let smart_host =
        (!hop.connector.dns_routing_enabled).then(|| Domain::parse_rooted(&host.name).ok()).flatten();
    smart_host.or_else(|| hop.recipient.domain().cloned()).unwrap_or_else(|| hop.settings.hostname.clone())
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

async fn addresses_of(shared: &Shared, host: &HostTarget) -> HostAnswer {
    match host.as_literal() {
        Some(ip) => {
            HostAnswer { addresses: AddressAnswer::Addresses(vec![ip]), secure: false, alias_of: None }
        }
        None => shared.resolver.load_full().host(&host.name).await,
    }
}

/// Drops addresses that are ourselves or never a next hop, noting why.
fn usable(
    shared: &Shared,
    dns: bool,
    host: &HostTarget,
    addresses: &[IpAddr],
    problem: &mut Option<AttemptNote>,
) -> Vec<SocketAddr> {
    let bound = shared.bound.load();
    let mut usable = Vec::new();
    for ip in routing::by_turns(addresses) {
        let address = SocketAddr::new(ip, host.port);
        let local: &[IpAddr] = if local::is_local(ip) { &[ip] } else { &[] };
        match routing::refuse_target(address, &bound, local, dns) {
            None => usable.push(address),
            Some(reply) => note_problem(problem, *ours(&reply)),
        }
    }
    usable
}

/// Keeps what stands in the place of targets: one host that may be there later is reason to wait,
/// whatever is wrong with the others; and of those what a policy has to say is told first.
fn note_problem(problem: &mut Option<AttemptNote>, found: AttemptNote) {
    let stays = problem.as_ref().is_some_and(|known| {
        let waits = !known.permanent && found.permanent;
        waits || (known.ruling.is_some() && found.ruling.is_none() && known.permanent == found.permanent)
    });
    if !stays {
        *problem = Some(found);
    }
}

fn ours(reply: &Reply) -> Box<AttemptNote> {
    Box::new(AttemptNote::ours(reply, reply.lines.join(" ")))
}
