//! A peer's certificate chain against trust anchors (RFC 5280 section 6, RFC 4158 for the search).
//!
//! Nothing is admitted that webpki does not admit at this very time. But webpki stops at the first
//! error it meets and ranks errors in its own order, so what is wrong is found piece by piece on
//! the path that comes furthest.

mod constraints;
pub(super) mod marks;
mod path;
mod pool;
mod revocation;
mod rules;
mod staple;

use std::cell::Cell;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, VerifiedPath};

use super::anchors::AnchorSet;
use super::fault::Fault;
use super::good_signatures::Remembering;
use super::memory::Span;
use super::ocsp::Staple;
use super::requirement::{AlgorithmPolicy, RevocationDepth, RevocationMode, UsagePolicy};
use super::revocation::{RevocationList, RevocationSet};
use super::verdict::Fact;
use super::wanted::WantedList;

use path::{Path, Top};
pub(super) use pool::Certificate;
use pool::Pool;

/// Lists asked for on behalf of one chain: two for each certificate of the longest path.
const MISSING_LISTS_MAX: usize = 20;

/// What a chain is judged by.
#[derive(Clone, Copy)]
pub(super) struct ChainDemand<'a> {
    pub anchors: &'a AnchorSet,
    pub usage: UsagePolicy,
    pub revocation: RevocationMode,
    pub revocation_depth: RevocationDepth,
    /// Beside what the peer sent, to find a path.
    pub intermediates: &'a [CertificateDer<'static>],
    pub algorithms: &'a AlgorithmPolicy,
    pub lists: &'a RevocationSet,
    /// The OCSP response that came with the end-entity certificate.
    pub staple: Option<&'a [u8]>,
    pub now: Timestamp,
}

/// What was found of a chain.
#[derive(Debug)]
pub(super) struct ChainFindings {
    pub facts: Vec<Fact>,
    /// Without facts: when it would be found the same.
    pub span: Span,
    /// Every certificate that needs a list has a current one and is not named.
    pub revocation_checked: bool,
    /// As in `Verdict`; of every path on which nothing else is wrong.
    pub missing_lists: Vec<WantedList>,
    pub lists_used: Vec<Arc<RevocationList>>,
    /// As in `Verdict`.
    pub staple: Option<Staple>,
}

/// Judges a chain: the first certificate is the end-entity, the rest in any order, with any junk.
pub(super) fn judge_chain(
    leaf: &Certificate<'_>,
    rest: &[CertificateDer<'_>],
    demand: &ChainDemand<'_>,
) -> ChainFindings {
    let pool = Pool::read(leaf, rest, demand.intermediates);
    if let Some(findings) = admitted_now(&pool, demand) {
        return findings;
    }
    let mut best: Option<ChainFindings> = None;
    let mut missing_lists: Vec<WantedList> = Vec::new();
    for path in path::all(&pool, demand.anchors) {
        let mut findings = examine(&pool, &path, demand, false);
        if findings.facts.is_empty() {
            return findings;
        }
        for missing in findings.missing_lists.drain(..) {
            if missing_lists.len() < MISSING_LISTS_MAX && !missing_lists.contains(&missing) {
                missing_lists.push(missing);
            }
        }
        if best.as_ref().is_none_or(|best| comes_further(&findings, best)) {
            best = Some(findings);
        }
    }
    let mut best = best.unwrap_or_else(|| ChainFindings {
        facts: vec![rules::invalid("The certificate chain could not be followed.".into(), "a chain", "none")],
        span: Span::ALWAYS,
        revocation_checked: false,
        missing_lists: Vec::new(),
        lists_used: Vec::new(),
        staple: None,
    });
    best.missing_lists = missing_lists;
    blame_unreadable(&pool, &mut best.facts);
    best
}

/// One path, all checks. `admitted` says that webpki has taken it as it is now.
fn examine(pool: &Pool<'_>, path: &Path, demand: &ChainDemand<'_>, admitted: bool) -> ChainFindings {
    let mut facts = rules::examine(pool, path, demand, admitted);
    if facts.is_empty() && !admitted {
        facts.extend(gate(pool, path, demand));
    }
    let mut revocation = match (demand.revocation, &path.top) {
        (RevocationMode::Off, _) | (_, Top::SelfIssued | Top::Missing | Top::TooLong) => {
            revocation::Findings::nothing(false)
        }
        (RevocationMode::HardFail | RevocationMode::SoftFail, Top::Anchor(anchor)) => {
            revocation::examine(pool, path, *anchor, demand)
        }
    };
    facts.append(&mut revocation.facts);
    facts.sort_by_key(|fact| fact.fault);
    if facts.iter().any(|fact| fact.fault != Fault::RevocationUnknown) {
        revocation.missing_lists.clear();
    }
    ChainFindings {
        facts,
        span: valid_span(pool, path, demand).and(revocation.span),
        revocation_checked: revocation.all_known,
        missing_lists: revocation.missing_lists,
        lists_used: revocation.lists_used,
        staple: revocation.staple,
    }
}

/// When every certificate of the path and its anchor is valid.
fn valid_span(pool: &Pool<'_>, path: &Path, demand: &ChainDemand<'_>) -> Span {
    let members = path.members.iter().map(|&member| Span::of(&pool.certificates[member].parsed));
    let anchor = match path.top {
        Top::Anchor(anchor) => demand.anchors.certificate(anchor),
        Top::SelfIssued | Top::Missing | Top::TooLong => None,
    };
    let anchor = anchor.and_then(|der| Certificate::read(der).ok());
    members.chain(anchor.map(|anchor| Span::of(&anchor.parsed))).fold(Span::ALWAYS, Span::and)
}

/// Whether a path fails later in the order of faults than the best so far, or as late on less.
fn comes_further(candidate: &ChainFindings, best: &ChainFindings) -> bool {
    let rank = |findings: &ChainFindings| findings.facts.first().map(|fact| fact.fault);
    match rank(candidate).cmp(&rank(best)) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => candidate.facts.len() < best.facts.len(),
        std::cmp::Ordering::Less => false,
    }
}

