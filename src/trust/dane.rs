//! A server's certificates against TLSA records (RFC 7672 3, RFC 7671 5).

use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::anchors::AnchorSet;
use super::fault::Fault;
use super::judge::{CertificateDemand, CertificateFindings, judge_certificates};
use super::requirement::{NamePattern, RevocationMode, TrustPolicy, UsagePolicy};
use super::revocation::RevocationSet;
use super::tlsa::{TlsaDemand, TlsaMatching, TlsaRecord, TlsaSelector, TlsaUsage};
use super::verdict::{Check, Fact};

/// Judges a chain as the server sent it. A record of the server's own certificate or key says all;
/// one of an authority asks for a chain to it, and a name. No authority of ours has a say, and no
/// revocation list: who publishes the records takes them back.
pub(super) fn judge_tlsa(
    demand: &TlsaDemand,
    policy: &TrustPolicy,
    chain: &[CertificateDer<'_>],
    now: Timestamp,
) -> CertificateFindings {
    let Some((leaf, rest)) = chain.split_first() else {
        return judge_certificates(
            &by_authority(demand, policy),
            chain,
            None,
            &RevocationSet::default(),
            now,
        );
    };
    let mut findings = CertificateFindings::default();
    if demand.end_entity_match(leaf).is_some() {
        findings.verified.push(Check::Tlsa);
        return findings;
    }
    let anchors = demand.anchors(rest);
    if anchors.is_empty() {
        findings.facts.push(mismatch(demand, leaf));
        return findings;
    }
    let policy = TrustPolicy {
        anchors: Arc::new(AnchorSet::from_certificates("TLSA", anchors)),
        revocation: RevocationMode::Off,
        pins: Vec::new(),
        ..policy.clone()
    };
    let mut findings =
        judge_certificates(&by_authority(demand, &policy), chain, None, &RevocationSet::default(), now);
    if findings.facts.is_empty() {
        findings.verified.push(Check::Tlsa);
    }
    findings
}

fn by_authority<'a>(demand: &TlsaDemand, policy: &'a TrustPolicy) -> CertificateDemand<'a> {
    let names = std::iter::once(&demand.base).chain(&demand.names);
    let names = names.map(|name| NamePattern::Exact(name.clone())).collect();
    CertificateDemand { policy, usage: UsagePolicy::Server, names }
}

fn mismatch(demand: &TlsaDemand, leaf: &CertificateDer<'_>) -> Fact {
    let wanted = demand.describe();
    let got = present(demand, leaf);
    let authority = if demand.has_trust_anchors() { ", and no authority of its chain" } else { "" };
    let detail = format!(
        "The server's certificate{authority} is none of those that the TLSA records of {} name: the records are {wanted}, the server has {got}.",
        demand.base
    );
    Fact { fault: Fault::TlsaMismatch, detail, wanted, got }
}

/// The record that would fit the server's certificate, in the shape of the first one published.
fn present(demand: &TlsaDemand, leaf: &CertificateDer<'_>) -> String {
    let first = demand.records.iter().find(|record| record.usage == TlsaUsage::EndEntity);
    let selector = first.map_or(TlsaSelector::PublicKey, |record| record.selector);
    let matching = match first.map(|record| record.matching) {
        Some(TlsaMatching::Sha512) => TlsaMatching::Sha512,
        Some(TlsaMatching::Sha256 | TlsaMatching::Full) | None => TlsaMatching::Sha256,
    };
    TlsaRecord::of_end_entity(leaf, selector, matching)
        .map_or_else(|| "a certificate that cannot be read".to_owned(), |record| record.to_string())
}
