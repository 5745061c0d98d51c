use crate::mail::Domain;
use crate::observe::counters::FAMILIES;
use crate::observe::test_settings::with_lists;
use crate::observe::{FilterEvent, InboundChecked};
use crate::policy::milter::MilterResult;
use crate::policy::{Check, CheckMode, Finding, Outcome};

use crate::smtp::SessionId;
use crate::trust::{Fact, Fault, Level as TrustLevel, Mode, TlsVersion, Verdict};

use std::time::Duration;

use super::*;

const BANK: &str = "woodgrovebank.example";

fn verdict(direction: Direction, domain: &str, faults: &[Fault], mode: Mode) -> Arc<Verdict> {
    let fact = |fault: &Fault| Fact {
        fault: *fault,
        detail: "The names were mail.example.".to_owned(),
        wanted: domain.to_owned(),
        got: "mail.example".to_owned(),
    };
    Arc::new(Verdict {
        ruled_by: crate::trust::RuledBy::Partner,
        outcome: crate::trust::TlsOutcome::ValidationFailure,
        direction,
        domain: Domain::parse(domain).unwrap(),
        mode,
        required: TrustLevel::DomainSecure,
        achieved: if faults.is_empty() { TrustLevel::DomainSecure } else { TrustLevel::EncryptionOnly },
        facts: faults.iter().map(fact).collect(),
        verified: Vec::new(),
        matched_name: None,
        missing_lists: Vec::new(),
        lists_used: Vec::new(),
        staple: None,
    })
}

fn judged(verdict: Arc<Verdict>) -> Event {
    let connector = "Internet".to_owned();
    let session = SessionId(7);
    match verdict.direction {
        Direction::Inbound => {
            let remote = "192.0.2.9:61061".parse().unwrap();
            Event::InboundJudged { verdict, connector, session, remote, evidence: None }
        }
        Direction::Outbound => {
            let host = "mx.example".to_owned();
            Event::OutboundJudged { verdict, connector, session, host, evidence: None }
        }
    }
}

fn received(secured: Option<&str>) -> Event {
    Event::MessageReceived {
        queue_id: "00000000000000AB".to_owned(),
        connector: "Internet".to_owned(),
        session: SessionId(7),
        sender: "a@woodgrovebank.example".to_owned(),
        size: 4096,
        recipients: 2,
        secured: secured.map(|domain| Domain::parse(domain).unwrap()),
        accept_to_durable: Some(Duration::from_millis(3)),
    }
}

/// Taken by its next hop before it was durable.
fn passed_on() -> Event {
    let mut event = received(None);
    if let Event::MessageReceived { accept_to_durable, .. } = &mut event {
        *accept_to_durable = None;
    }
    event
}

fn delivered(secured: Option<&str>) -> Event {
    Event::MessageDelivered {
        queue_id: "00000000000000AB".to_owned(),
        connector: "Internet".to_owned(),
        session: SessionId(7),
        host: "mx.example".to_owned(),
        recipient_count: 2,
        secured: secured.map(|domain| Domain::parse(domain).unwrap()),
        accept_to_delivered: Duration::from_millis(30),
    }
}

/// The value of a series, written as it is exposed.
fn value(observer: &Observer, series: &str) -> Option<String> {
    let metrics = observer.render_metrics();
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
}

#[test]
fn series_of_secure_domains_start_at_zero_and_no_other_domain_makes_one() {
    let observer = Observer::new(&with_lists(&[BANK], &["fabrikam.example"]));
    let zeros = [
        "sealpost_domain_secure_messages_received_total{domain=\"woodgrovebank.example\"}",
        "sealpost_domain_secure_messages_sent_total{domain=\"fabrikam.example\"}",
        "sealpost_domain_secure_inbound_failures_total{domain=\"woodgrovebank.example\",fault=\"NameMismatch\",mode=\"enforce\"}",
        "sealpost_domain_secure_outbound_session_failures_total{domain=\"fabrikam.example\",fault=\"StartTlsNotOffered\",mode=\"enforce\"}",
    ];
    for series in zeros {
        assert_eq!(value(&observer, series).as_deref(), Some("0"), "{series}");
    }
    observer.event(judged(verdict(Direction::Inbound, "evil.example", &[Fault::Expired], Mode::Enforce)));
    observer.event(received(Some("evil.example")));
    assert!(!observer.render_metrics().contains("evil.example"));
}

