//! The writer over an engine that fails on order.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::cache::Cache;
use crate::content::ContentFile;
use crate::disk::{Disk, SystemDisk};
use crate::engine::{Insert, JobKind};
use crate::ground::{Ground, system_clock};
use crate::ids::Ids;
use crate::index::Index;
use crate::pending::Pending;
use crate::{Destination, NewMessage, NewRecipient, Options};

/// Fails by the sender of the messages it is given, and notes how many came in each transaction.
struct Faulty(Arc<Mutex<Vec<usize>>>);

impl Engine for Faulty {
    fn commit(&mut self, group: &mut [Job]) -> Result<(), Fault> {
        let senders: Vec<&str> = group
            .iter()
            .flat_map(|job| &job.steps)
            .filter_map(|step| match step {
                Step::Insert(insert) => Some(insert.message.sender.as_str()),
                _ => None,
            })
            .collect();
        self.0.lock().unwrap().push(senders.len());
        if senders.contains(&"slow") {
            std::thread::sleep(Duration::from_millis(100));
        }
        if senders.contains(&"broken") {
            return Err(Fault::Broken("fsync: input/output error".into()));
        }
        if senders.contains(&"full") { Err(Fault::Full) } else { Ok(()) }
    }

    fn committed(&mut self) {}

    fn close(&mut self) {}
}

struct Rig {
    directory: TempDir,
    live: Arc<Live>,
    orders: mpsc::Sender<Order>,
    transactions: Arc<Mutex<Vec<usize>>>,
}

fn rig() -> Rig {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir_all(directory.path().join("content/07")).unwrap();
    let live =
        Arc::new(Live::new(Index::default(), Cache::new(1 << 20), Ids::new(1, 100), Pending::default()));
    let ground =
        Ground::new(directory.path(), Arc::new(SystemDisk), system_clock(), true, &Options::default());
    let (orders, receiver) = mpsc::channel(WAITING_MAX);
    let transactions = Arc::new(Mutex::new(Vec::new()));
    let writer = Writer {
        engine: Faulty(transactions.clone()),
        live: live.clone(),
        sweeper: Sweeper::start(Arc::new(ground)).unwrap(),
        orders: receiver,
        group_bytes_max: GROUP_BYTES_MAX,
        directory: directory.path().to_path_buf(),
        lock: SystemDisk.lock(&directory.path().join("lock")).unwrap(),
    };
    std::thread::spawn(move || writer.run());
    Rig { directory, live, orders, transactions }
}

fn insert(id: u64, sender: &str, body: Body) -> Box<Insert> {
    let destination = Destination { next_hop: "h".into(), connector: "c".into(), tls_domain: String::new() };
    let recipient =
        NewRecipient { address: "a@h".into(), destination, due: 0, expires: 9, notify_delay_at: None };
    let message =
        NewMessage { sender: sender.into(), received: 0, meta: vec![], recipients: vec![recipient] };
    Box::new(Insert::new(MessageId(id), message, body))
}

fn one_octet() -> Body {
    Body::Inline(Bytes::from_static(b"x"))
}

impl Rig {
    fn order(&self, kind: JobKind, steps: Vec<Step>) -> oneshot::Receiver<Result<(), Error>> {
        let (reply, answer) = oneshot::channel();
        let job = Job { reply: Some(reply), ..Job::of(kind, steps) };
        assert!(self.orders.blocking_send(Order::Job(job)).is_ok());
        answer
    }

    fn send(&self, id: u64, sender: &str, body: Body) -> oneshot::Receiver<Result<(), Error>> {
        self.order(JobKind::Plain, vec![Step::Insert(insert(id, sender, body))])
    }

    fn small(&self, id: u64, sender: &str) -> oneshot::Receiver<Result<(), Error>> {
        self.send(id, sender, one_octet())
    }
}

#[test]
fn what_waits_shares_one_transaction() {
    let rig = rig();
    let slow = rig.small(1, "slow");
    while rig.transactions.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    let waiting: Vec<_> = (2..12).map(|id| rig.small(id, "anna")).collect();
    slow.blocking_recv().unwrap().unwrap();
    waiting.into_iter().for_each(|answer| answer.blocking_recv().unwrap().unwrap());
    let transactions = rig.transactions.lock().unwrap().clone();
    assert_eq!(transactions.iter().sum::<usize>(), 11);
    assert!(transactions.len() < 11, "{transactions:?}");
}

