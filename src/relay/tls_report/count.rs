//! Counting sessions for TLS reports.

use crate::mail::tls_report::Policy;
use crate::mail::{Domain, TlsRequired};
use crate::policy::outbound::{Demand, Skipped, Way};
use crate::policy::tls_reporting::{self, Site};
use crate::session::send::Opening;
use crate::trust::{RuledBy, TlsOutcome, Verdict};

use super::super::shared::Shared;

/// Whom a session will be told to, and under which policy.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The recipient's domain, or the smart host (RFC 8460 1.1).
    domain: Domain,
    policy: Policy,
    /// A policy in testing would not have let us come here, whatever the session finds.
    outcome: Option<TlsOutcome>,
}

impl Reported {
    /// Nothing where nobody is told.
    pub fn of(way: &Way<'_>, demand: &Demand) -> Option<Self> {
        let requirement = &demand.requirement;
        is_told(way, requirement.ruled_by).then(|| match &demand.tested {
            Some(tested) => {
                Self { outcome: Some(tested.ruling.outcome), ..Self::under(way, tested.ruling.policy) }
            }
            None => Self {
                domain: way.domain.clone(),
                policy: tls_reporting::policy(
                    requirement,
                    way.published.sts.as_deref(),
                    way.domain,
                    way.host,
                ),
                outcome: None,
            },
        })
    }

    fn under(way: &Way<'_>, ruled_by: RuledBy) -> Self {
        let policy = match ruled_by {
            RuledBy::Dane => tls_reporting::tlsa(None, way.domain, way.host),
            RuledBy::MtaSts | RuledBy::Partner | RuledBy::Connector => {
                tls_reporting::sts(way.published.sts.as_deref(), way.domain)
            }
        };
        Self { domain: way.domain.clone(), policy, outcome: None }
    }

    pub fn count(&self, shared: &Shared, verdict: &Verdict, opening: &Opening) {
        let site = Site { local: opening.local, remote: opening.remote, host: &opening.host };
        let failure = match self.outcome {
            Some(outcome) => tls_reporting::details(outcome, None, site),
            None => tls_reporting::failure(verdict, site),
        };
        shared.observer.tls_reports().count(Shared::now().wall, &self.domain, &self.policy, failure);
    }
}

/// Counts a host that a policy kept us from.
pub fn skipped(shared: &Shared, way: &Way<'_>, skipped: &Skipped) {
    let Skipped { ruling, .. } = skipped;
    if is_told(way, ruling.policy) {
        let Reported { domain, policy, .. } = Reported::under(way, ruling.policy);
        let failure = tls_reporting::failed_before(ruling.outcome, Some(way.host));
        shared.observer.tls_reports().count(Shared::now().wall, &domain, &policy, failure);
    }
}

/// Counts an MTA-STS policy that is announced and could not be fetched, or is none.
pub fn policy_not_had(shared: &Shared, domain: &Domain, outcome: TlsOutcome) {
    if shared.settings.load().tls_reporting.enabled {
        let policy = tls_reporting::sts(None, domain);
        let failure = tls_reporting::failed_before(outcome, None);
        shared.observer.tls_reports().count(Shared::now().wall, domain, &policy, failure);
    }
}

/// A host without a name answers for nobody. Mail that waives what the domain published says nothing
/// of it (so do reports, which would else be told of for ever); nor does REQUIRETLS where it is the
/// message alone that asked for more.
fn is_told(way: &Way<'_>, ruled_by: RuledBy) -> bool {
    let told = match way.tls_required {
        TlsRequired::Unstated => true,
        TlsRequired::Yes => ruled_by != RuledBy::Connector,
        TlsRequired::No => false,
    };
    way.settings.tls_reporting.enabled && told && Domain::parse_rooted(way.host).is_ok()
}