/// A path that stops short may have stopped at a certificate that could not be read.
fn blame_unreadable(pool: &Pool<'_>, facts: &mut Vec<Fact>) {
    let incomplete = facts.iter().any(|fact| fact.fault == Fault::IncompleteChain);
    if let (true, Some((position, error))) = (incomplete, pool.unreadable.first()) {
        let detail = format!("Certificate {} of those the peer sent cannot be read: {error}.", position + 1);
        let got = format!("certificate {}: {error}", position + 1);
        facts.insert(
            0,
            Fact { fault: Fault::MalformedCertificate, detail, wanted: "X.509 v3 in DER".into(), got },
        );
    }
}

/// The whole of webpki at once, over anything the peer sent: the first path that both it and our
/// own rules take. It goes on searching, within its bounds, when ours refuse one.
fn admitted_now(pool: &Pool<'_>, demand: &ChainDemand<'_>) -> Option<ChainFindings> {
    let end_entity = EndEntityCert::try_from(pool.certificates[0].der).ok()?;
    let others: Vec<CertificateDer<'_>> =
        pool.certificates[1..].iter().map(|other| CertificateDer::from(other.der.as_ref())).collect();
    let remembering: Vec<Remembering<'_>> = demand.anchors.signatures.algorithms().collect();
    let algorithms: Vec<&dyn SignatureVerificationAlgorithm> =
        remembering.iter().map(|algorithm| algorithm as _).collect();
    let good: Cell<Option<ChainFindings>> = Cell::new(None);
    let ours = |verified: &VerifiedPath<'_>| {
        let path = path_of(pool, verified, demand).ok_or(webpki::Error::UnknownIssuer)?;
        let findings = examine(pool, &path, demand, true);
        if !findings.facts.is_empty() {
            return Err(webpki::Error::UnknownIssuer);
        }
        good.set(Some(findings));
        Ok(())
    };
    end_entity
        .verify_for_usage(
            &algorithms,
            &demand.anchors.anchors,
            &others,
            unix_time(demand.now)?,
            AnyUsage,
            None,
            Some(&ours),
        )
        .ok()?;
    good.take()
}

fn path_of(pool: &Pool<'_>, verified: &VerifiedPath<'_>, demand: &ChainDemand<'_>) -> Option<Path> {
    let mut members = vec![0];
    for authority in verified.intermediate_certificates() {
        members.push(pool.position(authority.der().as_ref())?);
    }
    let top = demand.anchors.anchors.iter().position(|anchor| std::ptr::eq(anchor, verified.anchor()))?;
    Some(Path { members, top: Top::Anchor(top) })
}

/// webpki's word on one path in which we found nothing: the last gate.
fn gate(pool: &Pool<'_>, path: &Path, demand: &ChainDemand<'_>) -> Option<Fact> {
    match (&path.top, unix_time(demand.now)) {
        (Top::Anchor(anchor), Some(time)) => {
            let anchors = std::slice::from_ref(&demand.anchors.anchors[*anchor]);
            rules::webpki_fact(pool, path, anchors, time)
        }
        _ => Some(rules::invalid("The certificate chain could not be checked.".into(), "a chain", "none")),
    }
}

fn unix_time(at: Timestamp) -> Option<UnixTime> {
    let seconds = u64::try_from(at.as_second()).ok()?;
    Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
}

/// Usage is ours to judge (`rules`): webpki asks for one usage at a time.
pub(super) struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        for purpose in purposes {
            purpose?;
        }
        Ok(())
    }
}
