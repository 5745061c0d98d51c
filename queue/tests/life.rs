//! The life of a message in the queue, as a postmaster would tell it.

mod common;

use bytes::Bytes;
use common::{DAY, addresses, content, destination, draft, message, options, put, read, recipient};
use sealpost_queue::{Change, Content, Error, Filter, NewMessage, Options, Queue, Status};
use tempfile::TempDir;

fn open(directory: &TempDir) -> Queue {
    Queue::open(directory.path(), options()).expect("the queue opens").0
}

#[tokio::test]
async fn a_message_is_accepted_claimed_delivered_and_gone() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let id = put(&queue, b"Subject: hello\r\n\r\nhi\r\n", message(1_000, &["bob@woodgrove.example"])).await;
    let due = queue.due(1_000);
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].recipients, due[0].earliest), (1, 1_000));
    let claim = queue.claim(&due[0].destination, 1_000).await.unwrap().expect("it is due");
    assert_eq!(claim.message.id, id);
    assert_eq!(claim.message.meta, b"tls=1.3");
    assert_eq!(claim.message.recipients[0].status, Status::Active);
    assert!(queue.due(1_000).is_empty(), "nobody else gets it");
    assert_eq!(queue.statistics().active, 1);
    assert_eq!(read(&queue, id).await, b"Subject: hello\r\n\r\nhi\r\n");
    queue.apply(vec![Change::Remove { id, recipient: 0 }]).await.unwrap();
    drop(claim);
    assert!(matches!(queue.get(id).await, Err(Error::NoSuchMessage(_))));
    assert!(matches!(queue.content(id).await, Err(Error::NoSuchMessage(_))));
    assert_eq!(queue.statistics(), sealpost_queue::Statistics::default());
    queue.close().await;
}

#[tokio::test]
async fn content_of_every_size_survives_a_restart() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let mut ids = Vec::new();
    for (seed, size) in [0, 1, 4_096, 65_535, 65_536, 65_537, 1_000_000].into_iter().enumerate() {
        let content = content(seed as u64, size);
        ids.push((put(&queue, &content, message(1_000, &["bob@woodgrove.example"])).await, content));
    }
    for (id, content) in &ids {
        assert_eq!(read(&queue, *id).await, *content, "before the restart");
    }
    queue.close().await;
    let (queue, recovery) = Queue::open(directory.path(), options()).unwrap();
    assert_eq!((recovery.messages, recovery.recipients, recovery.orphans_removed), (ids.len(), ids.len(), 0));
    for (id, content) in &ids {
        assert_eq!(read(&queue, *id).await, *content, "after the restart");
        assert_eq!(queue.get(*id).await.unwrap().size, content.len() as u64);
    }
    assert!(matches!(queue.content(ids[5].0).await, Ok(Content::File { .. })));
    let next = queue.begin().unwrap().id();
    assert!(ids.iter().all(|(id, _)| *id < next), "ids go on rising");
    queue.close().await;
}

#[tokio::test]
async fn a_claim_covers_one_message_of_one_delivery_queue_and_returns_when_dropped() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let first = put(
        &queue,
        b"1",
        message(1_000, &["a@woodgrove.example", "b@fabrikam.example", "c@woodgrove.example"]),
    )
    .await;
    let second = put(&queue, b"2", message(2_000, &["d@woodgrove.example"])).await;
    let woodgrove = destination("woodgrove.example");
    assert!(queue.claim(&woodgrove, 999).await.unwrap().is_none(), "not due yet");
    let one = queue.claim(&woodgrove, 5_000).await.unwrap().unwrap();
    assert_eq!(one.message.id, first);
    assert_eq!(addresses(&one), ["a@woodgrove.example", "c@woodgrove.example"]);
    let two = queue.claim(&woodgrove, 5_000).await.unwrap().unwrap();
    assert_eq!(two.message.id, second);
    assert!(queue.claim(&woodgrove, 5_000).await.unwrap().is_none());
    drop(one);
    let again = queue.claim(&woodgrove, 5_000).await.unwrap().unwrap();
    assert_eq!(again.message.id, first, "given back, due at once");
    queue.close().await;
}

