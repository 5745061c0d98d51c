//! One history: who does what next is the dice's choice, what must be true afterwards is not.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use sealpost_queue::{
    Change, Claim, Content, Destination, Draft, Driver, Error, Filter, MessageId, NewMessage, NewRecipient,
    Offer, OfferedOr, Options, Queue, Safe,
};

use super::dice::Dice;
use super::disk::SimulatedDisk;

const DAY: i64 = 86_400_000;
const STEPS: u64 = 120;
const HOSTS: [&str; 3] = ["woodgrove.example", "fabrikam.example", "litware.example"];
const DISK_BYTES: u64 = 24 << 20;

/// What is known of one recipient of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its commit is on the way: there or not, as all others of its message.
    Unanswered,
    Stored,
    /// Stored, and its removal is on the way.
    Leaving,
    /// Delivered, given up or removed; or never taken.
    Gone,
}

/// A message in the books. Its number is its sender.
#[derive(Debug)]
struct Book {
    content: Bytes,
    recipients: Vec<Standing>,
    /// It can be claimed before it is answered.
    offered: bool,
    /// A report: it came in the same change in which this recipient left.
    instead_of: Option<(u64, u32)>,
}

/// Ids of reports; for a message that comes in, why it is safe.
type Answer = Result<(Vec<MessageId>, Safe), Error>;

struct OnTheWay {
    what: Deed,
    future: Pin<Box<dyn Future<Output = Answer>>>,
    /// Held until the answer.
    _claim: Option<Claim>,
}

enum Deed {
    Commit { number: u64 },
    Leave { number: u64, recipients: Vec<u32>, report: Option<u64> },
    Stay,
}

struct Running {
    queue: Queue,
    driver: Driver,
    on_the_way: Vec<OnTheWay>,
}

pub struct History {
    seed: u64,
    dice: Dice,
    directory: PathBuf,
    disk: SimulatedDisk,
    now: Arc<AtomicI64>,
    books: BTreeMap<u64, Book>,
    ids: BTreeSet<MessageId>,
    next_number: u64,
}

impl History {
    /// # Panics
    /// When a promise is broken.
    pub fn play(seed: u64) {
        let place = tempfile::TempDir::new_in(memory()).expect("a directory for the index");
        let mut history = Self {
            seed,
            dice: Dice::new(seed),
            directory: place.path().join("queue"),
            disk: SimulatedDisk::new(seed ^ 0xD15C, DISK_BYTES),
            now: Arc::new(AtomicI64::new(20_000 * DAY)),
            books: BTreeMap::new(),
            ids: BTreeSet::new(),
            next_number: 0,
        };
        for _ in 0..4 {
            history.plan_accidents();
            if let Some(running) = history.start() {
                history.run(running);
            }
            history.accident_is_over();
        }
        history.disk.resize(u64::MAX / 2);
        let mut running = history.start().expect("a good disk opens");
        history.deliver_everything(&mut running);
    }

    /// Most runs end in a power cut, some in a failing disk, some well; some find the disk full.
    fn plan_accidents(&mut self) {
        let far = 400;
        let cut = (!self.dice.one_in(4)).then(|| 1 + self.dice.below(far));
        let failure = self.dice.one_in(4).then(|| 1 + self.dice.below(far));
        self.disk.plan(cut, failure);
        self.disk.resize(if self.dice.one_in(4) { 5 << 20 } else { DISK_BYTES });
    }

    fn accident_is_over(&mut self) {
        self.disk.crash();
        // Clocks jump at a start, backwards too.
        let jump = match self.dice.below(6) {
            0 => -DAY,
            1 => 3 * DAY,
            2 => -3_000,
            _ => 1_000,
        };
        self.now.fetch_add(jump, Ordering::Relaxed);
    }