#[test]
fn of_two_lists_of_one_issuer_the_one_that_ends_first_is_shown() {
    let observer = Observer::new(&with_lists(&[BANK], &[BANK]));
    let at = |second| Timestamp::from_second(second).unwrap();
    let gauge = "sealpost_crl_next_update_timestamp_seconds{issuer=\"CN=ca\"}";
    for ends in [[100, 200], [200, 100]] {
        observer.set_crl_next_update(ends.map(|end| ("CN=ca".to_owned(), at(end))));
        assert_eq!(value(&observer, gauge).as_deref(), Some("100"));
    }
    observer.set_crl_next_update([("CN=ca".to_owned(), at(300))]);
    assert_eq!(value(&observer, gauge).as_deref(), Some("300"));
}

#[test]
fn every_family_of_the_table_is_exposed_under_its_name_and_nothing_else() {
    let observer = Observer::new(&with_lists(&[BANK], &[BANK]));
    observer.set_certificate_expiry([(CertificateRole::Server, "CN=a".to_owned(), Timestamp::UNIX_EPOCH)]);
    observer.set_crl_next_update([("CN=ca".to_owned(), Timestamp::UNIX_EPOCH)]);
    drop(observer.connection(Direction::Inbound, "Internet"));
    observer.event(received(None));
    observer.event(passed_on());
    observer.event(delivered(None));
    observer.event(Event::MessageRefused {
        connector: "Internet".to_owned(),
        session: SessionId(7),
        remote: "192.0.2.9:61061".parse().unwrap(),
        reply: "550 5.7.1 no".to_owned(),
    });
    observer.event(Event::InboundChecked(InboundChecked {
        finding: Finding::new(Check::Spf, Outcome::Pass, ""),
        mode: CheckMode::Mark,
        connector: "Internet".to_owned(),
        session: SessionId(7),
        remote: "192.0.2.9:61061".parse().unwrap(),
    }));
    observer.event(Event::Filter(FilterEvent::MilterAnswered {
        milter: "rspamd".to_owned(),
        result: MilterResult::Accept,
        detail: String::new(),
        mode: CheckMode::Enforce,
        connector: "Internet".to_owned(),
        session: SessionId(7),
        remote: "192.0.2.9:61061".parse().unwrap(),
    }));
    observer.event(Event::Filter(FilterEvent::RecipientVerified {
        recipient: "a@contoso.example".to_owned(),
        result: "exists",
        detail: String::new(),
        mode: CheckMode::Enforce,
        connector: "Internet".to_owned(),
        session: SessionId(7),
        remote: "192.0.2.9:61061".parse().unwrap(),
    }));
    observer.event(Event::Access(AccessEvent::LimitReached {
        limit: Limit::Connections,
        scope: Scope::Source,
        connector: "Internet".to_owned(),
        session: SessionId(7),
        remote: "192.0.2.9:61061".parse().unwrap(),
    }));
    let metrics = observer.render_metrics();
    let exposed = |name: &str| {
        metrics.lines().any(|line| {
            let series = line.split([' ', '{']).next().unwrap();
            series == name || series.strip_suffix("_bucket") == Some(name)
        })
    };
    for row in FAMILIES {
        assert!(exposed(row.name), "{} in\n{metrics}", row.name);
        assert!(metrics.contains(row.help), "{}", row.help);
    }
    assert_eq!(metrics.matches("# TYPE ").count(), FAMILIES.len());
    assert!(metrics.ends_with("# EOF\n"));
}

/// A message that is tried again every minute must not drown the log.
#[test]
fn an_unsigned_stamp_is_told_once_in_a_while() {
    let observer = Observer::new(&with_lists(&[], &[]));
    let unsigned = Event::StampUnsigned { queue_id: "1".to_owned(), reason: "two readings".to_owned() };
    let levels = [(); 3].map(|()| observer.count(&unsigned));
    assert_eq!(levels, [Level::Warning, Level::Debug, Level::Debug]);
}

