//! Certificates against TLSA records (RFC 7671, RFC 7672 section 3).

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use std::sync::Arc;

use super::*;
use crate::trust::{
    AnchorSet, Connection, Direction, Fault, Level, Mode, OnFailure, OwnCertificateState, Requirement,
    RevocationSet, RuledBy, ServerProof, TlsEvidence, TlsOutcome, TlsState, TlsVersion, TrustPolicy, Verdict,
    judge,
};

const HOST: &str = "mx.woodgrove.example";

/// An authority and the certificates it issues.
struct Maker {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Maker {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    fn leaf(&self, name: &str, years: std::ops::Range<i32>) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()
    }
}

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn record(usage: u8, selector: u8, matching: u8, certificate: &CertificateDer<'_>) -> TlsaRecord {
    let selector = if selector == 0 { TlsaSelector::Certificate } else { TlsaSelector::PublicKey };
    let matching = match matching {
        0 => TlsaMatching::Full,
        1 => TlsaMatching::Sha256,
        _ => TlsaMatching::Sha512,
    };
    TlsaRecord { usage, ..TlsaRecord::of_end_entity(certificate, selector, matching).unwrap() }
}

fn demand(records: &[TlsaRecord]) -> TlsaDemand {
    let name = |name: &str| Domain::parse(name).unwrap();
    TlsaDemand { base: name(HOST), names: vec![name("woodgrove.example")], records: usable(records) }
}

fn judged(records: &[TlsaRecord], chain: Vec<CertificateDer<'static>>) -> Verdict {
    let requirement = Requirement {
        ruled_by: RuledBy::Dane,
        proof: ServerProof::Tlsa(Arc::new(demand(records))),
        direction: Direction::Outbound,
        domain: Domain::parse("woodgrove.example").unwrap(),
        level: Level::DomainValidation,
        mode: Mode::Enforce,
        on_failure: OnFailure::Defer,
        // Neither anchors nor lists of ours: DANE asks for none.
        policy: Arc::new(TrustPolicy::of(Arc::new(AnchorSet::new("none", Vec::new())))),
    };
    let evidence = TlsEvidence {
        version: TlsVersion::Tls13,
        cipher_suite: "TLS13_AES_256_GCM_SHA384".into(),
        key_exchange: None,
        resumed: false,
        staple: None,
        channel_binding: None,
        peer_chain: chain,
    };
    let connection = Connection {
        tls: TlsState::Established(&evidence),
        own_certificate: OwnCertificateState::NotApplicable,
    };
    judge(&requirement, &connection, &RevocationSet::default(), now())
}

#[test]
fn a_record_of_the_end_entity_says_all_whatever_name_chain_and_dates() {
    let authority = Maker::new("Woodgrove Root");
    let leaf = authority.leaf("elsewhere.example", 2019..2020);
    let other = authority.leaf(HOST, 2026..2027);
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        let good = judged(&[record(3, selector, matching, &leaf)], vec![leaf.clone()]);
        assert_eq!(good.facts, [], "3 {selector} {matching}");
        assert_eq!(good.outcome, TlsOutcome::Success);
        assert_eq!(good.ruling().to_string(), "dane dane:dane");
        assert!(good.admit().is_ok());
        let bad = judged(&[record(3, selector, matching, &leaf)], vec![other.clone(), authority.der()]);
        assert_eq!(bad.fault(), Some(Fault::TlsaMismatch), "3 {selector} {matching}");
        assert_eq!(bad.ruling().to_string(), "dane dane:encryption-only");
        assert_eq!(bad.outcome.result_type(), Some("tlsa-invalid"));
        assert!(bad.admit().is_err());
    }
}

#[test]
fn what_would_fit_is_told_in_the_shape_that_is_published() {
    let authority = Maker::new("Woodgrove Root");
    let (old, new) = (authority.leaf(HOST, 2025..2026), authority.leaf(HOST, 2026..2027));
    let bad = judged(&[record(3, 1, 1, &old)], vec![new.clone()]);
    assert_eq!(bad.facts[0].wanted, record(3, 1, 1, &old).to_string());
    assert_eq!(bad.facts[0].got, record(3, 1, 1, &new).to_string());
    // A roll-over: either will do.
    assert!(judged(&[record(3, 1, 1, &old), record(3, 1, 1, &new)], vec![new]).is_good());
}

