//! What a TLS report says of one session (RFC 8460 4.3, 4.4): the policy that ruled, and what failed.

use std::net::SocketAddr;

use crate::mail::Domain;
use crate::mail::tls_report::{FailureDetails, Policy, PolicyType};
use crate::trust::tlsa::TlsaDemand;
use crate::trust::{Fault, Requirement, RuledBy, ServerProof, TlsOutcome, Verdict};

use super::mta_sts::StsPolicy;

/// Where and with whom a session was.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// MX or smart-host name.
    pub host: &'a str,
}

/// The policy of a report. What our own settings demand is none that `domain`, the recipient's or the
/// smart host, has published.
pub fn policy(requirement: &Requirement, sts: Option<&StsPolicy>, domain: &Domain, host: &str) -> Policy {
    match requirement.ruled_by {
        RuledBy::Dane => match &requirement.proof {
            ServerProof::Tlsa(demand) => tlsa(Some(demand), domain, host),
            ServerProof::Domain | ServerProof::Host(_) => tlsa(None, domain, host),
        },
        RuledBy::MtaSts => self::sts(sts, domain),
        RuledBy::Partner | RuledBy::Connector => Policy {
            policy_type: PolicyType::NoPolicyFound,
            policy_string: Vec::new(),
            policy_domain: domain.clone(),
            mx_host: Vec::new(),
        },
    }
}

/// An MTA-STS policy; without one it could not be had.
pub fn sts(sts: Option<&StsPolicy>, domain: &Domain) -> Policy {
    Policy {
        policy_type: PolicyType::Sts,
        policy_string: sts.map(StsPolicy::lines).unwrap_or_default(),
        policy_domain: domain.clone(),
        mx_host: sts.iter().flat_map(|policy| &policy.mx).map(ToString::to_string).collect(),
    }
}

/// TLSA records; none where they were of no use or could not be had.
pub fn tlsa(demand: Option<&TlsaDemand>, domain: &Domain, host: &str) -> Policy {
    let base = demand.map(|demand| demand.base.clone()).or_else(|| Domain::parse_rooted(host).ok());
    let records = demand.map(|demand| demand.records.as_slice()).unwrap_or_default();
    Policy {
        policy_type: PolicyType::Tlsa,
        policy_string: records.iter().map(ToString::to_string).collect(),
        policy_domain: base.unwrap_or_else(|| domain.clone()),
        mx_host: Vec::new(),
    }
}

/// What failed in a session; none for a success.
pub fn failure(verdict: &Verdict, site: Site<'_>) -> Option<FailureDetails> {
    details(verdict.outcome, verdict.fault().map(Fault::name), site)
}

/// The same where it is known beside the verdict.
pub fn details(outcome: TlsOutcome, reason: Option<&str>, site: Site<'_>) -> Option<FailureDetails> {
    Some(FailureDetails {
        sending_mta_ip: Some(site.local.ip()),
        receiving_ip: Some(site.remote.ip()),
        failure_reason_code: reason.map(str::to_owned),
        ..failed_before(outcome, Some(site.host))?
    })
}

/// What failed before there was a session.
pub fn failed_before(outcome: TlsOutcome, host: Option<&str>) -> Option<FailureDetails> {
    Some(FailureDetails {
        result_type: outcome.result_type()?.to_owned(),
        sending_mta_ip: None,
        receiving_mx_hostname: host.map(str::to_owned),
        receiving_ip: None,
        failed_session_count: 1,
        failure_reason_code: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::test_settings;
    use crate::policy::secure_domains;
    use crate::trust::tlsa::{self, TlsaRecord};
    use crate::trust::{Direction, Level};

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn named(ruled_by: RuledBy, proof: ServerProof) -> Policy {
        let (bank, settings) = (domain("bank.example"), test_settings::with_lists(&[], &[]));
        let ordinary =
            secure_domains::ordinary(&settings, Direction::Outbound, &bank, Level::DomainValidation);
        let requirement = Requirement { ruled_by, proof, ..ordinary };
        let text = "version: STSv1\nmode: enforce\nmx: mx.bank.example\nmx: *.b.example\nmax_age: 86400\n";
        policy(&requirement, Some(&StsPolicy::parse(text.as_bytes()).unwrap()), &bank, "mx.bank.example")
    }

    #[test]
    fn a_policy_is_told_as_it_was_applied() {
        let records = [TlsaRecord { usage: 3, selector: 1, matching: 1, data: vec![0xab; 32] }];
        let demand = TlsaDemand {
            base: domain("mx.bank.example"),
            names: Vec::new(),
            records: tlsa::usable(&records),
        };
        let dane = named(RuledBy::Dane, ServerProof::Tlsa(demand.into()));
        assert_eq!((dane.policy_type, dane.policy_domain.as_str()), (PolicyType::Tlsa, "mx.bank.example"));
        assert_eq!(dane.policy_string, [format!("3 1 1 {}", "ab".repeat(32))]);
        let sts = named(RuledBy::MtaSts, ServerProof::Host(domain("mx.bank.example")));
        assert_eq!((sts.policy_type, sts.policy_domain.as_str()), (PolicyType::Sts, "bank.example"));
        assert_eq!(sts.mx_host, ["mx.bank.example", "*.b.example"]);
        assert_eq!(sts.policy_string.first().map(String::as_str), Some("version: STSv1"));
        for ruled_by in [RuledBy::Partner, RuledBy::Connector] {
            let ours = named(ruled_by, ServerProof::Domain);
            assert_eq!(ours.policy_type, PolicyType::NoPolicyFound, "our settings are none of theirs");
            assert!(ours.policy_string.is_empty() && ours.mx_host.is_empty());
        }
    }

    #[test]
    fn a_success_fails_nothing() {
        assert_eq!(failed_before(TlsOutcome::Success, None), None);
        let failed = failed_before(TlsOutcome::StsPolicyFetchError, None).unwrap();
        assert_eq!(failed.result_type, "sts-policy-fetch-error");
    }
}
