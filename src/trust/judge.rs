//! Judgement itself: one connection against one requirement, in the order of the faults.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::certificate::printable;
use super::chain::{Certificate, ChainDemand, judge_chain, marks};
use super::dane::judge_tlsa;
use super::evidence::{Connection, OwnCertificateState, TlsEvidence, TlsState};
use super::fault::Fault;
use super::memory::{self, Span};
use super::names;
use super::ocsp::Staple;
use super::requirement::{
    Direction, Level, NamePattern, Requirement, RevocationMode, ServerProof, SpkiPin, TrustPolicy,
    UsagePolicy,
};
use super::revocation::{RevocationList, RevocationSet};
use super::ruling::{RuledBy, TlsOutcome};
use super::verdict::{Check, Fact, Verdict};
use super::wanted::WantedList;

/// Names listed in a sentence; a certificate may have hundreds.
const NAMES_LISTED_MAX: usize = 20;

/// What certificates are judged by, without a connection: `certificate verify` asks the same.
#[derive(Clone, Debug)]
pub struct CertificateDemand<'a> {
    pub policy: &'a TrustPolicy,
    pub usage: UsagePolicy,
    /// Any one of these must be proved; empty: no name check.
    pub names: Vec<NamePattern>,
}

/// What was found of a certificate and its chain, facts in the order of faults.
#[derive(Clone, Debug, Default)]
pub struct CertificateFindings {
    pub facts: Vec<Fact>,
    pub verified: Vec<Check>,
    pub matched_name: Option<String>,
    /// As in `Verdict`.
    pub missing_lists: Vec<WantedList>,
    pub lists_used: Vec<Arc<RevocationList>>,
    pub staple: Option<Staple>,
}

/// Judges a connection after the handshake, fresh or resumed. Pure: time and lists are handed in.
pub fn judge(
    requirement: &Requirement,
    connection: &Connection<'_>,
    revocation: &RevocationSet,
    now: Timestamp,
) -> Verdict {
    let mut findings = CertificateFindings::default();
    if requirement.level > Level::None {
        tls_facts(requirement, connection, &mut findings.facts);
        if requirement.level == Level::DomainSecure && requirement.direction == Direction::Outbound {
            own_certificate_facts(requirement, connection, &mut findings.facts);
        }
    }
    if let (TlsState::Established(evidence), true) =
        (connection.tls, requirement.level >= Level::CertificateValidation)
    {
        let peer = peer_findings(requirement, evidence, revocation, now);
        let facts = std::mem::take(&mut findings.facts);
        findings = peer;
        findings.facts.extend(facts);
    }
    findings.settle();
    Verdict {
        ruled_by: requirement.ruled_by,
        outcome: TlsOutcome::of(requirement, connection.tls, &findings.facts),
        direction: requirement.direction,
        domain: requirement.domain.clone(),
        mode: requirement.mode,
        required: requirement.level,
        achieved: achieved(requirement, connection, &findings.facts),
        facts: findings.facts,
        verified: findings.verified,
        matched_name: findings.matched_name,
        missing_lists: findings.missing_lists,
        lists_used: findings.lists_used,
        staple: findings.staple,
    }
}

impl CertificateFindings {
    /// Facts in their order; and lists are asked for only when nothing else is wrong.
    fn settle(&mut self) {
        self.facts.sort_by_key(|fact| fact.fault);
        if self.facts.iter().any(|fact| fact.fault != Fault::RevocationUnknown) {
            self.missing_lists.clear();
        }
    }
}