#[test]
fn labels_are_those_of_the_table() {
    let observer = Observer::new(&with_lists(&[BANK], &[BANK]));
    let _guard = observer.connection(Direction::Inbound, "Internet");
    observer.event(received(None));
    observer.event(delivered(None));
    let metrics = observer.render_metrics();
    for row in FAMILIES {
        let Some(line) = metrics.lines().find(|line| line.starts_with(&format!("{}{{", row.name))) else {
            continue;
        };
        let labels = line.split_once('{').unwrap().1.split_once('}').unwrap().0;
        let names: Vec<&str> = labels.split(',').map(|label| label.split_once('=').unwrap().0).collect();
        assert_eq!(names, row.labels, "{line}");
    }
}

#[test]
fn a_bad_verdict_counts_its_first_fault_and_a_good_one_nothing() {
    let observer = Observer::new(&with_lists(&[BANK], &[BANK]));
    let series = |direction: &str, fault: &str, mode: &str| {
        let name = format!("sealpost_domain_secure_{direction}_failures_total");
        value(&observer, &format!("{name}{{domain=\"{BANK}\",fault=\"{fault}\",mode=\"{mode}\"}}"))
    };
    let two = [Fault::Expired, Fault::NameMismatch];
    observer.event(judged(verdict(Direction::Inbound, BANK, &two, Mode::Enforce)));
    observer.event(judged(verdict(Direction::Inbound, BANK, &two, Mode::Report)));
    observer.event(judged(verdict(Direction::Inbound, BANK, &[], Mode::Enforce)));
    observer.event(judged(verdict(Direction::Outbound, BANK, &[Fault::StartTlsNotOffered], Mode::Enforce)));
    assert_eq!(series("inbound", "Expired", "enforce").as_deref(), Some("1"));
    assert_eq!(series("inbound", "Expired", "report").as_deref(), Some("1"));
    assert_eq!(series("inbound", "NameMismatch", "enforce").as_deref(), Some("0"));
    assert_eq!(series("outbound_session", "StartTlsNotOffered", "enforce").as_deref(), Some("1"));
    assert_eq!(series("inbound", "StartTlsNotOffered", "enforce"), None);
}

#[test]
fn a_verdict_below_its_level_is_a_failure_though_nothing_was_found_wrong() {
    let observer = Observer::new(&with_lists(&[BANK], &[]));
    let mut below = verdict(Direction::Inbound, BANK, &[], Mode::Enforce).as_ref().clone();
    below.achieved = TrustLevel::EncryptionOnly;
    observer.event(judged(Arc::new(below)));
    let name = "sealpost_domain_secure_inbound_failures_total";
    let series = format!("{name}{{domain=\"{BANK}\",fault=\"BelowLevel\",mode=\"enforce\"}}");
    assert_eq!(value(&observer, &series).as_deref(), Some("1"));
}

#[test]
fn messages_count_for_their_connector_and_secured_domain() {
    let observer = Observer::new(&with_lists(&[BANK], &[BANK]));
    observer.event(received(Some(BANK)));
    observer.event(received(None));
    observer.event(passed_on());
    observer.event(delivered(Some(BANK)));
    // Another recipient of the same message in the same domain.
    observer.event(delivered(Some(BANK)));
    let wanted = [
        ("sealpost_domain_secure_messages_received_total{domain=\"woodgrovebank.example\"}", "1"),
        ("sealpost_messages_received_total{connector=\"Internet\"}", "3"),
        ("sealpost_messages_cut_through_total{connector=\"Internet\"}", "1"),
        ("sealpost_domain_secure_messages_sent_total{domain=\"woodgrovebank.example\"}", "1"),
        ("sealpost_messages_delivered_total{connector=\"Internet\"}", "2"),
        ("sealpost_accept_to_durable_seconds_count", "2"),
        ("sealpost_accept_to_delivered_seconds_count", "2"),
    ];
    for (series, count) in wanted {
        assert_eq!(value(&observer, series).as_deref(), Some(count), "{series}");
    }
}

