//! Messages that are offered: delivered before they are durable, or made durable by whatever else
//! happens to them.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{content, destination, draft, message, options, read};
use sealpost_queue::{
    Change, Claim, Draft, Error, Filter, MessageId, NewMessage, Offer, OfferedOr, Options, Queue, Safe,
};
use tempfile::TempDir;

const WOODGROVE: &str = "woodgrove.example";
const FABRIKAM: &str = "fabrikam.example";
/// Fits into memory; has a file from its first octets on.
const SIZES: [usize; 2] = [40_000, 3_000_000];

fn open(directory: &TempDir) -> Queue {
    Queue::open(directory.path(), options()).expect("the queue opens").0
}

async fn offer(queue: &Queue, draft: Draft, message: NewMessage) -> Offer {
    match queue.offer(draft, message).await.expect("an offer") {
        OfferedOr::Offered(offer) => offer,
        OfferedOr::Durable(id) => panic!("{id} was committed"),
    }
}

fn to_both() -> NewMessage {
    message(1_000, &["bob@woodgrove.example", "carol@fabrikam.example"])
}

async fn claim(queue: &Queue, host: &str) -> Claim {
    queue.claim(&destination(host), 1_000).await.expect("a claim").expect("it is due")
}

async fn take(queue: &Queue, claim: Claim) -> Result<Vec<MessageId>, Error> {
    let id = claim.message.id;
    let taken = |one: &sealpost_queue::Recipient| Change::Taken { id, recipient: one.index };
    queue.apply(claim.message.recipients.iter().map(taken).collect()).await
}

/// What the next start finds.
fn after_a_crash(directory: &TempDir) -> (Queue, sealpost_queue::Recovery, TempDir) {
    let copy = TempDir::new().unwrap();
    let copied = std::process::Command::new("cp")
        .args(["-a", "--sparse=always"])
        .arg(directory.path().join("."))
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    let (queue, recovery) = Queue::open(copy.path(), options()).expect("the copy opens");
    (queue, recovery, copy)
}

fn files(directory: &TempDir) -> usize {
    let folders = std::fs::read_dir(directory.path().join("content")).unwrap();
    folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
}

#[tokio::test]
async fn what_next_hops_take_is_never_written() {
    for size in SIZES {
        let directory = TempDir::new().unwrap();
        let queue = open(&directory);
        let content = content(7, size);
        let mut offer = offer(&queue, draft(&queue, &content), to_both()).await;
        let id = offer.id();
        let one = claim(&queue, WOODGROVE).await;
        assert_eq!(read(&queue, id).await, content);
        take(&queue, one).await.unwrap();
        assert!(
            tokio::time::timeout(Duration::from_millis(10), offer.outcome()).await.is_err(),
            "one is left"
        );
        let (crashed, _, _copy) = after_a_crash(&directory);
        assert!(crashed.list(Filter::default()).await.unwrap().is_empty(), "nothing was written");
        crashed.close().await;
        let other = claim(&queue, FABRIKAM).await;
        take(&queue, other).await.unwrap();
        assert_eq!(offer.outcome().await.unwrap(), Safe::Taken);
        assert_eq!(offer.commit().await.unwrap(), Safe::Taken, "it is too late to store it");
        assert_eq!(queue.statistics(), sealpost_queue::Statistics::default());
        assert_eq!(files(&directory), 0);
        let told = queue.told(id);
        drop(offer);
        told.await;
        queue.close().await;
        let (queue, recovery) = Queue::open(directory.path(), options()).unwrap();
        assert_eq!((recovery.messages, recovery.orphans_removed), (0, 0));
        queue.close().await;
    }
}

