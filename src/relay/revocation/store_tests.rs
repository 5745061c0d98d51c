//! What the snapshot holds after each event, and what is asked for when.

use super::*;
use crate::net::crl_fetch::Validators;
use crate::trust::Publisher;

const DAY: i64 = 86_400;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn settings() -> CrlFetchSettings {
    CrlFetchSettings {
        enabled: true,
        timeout: Duration::from_secs(15),
        allow_private_addresses: false,
        proxy: None,
        max_age: None,
    }
}

fn lists() -> RevocationLists {
    let cache = CrlCache::new("/nonexistent/crl-cache".into());
    RevocationLists::new(cache, Vec::new(), Vec::new(), &settings())
}

/// A list got and used at `fetched`, good for a week from then.
fn cached(publisher: &Publisher, url: &str, fetched: i64) -> CachedList {
    let list = publisher.list(url, at(fetched - 60), at(fetched + 7 * DAY));
    let origin = Origin {
        url: url.to_owned(),
        wanted: publisher.wanted(&[url]),
        fetched: at(fetched),
        used: at(fetched),
        validators: Validators::default(),
    };
    CachedList { list, origin }
}

const URL: &str = "http://crl.example/root.crl";

#[test]
fn a_list_that_came_is_judged_by_and_open_sessions_notice() {
    let lists = lists();
    let publisher = Publisher::new("root");
    let (epoch, list) = (lists.load().epoch, cached(&publisher, URL, 0));
    let key = list.origin.key();
    assert_eq!(lists.standing(key, at(1)), Standing::Unknown);
    lists.insert(list.clone());
    assert_eq!(lists.load().lists.len(), 1);
    assert_eq!(lists.load().epoch, epoch + 1);
    assert_eq!(lists.standing(key, at(1)), Standing::Current);
    // The same again is no news.
    lists.insert(list);
    assert_eq!(lists.load().epoch, epoch + 1);
    lists.insert(cached(&publisher, URL, 100));
    assert_eq!((lists.load().epoch, lists.load().lists.len()), (epoch + 2, 1));
    assert_eq!(lists.standing(key, at(8 * DAY)), Standing::Unknown);
}

#[test]
fn a_failure_is_remembered_briefly_and_takes_no_list_away() {
    let lists = lists();
    let publisher = Publisher::new("root");
    let list = cached(&publisher, URL, 0);
    let key = list.origin.key();
    assert_eq!(lists.failed(key, "no answer".to_owned(), at(0)), None);
    assert_eq!(lists.standing(key, at(59)), Standing::Failed);
    assert_eq!(lists.standing(key, at(61)), Standing::Unknown);
    assert_eq!(lists.load().failures.get(&key).map(String::as_str), Some("no answer"));
    lists.insert(list);
    assert!(lists.load().failures.is_empty());
    let epoch = lists.load().epoch;
    assert_eq!(lists.failed(key, "no answer".to_owned(), at(DAY)), Some(at(7 * DAY)));
    assert_eq!(lists.standing(key, at(DAY)), Standing::Current);
    assert_eq!((lists.load().epoch, lists.load().lists.len()), (epoch, 1));
}

#[test]
fn crl_max_age_ends_the_use_of_a_list_and_a_reload_can_give_it_back() {
    let lists = lists();
    let list = cached(&Publisher::new("root"), URL, 0);
    let key = list.origin.key();
    lists.insert(list);
    let strict = CrlFetchSettings { max_age: Some(Duration::from_secs(3600)), ..settings() };
    lists.set_files(Vec::new(), &strict);
    assert_eq!(lists.standing(key, at(3600)), Standing::Current);
    assert_eq!(lists.standing(key, at(3601)), Standing::Unknown);
    assert!(!lists.load().lists[0].is_current_at(at(3601)));
    lists.set_files(Vec::new(), &settings());
    assert_eq!(lists.standing(key, at(3601)), Standing::Current);
}

#[test]
fn with_crl_fetch_off_only_files_count() {
    let lists = lists();
    let publisher = Publisher::new("root");
    lists.insert(cached(&publisher, URL, 0));
    let file = Arc::new(publisher.list("root.crl", at(0), at(DAY)));
    lists.set_files(vec![file], &CrlFetchSettings { enabled: false, ..settings() });
    let sources: Vec<String> = lists.load().lists.iter().map(|list| list.source.clone()).collect();
    assert_eq!(sources, ["root.crl"]);
    assert!(lists.due(at(30 * DAY), 4).lists.is_empty());
}