    /// Opens the queue and compares it with the books. `None`: this disk failed in the middle.
    fn start(&mut self) -> Option<Running> {
        let options = Options {
            free_bytes_min: 256 << 10,
            journal_segment_bytes: 1 << 20,
            journal_segments_max: 4,
            cache_bytes_max: 64 << 10,
            ..Options::default()
        };
        let now = Arc::clone(&self.now);
        let clock = Arc::new(move || now.load(Ordering::Relaxed));
        let disk = Arc::new(self.disk.clone());
        let opened = Queue::open_driven(&self.directory, options, disk.clone(), clock.clone());
        let (queue, recovery, driver) = match opened {
            Ok(opened) => opened,
            Err(Error::JournalDamaged { path }) => panic!("seed {}: a gap before {path:?}", self.seed),
            Err(Error::Io { .. } | Error::DiskFull(_) | Error::Failed(_)) => return None,
            Err(other) => panic!("seed {}: {other}", self.seed),
        };
        let second = Queue::open_driven(&self.directory, options, disk, clock);
        assert!(second.is_err(), "seed {}: a second server started", self.seed);
        assert_eq!(recovery.content_missing, [], "seed {}", self.seed);
        let running = Running { queue, driver, on_the_way: Vec::new() };
        self.compare(&running);
        Some(running)
    }

    /// What is in the queue is what the books say; what nobody was told is now known.
    fn compare(&mut self, running: &Running) {
        let seed = self.seed;
        let listed = wait(running.queue.list(Filter::default()));
        let Ok(listed) = listed else { return };
        let mut found = BTreeMap::new();
        for message in &listed {
            let number: u64 = message.sender.parse().expect("a number of ours");
            let present: BTreeSet<u32> = message.recipients.iter().map(|one| one.index).collect();
            assert!(found.insert(number, present).is_none(), "seed {seed}: {number} is there twice");
            let book = self.books.get(&number).unwrap_or_else(|| panic!("seed {seed}: {number} is unknown"));
            if let Some(content) = read(&running.queue, message.id) {
                assert_eq!(content, book.content, "seed {seed}: content of {number}");
            }
        }
        for (number, book) in &mut self.books {
            let present = found.get(number).cloned().unwrap_or_default();
            let open = |(index, standing): (u32, &Standing)| {
                (*standing == Standing::Unanswered).then(|| present.contains(&index))
            };
            let of_open: BTreeSet<bool> = (0..).zip(&book.recipients).filter_map(open).collect();
            for (standing, index) in book.recipients.iter_mut().zip(0..) {
                let there = present.contains(&index);
                match standing {
                    Standing::Unanswered => {
                        assert!(of_open.len() == 1, "seed {seed}: {number} is there by half");
                        *standing = if there { Standing::Stored } else { Standing::Gone };
                    }
                    Standing::Stored => assert!(there, "seed {seed}: {number}/{index} is lost"),
                    Standing::Leaving => {
                        *standing = if there { Standing::Stored } else { Standing::Gone };
                    }
                    Standing::Gone => assert!(!there, "seed {seed}: {number}/{index} came back"),
                }
            }
        }
        for (number, book) in &self.books {
            let Some((left, index)) = book.instead_of.filter(|_| book.recipients[0] == Standing::Stored)
            else {
                continue;
            };
            let standing = self.books[&left].recipients[index as usize];
            assert_eq!(standing, Standing::Gone, "seed {seed}: report {number} without its reason");
        }
    }

    fn run(&mut self, mut running: Running) {
        for _ in 0..STEPS {
            match self.dice.below(16) {
                0..=4 => self.send(&mut running),
                15 => self.stop_waiting(&mut running),
                5..=9 => self.deliver(&mut running),
                10 => self.steer(&mut running),
                11 => running.driver.tick(),
                12 => {
                    self.now.fetch_add(self.dice.pick(&[1, 500, 60_000, -20_000]), Ordering::Relaxed);
                }
                _ => {}
            }
            if self.dice.one_in(3) {
                running.driver.step();
            }
            self.hear(&mut running);
            if self.disk.is_dead() {
                return;
            }
        }
        if self.dice.one_in(2) {
            self.stop(running);
        }
    }

    /// The server is stopped as it should be: everything on its way is answered.
    fn stop(&mut self, mut running: Running) {
        self.finish(&mut running);
        if self.disk.is_dead() {
            return;
        }
        let Running { queue, driver, .. } = running;
        drop(queue);
        driver.finish();
    }

