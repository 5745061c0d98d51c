//! What an operator is told of partners, from settings and a record.

use std::sync::Arc;

use jiff::SignedDuration;

use super::*;
use crate::cli::demo::pki::{Authority, Validity};
use crate::observe::CertificateRole;
use crate::observe::partners::{Day, Outcome, SeenCertificate, Sighting};
use crate::observe::test_settings::with_lists;
use crate::trust::{AnchorSet, RevocationList, TrustPolicy, certificates_from_pem_or_der};

const BANK: &str = "woodgrovebank.example";

/// Settings with one partner, its authority, and the certificate it shows, which ends in five days.
fn site(mode: Mode, on_inbound_failure: OnFailure) -> (Settings, PartnerRecord, Authority) {
    let mut authority = Authority::new("Woodgrove").unwrap();
    let leaf = authority.issue(&[BANK], Validity::Ending).unwrap();
    let mut settings = with_lists(&[BANK], &[BANK]);
    let root = certificates_from_pem_or_der(authority.root_pem().as_bytes()).unwrap();
    let policy = TrustPolicy {
        anchors: Arc::new(AnchorSet::from_certificates("woodgrove-root.pem", root)),
        pins: vec!["sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse().unwrap()],
        ..TrustPolicy::clone(&settings.default_policy)
    };
    let partner = |name: &str, domain: &str| Partner {
        name: name.to_owned(),
        domains: vec![Domain::parse(domain).unwrap()],
        policy: Arc::new(policy.clone()),
        on_inbound_failure,
        on_outbound_failure: OnFailure::Defer,
        message_expiration: None,
        delay_notification: None,
        retry_intervals: None,
        priority: crate::policy::Priority::Normal,
        mode,
        certificate: None,
        remote_ip_ranges: Vec::new(),
        limits: crate::policy::PartnerLimits::default(),
    };
    settings.partners =
        vec![Arc::new(partner("Woodgrove Bank", BANK)), Arc::new(partner("Sister", "sister.example"))];
    let now = Timestamp::now();
    let sighting = Sighting {
        at: now,
        session: "0000000000000007".to_owned(),
        connector: "Internet".to_owned(),
        peer: "192.0.2.9:25".to_owned(),
        mode,
        tls: Some("TLSv1.3".to_owned()),
        cipher_suite: None,
        facts: Vec::new(),
        matched_name: None,
        certificates: leaf.chain.iter().filter_map(SeenCertificate::read).collect(),
        ruling: None,
    };
    let outcome = |good, fault, count| Outcome { good, fault, mode, count };
    let day = |date: &str, outcomes| Day { date: date.parse().unwrap(), outcomes };
    let seen = DomainRecord {
        domain: Domain::parse(BANK).unwrap(),
        direction: Direction::Inbound,
        last_good: Some(sighting),
        last_failed: None,
        days: vec![
            day("2026-11-20", vec![outcome(true, None, 5), outcome(false, Some(Fault::NameMismatch), 2)]),
            day("2026-11-21", vec![outcome(false, Some(Fault::NameMismatch), 1)]),
        ],
    };
    (settings, PartnerRecord { version: 1, domains: vec![seen] }, authority)
}

fn views(settings: &Settings, record: &PartnerRecord, lists: &RevocationSet) -> Vec<PartnerView> {
    describe(Site { settings, record, lists, now: Timestamp::now() }, None)
}

#[test]
fn what_enforcing_would_have_answered_follows_the_settings() {
    for (on_failure, reply) in [(OnFailure::Reject, "550 5.7.1"), (OnFailure::Defer, "454 4.7.1")] {
        let (settings, record, _) = site(Mode::Report, on_failure);
        let report = &views(&settings, &record, &RevocationSet::default())[0].report;
        assert_eq!((report.judged, report.would_refuse), (8, 3));
        let row = &report.by_fault[0];
        assert_eq!((row.count, row.fault, row.reply.as_str()), (3, Some(Fault::NameMismatch), reply));
    }
    let (settings, record, _) = site(Mode::Enforce, OnFailure::Reject);
    let view = &views(&settings, &record, &RevocationSet::default())[0];
    assert_eq!(view.report.judged, 0, "what was enforced is no rehearsal");
    assert_eq!(view.seen[0].failures[0].count, 3);
}

#[test]
fn what_ends_is_listed_with_the_lists_of_its_issuers() {
    let (settings, record, mut authority) = site(Mode::Enforce, OnFailure::Reject);
    let list = authority.revocation_list_pem().unwrap();
    let lists = RevocationList::parse("woodgrove.crl", list.as_bytes()).unwrap();
    let lists = RevocationSet {
        epoch: 1,
        lists: lists.into_iter().map(Arc::new).collect(),
        ..RevocationSet::default()
    };
    let in_a_week = Timestamp::now() + SignedDuration::from_hours(24 * 7 - 12);
    let site = |now| Site { settings: &settings, record: &record, lists: &lists, now };
    let today: Vec<String> =
        describe(site(Timestamp::now()), None)[0].expiring.iter().map(|e| e.what.clone()).collect();
    assert_eq!(today, ["their certificate"]);
    let expiring = describe(site(in_a_week), None).remove(0).expiring;
    let found: Vec<(&str, i64)> = expiring.iter().map(|e| (e.what.as_str(), e.days_left)).collect();
    assert_eq!(found, [("their certificate", -2), ("revocation list", 0)]);
}

#[test]
fn an_anchor_of_two_partners_is_told_of_once_and_a_public_one_only_where_it_is_in_use() {
    let (mut settings, record, _) = site(Mode::Enforce, OnFailure::Reject);
    let lists = RevocationSet::default();
    let anchors = |settings: &Settings| {
        let site = Site { settings, record: &record, lists: &lists, now: Timestamp::now() };
        let all = expiring::of_partners(site).into_iter();
        all.filter(|ending| ending.role == CertificateRole::Anchor).map(|e| e.of).collect::<Vec<_>>()
    };
    assert_eq!(anchors(&settings), ["Woodgrove Bank"]);
    for partner in &mut settings.partners {
        let policy = TrustPolicy::clone(&partner.policy);
        let certificates: Vec<_> = policy.anchors.certificates().cloned().collect();
        let public = Arc::new(AnchorSet::from_certificates("system", certificates));
        let policy = Arc::new(TrustPolicy { anchors: public, ..policy });
        *partner = Arc::new(Partner { policy, ..Partner::clone(partner) });
    }
    settings.partners.reverse();
    assert_eq!(anchors(&settings), ["Woodgrove Bank"], "nothing was seen of the other");
}

#[test]
fn a_pin_is_tried_by_what_was_shown() {
    let (settings, record, _) = site(Mode::Enforce, OnFailure::Reject);
    let views = views(&settings, &record, &RevocationSet::default());
    assert!(views[0].pins[0].tried && views[0].pins[0].matched.is_empty());
    assert!(!views[1].pins[0].tried);
}
