//! The one place that decides under which policy mail goes to a host. In the order of precedence:
//! the secure lists with their partner entry, DANE (RFC 7672), MTA-STS (RFC 8461), the connector.
//! The first that proves the host rules. One that asks for encryption alone is a floor beneath those
//! behind it and lowers none of them, and nothing lowers or replaces what a partner entry asks for.

use std::sync::Arc;

use crate::mail::{Domain, TlsRequired};
use crate::smtp::Reply;
use crate::trust::tlsa::{self, TlsaDemand, TlsaRecord};
use crate::trust::{Direction, Level, Mode, Requirement, RuledBy, Ruling, ServerProof, TlsOutcome};

use super::mta_sts::{StsMode, StsPolicy};
use super::{SendConnector, Settings, requiretls, secure_domains};

/// What is known of the way to one host when the plan is made.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    pub settings: &'a Settings,
    pub connector: &'a SendConnector,
    /// The delivery queue's, where its domain is on the send list.
    pub tls_domain: Option<&'a Domain>,
    /// Whose name an unlisted next hop must prove under `domain-validation`: the recipient domain,
    /// or the smart host.
    pub domain: &'a Domain,
    /// MX or smart-host name, or an address literal.
    pub host: &'a str,
    /// That mail for the domain goes to this host is the operator's word, or DNS vouches for it
    /// (DNSSEC).
    pub is_certain: bool,
    /// What the message asks (RFC 8689).
    pub tls_required: TlsRequired,
    pub published: &'a Published,
}

/// What DNS and web say of a host and of the domain behind it.
#[derive(Clone, Debug, Default)]
pub struct Published {
    pub tlsa: TlsaAnswer,
    pub sts: Option<Arc<StsPolicy>>,
}

/// What DNS says of a host's TLSA records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsaAnswer {
    /// DANE does not apply: no DNSSEC to be had here, an insecure answer on the way to the host, or
    /// nobody asked.
    #[default]
    NotApplicable,
    /// Securely or not: there are none.
    None,
    /// Secure records.
    Records {
        /// The TLSA base domain.
        base: Domain,
        /// The domains that were to be reached (RFC 7672 3.2.2).
        names: Vec<Domain>,
        records: Vec<TlsaRecord>,
    },
    /// Nothing is known for now, or the answer is a forgery; the text says why.
    Failed(String),
}

/// What to do about one host.
#[derive(Clone, Debug)]
pub enum HostPlan {
    Connect(Box<Demand>),
    Skip(Skipped),
    /// The message asks for more than any server there could prove.
    Unfit(Reply),
}

/// What a connection to a host must satisfy.
#[derive(Clone, Debug)]
pub struct Demand {
    pub requirement: Requirement,
    /// With `requirement.mode` report: what holds when that fails.
    pub fallback: Option<Requirement>,
    pub tls_domain: Option<Domain>,
    /// What a policy in testing would have held back.
    pub tested: Option<Skipped>,
    /// It is what REQUIRETLS asks: who does not satisfy it is not waited for.
    pub requiretls: bool,
    /// What it was made of, for reports.
    pub published: Published,
}

/// A host that a policy keeps us from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub domain: Domain,
    pub host: String,
    pub ruling: Ruling,
    /// In full sentences.
    pub reason: String,
    pub wanted: String,
    pub got: String,
}

/// Plans one host.
pub fn plan(way: &Way<'_>) -> HostPlan {
    let listed = way
        .tls_domain
        .and_then(|domain| secure_domains::requirement(way.settings, Direction::Outbound, domain));
    let Some(requirement) = listed else { return unlisted_as_asked(way) };
    let tls_domain = Some(requirement.domain.clone());
    let fallback = match requirement.mode {
        Mode::Enforce => None,
        // As for an unlisted domain, but never in clear.
        Mode::Report => match unlisted_as_asked(way) {
            HostPlan::Connect(demand) => Some(encrypted(demand.decisive())),
            other @ (HostPlan::Skip(_) | HostPlan::Unfit(_)) => return other,
        },
    };
    let requiretls = fallback.is_some() && way.tls_required == TlsRequired::Yes;
    connect(Demand { fallback, tls_domain, requiretls, ..demand(way, requirement) })
}

/// Whether what is published has a say at all; else nobody need be asked.
pub fn asks_the_world(settings: &Settings, tls_domain: Option<&Domain>) -> bool {
    let listed = tls_domain.and_then(|d| secure_domains::requirement(settings, Direction::Outbound, d));
    listed.is_none_or(|requirement| requirement.mode == Mode::Report)
}

/// Everyone else, as far as the message leaves it to us.
fn unlisted_as_asked(way: &Way<'_>) -> HostPlan {
    match way.tls_required {
        TlsRequired::Unstated => unlisted(way),
        TlsRequired::Yes => requiretls::plan(way),
        // What is published is waived, what our own settings ask is not (RFC 8689 4.2.2).
        TlsRequired::No => connect(demand(way, connector_demand(way, Level::None))),
    }
}