    fn send(&mut self, running: &mut Running) {
        let size = self.dice.pick(&[0, 200, 4_000, 40_000, 70_000, 200_000, 300_000]);
        let number = self.next_number;
        self.next_number += 1;
        let content = content(number, size);
        let offered = self.dice.one_in(2);
        let begun = if offered { running.queue.begin_to_offer() } else { running.queue.begin() };
        let Ok(mut draft) = begun else { return };
        assert!(self.ids.insert(draft.id()), "seed {}: {} was given twice", self.seed, draft.id());
        if content.chunks(30_000).any(|piece| draft.append(piece).is_err()) || self.dice.one_in(12) {
            return;
        }
        let recipients = 1 + self.dice.below(3) as usize;
        let book = Book {
            content: content.into(),
            recipients: vec![Standing::Unanswered; recipients],
            offered,
            instead_of: None,
        };
        self.books.insert(number, book);
        let message = self.message(number, recipients);
        let (queue, patience) = (running.queue.clone(), self.dice.below(20));
        let future: Pin<Box<dyn Future<Output = Answer>>> = if offered {
            Box::pin(async move { Ok((Vec::new(), offer(queue, draft, message, patience).await?)) })
        } else {
            Box::pin(async move { queue.commit(draft, message).await.map(|_| (Vec::new(), Safe::Durable)) })
        };
        running.on_the_way.push(OnTheWay { what: Deed::Commit { number }, future, _claim: None });
    }

    /// A session that is waiting for its answer is cut off.
    fn stop_waiting(&mut self, running: &mut Running) {
        let commits = |one: &OnTheWay| matches!(one.what, Deed::Commit { .. });
        if let Some(place) = running.on_the_way.iter().position(commits) {
            drop(running.on_the_way.remove(place));
        }
    }

    fn message(&mut self, number: u64, recipients: usize) -> NewMessage {
        let now = self.now.load(Ordering::Relaxed);
        let recipients = (0..recipients).map(|index| {
            let host = self.dice.pick(&HOSTS);
            NewRecipient {
                address: format!("r{index}@{host}"),
                destination: destination(host),
                due: now,
                expires: now + 2 * DAY,
                notify_delay_at: None,
            }
        });
        let recipients = recipients.collect();
        NewMessage { sender: number.to_string(), received: now, meta: vec![7; 300], recipients }
    }

    /// A worker takes what is due, and one of the things happens that happen to mail.
    fn deliver(&mut self, running: &mut Running) {
        let host = self.dice.pick(&HOSTS);
        let now = self.now.load(Ordering::Relaxed);
        let Ok(Some(claim)) = wait(running.queue.claim(&destination(host), now)) else { return };
        let number: u64 = claim.message.sender.parse().expect("a number of ours");
        let id = claim.message.id;
        let recipients: Vec<u32> = claim.message.recipients.iter().map(|one| one.index).collect();
        for index in &recipients {
            // One whose leaving a failing disk left open may be delivered again.
            let book = &self.books[&number];
            let standing = book.recipients[*index as usize];
            let there = match standing {
                Standing::Stored | Standing::Leaving => true,
                // Or nobody waited for the answer.
                Standing::Unanswered => true,
                Standing::Gone => false,
            };
            assert!(there, "seed {}: {number}/{index} is claimed, but {standing:?}", self.seed);
        }
        if let Some(content) = read(&running.queue, id) {
            assert_eq!(content, self.books[&number].content, "seed {}: content of {number}", self.seed);
        }
        let remove = |recipient: &u32| Change::Remove { id, recipient: *recipient };
        let mut changes: Vec<Change> = Vec::new();
        let what = match self.dice.below(6) {
            0 => return,
            1 => {
                let retry = |recipient: &u32| Change::Retry {
                    id,
                    recipient: *recipient,
                    next_attempt: now + 60_000,
                    note: b"450 later".to_vec(),
                };
                changes.extend(recipients.iter().map(retry));
                Deed::Stay
            }
            2 => {
                let report = self.report(number, recipients[0]);
                changes.push(remove(&recipients[0]));
                let content = self.books[&report].content.clone();
                changes.push(Change::Insert { message: self.message(report, 1), content });
                Deed::Leave { number, recipients: vec![recipients[0]], report: Some(report) }
            }
            3 => {
                changes.extend(recipients.iter().map(remove));
                Deed::Leave { number, recipients, report: None }
            }
            _ => {
                changes
                    .extend(recipients.iter().map(|recipient| Change::Taken { id, recipient: *recipient }));
                Deed::Leave { number, recipients, report: None }
            }
        };
        self.begin(running, what, changes, Some(claim));
    }

    fn report(&mut self, number: u64, index: u32) -> u64 {
        let report = self.next_number;
        self.next_number += 1;
        let book = Book {
            content: content(report, 900).into(),
            recipients: vec![Standing::Unanswered],
            offered: false,
            instead_of: Some((number, index)),
        };
        self.books.insert(report, book);
        report
    }