fn tls_facts(requirement: &Requirement, connection: &Connection<'_>, facts: &mut Vec<Fact>) {
    let domain = &requirement.domain;
    match (connection.tls, requirement.direction, connection.own_certificate) {
        (TlsState::Clear { .. }, Direction::Inbound, _) => facts.push(Fact {
            fault: Fault::TlsNotStarted,
            detail: format!("The session from {domain} is in clear text."),
            wanted: "TLS".into(),
            got: "clear text".into(),
        }),
        (TlsState::Clear { offered: false }, Direction::Outbound, _) => facts.push(Fact {
            fault: Fault::StartTlsNotOffered,
            detail: format!("The server for {domain} does not offer STARTTLS."),
            wanted: "STARTTLS".into(),
            got: "no STARTTLS in the EHLO reply".into(),
        }),
        // We do not begin without a certificate; that is its own fact.
        (TlsState::Clear { offered: true }, Direction::Outbound, OwnCertificateState::Invalid(_)) => {}
        (TlsState::Clear { offered: true }, Direction::Outbound, _) => facts.push(Fact {
            fault: Fault::TlsNotStarted,
            detail: format!("TLS was not started with the server for {domain}."),
            wanted: "TLS".into(),
            got: "clear text".into(),
        }),
        // A handshake that broke off because of our certificate is its own fact.
        (TlsState::Failed { .. }, Direction::Outbound, OwnCertificateState::Refused(_))
            if requirement.level == Level::DomainSecure => {}
        (TlsState::Failed { error }, _, _) => facts.push(Fact {
            fault: Fault::HandshakeFailed,
            detail: format!("The TLS handshake with {domain} failed: {}.", printable(error)),
            wanted: "a TLS session".into(),
            got: printable(error),
        }),
        (TlsState::Established(evidence), _, _) => version_fact(requirement, evidence, facts),
    }
}

fn version_fact(requirement: &Requirement, evidence: &TlsEvidence, facts: &mut Vec<Fact>) {
    let minimum = requirement.policy.minimum_tls;
    if evidence.version < minimum {
        let (wanted, got) = (minimum.as_str().to_owned(), evidence.version.as_str().to_owned());
        let detail = format!("The session with {} uses {got}; {wanted} is the minimum.", requirement.domain);
        facts.push(Fact { fault: Fault::TlsVersionTooLow, detail, wanted, got });
    }
}

fn own_certificate_facts(requirement: &Requirement, connection: &Connection<'_>, facts: &mut Vec<Fact>) {
    let domain = &requirement.domain;
    let established = matches!(connection.tls, TlsState::Established(_));
    let must_be_asked = requirement.policy.require_client_certificate_request;
    match connection.own_certificate {
        OwnCertificateState::Sent => {}
        // After a handshake an unknown answer is no answer: only one that is known can admit.
        OwnCertificateState::NotApplicable | OwnCertificateState::NotRequested => {
            if established && must_be_asked {
                facts.push(Fact {
                    fault: Fault::ClientCertificateNotRequested,
                    detail: format!("The server for {domain} did not ask for our certificate."),
                    wanted: "a certificate request".into(),
                    got: "none".into(),
                });
            }
        }
        OwnCertificateState::Refused(why) => facts.push(Fact {
            fault: Fault::ClientCertificateRefused,
            detail: format!("The server for {domain} refused our certificate: {}.", printable(why)),
            wanted: "our certificate taken".into(),
            got: printable(why),
        }),
        OwnCertificateState::Invalid(why) => facts.push(Fact {
            fault: Fault::OwnCertificateInvalid,
            detail: format!("We have no valid certificate to present to {domain}: {}.", printable(why)),
            wanted: "a valid certificate of ours".into(),
            got: printable(why),
        }),
    }
}