#[test]
fn a_reload_begins_and_ends_series_and_keeps_the_others() {
    let observer = Observer::new(&with_lists(&[BANK, "old.example"], &["old.example"]));
    observer.event(received(Some(BANK)));
    observer.event(judged(verdict(Direction::Inbound, "old.example", &[Fault::Revoked], Mode::Report)));
    observer.reconfigure(&with_lists(&[BANK, "new.example"], &[]));
    let metrics = observer.render_metrics();
    assert!(!metrics.contains("old.example"), "{metrics}");
    let kept = format!("sealpost_domain_secure_messages_received_total{{domain=\"{BANK}\"}}");
    assert_eq!(value(&observer, &kept).as_deref(), Some("1"));
    let new = "sealpost_domain_secure_messages_received_total{domain=\"new.example\"}";
    assert_eq!(value(&observer, new).as_deref(), Some("0"));
}

#[test]
fn gauges_show_what_is_now() {
    let observer = Observer::new(&with_lists(&[], &[]));
    let connections = "sealpost_connections{direction=\"outbound\",connector=\"Internet\"}";
    let guard = observer.connection(Direction::Outbound, "Internet");
    assert_eq!(value(&observer, connections).as_deref(), Some("1"));
    drop(guard);
    assert_eq!(value(&observer, connections).as_deref(), Some("0"));

    observer.set_queue(3, 2, 1, 0, Some(Duration::from_secs(90)));
    assert_eq!(value(&observer, "sealpost_queue_messages{status=\"retry\"}").as_deref(), Some("2"));
    assert_eq!(value(&observer, "sealpost_queue_oldest_message_seconds").as_deref(), Some("90"));

    let at = |second| Timestamp::from_second(second).unwrap();
    let own = |name: &str, second| (CertificateRole::Server, name.to_owned(), at(second));
    observer.set_certificate_expiry([own("CN=a", 10), own("CN=a", 20), own("CN=b", 30)]);
    let series = "sealpost_certificate_expiry_timestamp_seconds{role=\"server\",subject=\"CN=a\"}";
    assert_eq!(value(&observer, series).as_deref(), Some("20"));
    observer.set_certificate_expiry([own("CN=b", 40)]);
    assert_eq!(value(&observer, series), None);
}

#[test]
fn a_handshake_counts_by_version_and_result() {
    let observer = Observer::new(&with_lists(&[], &[]));
    let handshake = |version, error: Option<&str>| Event::TlsHandshake {
        direction: Direction::Inbound,
        connector: "Internet".to_owned(),
        session: SessionId(7),
        remote: "192.0.2.9:61061".parse().unwrap(),
        version,
        error: error.map(str::to_owned),
    };
    observer.event(handshake(Some(TlsVersion::Tls13), None));
    observer.event(handshake(None, Some("garbage")));
    let series = |version: &str, result: &str| {
        let labels = format!("direction=\"inbound\",version=\"{version}\",result=\"{result}\"");
        value(&observer, &format!("sealpost_tls_handshakes_total{{{labels}}}"))
    };
    assert_eq!(series("TLSv1.3", "ok").as_deref(), Some("1"));
    assert_eq!(series("none", "failed").as_deref(), Some("1"));
    assert_eq!(series("TLSv1.2", "ok").as_deref(), Some("0"));
}

#[test]
fn a_record_names_the_event_its_fields_and_the_reason() {
    let event = judged(verdict(Direction::Inbound, BANK, &[Fault::NameMismatch], Mode::Enforce));
    let sentence = record::sentence(&event);
    assert!(sentence.starts_with("InboundJudged "), "{sentence}");
    for part in
        [" domain=woodgrovebank.example", " verdict=bad", " faults=NameMismatch", " session=0000000000000007"]
    {
        assert!(sentence.contains(part), "{part} in {sentence}");
    }
    assert!(sentence.contains("detail=\"The names were mail.example."), "{sentence}");
    let json = record::json(&received(None));
    assert_eq!(json["event"], "MessageReceived");
    assert_eq!(json["size"], 4096);
}