    fn begin(&mut self, running: &mut Running, what: Deed, changes: Vec<Change>, claim: Option<Claim>) {
        if let Deed::Leave { number, recipients, .. } = &what {
            for index in recipients {
                self.set(*number, *index, Standing::Leaving);
            }
        }
        let queue = running.queue.clone();
        let future = Box::pin(async move { Ok((queue.apply(changes).await?, Safe::Durable)) });
        running.on_the_way.push(OnTheWay { what, future, _claim: claim });
    }

    /// An operator holds, releases or hurries mail; none of it may lose any.
    fn steer(&mut self, running: &mut Running) {
        let filter = Filter { domain: Some(self.dice.pick(&HOSTS).to_owned()), ..Filter::default() };
        let (queue, now) = (running.queue.clone(), self.now.load(Ordering::Relaxed));
        let choice = self.dice.below(3);
        let future = Box::pin(async move {
            match choice {
                0 => queue.suspend(filter).await?,
                1 => queue.resume(filter).await?,
                _ => queue.retry(filter, now).await?,
            };
            Ok((Vec::new(), Safe::Durable))
        });
        running.on_the_way.push(OnTheWay { what: Deed::Stay, future, _claim: None });
    }

    /// Waits for all answers, or the end of power.
    fn finish(&mut self, running: &mut Running) {
        self.hear(running);
        while !running.on_the_way.is_empty() && !self.disk.is_dead() {
            running.driver.step();
            self.hear(running);
        }
    }

    /// Takes the answers that have come.
    fn hear(&mut self, running: &mut Running) {
        let mut waiting = Vec::new();
        for mut one in std::mem::take(&mut running.on_the_way) {
            match one.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => waiting.push(one),
                Poll::Ready(answer) => self.heard(one.what, answer),
            }
        }
        running.on_the_way = waiting;
    }

    fn heard(&mut self, what: Deed, answer: Answer) {
        match (what, answer) {
            (Deed::Stay, _) => {}
            (Deed::Commit { number }, Ok((_, Safe::Durable))) => self.answered(number, Standing::Stored),
            (Deed::Commit { number }, Ok((_, Safe::Taken))) => {
                let seed = self.seed;
                let left = self.books[&number]
                    .recipients
                    .iter()
                    .any(|standing| !matches!(standing, Standing::Gone | Standing::Leaving));
                assert!(!left, "seed {seed}: {number} was answered as taken, and is not");
                let gone = self.gone(number);
                self.answered(number, gone);
            }
            (Deed::Leave { number, recipients, report }, Ok((inserted, _))) => {
                let gone = self.gone(number);
                recipients.iter().for_each(|index| self.set(number, *index, gone));
                if let Some(report) = report {
                    self.answered(report, Standing::Stored);
                }
                for id in inserted {
                    assert!(self.ids.insert(id), "seed {}: {id} was given twice", self.seed);
                }
            }
            // The disk failed on the way: nobody knows until the next start.
            (_, Err(Error::Failed(_) | Error::Closed | Error::Io { .. } | Error::Index(_))) => {}
            (Deed::Commit { number }, Err(Error::DiskFull(_) | Error::NoSuchMessage(_))) => {
                self.answered(number, Standing::Gone);
            }
            // It was offered, and its sender was refused or did not wait: nothing of it stays.
            (Deed::Leave { number, recipients, report }, Err(Error::NoSuchMessage(_))) => {
                assert!(self.books[&number].offered, "seed {}: {number} is gone", self.seed);
                recipients.iter().for_each(|index| self.set(number, *index, Standing::Gone));
                if let Some(report) = report {
                    self.answered(report, Standing::Gone);
                }
            }
            (Deed::Leave { number, recipients, report }, Err(Error::DiskFull(_))) => {
                recipients.iter().for_each(|index| self.set(number, *index, Standing::Stored));
                if let Some(report) = report {
                    self.answered(report, Standing::Gone);
                }
            }
            (_, Err(error)) => panic!("seed {}: {error}", self.seed),
        }
    }

    /// What a removal came to. Of an offered message that a failing disk could not store nobody knows
    /// whether it stands there after all; next hops that take it then leave nothing to write, and it
    /// may come back.
    fn gone(&self, number: u64) -> Standing {
        let in_doubt = self.books[&number].offered && self.disk.has_failed();
        if in_doubt { Standing::Leaving } else { Standing::Gone }
    }

    fn set(&mut self, number: u64, index: u32, standing: Standing) {
        self.books.get_mut(&number).expect("in the books").recipients[index as usize] = standing;
    }

    /// Of those of whom more is known already it stays so.
    fn answered(&mut self, number: u64, standing: Standing) {
        let book = self.books.get_mut(&number).expect("in the books");
        let open = book.recipients.iter_mut().filter(|one| **one == Standing::Unanswered);
        open.for_each(|one| *one = standing);
    }

    /// On a good disk, with all the time there is, everything that is there leaves.
    fn deliver_everything(&mut self, running: &mut Running) {
        self.settle(running, |queue| {
            Box::pin(async move { queue.resume(Filter::default()).await.map(drop) })
        });
        self.now.fetch_add(30 * DAY, Ordering::Relaxed);
        let now = self.now.load(Ordering::Relaxed);
        for host in HOSTS {
            while let Some(claim) = wait(running.queue.claim(&destination(host), now)).expect("a good disk") {
                let number: u64 = claim.message.sender.parse().expect("a number of ours");
                let recipients: Vec<u32> = claim.message.recipients.iter().map(|one| one.index).collect();
                let id = claim.message.id;
                let changes =
                    recipients.iter().map(|recipient| Change::Remove { id, recipient: *recipient }).collect();
                let what = Deed::Leave { number, recipients, report: None };
                self.begin(running, what, changes, Some(claim));
                self.finish(running);
            }
        }
        let left = wait(running.queue.list(Filter::default())).expect("a good disk");
        assert!(left.is_empty(), "seed {}: {} never left", self.seed, left[0].sender);
        let open = |book: &Book| book.recipients.iter().any(|standing| *standing != Standing::Gone);
        let lost: Vec<&u64> =
            self.books.iter().filter(|(_, book)| open(book)).map(|(number, _)| number).collect();
        assert!(lost.is_empty(), "seed {}: {lost:?} are neither delivered nor there", self.seed);
    }

    fn settle(
        &mut self,
        running: &mut Running,
        work: impl FnOnce(Queue) -> Pin<Box<dyn Future<Output = Result<(), Error>>>>,
    ) {
        let mut future = work(running.queue.clone());
        let mut context = Context::from_waker(Waker::noop());
        while future.as_mut().poll(&mut context).is_pending() {
            running.driver.step();
        }
    }
}