#[test]
fn a_full_disk_refuses_those_that_do_not_fit_and_the_queue_goes_on() {
    let rig = rig();
    let slow = rig.small(1, "slow");
    let answers: Vec<_> = [(2, "anna"), (3, "full"), (4, "bert")].map(|(id, who)| rig.small(id, who)).into();
    slow.blocking_recv().unwrap().unwrap();
    let results: Vec<_> = answers.into_iter().map(|answer| answer.blocking_recv().unwrap()).collect();
    assert!(matches!(results[..], [Ok(()), Err(Error::DiskFull(_)), Ok(())]), "{results:?}");
    assert!(rig.live.index().contains(MessageId(4)) && !rig.live.index().contains(MessageId(3)));
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
    let rig = rig();
    rig.small(1, "anna").blocking_recv().unwrap().unwrap();
    let broken = rig.small(2, "broken").blocking_recv().unwrap();
    assert!(matches!(broken, Err(Error::Failed(_))), "{broken:?}");
    let attempts = rig.transactions.lock().unwrap().len();
    let next = rig.small(3, "anna").blocking_recv().unwrap();
    assert!(matches!(next, Err(Error::Failed(ref why)) if why.contains("fsync")), "{next:?}");
    assert_eq!(rig.transactions.lock().unwrap().len(), attempts, "the disk is not tried again");
    assert!(rig.live.check().is_err());
    assert!(rig.live.index().contains(MessageId(1)) && !rig.live.index().contains(MessageId(2)));
}

#[test]
fn of_a_group_that_the_disk_failed_nobody_hears_that_nothing_came_of_it() {
    let rig = rig();
    let slow = rig.small(1, "slow");
    while rig.transactions.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    assert!(rig.live.offer(insert(2, "broken", one_octet()), true).is_ok());
    let (id, recipient) = (MessageId(2), 0);
    // The first brings the record of the message along, and takes it with it when it is refused.
    let delay = rig.order(JobKind::Outcome, vec![Step::DelayNotified { id, recipient }]);
    let report = Step::Insert(insert(3, "", one_octet()));
    let bounce = rig.order(JobKind::Outcome, vec![Step::Remove { id, recipient }, report]);
    slow.blocking_recv().unwrap().unwrap();
    for answer in [delay, bounce] {
        let answer = answer.blocking_recv().unwrap();
        assert!(matches!(answer, Err(Error::Failed(_))), "{answer:?}");
    }
}

#[test]
fn a_refused_content_file_goes_and_one_of_unknown_fate_stays() {
    let rig = rig();
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let file = |id: u64| Body::File(ContentFile::create(&disk, rig.directory.path(), MessageId(id)).unwrap());
    let path = |id: u64| crate::content::path_of(rig.directory.path(), MessageId(id));
    let full = rig.send(0x107, "full", file(0x107)).blocking_recv().unwrap();
    assert!(matches!(full, Err(Error::DiskFull(_))));
    let broken = rig.send(0x207, "broken", file(0x207)).blocking_recv().unwrap();
    assert!(matches!(broken, Err(Error::Failed(_))));
    drop(rig.orders);
    assert!(path(0x207).exists(), "its record may be durable; the next start decides");
    assert!(!path(0x107).exists());
}

#[test]
fn the_writer_answers_behind_what_was_sent_before_and_also_when_the_disk_has_failed() {
    let rig = rig();
    let asks = || {
        let (answer, answered) = oneshot::channel();
        assert!(rig.orders.blocking_send(Order::Answer(answer)).is_ok());
        answered
    };
    let slow = rig.small(1, "slow");
    while rig.transactions.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    let mut behind = asks();
    assert!(behind.try_recv().is_err(), "it is at the slow write");
    slow.blocking_recv().unwrap().unwrap();
    behind.blocking_recv().unwrap();
    let broken = rig.small(2, "broken").blocking_recv().unwrap();
    assert!(matches!(broken, Err(Error::Failed(_))));
    asks().blocking_recv().unwrap();
}

#[test]
fn closing_finishes_what_was_sent_before() {
    let rig = rig();
    let slow = rig.small(1, "slow");
    let before: Vec<_> = (2..6).map(|id| rig.small(id, "anna")).collect();
    assert!(rig.orders.blocking_send(Order::Close).is_ok());
    slow.blocking_recv().unwrap().unwrap();
    before.into_iter().for_each(|answer| answer.blocking_recv().unwrap().unwrap());
    while !rig.orders.is_closed() {
        std::thread::yield_now();
    }
}
