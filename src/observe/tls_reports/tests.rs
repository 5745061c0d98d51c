use super::*;
use crate::mail::tls_report::PolicyType;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn policy(kind: PolicyType, name: &str) -> Policy {
    Policy { policy_type: kind, policy_string: Vec::new(), policy_domain: domain(name), mx_host: Vec::new() }
}

fn failure(result_type: &str) -> FailureDetails {
    FailureDetails {
        result_type: result_type.to_owned(),
        sending_mta_ip: None,
        receiving_mx_hostname: Some("mx.bank.example".to_owned()),
        receiving_ip: None,
        failed_session_count: 0,
        failure_reason_code: None,
    }
}

const EVENING: &str = "2026-11-22T23:59:59Z";
const MORNING: &str = "2026-11-23T00:00:00Z";

#[test]
fn sessions_are_counted_by_day_domain_and_policy() {
    let (reports, bank) = (TlsReports::default(), domain("bank.example"));
    let (nothing, tlsa) =
        (policy(PolicyType::NoPolicyFound, "bank.example"), policy(PolicyType::Tlsa, "mx.bank.example"));
    reports.count(at(EVENING), &bank, &nothing, None);
    reports.count(at(EVENING), &bank, &nothing, Some(failure("starttls-not-supported")));
    reports.count(at(EVENING), &bank, &tlsa, None);
    reports.count(at(MORNING), &bank, &tlsa, None);
    let yesterday = reports.get("2026-11-22".parse().unwrap(), &bank).unwrap();
    let sums: Vec<_> = yesterday.policies.iter().map(|result| result.summary).collect();
    assert_eq!(sums.len(), 2);
    assert_eq!((sums[0].total_successful_session_count, sums[0].total_failure_session_count), (1, 1));
    assert_eq!((sums[1].total_successful_session_count, sums[1].total_failure_session_count), (1, 0));
    assert_eq!(reports.of_day("2026-11-23".parse().unwrap()).len(), 1);
    assert!(reports.take_changed() && !reports.take_changed());
}

#[test]
fn a_day_is_reported_once_it_is_over_and_tried_again_when_it_failed() {
    let (reports, bank) = (TlsReports::default(), domain("bank.example"));
    let date: Date = "2026-11-22".parse().unwrap();
    reports.count(at(EVENING), &bank, &policy(PolicyType::NoPolicyFound, "bank.example"), None);
    let opens = |_: Date, _: &Domain| at("2026-11-23T01:00:00Z");
    assert!(reports.due(at(EVENING), opens).is_empty(), "the day is not over");
    assert!(reports.due(at(MORNING), opens).is_empty(), "not all at midnight");
    assert_eq!(reports.due(at("2026-11-23T01:00:00Z"), opens), [(date, bank.clone())]);
    let again = Sending {
        first_attempt: at("2026-11-23T01:00:00Z"),
        next_attempt: at("2026-11-23T01:05:00Z"),
        attempts: 1,
        left: Some(vec!["mailto:tls@bank.example".to_owned()]),
    };
    reports.settle(date, &bank, Some(again.clone()));
    assert!(reports.due(at("2026-11-23T01:04:00Z"), opens).is_empty());
    assert_eq!(reports.due(at("2026-11-23T01:05:00Z"), opens).len(), 1);
    assert_eq!(reports.get(date, &bank).unwrap().sending, Some(again));
    reports.settle(date, &bank, None);
    assert!(reports.due(at("2026-11-23T23:00:00Z"), opens).is_empty());
    assert!(reports.snapshot().is_empty());
}

#[test]
fn what_nobody_could_be_told_is_forgotten_in_the_end() {
    let (reports, bank) = (TlsReports::default(), domain("bank.example"));
    reports.count(at(EVENING), &bank, &policy(PolicyType::NoPolicyFound, "bank.example"), None);
    let never = |_: Date, _: &Domain| at("2100-01-01T00:00:00Z");
    reports.due(at("2026-11-24T12:00:00Z"), never);
    assert_eq!(reports.snapshot().len(), 1);
    reports.due(at("2026-11-25T00:00:00Z"), never);
    assert!(reports.snapshot().is_empty());
}

#[test]
fn strangers_cannot_fill_the_memory() {
    let (reports, name) = (TlsReports::default(), domain("bank.example"));
    for number in 0..DOMAINS_MAX + 10 {
        let other = domain(&format!("d{number}.example"));
        reports.count(at(EVENING), &other, &policy(PolicyType::NoPolicyFound, "bank.example"), None);
    }
    for number in 0..POLICIES_MAX + 10 {
        let other = policy(PolicyType::Tlsa, &format!("mx{number}.bank.example"));
        reports.count(at(MORNING), &name, &other, None);
    }
    let days = reports.snapshot();
    let sizes: Vec<usize> = days.values().map(BTreeMap::len).collect();
    assert_eq!(sizes, [DOMAINS_MAX, 1]);
    assert_eq!(days.values().last().unwrap()["bank.example"].policies.len(), POLICIES_MAX);
}

#[test]
fn counts_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    assert!(read(directory.path()).unwrap().is_empty());
    let (reports, bank) = (TlsReports::default(), domain("bank.example"));
    let tlsa = Policy {
        policy_string: vec!["3 1 1 00ff".to_owned()],
        ..policy(PolicyType::Tlsa, "mx.bank.example")
    };
    reports.count(at(EVENING), &bank, &tlsa, Some(failure("tlsa-invalid")));
    write(directory.path(), &reports.snapshot()).unwrap();
    assert_eq!(read(directory.path()).unwrap(), reports.snapshot());
    std::fs::write(path(directory.path()), "{\"version\": 1, \"days\": ").unwrap();
    let error = read(directory.path()).unwrap_err().to_string();
    assert!(error.contains("tls-reports.json") && error.contains("begun anew"), "{error}");
}