/// A session that offers its message, and asks for it to be stored after being looked at so often. One
/// that cannot be stored is refused, unless somebody is delivering it.
async fn offer(queue: Queue, draft: Draft, message: NewMessage, patience: u64) -> Result<Safe, Error> {
    let mut offer = match queue.offer(draft, message).await? {
        OfferedOr::Offered(offer) => offer,
        OfferedOr::Durable(_) => return Ok(Safe::Durable),
    };
    if let Some(outcome) = outcome_within(&mut offer, patience).await {
        return outcome;
    }
    match offer.commit().await {
        Err(error) => match offer.outcome_in_hand().await {
            Some(outcome) => outcome,
            None => Err(error),
        },
        stored => stored,
    }
}

async fn outcome_within(offer: &mut Offer, looks: u64) -> Option<Result<Safe, Error>> {
    let mut outcome = pin!(offer.outcome());
    let mut left = looks;
    std::future::poll_fn(|context| match outcome.as_mut().poll(context) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

fn destination(host: &str) -> Destination {
    Destination { next_hop: host.into(), connector: "Internet".into(), tls_domain: String::new() }
}

fn content(number: u64, size: usize) -> Vec<u8> {
    let period: Vec<u8> =
        (0..509).map(|at: u64| (number.wrapping_mul(131) ^ at.wrapping_mul(31)) as u8).collect();
    let mut content = period.repeat(size / period.len() + 1);
    content.truncate(size);
    content
}

/// `None`: the disk failed, or a change on its way took it.
fn read(queue: &Queue, id: MessageId) -> Option<Bytes> {
    match wait(queue.content(id)).ok()? {
        Content::Memory(bytes) => Some(bytes),
        Content::File { mut file, len } => {
            let mut bytes = vec![0; len as usize];
            std::io::Read::read_exact(&mut file, &mut bytes).ok()?;
            Some(bytes.into())
        }
    }
}

/// What needs no step of the driver.
fn wait<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

/// SQLite syncs each transaction, which is not what is tested here: in memory, where there is some.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
