use super::*;
use crate::session::transcript::LineKind;
use crate::smtp::SessionId;

fn record(session: u64, data: &str) -> LogRecord {
    LogRecord {
        at: Timestamp::now(),
        connector: "Internet".to_owned(),
        session: SessionId(session),
        sequence: 0,
        local: "127.0.0.1:25".parse().unwrap(),
        remote: "127.0.0.2:4711".parse().unwrap(),
        kind: LineKind::Received,
        data: data.to_owned(),
        context: String::new(),
    }
}

/// A log somebody looks at.
async fn watched() -> LiveLog {
    let log = LiveLog::default();
    let answer = log.after(None, &Selection::default()).await.unwrap();
    assert_eq!(answer, Answer::default());
    log
}

fn texts(answer: &Answer) -> Vec<&str> {
    answer.lines.iter().map(|line| line.data.as_str()).collect()
}

#[tokio::test]
async fn nothing_is_kept_for_nobody() {
    let log = LiveLog::default();
    log.take(Direction::Inbound, &record(1, "EHLO"));
    assert!(log.lock().lines.is_empty());
}

#[tokio::test]
async fn lines_come_once_and_in_order() {
    let log = watched().await;
    for text in ["one", "two"] {
        log.take(Direction::Inbound, &record(1, text));
    }
    let all = Selection::default();
    let answer = log.after(Some(0), &all).await.unwrap();
    assert_eq!((texts(&answer), answer.next, answer.missed), (vec!["one", "two"], 2, 0));
    let log = Arc::new(log);
    let waiting = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.after(Some(2), &Selection::default()).await.unwrap() }
    });
    tokio::task::yield_now().await;
    log.take(Direction::Outbound, &record(2, "three"));
    let answer = waiting.await.unwrap();
    assert_eq!((texts(&answer), answer.next), (vec!["three"], 3));
    // The number of an earlier server: from the beginning.
    assert_eq!(texts(&log.after(Some(999), &all).await.unwrap()), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_session_is_shown_whole_once_it_names_the_partner() {
    let log = watched().await;
    let selection = Selection { domains: vec!["x.example".to_owned()], ..Selection::default() };
    log.take(Direction::Inbound, &record(1, "EHLO a"));
    log.take(Direction::Inbound, &record(2, "EHLO b"));
    let seen = log.lock().answer(Some(0), &selection);
    assert_eq!((texts(&seen), seen.next), (vec![], 2));
    log.take(Direction::Inbound, &record(1, "MAIL FROM:<bob@X.example>"));
    log.take(Direction::Inbound, &record(2, "MAIL FROM:<eve@x.example.org>"));
    let seen = log.after(Some(2), &selection).await.unwrap();
    assert_eq!(texts(&seen), ["EHLO a", "MAIL FROM:<bob@X.example>"]);
    log.take(Direction::Inbound, &record(1, "RCPT"));
    assert_eq!(texts(&log.after(Some(seen.next), &selection).await.unwrap()), ["RCPT"]);
    let other = Selection { connector: Some("Other".to_owned()), ..Selection::default() };
    assert!(log.lock().answer(Some(0), &other).lines.is_empty());
}

#[tokio::test]
async fn memory_is_bounded_and_what_is_gone_is_said() {
    let log = watched().await;
    for number in 0..LINES_MAX + 10 {
        log.take(Direction::Inbound, &record(1, &number.to_string()));
    }
    let answer = log.after(Some(0), &Selection::default()).await.unwrap();
    assert_eq!((answer.lines.len(), answer.missed), (LINES_MAX, 10));
    assert_eq!(answer.next, (LINES_MAX + 10) as u64);
    let newest = log.after(None, &Selection::default()).await.unwrap();
    assert_eq!(newest.lines.len(), NEWCOMER_LINES_MAX);
    assert_eq!(newest.lines.last().unwrap().number, (LINES_MAX + 9) as u64);
    let large = "x".repeat(BYTES_MAX / 4);
    for _ in 0..10 {
        log.take(Direction::Inbound, &record(1, &large));
    }
    assert!(log.lock().bytes <= BYTES_MAX && log.lock().lines.len() < 5);
}

#[tokio::test]
async fn no_more_than_a_few_may_wait_and_the_end_wakes_them() {
    let log = Arc::new(watched().await);
    let selection = Selection::default();
    let mut waiting = Vec::new();
    for _ in 0..WAITING_MAX {
        let log = Arc::clone(&log);
        waiting.push(tokio::spawn(async move { log.after(Some(0), &Selection::default()).await }));
    }
    while log.places.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(log.after(Some(0), &selection).await, Err(Crowded));
    log.close();
    for one in waiting {
        assert!(one.await.unwrap().unwrap().lines.is_empty());
    }
}