#[tokio::test]
async fn a_deferral_waits_for_its_time_and_keeps_its_note_over_a_restart() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let id = put(&queue, b"1", message(1_000, &["a@woodgrove.example", "b@woodgrove.example"])).await;
    let woodgrove = destination("woodgrove.example");
    let claim = queue.claim(&woodgrove, 1_000).await.unwrap().unwrap();
    let note = b"450 4.2.1 busy".to_vec();
    queue
        .apply(vec![
            Change::Remove { id, recipient: 0 },
            Change::Retry { id, recipient: 1, next_attempt: 61_000, note: note.clone() },
        ])
        .await
        .unwrap();
    drop(claim);
    assert_eq!(queue.next_due(), Some(61_000));
    queue.close().await;
    let queue = open(&directory);
    assert_eq!(queue.next_due(), Some(61_000));
    assert!(queue.claim(&woodgrove, 60_999).await.unwrap().is_none());
    let claim = queue.claim(&woodgrove, 61_000).await.unwrap().unwrap();
    assert_eq!(addresses(&claim), ["b@woodgrove.example"]);
    assert_eq!((claim.message.recipients[0].attempts, &claim.message.recipients[0].note), (1, &note));
    queue.close().await;
}

#[tokio::test]
async fn a_bounce_replaces_its_message_in_one_step() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    for size in [100, 100_000] {
        let id = put(&queue, b"1", message(1_000, &["a@woodgrove.example"])).await;
        let notice = NewMessage { sender: String::new(), ..message(2_000, &["anna@contoso.example"]) };
        let content = content(9, size);
        let insert = Change::Insert { message: notice, content: Bytes::from(content.clone()) };
        let ids = queue.apply(vec![Change::Remove { id, recipient: 0 }, insert]).await.unwrap();
        assert_eq!(ids.len(), 1);
        assert_eq!(read(&queue, ids[0]).await, content);
        assert!(matches!(queue.get(id).await, Err(Error::NoSuchMessage(_))));
    }
    queue.close().await;
}

#[tokio::test]
async fn expiry_and_delay_are_noticed_in_every_status() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let mut late = recipient("a@woodgrove.example", 1_000);
    late.notify_delay_at = Some(10_000);
    let new = NewMessage { recipients: vec![late], ..message(1_000, &[]) };
    let id = put(&queue, b"1", new).await;
    assert_eq!(queue.next_alarm(), Some(10_000));
    assert!(queue.delayed(9_999, 10).await.unwrap().is_empty());
    assert_eq!(queue.delayed(10_000, 10).await.unwrap()[0].id, id);
    queue.apply(vec![Change::DelayNotified { id, recipient: 0 }]).await.unwrap();
    assert!(queue.delayed(10_000, 10).await.unwrap().is_empty(), "told once");
    queue.suspend(Filter::default()).await.unwrap();
    let end = 1_000 + 2 * DAY;
    assert!(queue.expired(end - 1, 10).await.unwrap().is_empty());
    let expired = queue.expired(end, 10).await.unwrap();
    assert_eq!(expired.len(), 1);
    assert!(queue.expired(end, 10).await.unwrap().is_empty(), "claimed by the first");
    drop(expired);
    assert_eq!(queue.expired(end, 10).await.unwrap().len(), 1);
    queue.close().await;
}

#[tokio::test]
async fn an_operator_holds_releases_hurries_and_removes() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let woodgrove = destination("woodgrove.example");
    let both = put(&queue, b"1", message(1_000, &["a@Woodgrove.example", "b@fabrikam.example"])).await;
    let other = put(&queue, b"2", message(2_000, &["c@fabrikam.example"])).await;
    let of = |domain: &str| Filter { domain: Some(domain.into()), ..Filter::default() };
    let ids = |messages: Vec<sealpost_queue::Message>| messages.iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids(queue.list(of("woodgrove.example")).await.unwrap()), [both]);
    assert_eq!(ids(queue.list(of("fabrikam.EXAMPLE")).await.unwrap()), [both, other]);
    assert_eq!(queue.suspend(of("fabrikam.example")).await.unwrap(), 2);
    assert_eq!(queue.suspend(of("fabrikam.example")).await.unwrap(), 0, "held already");
    assert_eq!(queue.due(9_000).len(), 1, "woodgrove goes on");
    let held = Filter { status: Some(Status::Suspended), ..Filter::default() };
    assert_eq!(ids(queue.list(held.clone()).await.unwrap()), [both, other]);
    assert_eq!(queue.resume(held).await.unwrap(), 2);
    let claim = queue.claim(&destination("Woodgrove.example"), 9_000).await.unwrap().unwrap();
    assert!(queue.claim(&woodgrove, 9_000).await.unwrap().is_none());
    let active = Filter { status: Some(Status::Active), ..Filter::default() };
    assert_eq!(ids(queue.list(active).await.unwrap()), [both]);
    assert_eq!(queue.remove(of("woodgrove.example")).await.unwrap(), 0, "it is being delivered");
    drop(claim);
    assert_eq!(queue.remove(of("woodgrove.example")).await.unwrap(), 1);
    queue
        .apply(vec![Change::Retry { id: other, recipient: 0, next_attempt: 900_000, note: vec![] }])
        .await
        .unwrap();
    assert_eq!(queue.next_due_after(9_000), Some(900_000));
    assert_eq!(queue.retry(Filter { id: Some(other), ..Filter::default() }, 9_000).await.unwrap(), 1);
    assert_eq!(queue.due(9_000)[0].recipients, 2);
    assert_eq!(queue.remove(Filter::default()).await.unwrap(), 2);
    assert_eq!(queue.statistics(), sealpost_queue::Statistics::default());
    queue.close().await;
}

