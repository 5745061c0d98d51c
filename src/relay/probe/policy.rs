//! Which policy rules over mail that goes to each next hop today, what it wants and what the walk
//! got: the same plan and the same judgement as the server's.

use jiff::Timestamp;
use serde::Serialize;

use crate::mail::{Domain, TlsRequired};
use crate::net::dane;
use crate::net::sts_fetch::{Announced, Fetcher};
use crate::policy::SendConnector;
use crate::policy::mta_sts::StsPolicy;
use crate::policy::outbound::{self, HostPlan, Published, TlsaAnswer, Way};
use crate::trust::tlsa::TlsaRecord;
use crate::trust::{Mode, RuledBy};

use super::{Gear, TargetWalk, Walk};

/// What the domain publishes, and what comes of it.
#[derive(Debug, Default, Serialize)]
pub struct Policies {
    /// Whether an answer of DNS can be authentic here (`[dns] dnssec`).
    pub dnssec: bool,
    /// The MTA-STS policy, or why there is none, in words; none where it was not asked for.
    pub mta_sts: Option<String>,
    pub hosts: Vec<HostPolicy>,
}

/// At one next hop.
#[derive(Debug, Serialize)]
pub struct HostPolicy {
    pub host: String,
    pub address: String,
    /// TLSA records, or what stands in their place.
    pub tlsa: Vec<String>,
    pub policy: RuledBy,
    pub mode: Mode,
    /// `wanted:got`; none where the walk did not come to a judgement.
    pub wanted_got: Option<String>,
    /// What keeps mail from it.
    pub problem: Option<String>,
}

/// Looks up what is published, as for mail, and judges each target by it.
pub(super) async fn find(gear: Gear<'_>, connector: &SendConnector, walk: &Walk) -> Policies {
    let tls_domain = walk.listed.then_some(&walk.domain);
    let asks = outbound::asks_the_world(gear.settings, tls_domain);
    let mut policies = Policies { dnssec: gear.resolver.has_dnssec(), ..Policies::default() };
    let mut sts = None;
    if asks && connector.mta_sts && connector.dns_routing_enabled {
        let (policy, words) = mta_sts(gear, &walk.domain).await;
        policies.mta_sts = Some(words);
        sts = policy.map(std::sync::Arc::new);
    }
    let named_securely = match connector.dns_routing_enabled {
        true => gear.resolver.exchangers(&walk.domain).await.secure,
        false => true,
    };
    for target in &walk.targets {
        let tlsa = if asks && connector.dane && named_securely {
            tlsa(gear, &walk.domain, connector.port, target).await
        } else {
            TlsaAnswer::NotApplicable
        };
        let published = Published { tlsa, sts: sts.clone() };
        let way = Way {
            settings: gear.settings,
            connector,
            tls_domain,
            domain: &walk.domain,
            host: &target.host,
            is_certain: false,
            tls_required: TlsRequired::Unstated,
            published: &published,
        };
        policies.hosts.push(at_host(gear, target, &way).await);
    }
    policies
}

async fn mta_sts(gear: Gear<'_>, domain: &Domain) -> (Option<StsPolicy>, String) {
    let lists = gear.lists.load();
    let fetcher = Fetcher { resolver: gear.resolver, settings: &gear.settings.mta_sts, lists: &lists };
    match fetcher.announced(domain).await {
        Announced::None => (None, "none announced".to_owned()),
        Announced::Unknown(why) => (None, format!("not known: {why}")),
        Announced::Policy(id) => match fetcher.fetch(domain, Timestamp::now()).await {
            Ok(policy) => {
                let words = format!("{} ({id}), hosts {}", policy.mode, policy.hosts());
                (Some(policy), words)
            }
            Err(error) => (None, format!("announced ({id}), but {error}")),
        },
    }
}

async fn tlsa(gear: Gear<'_>, domain: &Domain, port: u16, target: &TargetWalk) -> TlsaAnswer {
    if !gear.resolver.has_dnssec() || target.host.starts_with('[') {
        return TlsaAnswer::NotApplicable;
    }
    let answer = gear.resolver.host(&target.host).await;
    dane::look_up(gear.resolver, &target.host, port, &answer, std::slice::from_ref(domain)).await
}

async fn at_host(gear: Gear<'_>, target: &TargetWalk, way: &Way<'_>) -> HostPolicy {
    let tlsa = match &way.published.tlsa {
        TlsaAnswer::NotApplicable => vec!["not looked for: an answer on the way is not secure".to_owned()],
        TlsaAnswer::None => vec!["none".to_owned()],
        TlsaAnswer::Records { records, .. } => records.iter().map(TlsaRecord::to_string).collect(),
        TlsaAnswer::Failed(why) => vec![format!("not to be had: {why}")],
    };
    let base = HostPolicy {
        host: target.host.clone(),
        address: target.address.clone(),
        tlsa,
        policy: RuledBy::Connector,
        mode: Mode::Enforce,
        wanted_got: None,
        problem: None,
    };
    match outbound::plan(way) {
        HostPlan::Unfit(reply) => HostPolicy { problem: Some(reply.lines.join(" ")), ..base },
        HostPlan::Skip(skipped) => HostPolicy {
            policy: skipped.ruling.policy,
            wanted_got: Some(skipped.ruling.wanted_got()),
            problem: Some(skipped.reason),
            ..base
        },
        HostPlan::Connect(demand) => {
            let verdict = target.judge(&demand.requirement, gear).await;
            HostPolicy {
                policy: demand.requirement.ruled_by,
                mode: demand.requirement.mode,
                problem: verdict.as_ref().filter(|v| !v.is_good()).map(crate::trust::Verdict::sentence),
                wanted_got: verdict.map(|verdict| verdict.ruling().wanted_got()),
                ..base
            }
        }
    }
}
