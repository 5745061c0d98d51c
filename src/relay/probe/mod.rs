//! The walk of `sealpost partner probe`: to a domain as the server would go, on to every step that
//! can be made, and no mail at the end. It needs no running server; DNS, connection, TLS, session
//! and judge are the server's.

pub mod advice;
mod inbound;
mod names;
mod policy;
pub mod suggest;
mod talk;
mod target;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use rand::seq::SliceRandom;
use serde::Serialize;

use crate::mail::Domain;
use crate::net::local;
use crate::net::resolver::{Exchangers, Resolver};
use crate::observe::partners::SeenCertificate;
use crate::policy::routing::{self, AddressAnswer, HostTarget, MxAnswer, Plan};
use crate::policy::{
    NoCertificate, OwnCertificate, Partner, SendConnector, Settings, limits, own_certificate, secure_domains,
    send_connector,
};
use crate::smtp::Reply;
use crate::trust::{Connection, Direction, Level, Mode, Requirement, Verdict, judge};

use super::revocation::{Asked, ListsAtHand};

pub use advice::{Advice, Side};
pub use inbound::{Judgement, judge_inbound};
pub use names::{Dns, Exchange, HostAddresses};
pub use policy::{HostPolicy, Policies};
pub use target::TargetWalk;

/// What a walk is made with.
#[derive(Clone, Copy)]
pub struct Gear<'a> {
    pub settings: &'a Settings,
    pub lists: &'a Arc<ListsAtHand>,
    pub resolver: &'a Arc<Resolver>,
}

impl Gear<'_> {
    /// The server's judgement: lists that alone are missing are fetched, once, and it is judged again.
    async fn judge(self, requirement: &Requirement, connection: &Connection<'_>) -> Verdict {
        let verdict = judge(requirement, connection, &self.lists.load(), now());
        if self.lists.obtain(self.resolver, &verdict.missing_lists).await {
            judge(requirement, connection, &self.lists.load(), now())
        } else {
            verdict
        }
    }
}

/// Everything found on the way, and what is to be said about it.
#[derive(Serialize)]
pub struct Walk {
    pub domain: Domain,
    pub at: String,
    /// On the send list. If not, it is judged as if it were.
    pub listed: bool,
    pub partner: Option<String>,
    pub mode: Mode,
    pub connector: Option<String>,
    /// The certificate that we present, or why there is none.
    pub own_certificate: Option<SeenCertificate>,
    pub own_problem: Option<String>,
    pub dns: Dns,
    pub targets: Vec<TargetWalk>,
    /// Revocation lists that were asked for on the way.
    pub lists: Vec<Asked>,
    /// What rules over mail that goes there today.
    pub policies: Policies,
    /// What keeps all mail from going, before any next hop has a say.
    pub obstacle: Option<String>,
    /// At least one next hop would get mail under mutual TLS.
    pub admitted: bool,
    /// On what is not about a single next hop.
    pub advice: Vec<Advice>,
    #[serde(skip)]
    pub requirement: Requirement,
}

/// What the walk demands of every next hop.
struct Demand<'a> {
    requirement: Requirement,
    connector: &'a Arc<SendConnector>,
    own: Result<&'a Arc<OwnCertificate>, NoCertificate>,
}

/// Walks to `domain`. Never fails: what stops it is what it tells.
pub async fn walk(gear: Gear<'_>, domain: &Domain) -> Walk {
    let settings = gear.settings;
    let listed = super::partners::is_listed(settings, domain, Direction::Outbound);
    let partner = settings.partner_of(domain);
    let requirement = requirement(settings, domain);
    let mut walk = Walk {
        domain: domain.clone(),
        at: Timestamp::from_second(now().as_second()).unwrap_or_default().to_string(),
        listed,
        partner: partner.map(|partner| partner.name.clone()),
        mode: requirement.mode,
        connector: None,
        own_certificate: None,
        own_problem: None,
        dns: Dns::default(),
        targets: Vec::new(),
        lists: Vec::new(),
        policies: Policies::default(),
        obstacle: None,
        admitted: false,
        advice: Vec::new(),
        requirement: requirement.clone(),
    };
    let Some(connector) = connector(settings, domain) else {
        walk.obstacle = Some(format!("no send connector serves {domain}"));
        walk.advice.push(advice::no_connector(domain));
        return walk;
    };
    walk.connector = Some(connector.name.clone());
    let own = own(settings, connector, partner);
    match &own {
        Ok(own) => {
            walk.own_certificate = own.chain.first().and_then(SeenCertificate::read);
        }
        Err(none) => walk.own_problem = Some(none.to_string()),
    }
    let demand = Demand { requirement, connector, own };
    for target in find(gear, &demand, &mut walk).await {
        let found = target::visit(gear, &demand, target).await;
        walk.admitted |= found.admitted();
        walk.targets.push(found);
    }
    walk.lists = gear.lists.asked();
    walk.policies = policy::find(gear, connector, &walk).await;
    for target in &mut walk.targets {
        target.advice =
            advice::on_target(settings, &demand.requirement, target, walk.own_certificate.as_ref());
    }
    walk
}

/// The demand on a listed domain; what it would be on another, were it listed today.
pub fn requirement(settings: &Settings, domain: &Domain) -> Requirement {
    secure_domains::requirement(settings, Direction::Outbound, domain).unwrap_or_else(|| {
        let ordinary = secure_domains::ordinary(settings, Direction::Outbound, domain, Level::DomainSecure);
        match settings.partner_of(domain) {
            Some(partner) => {
                Requirement { policy: Arc::clone(&partner.policy), mode: partner.mode, ..ordinary }
            }
            None => ordinary,
        }
    })
}