#[tokio::test]
async fn a_commit_makes_durable_what_is_left_and_delivery_goes_on() {
    for size in SIZES {
        let directory = TempDir::new().unwrap();
        let queue = open(&directory);
        let content = content(8, size);
        let mut offer = offer(&queue, draft(&queue, &content), to_both()).await;
        let id = offer.id();
        let one = claim(&queue, WOODGROVE).await;
        take(&queue, one).await.unwrap();
        let other = claim(&queue, FABRIKAM).await;
        assert_eq!(offer.commit().await.unwrap(), Safe::Durable);
        let (crashed, recovery, _copy) = after_a_crash(&directory);
        assert_eq!((recovery.messages, recovery.recipients), (1, 1));
        let left = crashed.get(id).await.unwrap();
        assert_eq!(left.recipients[0].address, "carol@fabrikam.example");
        assert_eq!(read(&crashed, id).await, content);
        crashed.close().await;
        assert_eq!(read(&queue, id).await, content);
        assert!(queue.claim(&destination(FABRIKAM), 1_000).await.unwrap().is_none(), "it is claimed still");
        take(&queue, other).await.unwrap();
        assert!(matches!(queue.get(id).await, Err(Error::NoSuchMessage(_))));
        queue.close().await;
        let (queue, recovery) = Queue::open(directory.path(), options()).unwrap();
        assert_eq!((recovery.messages, files(&directory)), (0, 0));
        queue.close().await;
    }
}

#[tokio::test]
async fn whatever_else_becomes_of_it_is_durable_with_it() {
    for size in SIZES {
        let directory = TempDir::new().unwrap();
        let queue = open(&directory);
        let mut offer = offer(&queue, draft(&queue, &content(9, size)), to_both()).await;
        let id = offer.id();
        let one = claim(&queue, WOODGROVE).await;
        let note = b"450 later".to_vec();
        queue.apply(vec![Change::Retry { id, recipient: 0, next_attempt: 70_000, note }]).await.unwrap();
        drop(one);
        assert_eq!(offer.outcome().await.unwrap(), Safe::Durable);
        let (crashed, _, _copy) = after_a_crash(&directory);
        let kept = crashed.get(id).await.unwrap();
        let attempts: Vec<_> = kept.recipients.iter().map(|one| (one.attempts, one.next_attempt)).collect();
        assert_eq!(attempts, [(1, 70_000), (0, 1_000)]);
        crashed.close().await;
        queue.close().await;
    }
}

#[tokio::test]
async fn a_report_on_it_is_durable_before_its_sender_is_answered() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let message_of_one = message(1_000, &["bob@woodgrove.example"]);
    let mut offer = offer(&queue, draft(&queue, b"x"), message_of_one).await;
    let id = offer.id();
    let _claim = claim(&queue, WOODGROVE).await;
    let report = message(1_000, &["anna@contoso.example"]);
    let insert = Change::Insert { message: report, content: Bytes::from_static(b"relayed") };
    let inserted = queue.apply(vec![Change::Taken { id, recipient: 0 }, insert]).await.unwrap();
    assert_eq!(offer.outcome().await.unwrap(), Safe::Durable);
    let (crashed, _, _copy) = after_a_crash(&directory);
    let listed = crashed.list(Filter::default()).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), inserted);
    crashed.close().await;
    queue.close().await;
}

#[tokio::test]
async fn one_that_nobody_waits_for_leaves_nothing_and_no_report() {
    for size in SIZES {
        let directory = TempDir::new().unwrap();
        let queue = open(&directory);
        let offer = offer(&queue, draft(&queue, &content(10, size)), to_both()).await;
        let id = offer.id();
        let one = claim(&queue, WOODGROVE).await;
        drop(offer);
        queue.told(id).await;
        assert!(queue.claim(&destination(FABRIKAM), 1_000).await.unwrap().is_none());
        assert!(matches!(queue.content(id).await, Err(Error::NoSuchMessage(_))));
        let report = message(1_000, &["anna@contoso.example"]);
        let insert = Change::Insert { message: report, content: Bytes::from_static(b"failed") };
        let told = queue.apply(vec![Change::Remove { id, recipient: 0 }, insert]).await;
        assert!(matches!(told, Err(Error::NoSuchMessage(gone)) if gone == id), "{told:?}");
        assert!(take(&queue, one).await.is_ok(), "what a next hop took is no error");
        assert_eq!(queue.statistics(), sealpost_queue::Statistics::default());
        assert_eq!(files(&directory), 0);
        queue.close().await;
    }
}

#[tokio::test]
async fn without_memory_for_it_a_message_is_committed() {
    let directory = TempDir::new().unwrap();
    let options = Options { cache_bytes_max: 100_000, ..options() };
    let queue = Queue::open(directory.path(), options).unwrap().0;
    let small = || draft(&queue, &content(11, 60_000));
    let first = offer(&queue, small(), to_both()).await;
    let second = queue.offer(small(), to_both()).await.unwrap();
    let OfferedOr::Durable(id) = second else { panic!("{second:?}") };
    assert!(queue.get(id).await.is_ok());
    drop(first);
    offer(&queue, small(), to_both()).await;
    queue.close().await;
}

