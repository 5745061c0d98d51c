//! Certificates of strangers: no panic in facts or judgement, whatever the chain; nothing in the words
//! for logs that could break a line; the same chain again is judged the same; and no octets that are
//! not signed by the anchor are admitted.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use sealpost::trust::{
    AnchorSet, CertificateDemand, CertificateFacts, RevocationMode, RevocationSet, TrustPolicy, UsagePolicy,
    certificates_from_pem_or_der, judge_certificates,
};

pub fn run(input: &[u8]) {
    // A chain: PEM or one DER, or pieces behind a length of two octets.
    let mut chain = certificates_from_pem_or_der(input).unwrap_or_default();
    let mut rest = input;
    while let [high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        chain.push(CertificateDer::from(tail[..length].to_vec()));
        rest = &tail[length..];
    }
    for certificate in &chain {
        if let Ok(facts) = CertificateFacts::read(certificate) {
            for text in [&facts.subject, &facts.issuer, &facts.key].into_iter().chain(&facts.names) {
                assert!(!text.contains(char::is_control));
            }
        }
    }
    // Each certificate its own anchor: as far as a chain can come.
    let anchors = AnchorSet::from_certificates("fuzz", chain.iter().skip(1).cloned());
    let mut policy = TrustPolicy::of(Arc::new(anchors));
    policy.revocation = RevocationMode::Off;
    let lists = RevocationSet::default();
    let now = "2026-06-01T12:00:00Z".parse().expect("a time");
    let demand = CertificateDemand { policy: &policy, usage: UsagePolicy::Either, names: Vec::new() };
    let first = judge_certificates(&demand, &chain, None, &lists, now);
    let second = judge_certificates(&demand, &chain, None, &lists, now);
    assert_eq!(first.facts, second.facts);
    for fact in &first.facts {
        assert!(!fact.detail.contains(char::is_control));
    }
    let nobody = TrustPolicy::of(Arc::new(AnchorSet::new("none", Vec::new())));
    let demand = CertificateDemand { policy: &nobody, ..demand };
    assert!(!judge_certificates(&demand, &chain, None, &lists, now).facts.is_empty());
}