fn peer_findings(
    requirement: &Requirement,
    evidence: &TlsEvidence,
    revocation: &RevocationSet,
    now: Timestamp,
) -> CertificateFindings {
    let policy = requirement.policy.as_ref();
    let names = if requirement.level >= Level::DomainValidation { requirement.names() } else { Vec::new() };
    let usage = match requirement.direction {
        Direction::Inbound => policy.usage,
        Direction::Outbound => UsagePolicy::Server,
    };
    let chain = &evidence.peer_chain;
    let mut findings = match &requirement.proof {
        ServerProof::Domain | ServerProof::Host(_) => {
            let demand = CertificateDemand { policy, usage, names };
            judge_certificates(&demand, chain, evidence.staple.as_deref(), revocation, now)
        }
        ServerProof::Tlsa(tlsa) => judge_tlsa(tlsa, policy, chain, now),
    };
    if matches!(requirement.ruled_by, RuledBy::Dane | RuledBy::MtaSts) {
        findings.facts.iter_mut().for_each(without_advice_on_settings);
    }
    findings
}

/// What a domain publishes cannot be mended in our settings.
fn without_advice_on_settings(fact: &mut Fact) {
    if fact.fault == Fault::NameMismatch {
        fact.detail =
            format!("The certificate has the names: {}. None of them proves {}.", fact.got, fact.wanted);
    }
}

/// Judges a chain as a peer sent it: the first certificate is the end-entity. `staple` is the OCSP
/// response that came with it, if one did.
pub fn judge_certificates(
    demand: &CertificateDemand<'_>,
    chain: &[CertificateDer<'_>],
    staple: Option<&[u8]>,
    revocation: &RevocationSet,
    now: Timestamp,
) -> CertificateFindings {
    let mut findings = CertificateFindings::default();
    let Some((first, rest)) = chain.split_first() else {
        findings.facts.push(Fact {
            fault: Fault::NoCertificate,
            detail: "The peer sent no certificate.".into(),
            wanted: "a certificate".into(),
            got: "none".into(),
        });
        return findings;
    };
    let memory = &demand.policy.memory;
    let question = memory::question(demand, chain, staple);
    if let Some(known) = memory.recall(&question, revocation, now) {
        return known;
    }
    match Certificate::read(first) {
        Ok(leaf) => {
            let chain = chain_demand(demand, staple, revocation, now);
            let span = trust_findings(demand, &leaf, rest, &chain, &mut findings);
            pin_findings(demand, &leaf, &mut findings);
            name_findings(demand, &leaf, &mut findings);
            if findings.facts.is_empty() {
                memory.keep(question, revocation, span, &findings);
            }
        }
        Err(error) => findings.facts.push(Fact {
            fault: Fault::MalformedCertificate,
            detail: format!("The peer's certificate cannot be read: {error}."),
            wanted: "X.509 v3 in DER".into(),
            got: error,
        }),
    }
    findings.settle();
    findings
}

fn chain_demand<'a>(
    demand: &CertificateDemand<'a>,
    staple: Option<&'a [u8]>,
    lists: &'a RevocationSet,
    now: Timestamp,
) -> ChainDemand<'a> {
    let policy = demand.policy;
    ChainDemand {
        anchors: &policy.anchors,
        usage: demand.usage,
        revocation: policy.revocation,
        revocation_depth: policy.revocation_depth,
        intermediates: &policy.intermediates,
        algorithms: &policy.algorithms,
        lists,
        staple,
        now,
    }
}

