//! What is remembered of a partner, and for how long.

use jiff::{Span, Timestamp};

use super::*;
use crate::cli::demo::pki::{Authority, Validity};
use crate::trust::{Fact, Fault, Level, Mode, TlsVersion};

const BANK: &str = "woodgrovebank.example";

fn verdict(faults: &[Fault], mode: Mode) -> Arc<Verdict> {
    let fact = |fault: &Fault| Fact {
        fault: *fault,
        detail: "Expired on 2026-11-01.".to_owned(),
        wanted: "a certificate that is valid".to_owned(),
        got: "one that is not\u{1b}[2J".to_owned(),
    };
    Arc::new(Verdict {
        ruled_by: crate::trust::RuledBy::Partner,
        outcome: crate::trust::TlsOutcome::ValidationFailure,
        direction: Direction::Inbound,
        domain: Domain::parse(BANK).unwrap(),
        mode,
        required: Level::DomainSecure,
        achieved: if faults.is_empty() { Level::DomainSecure } else { Level::EncryptionOnly },
        facts: faults.iter().map(fact).collect(),
        verified: Vec::new(),
        matched_name: None,
        missing_lists: Vec::new(),
        lists_used: Vec::new(),
        staple: None,
    })
}

fn evidence() -> Option<Arc<TlsEvidence>> {
    let mut authority = Authority::new("Woodgrove").unwrap();
    let identity = authority.issue(&[BANK], Validity::Current).unwrap().with_root(&authority);
    Some(Arc::new(TlsEvidence {
        version: TlsVersion::Tls13,
        cipher_suite: "TLS13_AES_256_GCM_SHA384".to_owned(),
        key_exchange: None,
        resumed: false,
        peer_chain: identity.chain,
        staple: None,
        channel_binding: None,
    }))
}

fn tell(watch: &PartnerWatch, verdict: &Arc<Verdict>, session: u64) {
    let peer = Peer::Address("192.0.2.9:61061".parse().unwrap());
    watch.judged(verdict, "Internet", SessionId(session), peer, &evidence());
}

#[test]
fn the_last_good_and_the_last_failed_session_are_kept_with_their_certificates() {
    let watch = PartnerWatch::default();
    tell(&watch, &verdict(&[], Mode::Enforce), 1);
    tell(&watch, &verdict(&[Fault::Expired, Fault::NameMismatch], Mode::Enforce), 2);
    tell(&watch, &verdict(&[], Mode::Enforce), 3);
    let record = watch.snapshot(|_, _| true);
    let [seen] = record.domains.as_slice() else { panic!("{record:?}") };
    let good = seen.last_good.as_ref().unwrap();
    assert_eq!(good.session, "0000000000000003");
    assert_eq!(good.certificates.len(), 2);
    assert_eq!(good.certificates[0].names, [BANK]);
    assert!(good.certificates[0].pin.starts_with("sha256/"));
    assert_eq!(good.certificates[0].issuer, good.certificates[1].subject);
    let failed = seen.last_failed.as_ref().unwrap();
    assert_eq!((failed.session.as_str(), failed.fault()), ("0000000000000002", Some(Fault::Expired)));
    assert_eq!(failed.facts[0].got, "one that is not\\u{1b}[2J");
    // Read once, a second look finds the same.
    assert_eq!(watch.snapshot(|_, _| true), record);
}

#[test]
fn verdicts_are_counted_by_fault_and_mode() {
    let watch = PartnerWatch::default();
    for _ in 0..3 {
        tell(&watch, &verdict(&[Fault::Expired], Mode::Report), 1);
    }
    tell(&watch, &verdict(&[Fault::Expired], Mode::Enforce), 2);
    tell(&watch, &verdict(&[], Mode::Report), 3);
    let record = watch.snapshot(|_, _| true);
    // At midnight it may be two days.
    let count = |good, fault, mode| -> u64 {
        let outcomes = record.domains[0].days.iter().flat_map(|day| &day.outcomes);
        outcomes.filter(|o| (o.good, o.fault, o.mode) == (good, fault, mode)).map(|o| o.count).sum()
    };
    assert_eq!(count(false, Some(Fault::Expired), Mode::Report), 3);
    assert_eq!(count(false, Some(Fault::Expired), Mode::Enforce), 1);
    assert_eq!(count(true, None, Mode::Report), 1);
}

#[test]
fn counts_of_the_last_thirty_days_are_kept_and_no_more() {
    let start: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let mut days = Vec::new();
    for day in 0..100 {
        let at = start + Span::new().hours(24 * day);
        record::count(&mut days, at, &verdict(&[Fault::Expired], Mode::Enforce));
    }
    assert_eq!(days.len() as i64, DAYS_KEPT);
    assert_eq!(days[0].date.to_string(), "2026-03-12");
    assert_eq!(days[29].date.to_string(), "2026-04-10");
}

#[test]
fn a_domain_taken_off_the_lists_is_forgotten_when_nothing_of_thirty_days_is_left() {
    let watch = PartnerWatch::default();
    tell(&watch, &verdict(&[], Mode::Enforce), 1);
    let mut record = watch.snapshot(|_, _| false);
    assert_eq!(record.domains.len(), 1, "seen today");
    record.domains[0].days.clear();
    let later = PartnerWatch::default();
    later.restore(record);
    assert_eq!(later.snapshot(|_, _| true).domains.len(), 1, "still listed");
    assert!(later.snapshot(|_, _| false).domains.is_empty());
}

#[test]
fn what_was_written_is_read_again_and_a_damaged_file_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(read(directory.path()).unwrap(), PartnerRecord::default());
    let watch = PartnerWatch::default();
    tell(&watch, &verdict(&[Fault::Revoked], Mode::Enforce), 9);
    assert!(watch.take_changed() && !watch.take_changed());
    let record = watch.snapshot(|_, _| true);
    write(directory.path(), &record).unwrap();
    assert_eq!(read(directory.path()).unwrap(), record);
    let mode = std::fs::metadata(path(directory.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let again = PartnerWatch::default();
    again.restore(record.clone());
    assert_eq!(again.snapshot(|_, _| true), record);

    std::fs::write(path(directory.path()), "{\"version\":").unwrap();
    assert!(matches!(read(directory.path()), Err(RecordError::Damaged { .. })));
    std::fs::write(path(directory.path()), "{\"version\":9,\"domains\":[]}").unwrap();
    assert!(read(directory.path()).unwrap_err().to_string().contains("version 9"));
}