fn unlisted(way: &Way<'_>) -> HostPlan {
    let mut floor = Level::None;
    match &way.published.tlsa {
        TlsaAnswer::NotApplicable | TlsaAnswer::None => {}
        TlsaAnswer::Failed(why) => return HostPlan::Skip(tlsa_failed(way, why)),
        TlsaAnswer::Records { base, names, records } => {
            let records = tlsa::usable(records);
            if !records.is_empty() {
                let named = TlsaDemand { base: base.clone(), names: names.clone(), records };
                let proof = ServerProof::Tlsa(Arc::new(named));
                return connect(demand(way, proving(way, RuledBy::Dane, proof)));
            }
            // RFC 7672 2.2: TLS all the same, with whoever answers.
            floor = Level::EncryptionOnly;
        }
    }
    let base = connector_demand(way, floor);
    let Some(policy) = &way.published.sts else { return connect(demand(way, base)) };
    let named = Domain::parse_rooted(way.host).ok().filter(|host| policy.names(host));
    match (policy.mode, named) {
        (StsMode::None, _) => connect(demand(way, base)),
        (StsMode::Enforce, Some(host)) => {
            connect(demand(way, proving(way, RuledBy::MtaSts, ServerProof::Host(host))))
        }
        (StsMode::Enforce, None) => HostPlan::Skip(not_named(way, policy)),
        (StsMode::Testing, Some(host)) => {
            let tested = proving(way, RuledBy::MtaSts, ServerProof::Host(host));
            let requirement = Requirement { mode: Mode::Report, ..tested };
            connect(Demand { fallback: Some(base), ..demand(way, requirement) })
        }
        (StsMode::Testing, None) => {
            connect(Demand { tested: Some(not_named(way, policy)), ..demand(way, base) })
        }
    }
}

pub(super) fn demand(way: &Way<'_>, requirement: Requirement) -> Demand {
    let published = way.published.clone();
    Demand { requirement, fallback: None, tls_domain: None, tested: None, requiretls: false, published }
}

pub(super) fn connect(demand: Demand) -> HostPlan {
    HostPlan::Connect(Box::new(demand))
}

/// The connector's own level, or the floor that a policy puts beneath it.
fn connector_demand(way: &Way<'_>, floor: Level) -> Requirement {
    let own = way.connector.level();
    let ordinary = secure_domains::ordinary(way.settings, Direction::Outbound, way.domain, own.max(floor));
    let ruled_by = if floor > own { RuledBy::Dane } else { RuledBy::Connector };
    Requirement { ruled_by, ..ordinary }
}

/// A demand that what is published be proved.
pub(super) fn proving(way: &Way<'_>, ruled_by: RuledBy, proof: ServerProof) -> Requirement {
    let ordinary =
        secure_domains::ordinary(way.settings, Direction::Outbound, way.domain, Level::DomainValidation);
    let policy = match &proof {
        ServerProof::Host(_) => Arc::clone(&way.settings.mta_sts.trust),
        ServerProof::Domain | ServerProof::Tlsa(_) => Arc::clone(&way.settings.default_policy),
    };
    Requirement { ruled_by, proof, policy, ..ordinary }
}

fn encrypted(requirement: &Requirement) -> Requirement {
    Requirement { level: requirement.level.max(Level::EncryptionOnly), ..requirement.clone() }
}

pub(super) fn tlsa_failed(way: &Way<'_>, why: &str) -> Skipped {
    let reason = format!(
        "The TLSA records of {} could not be had, so that it cannot be told whether DANE protects it: {why}.",
        way.host
    );
    skipped(way, RuledBy::Dane, TlsOutcome::DnssecInvalid, reason, "the TLSA records of the host", why)
}

fn not_named(way: &Way<'_>, policy: &StsPolicy) -> Skipped {
    let hosts = policy.hosts();
    let reason = format!(
        "The MTA-STS policy of {} names the mail hosts {hosts}, and its MX record {} is none of them. To mend it: let the receiving side bring its MX records and its policy together.",
        way.domain, way.host
    );
    skipped(way, RuledBy::MtaSts, TlsOutcome::ValidationFailure, reason, &hosts, way.host)
}

fn skipped(
    way: &Way<'_>,
    policy: RuledBy,
    outcome: TlsOutcome,
    reason: String,
    wanted: &str,
    got: &str,
) -> Skipped {
    let level = |level| policy.level_name(level).to_owned();
    Skipped {
        domain: way.domain.clone(),
        host: way.host.to_owned(),
        ruling: Ruling { policy, wanted: level(Level::DomainValidation), got: level(Level::None), outcome },
        reason,
        wanted: wanted.to_owned(),
        got: got.to_owned(),
    }
}

impl Demand {
    /// What decides in the end: in report mode what holds when the tested requirement fails.
    pub fn decisive(&self) -> &Requirement {
        self.fallback.as_ref().unwrap_or(&self.requirement)
    }
}

impl Skipped {
    /// What stands in the queue; a class 5 of it in the last report. Another try may find it mended.
    pub fn reply(&self) -> Reply {
        let text =
            format!("{}: {} (domain {})", self.ruling.policy.title(), self.ruling.outcome, self.domain);
        Reply::new(454, (4, 7, 5), text)
    }
}

#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