#[test]
fn a_record_of_an_authority_asks_for_chain_name_and_dates() {
    let authority = Maker::new("Woodgrove Root");
    let stranger = Maker::new("Stranger");
    let good = authority.leaf(HOST, 2026..2027);
    let by_domain = authority.leaf("woodgrove.example", 2026..2027);
    let misnamed = authority.leaf("elsewhere.example", 2026..2027);
    let expired = authority.leaf(HOST, 2024..2025);
    let foreign = stranger.leaf(HOST, 2026..2027);
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        let records = [record(2, selector, matching, &authority.der())];
        let fault = |leaf: &CertificateDer<'static>, more: &[CertificateDer<'static>]| {
            let chain = std::iter::once(leaf.clone()).chain(more.iter().cloned()).collect();
            judged(&records, chain).fault()
        };
        let root = [authority.der()];
        let shown = format!("2 {selector} {matching}");
        assert_eq!(fault(&good, &root), None, "{shown}");
        assert_eq!(fault(&by_domain, &root), None, "{shown}: the domain is a reference identifier too");
        assert_eq!(fault(&misnamed, &root), Some(Fault::NameMismatch), "{shown}");
        assert_eq!(fault(&expired, &root), Some(Fault::Expired), "{shown}");
        // The authority is shown and named, but did not issue the certificate.
        assert!(fault(&foreign, &root).is_some(), "{shown}");
        // Left out of the chain it is only known where the record holds it whole.
        let whole = (selector, matching) == (0, 0);
        assert_eq!(fault(&good, &[]), (!whole).then_some(Fault::TlsaMismatch), "{shown}");
    }
}

#[test]
fn no_certificate_matches_nothing() {
    let authority = Maker::new("Woodgrove Root");
    let leaf = authority.leaf(HOST, 2026..2027);
    assert_eq!(judged(&[record(3, 1, 1, &leaf)], Vec::new()).fault(), Some(Fault::NoCertificate));
}

#[test]
fn only_what_smtp_can_use_is_used() {
    let leaf = Maker::new("Woodgrove Root").leaf(HOST, 2026..2027);
    let good = record(3, 1, 1, &leaf);
    let table = [
        (good.clone(), true),
        (TlsaRecord { usage: 2, ..good.clone() }, true),
        // PKIX-TA and PKIX-EE (RFC 7672 3.1.3), and numbers that mean nothing yet.
        (TlsaRecord { usage: 0, ..good.clone() }, false),
        (TlsaRecord { usage: 1, ..good.clone() }, false),
        (TlsaRecord { usage: 4, ..good.clone() }, false),
        (TlsaRecord { usage: 255, ..good.clone() }, false),
        (TlsaRecord { selector: 2, ..good.clone() }, false),
        (TlsaRecord { matching: 3, ..good.clone() }, false),
        // Digests of the wrong length, and a whole that is none.
        (TlsaRecord { matching: 2, ..good.clone() }, false),
        (TlsaRecord { data: vec![1; 31], ..good.clone() }, false),
        (TlsaRecord { data: Vec::new(), ..good.clone() }, false),
        (TlsaRecord { matching: 0, data: vec![1; 32], ..good.clone() }, false),
        (record(3, 0, 0, &leaf), true),
    ];
    for (record, is_usable) in table {
        assert_eq!(record.usable().is_some(), is_usable, "{record}");
    }
}

#[test]
fn the_strongest_digest_rules_alone() {
    let leaf = Maker::new("Woodgrove Root").leaf(HOST, 2026..2027);
    let other = Maker::new("Mallory").leaf(HOST, 2026..2027);
    // A SHA-256 of the right key beside a SHA-512 of another: the weaker one does not count.
    let records = [record(3, 1, 1, &leaf), record(3, 1, 2, &other)];
    assert!(!judged(&records, vec![leaf.clone()]).is_good());
    // Of another selector, and whole, they do.
    assert!(judged(&[record(3, 1, 1, &leaf), record(3, 0, 2, &other)], vec![leaf.clone()]).is_good());
    assert!(judged(&[record(3, 1, 0, &leaf), record(3, 1, 2, &other)], vec![leaf]).is_good());
}

#[test]
fn a_record_is_shown_as_zone_files_write_it_and_never_endlessly() {
    let record = TlsaRecord { usage: 3, selector: 1, matching: 1, data: vec![0xab; 32] };
    assert_eq!(record.to_string(), format!("3 1 1 {}", "ab".repeat(32)));
    let long = TlsaRecord { matching: 0, data: vec![0xab; 5000], ..record };
    assert!(long.to_string().len() < 200 && long.to_string().ends_with('…'));
}
