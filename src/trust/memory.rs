//! What one policy has found good before. A memory changes no answer, it only saves signature
//! checks: it belongs to one policy, forgets everything when the revocation lists are others, and
//! never answers past a limit of the judgement: the validity of each certificate of the path and
//! of its anchor, and the lists and OCSP responses that spoke for them. Bad findings are not kept: they say when they
//! were made, and a stranger could fill the memory with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use super::judge::{CertificateDemand, CertificateFindings};
use super::requirement::NamePattern;
use super::revocation::{RevocationList, RevocationSet};

/// Chains kept; beyond this all are forgotten.
const CHAINS_MAX: usize = 4096;

/// The memory of one policy. A copy of a policy may be changed, so it begins with an empty one.
#[derive(Default)]
pub struct JudgementMemory(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    epoch: u64,
    lists: Vec<Weak<RevocationList>>,
    chains: HashMap<[u8; 32], (Span, CertificateFindings)>,
}

/// Seconds from and until which something holds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub from: i64,
    pub until: i64,
}

impl Span {
    pub(super) const ALWAYS: Span = Span { from: i64::MIN, until: i64::MAX };

    pub(super) fn and(self, other: Span) -> Span {
        Span { from: self.from.max(other.from), until: self.until.min(other.until) }
    }

    pub(super) fn of(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Span {
        let validity = certificate.validity();
        Span { from: validity.not_before.timestamp(), until: validity.not_after.timestamp() }
    }

    fn holds_at(self, at: Timestamp) -> bool {
        (self.from..=self.until).contains(&at.as_second())
    }
}

impl JudgementMemory {
    /// What was found of the chain, if the answer is still the same.
    pub(super) fn recall(
        &self,
        question: &[u8; 32],
        lists: &RevocationSet,
        now: Timestamp,
    ) -> Option<CertificateFindings> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (span, findings) = kept.chains.get(question).filter(|_| kept.is_about(lists))?;
        span.holds_at(now).then(|| findings.clone())
    }

    /// Keeps findings that are good within `span`.
    pub(super) fn keep(
        &self,
        question: [u8; 32],
        lists: &RevocationSet,
        span: Span,
        findings: &CertificateFindings,
    ) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.is_about(lists) || kept.chains.len() >= CHAINS_MAX {
            *kept = Kept {
                epoch: lists.epoch,
                lists: lists.lists.iter().map(Arc::downgrade).collect(),
                chains: HashMap::new(),
            };
        }
        kept.chains.insert(question, (span, findings.clone()));
    }
}

impl Kept {
    /// The very same lists: a weak reference keeps an address from being used again.
    fn is_about(&self, lists: &RevocationSet) -> bool {
        let same = |(ours, theirs): (&Weak<RevocationList>, &Arc<RevocationList>)| {
            std::ptr::eq(ours.as_ptr(), Arc::as_ptr(theirs))
        };
        self.epoch == lists.epoch
            && self.lists.len() == lists.lists.len()
            && self.lists.iter().zip(&lists.lists).all(same)
    }
}

/// Everything but policy, lists and time that a judgement depends on, as one hash.
pub(super) fn question(
    demand: &CertificateDemand<'_>,
    chain: &[CertificateDer<'_>],
    staple: Option<&[u8]>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |octets: &[u8]| {
        hash.update((octets.len() as u64).to_be_bytes());
        hash.update(octets);
    };
    part(&[demand.usage as u8]);
    for name in &demand.names {
        let (kind, domain) = match name {
            NamePattern::Exact(domain) => (b'=', domain),
            NamePattern::Below(domain) => (b'.', domain),
        };
        part(&[kind]);
        part(domain.as_str().as_bytes());
    }
    part(b"chain");
    chain.iter().for_each(|certificate| part(certificate.as_ref()));
    if let Some(staple) = staple {
        part(b"staple");
        part(staple);
    }
    hash.finalize().into()
}

impl Clone for JudgementMemory {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for JudgementMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "JudgementMemory({} chains)", kept.chains.len())
    }
}