#[tokio::test]
async fn an_operator_claims_only_what_the_filter_means_and_nobody_is_delivering() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let addresses = ["a@woodgrove.example", "b@woodgrove.example", "c@litware.example"];
    let id = put(&queue, b"1", message(1_000, &addresses)).await;
    put(&queue, b"2", message(2_000, &["d@litware.example"])).await;
    let to_b = Filter { recipient: Some(addresses[1].into()), ..Filter::default() };
    assert_eq!(queue.suspend(to_b.clone()).await.unwrap(), 1);
    let claims = queue.claim_matching(to_b.clone()).await.unwrap();
    let claimed = |claims: &[sealpost_queue::Claim]| {
        let recipients = claims.iter().flat_map(|claim| claim.message.recipients.clone());
        recipients.map(|recipient| recipient.address).collect::<Vec<_>>()
    };
    assert_eq!(claimed(&claims), [addresses[1]], "also while it is held");
    assert!(queue.claim_matching(to_b.clone()).await.unwrap().is_empty(), "somebody has it");
    drop(claims);
    let delivering = queue.claim(&destination("litware.example"), 3_000).await.unwrap().unwrap();
    let claims = queue.claim_matching(Filter::default()).await.unwrap();
    assert_eq!(claimed(&claims), [addresses[0], addresses[1], "d@litware.example"]);
    assert_eq!(delivering.message.id, id);
    let one = Filter { limit: Some(1), ..Filter::default() };
    drop((claims, delivering));
    assert_eq!(queue.claim_matching(one).await.unwrap().len(), 1);
    queue.close().await;
}

#[tokio::test]
async fn moved_recipients_wait_in_their_new_delivery_queue() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let id = put(&queue, b"1", message(1_000, &["a@woodgrove.example"])).await;
    let hub = destination("hub.example");
    queue.apply(vec![Change::Move { id, recipient: 0, destination: hub.clone() }]).await.unwrap();
    assert_eq!(queue.due(1_000).iter().map(|due| &due.destination).collect::<Vec<_>>(), [&hub]);
    assert_eq!(queue.claim(&hub, 1_000).await.unwrap().unwrap().message.recipients[0].destination, hub);
    queue.close().await;
}

#[tokio::test]
async fn a_second_server_is_kept_out_until_the_first_has_closed() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let second = Queue::open(directory.path(), options());
    assert!(matches!(second, Err(Error::Locked(_))), "{second:?}");
    let clone = queue.clone();
    queue.close().await;
    let late = clone.commit(draft(&clone, b"x"), message(1, &["a@b.example"])).await;
    assert!(matches!(late, Err(Error::Closed)), "{late:?}");
    open(&directory).close().await;
}

#[tokio::test]
async fn what_breaks_a_limit_is_refused_and_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let nobody = queue.commit(draft(&queue, &content(1, 100_000)), message(1, &[])).await;
    assert!(matches!(nobody, Err(Error::Invalid(_))), "{nobody:?}");
    let mut fat = message(1, &["a@b.example"]);
    fat.meta = vec![0; 70_000];
    let fat = queue.commit(draft(&queue, b"x"), fat).await;
    assert!(matches!(fat, Err(Error::Invalid(_))), "{fat:?}");
    let note = Change::Retry {
        id: queue.begin().unwrap().id(),
        recipient: 0,
        next_attempt: 1,
        note: vec![0; 20_000],
    };
    assert!(matches!(queue.apply(vec![note]).await, Err(Error::Invalid(_))));
    drop(draft(&queue, &content(2, 100_000)));
    assert_eq!(queue.list(Filter::default()).await.unwrap().len(), 0);
    queue.close().await;
    let (_, recovery) = Queue::open(directory.path(), options()).unwrap();
    assert_eq!((recovery.messages, recovery.orphans_removed), (0, 0));
}