/// As a listed domain would go; where none enforces, as mail goes today.
fn connector<'a>(settings: &'a Settings, domain: &Domain) -> Option<&'a Arc<SendConnector>> {
    let connectors = &settings.send_connectors;
    let secure = send_connector::select(connectors, Some(domain), true);
    let listed = super::partners::is_listed(settings, domain, Direction::Outbound);
    secure.or_else(|| send_connector::select(connectors, Some(domain), false).filter(|_| !listed))
}

fn own<'a>(
    settings: &'a Settings,
    connector: &SendConnector,
    partner: Option<&Arc<Partner>>,
) -> Result<&'a Arc<OwnCertificate>, NoCertificate> {
    let wanted = partner.and_then(|partner| partner.certificate.as_deref());
    own_certificate::choose(&settings.certificates, wanted, &connector.fqdn, &settings.hostname, now())
}

/// A next hop, or an address that is none.
struct Target {
    host: String,
    address: SocketAddr,
    /// Why the server would not connect there.
    refused: Option<String>,
}

/// Hosts and their addresses in the order in which the server would try them.
async fn find(gear: Gear<'_>, demand: &Demand<'_>, walk: &mut Walk) -> Vec<Target> {
    let hosts = match hosts(gear, demand, walk).await {
        Ok(hosts) => hosts,
        Err(reply) => {
            walk.obstacle = Some(reply.lines.join(" "));
            walk.advice.extend(advice::no_way(&walk.domain, &reply));
            return Vec::new();
        }
    };
    let mut targets = Vec::new();
    for host in hosts {
        let found = addresses(gear.resolver, &host).await;
        if let Some(problem) = &found.problem {
            walk.advice.push(advice::no_address(&walk.domain, problem));
        }
        targets.extend(found.addresses.iter().map(|ip| target(gear.settings, demand.connector, &host, *ip)));
        walk.dns.hosts.push(found);
    }
    targets.truncate(limits::ADDRESSES_TRIED_MAX);
    if targets.is_empty() {
        walk.obstacle = Some(format!("no mail host of {} has an address", walk.domain));
    }
    targets
}

async fn hosts(gear: Gear<'_>, demand: &Demand<'_>, walk: &mut Walk) -> Result<Vec<HostTarget>, Reply> {
    let (settings, connector) = (gear.settings, demand.connector);
    if !connector.dns_routing_enabled {
        walk.dns.note = Some(format!("send connector {} uses smart hosts", connector.name));
        return Ok(super::targets::smart_hosts(connector));
    }
    let Exchangers { answer, secure, .. } = gear.resolver.exchangers(&walk.domain).await;
    if matches!(answer, MxAnswer::Records(_) | MxAnswer::NullMx) {
        walk.dns.validated = gear.resolver.has_dnssec().then_some(secure);
    }
    walk.dns.signed = gear.resolver.signed(&walk.domain).await.to_string();
    walk.dns.note = match &answer {
        MxAnswer::Records(records) => {
            let exchange =
                |(preference, host): &(u16, String)| Exchange { preference: *preference, host: host.clone() };
            walk.dns.exchanges = records.iter().take(limits::MX_RECORDS_MAX).map(exchange).collect();
            walk.dns.exchanges.sort_by_key(|exchange| exchange.preference);
            None
        }
        MxAnswer::NoRecords => Some("no MX record: the domain itself is the host".to_owned()),
        MxAnswer::NullMx => Some("null MX: the domain takes no mail".to_owned()),
        MxAnswer::NoSuchDomain => Some("the domain does not exist".to_owned()),
        MxAnswer::Temporary(why) => Some(why.clone()),
    };
    let shuffle = |hosts: &mut [HostTarget]| hosts.shuffle(&mut rand::rng());
    let own = super::targets::own_names(settings);
    match routing::plan(&walk.domain, answer, connector.port, &own, shuffle) {
        Plan::Hosts(hosts) => Ok(hosts),
        Plan::Bounce(reply) | Plan::Defer(reply) => Err(reply),
    }
}

async fn addresses(resolver: &Resolver, host: &HostTarget) -> HostAddresses {
    let mut found =
        HostAddresses { host: host.name.clone(), addresses: Vec::new(), validated: None, problem: None };
    if let Some(ip) = host.as_literal() {
        found.addresses.push(ip);
        return found;
    }
    let answer = resolver.host(&host.name).await;
    match answer.addresses {
        AddressAnswer::Addresses(addresses) => {
            found.validated = resolver.has_dnssec().then_some(answer.secure);
            found.addresses = addresses;
        }
        AddressAnswer::None => found.problem = Some(format!("the mail host {} has no address", host.name)),
        AddressAnswer::Temporary(why) => {
            found.problem = Some(format!("looking up {} failed: {why}", host.name));
        }
    }
    found
}

/// With the ports of the settings: what port 0 became is known to the running server alone.
fn target(settings: &Settings, connector: &SendConnector, host: &HostTarget, ip: IpAddr) -> Target {
    let bindings: Vec<SocketAddr> =
        settings.receive_connectors.iter().flat_map(|connector| connector.bindings.clone()).collect();
    let address = SocketAddr::new(ip, host.port);
    let local: &[IpAddr] = if local::is_local(ip) { &[ip] } else { &[] };
    let refused = routing::refuse_target(address, &bindings, local, connector.dns_routing_enabled);
    Target { host: host.name.clone(), address, refused: refused.map(|reply| reply.lines.join(" ")) }
}

fn now() -> Timestamp {
    super::shared::Shared::now().wall
}
