use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn kept(name: &str, id: &str, mode: &str, max_age: i64, fetched: i64) -> KeptPolicy {
    let text = format!("version: STSv1\nmode: {mode}\nmx: mx.{name}\nmax_age: {max_age}\n");
    KeptPolicy {
        domain: domain(name),
        id: id.to_owned(),
        fetched: at(fetched),
        policy: Arc::new(StsPolicy::parse(text.as_bytes()).unwrap()),
    }
}

fn policies() -> (tempfile::TempDir, StsPolicies) {
    let directory = tempfile::tempdir().unwrap();
    let policies = StsPolicies::open(directory.path().join("mta-sts"), at(0));
    (directory, policies)
}

const DAY: i64 = 86_400;

#[test]
fn a_failed_refresh_keeps_the_policy_until_its_time_is_over() {
    let (_directory, policies) = policies();
    let x = domain("x.example");
    policies.keep(kept("x.example", "1", "enforce", 7 * DAY, 0));
    assert!(policies.holds(&x, "1", at(DAY)) && !policies.holds(&x, "2", at(DAY)));
    assert!(policies.failed(&x, at(DAY)), "the event says that one is kept");
    assert!(policies.failed_lately(&x, at(DAY + 299)) && !policies.failed_lately(&x, at(DAY + 300)));
    assert!(policies.in_force(&x, at(7 * DAY - 1)).is_some());
    assert!(policies.in_force(&x, at(7 * DAY)).is_none());
    assert!(!policies.failed(&x, at(7 * DAY)));
}

#[test]
fn a_policy_is_asked_for_again_long_before_it_runs_out_and_then_forgotten() {
    let (_directory, policies) = policies();
    let week = domain("week.example");
    policies.keep(kept("week.example", "1", "enforce", 7 * DAY, 0));
    policies.keep(kept("hour.example", "1", "testing", 3600, 0));
    assert_eq!(policies.due(at(1799)), Due::default());
    assert_eq!(policies.due(at(1800)).refresh, [domain("hour.example")]);
    assert_eq!(policies.due(at(3600)).ended, [domain("hour.example")]);
    assert_eq!(policies.due(at(DAY)).refresh, std::slice::from_ref(&week), "daily");
    policies.failed(&week, at(DAY));
    assert_eq!(policies.due(at(DAY + 3599)), Due::default(), "not over and over");
    assert_eq!(policies.due(at(DAY + 3600)).refresh, std::slice::from_ref(&week));
    // Nobody wrote there for a month.
    policies.keep(kept("year.example", "1", "enforce", 365 * DAY, 0));
    assert_eq!(policies.due(at(29 * DAY)).refresh, [domain("year.example")]);
    assert_eq!(policies.due(at(31 * DAY)).refresh, []);
}

#[test]
fn a_domain_is_asked_once_a_minute() {
    let (_directory, policies) = policies();
    let x = domain("x.example");
    assert!(!policies.is_fresh(&x, at(0)));
    policies.looked_at(&x, at(0));
    assert!(policies.is_fresh(&x, at(59)) && !policies.is_fresh(&x, at(60)));
    assert!(!policies.is_fresh(&x, at(-5)), "the clock was set back");
}

#[test]
fn domains_without_a_policy_make_room() {
    let (_directory, policies) = policies();
    policies.keep(kept("x.example", "1", "enforce", DAY, 0));
    for number in 0..=DOMAINS_MAX {
        drop(policies.gate(&domain(&format!("d{number}.example"))));
    }
    assert!(policies.lock().len() <= DOMAINS_MAX);
    assert!(policies.in_force(&domain("x.example"), at(1)).is_some(), "policies are not forgotten for them");
}

#[test]
fn what_is_on_the_disk_is_in_force_after_a_restart() {
    let (directory, policies) = policies();
    policies.cache.store(&kept("x.example", "1", "enforce", DAY, 0)).unwrap();
    let policies = StsPolicies::open(directory.path().join("mta-sts"), at(DAY - 1));
    assert!(policies.in_force(&domain("x.example"), at(DAY - 1)).is_some());
    assert!(policies.holds(&domain("x.example"), "1", at(DAY - 1)));
}