#[tokio::test]
async fn the_news_reach_a_subscriber() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let mut news = queue.subscribe();
    news.mark_unchanged();
    put(&queue, b"1", message(1_000, &["a@woodgrove.example"])).await;
    assert!(news.has_changed().unwrap());
    let claim = queue.claim(&destination("woodgrove.example"), 1_000).await.unwrap();
    news.mark_unchanged();
    drop(claim);
    assert!(news.has_changed().unwrap(), "a claim given back is news");
    queue.close().await;
}

#[tokio::test]
async fn without_a_cache_everything_is_read_from_the_disk() {
    let directory = TempDir::new().unwrap();
    let (queue, _) = Queue::open(directory.path(), Options { cache_bytes_max: 0, ..options() }).unwrap();
    let id = put(&queue, b"body", message(1_000, &["a@woodgrove.example"])).await;
    let claim = queue.claim(&destination("woodgrove.example"), 1_000).await.unwrap().unwrap();
    assert_eq!((claim.message.id, claim.message.size), (id, 4));
    assert_eq!(read(&queue, id).await, b"body");
    queue.close().await;
}

/// As a simulation drives it: nothing is written but when the driver is asked to, by a clock of ours.
#[tokio::test]
async fn without_threads_nothing_happens_but_by_the_driver() {
    let directory = TempDir::new().unwrap();
    let clock = std::sync::Arc::new(|| 5_000);
    let disk = std::sync::Arc::new(sealpost_queue::SystemDisk);
    let (queue, _, mut driver) = Queue::open_driven(directory.path(), options(), disk, clock).unwrap();
    assert_eq!(queue.begin().unwrap().id().0 >> 16, 5_000, "ids follow the clock that is given");
    for size in [100, 100_000] {
        let bytes = content(1, size);
        let stored = put(&queue, &bytes, message(1_000, &["a@woodgrove.example", "b@woodgrove.example"]));
        tokio::pin!(stored);
        assert!(tokio::time::timeout(std::time::Duration::ZERO, &mut stored).await.is_err());
        assert!(driver.step() && !driver.step());
        let id = stored.await;
        assert_eq!(read(&queue, id).await, bytes);
        let removed = queue.remove(Filter::default());
        let (removed, _) = tokio::join!(removed, async { driver.step() });
        assert_eq!(removed.unwrap(), 1);
    }
    driver.finish();
    assert!(matches!(queue.remove(Filter::default()).await, Ok(0)));
    open(&directory).close().await;
}

#[tokio::test]
async fn every_delivery_queue_is_told_with_what_waits_in_it() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    assert_eq!(queue.destinations().await, (Vec::new(), 0));
    let first = put(&queue, b"1", message(1_000, &["a@woodgrove.example", "b@fabrikam.example"])).await;
    let second = put(&queue, b"2", message(2_000, &["c@woodgrove.example"])).await;
    let retry = Change::Retry { id: second, recipient: 0, next_attempt: 9_000, note: Vec::new() };
    let claim = queue.claim(&destination("woodgrove.example"), 1_000).await.unwrap().unwrap();
    let other = queue.claim(&destination("woodgrove.example"), 2_000).await.unwrap().unwrap();
    queue.apply(vec![retry]).await.unwrap();
    drop(other);
    queue.suspend(Filter { domain: Some("fabrikam.example".to_owned()), ..Filter::default() }).await.unwrap();

    let (found, others) = queue.destinations().await;
    assert_eq!((found.len(), others, claim.message.id), (2, 0, first));
    let of = |domain: &str| found.iter().find(|one| one.destination == destination(domain)).unwrap();
    let (fabrikam, woodgrove) = (of("fabrikam.example"), of("woodgrove.example"));
    let counts = |one: &sealpost_queue::DestinationSummary| [one.active, one.ready, one.retry, one.suspended];
    assert_eq!((counts(fabrikam), fabrikam.next_attempt, fabrikam.most_tried), ([0, 0, 0, 1], None, None));
    assert_eq!(counts(woodgrove), [1, 0, 1, 0]);
    assert_eq!((woodgrove.oldest_received, woodgrove.next_attempt), (1_000, Some(9_000)));
    assert_eq!(woodgrove.most_tried, Some(second));
    drop(claim);
    queue.close().await;
}