/// Chain and revocation; or, where a pin stands for both, what still applies to the end-entity.
/// Without facts, they hold for the span that comes back.
fn trust_findings(
    demand: &CertificateDemand<'_>,
    leaf: &Certificate<'_>,
    rest: &[CertificateDer<'_>],
    chain_demand: &ChainDemand<'_>,
    findings: &mut CertificateFindings,
) -> Span {
    let policy = demand.policy;
    if policy.anchors.is_empty() && !policy.pins.is_empty() {
        marks::critical_extensions(leaf, &mut findings.facts);
        marks::usage(&[leaf], chain_demand, &mut findings.facts);
        marks::algorithms(&[leaf], &policy.algorithms, &mut findings.facts);
        marks::validity(&[leaf], chain_demand.now, &mut findings.facts);
        return Span::of(&leaf.parsed);
    }
    let chain = judge_chain(leaf, rest, chain_demand);
    let is_of_revocation = |fact: &Fact| matches!(fact.fault, Fault::Revoked | Fault::RevocationUnknown);
    if chain.facts.iter().all(is_of_revocation) {
        findings.verified.push(Check::Chain);
    }
    if chain.revocation_checked && policy.revocation != RevocationMode::Off {
        findings.verified.push(Check::Revocation);
    }
    findings.facts.extend(chain.facts);
    findings.missing_lists = chain.missing_lists;
    findings.lists_used = chain.lists_used;
    findings.staple = chain.staple;
    chain.span
}

fn pin_findings(demand: &CertificateDemand<'_>, leaf: &Certificate<'_>, findings: &mut CertificateFindings) {
    let pins = &demand.policy.pins;
    if pins.is_empty() {
        return;
    }
    let found = SpkiPin::of(leaf.parsed.public_key().raw);
    if pins.contains(&found) {
        findings.verified.push(Check::Pin);
        return;
    }
    let wanted: Vec<String> = pins.iter().map(SpkiPin::to_string).collect();
    findings.facts.push(Fact {
        fault: Fault::PinMismatch,
        detail: format!(
            "The key of certificate {} has the pin {found}, which is not listed in spki_pins.",
            leaf.label()
        ),
        wanted: wanted.join(", "),
        got: found.to_string(),
    });
}

fn name_findings(demand: &CertificateDemand<'_>, leaf: &Certificate<'_>, findings: &mut CertificateFindings) {
    if demand.names.is_empty() {
        return;
    }
    if let Some(name) = names::first_proof(&demand.names, leaf.dns_names()) {
        findings.verified.push(Check::Name);
        findings.matched_name = Some(printable(name));
        return;
    }
    let wanted: Vec<String> = demand.names.iter().map(NamePattern::to_string).collect();
    let wanted = wanted.join(", ");
    let present: Vec<String> = leaf.dns_names().take(NAMES_LISTED_MAX).map(printable).collect();
    let got = if present.is_empty() { "no dNSName in subjectAltName".into() } else { present.join(", ") };
    findings.facts.push(Fact {
        fault: Fault::NameMismatch,
        detail: format!(
            "Certificate {} has the names: {got}. None of them proves {wanted}; certificate_names of the partner entry can list one that shall.",
            leaf.label()
        ),
        wanted,
        got,
    });
}

/// How high the connection came on the ladder, whatever was asked.
fn achieved(requirement: &Requirement, connection: &Connection<'_>, facts: &[Fact]) -> Level {
    if !matches!(connection.tls, TlsState::Established(_)) {
        return Level::None;
    }
    let reached = facts.iter().map(|fact| level_below(fact.fault)).min().unwrap_or(requirement.level);
    reached.clamp(Level::EncryptionOnly, requirement.level.max(Level::EncryptionOnly))
}

/// The highest level that does not need what is missing.
fn level_below(fault: Fault) -> Level {
    match fault {
        Fault::TlsNotStarted | Fault::HandshakeFailed | Fault::StartTlsNotOffered => Level::None,
        Fault::TlsVersionTooLow
        | Fault::NoCertificate
        | Fault::MalformedCertificate
        | Fault::SignatureFailure
        | Fault::InvalidChain
        | Fault::UntrustedRoot
        | Fault::IncompleteChain
        | Fault::WrongUsage
        | Fault::WeakAlgorithm
        | Fault::NotYetValid
        | Fault::Expired
        | Fault::Revoked
        | Fault::RevocationUnknown
        | Fault::TlsaMismatch => Level::EncryptionOnly,
        Fault::PinMismatch | Fault::NameMismatch => Level::CertificateValidation,
        Fault::ClientCertificateNotRequested
        | Fault::ClientCertificateRefused
        | Fault::OwnCertificateInvalid
        | Fault::RefusedByPartner => Level::DomainValidation,
    }
}
