//! A queue of any size in an operator's hands: page by page, on the recipients that are meant.

mod common;

use common::{draft, message, options, put};
use sealpost_queue::{Filter, MessageId, Queue, Status, Target};
use tempfile::TempDir;

const BOB: &str = "bob@woodgrove.example";
const EVE: &str = "eve@fabrikam.example";

/// Mail for Bob and Eve by turns, each with Carol as the second recipient.
async fn filled(directory: &TempDir, messages: usize) -> (Queue, Vec<MessageId>) {
    let queue = Queue::open(directory.path(), options()).expect("the queue opens").0;
    let mut ids = Vec::new();
    for number in 0..messages {
        let to = if number % 2 == 0 { BOB } else { EVE };
        ids.push(put(&queue, b"x", message(1_000, &[to, "carol@relay.example"])).await);
    }
    (queue, ids)
}

async fn walk(queue: &Queue, mut filter: Filter) -> Vec<MessageId> {
    let mut seen = Vec::new();
    loop {
        let page = queue.page(filter.clone()).await.unwrap();
        assert!(page.messages.len() <= filter.limit.unwrap_or(500));
        seen.extend(page.messages.iter().map(|message| message.id));
        filter.after = page.next;
        if page.next.is_none() {
            return seen;
        }
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap_or_a_repeat() {
    let directory = TempDir::new().unwrap();
    let (queue, ids) = filled(&directory, 25).await;
    let eves: Vec<_> = ids.iter().skip(1).step_by(2).copied().collect();
    let filter = Filter { limit: Some(4), ..Filter::default() };
    assert_eq!(walk(&queue, filter.clone()).await, ids);
    let to_eve = Filter { domain: Some("fabrikam.example".into()), ..filter.clone() };
    assert_eq!(walk(&queue, to_eve).await, eves);
    // What goes between two pages does not hide what follows.
    let first = queue.page(filter.clone()).await.unwrap();
    assert_eq!(first.next, Some(ids[3]));
    queue.remove(Filter { id: Some(ids[3]), ..Filter::default() }).await.unwrap();
    let second = queue.page(Filter { after: first.next, ..filter }).await.unwrap();
    assert_eq!(second.messages[0].id, ids[4]);
    // What is being delivered is listed as such, behind the mark too.
    let claim = queue.claim(&common::destination("fabrikam.example"), 2_000).await.unwrap().unwrap();
    let active = Filter { status: Some(Status::Active), ..Filter::default() };
    assert_eq!(walk(&queue, active.clone()).await, [ids[1]]);
    assert_eq!(walk(&queue, Filter { after: Some(ids[1]), ..active }).await, []);
    drop(claim);
    queue.close().await;
}

#[tokio::test]
async fn a_page_of_large_records_is_short() {
    let directory = TempDir::new().unwrap();
    let (queue, _) = filled(&directory, 1).await;
    for _ in 0..100 {
        let large = sealpost_queue::NewMessage { meta: vec![b'x'; 64 << 10], ..message(1_000, &[BOB]) };
        put(&queue, b"x", large).await;
    }
    let page = queue.page(Filter::default()).await.unwrap();
    assert!(page.messages.len() < 80 && page.next.is_some(), "{}", page.messages.len());
    assert_eq!(walk(&queue, Filter::default()).await.len(), 101);
    queue.close().await;
}

#[tokio::test]
async fn only_the_recipients_that_are_meant_are_held_hurried_and_claimed() {
    let directory = TempDir::new().unwrap();
    let (queue, ids) = filled(&directory, 2).await;
    let carols: Vec<Target> = ids.iter().map(|id| Target { id: *id, recipients: vec![1] }).collect();
    queue.hold_these(&carols, true).await.unwrap();
    for id in &ids {
        let message = queue.get(*id).await.unwrap();
        let statuses: Vec<_> = message.recipients.iter().map(|recipient| recipient.status).collect();
        assert_eq!(statuses, [Status::Ready, Status::Suspended]);
    }
    assert_eq!(queue.due(1_000).iter().map(|due| due.recipients).sum::<usize>(), 2);
    let claims = queue.claim_these(&carols).await.unwrap();
    assert_eq!(claims.len(), 2, "held ones too");
    assert!(queue.claim_these(&carols).await.unwrap().is_empty(), "one at a time");
    drop(claims);
    queue.hold_these(&carols, false).await.unwrap();
    queue.make_due(&carols[..1], 500).await.unwrap();
    assert_eq!(queue.next_due(), Some(500));
    queue.hold_these(&[], true).await.unwrap();
    queue.close().await;
}

#[tokio::test]
async fn what_is_held_as_it_comes_is_never_due_and_stays_held_over_a_restart() {
    let directory = TempDir::new().unwrap();
    let (queue, _) = filled(&directory, 0).await;
    let id = queue.commit_held(draft(&queue, b"x"), message(1_000, &[BOB, EVE]), &[1]).await.unwrap();
    assert_eq!(queue.due(2_000).len(), 1);
    queue.close().await;
    let (queue, _) = Queue::open(directory.path(), options()).unwrap();
    let message = queue.get(id).await.unwrap();
    assert_eq!(message.recipients[0].status, Status::Ready);
    assert_eq!(message.recipients[1].status, Status::Suspended);
    queue.close().await;
}