#[tokio::test]
async fn a_claim_that_comes_back_is_noticed() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let mut offer = offer(&queue, draft(&queue, b"x"), message(1_000, &["bob@woodgrove.example"])).await;
    let one = claim(&queue, WOODGROVE).await;
    let given_back = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(one);
    };
    let (outcome, ()) = tokio::join!(offer.outcome_in_hand(), given_back);
    assert!(outcome.is_none(), "{outcome:?}");
    assert_eq!(offer.commit().await.unwrap(), Safe::Durable);
    queue.close().await;
}

#[tokio::test]
async fn on_a_full_disk_a_message_passes_or_is_refused() {
    let directory = TempDir::new().unwrap();
    let full = Options { free_bytes_min: u64::MAX, free_part: 1, ..options() };
    let queue = Queue::open(directory.path(), full).unwrap().0;
    assert!(matches!(queue.begin(), Err(Error::DiskFull(_))));
    let draft = || {
        let mut draft = queue.begin_to_offer().unwrap();
        draft.append(b"x").unwrap();
        draft
    };
    let to_one = || message(1_000, &["bob@woodgrove.example"]);
    assert!(
        matches!(queue.commit(draft(), to_one()).await, Err(Error::DiskFull(_))),
        "not by way of the disk"
    );
    // Taken after it could not be stored.
    let mut passes = offer(&queue, draft(), to_one()).await;
    assert!(matches!(passes.commit().await, Err(Error::DiskFull(_))));
    let one = claim(&queue, WOODGROVE).await;
    take(&queue, one).await.unwrap();
    assert_eq!(passes.outcome_in_hand().await.unwrap().unwrap(), Safe::Taken);
    // Not taken: what became of it cannot be kept either.
    let mut refused = offer(&queue, draft(), to_one()).await;
    let id = refused.id();
    let _claim = claim(&queue, WOODGROVE).await;
    let retry = Change::Retry { id, recipient: 0, next_attempt: 70_000, note: Vec::new() };
    assert!(matches!(queue.apply(vec![retry]).await, Err(Error::NoSuchMessage(_))));
    assert!(matches!(refused.outcome().await, Err(Error::DiskFull(_))));
    assert!(!queue.contains(id));
    // What does not fit into memory has nowhere to go.
    let mut large = queue.begin_to_offer().unwrap();
    let appended = (0..64).map(|_| large.append(&[b'x'; 100_000])).find_map(Result::err);
    assert!(matches!(appended, Some(Error::DiskFull(_))), "{appended:?}");
    queue.close().await;
}

/// Whatever the writer finds on its desk: the order to store a message beside what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_and_sessions_may_come_at_the_same_time() {
    let directory = TempDir::new().unwrap();
    let queue = open(&directory);
    let mut sessions = tokio::task::JoinSet::new();
    for number in 0..200u64 {
        let queue = queue.clone();
        sessions.spawn(async move {
            let size = if number % 10 == 0 { 2_000_000 } else { 2_000 };
            let mut offer = offer(&queue, draft(&queue, &content(number, size)), to_both()).await;
            if number % 3 > 0 {
                tokio::time::sleep(Duration::from_micros(number * 7 % 900)).await;
            }
            offer.commit().await.expect("a good disk")
        });
    }
    let workers: Vec<_> = [WOODGROVE, FABRIKAM]
        .map(|host| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut delivered = 0;
                while delivered < 200 {
                    match queue.claim(&destination(host), 1_000).await.unwrap() {
                        Some(claim) => {
                            take(&queue, claim).await.unwrap();
                            delivered += 1;
                        }
                        None => tokio::time::sleep(Duration::from_micros(200)).await,
                    }
                }
            })
        })
        .into();
    let answers = sessions.join_all().await;
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(answers.len(), 200);
    assert_eq!(queue.statistics(), sealpost_queue::Statistics::default());
    queue.close().await;
    let (queue, recovery) = Queue::open(directory.path(), options()).unwrap();
    assert_eq!((recovery.messages, files(&directory)), (0, 0));
    queue.close().await;
}