#[test]
fn a_list_is_due_before_it_runs_out_and_not_twice_at_once() {
    let lists = lists();
    let list = cached(&Publisher::new("root"), URL, 0);
    let key = list.origin.key();
    lists.insert(list);
    let Due { lists: due, next, .. } = lists.due(at(60), 4);
    assert!(due.is_empty());
    assert!(next.unwrap() <= at(DAY) && next.unwrap() > at(DAY / 2), "{next:?}");
    let due = lists.due(at(DAY), 4).lists;
    assert_eq!(due.iter().map(|(_, url)| url.as_str()).collect::<Vec<_>>(), [URL]);
    assert!(lists.due(at(DAY + 1), 4).lists.is_empty());
    lists.failed(key, "no answer".to_owned(), at(DAY + 2));
    let Due { lists: due, next, .. } = lists.due(at(DAY + 3), 4);
    assert!(due.is_empty());
    assert!(next.unwrap() <= at(DAY + 60), "{next:?}");
}

#[test]
fn of_many_lists_that_are_due_a_few_are_asked_for_at_a_time() {
    let lists = lists();
    let publisher = Publisher::new("root");
    for number in 0..10 {
        lists.insert(cached(&publisher, &format!("http://crl.example/{number}"), 0));
    }
    let counts: Vec<usize> = (0..4).map(|_| lists.due(at(DAY), 4).lists.len()).collect();
    assert_eq!(counts, [4, 4, 2, 0]);
}

#[test]
fn a_list_that_nobody_needed_for_a_month_is_let_go_when_it_runs_out() {
    let lists = lists();
    let publisher = Publisher::new("root");
    let mut idle = cached(&publisher, "http://crl.example/idle.crl", 0);
    idle.list = publisher.list("http://crl.example/idle.crl", at(0), at(40 * DAY));
    let mut needed = cached(&publisher, URL, 0);
    needed.list = publisher.list(URL, at(0), at(40 * DAY));
    needed.origin.used = at(25 * DAY);
    lists.insert(idle);
    lists.insert(needed);
    let due = lists.due(at(31 * DAY), 4).lists;
    assert_eq!(due.iter().map(|(_, url)| url.as_str()).collect::<Vec<_>>(), [URL]);
    assert_eq!(lists.load().lists.len(), 2);
    assert!(lists.due(at(41 * DAY), 4).dropped);
    assert_eq!(lists.load().lists.len(), 1);
    // What it names stays named for a while after its end.
    assert!(!lists.due(at(54 * DAY), 4).dropped);
    assert_eq!(lists.load().lists.len(), 1);
    assert!(lists.due(at(71 * DAY), 4).dropped);
    assert!(lists.load().lists.is_empty());
}

#[test]
fn whoever_publishes_most_gives_way_first() {
    let lists = lists();
    let (modest, greedy) = (Publisher::new("modest"), Publisher::new("greedy"));
    let mut evicted = Vec::new();
    let old = cached(&modest, URL, -DAY);
    evicted.extend(lists.insert(old.clone()));
    for number in 0..=LISTS_MAX {
        let url = format!("http://crl.example/{number}");
        evicted.extend(lists.insert(cached(&greedy, &url, i64::try_from(number).unwrap())));
    }
    assert_eq!(lists.load().lists.len(), LISTS_MAX);
    assert_eq!(lists.standing(old.origin.key(), at(0)), Standing::Current);
    let gone = |number: i64| greedy.wanted(&[]).key(&format!("http://crl.example/{number}"));
    assert_eq!(evicted, [gone(0), gone(1)]);
}

#[test]
fn a_list_that_has_a_successor_is_not_waited_for_and_every_other_is() {
    let (one, two) = (Publisher::new("one"), Publisher::new("two"));
    let lists = vec![
        one.list("old.crl", at(0), at(DAY)),
        one.list("new.crl", at(60), at(5 * DAY)),
        two.list("two.crl", at(0), at(2 * DAY)),
        two.list("again.crl", at(0), at(3 * DAY)),
    ];
    let lists =
        RevocationSet { lists: lists.into_iter().map(Arc::new).collect(), ..RevocationSet::default() };
    let needed: Vec<&str> = super::super::needed(&lists).iter().map(|list| list.source.as_str()).collect();
    assert_eq!(needed, ["new.crl", "two.crl", "again.crl"]);
}
