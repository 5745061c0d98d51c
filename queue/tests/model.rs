//! Random histories of the queue against a model that keeps everything in plain lists: after every
//! step both must give the same answers, also across restarts.

mod common;

use std::collections::BTreeMap;

use common::{content, draft, options, read};
use proptest::prelude::*;
use sealpost_queue::{
    Change, Claim, Destination, Filter, MessageId, NewMessage, NewRecipient, Queue, Statistics, Status,
    UnixMillis,
};
use tempfile::TempDir;

const DOMAINS: u8 = 3;
const TIMES: UnixMillis = 40;

#[derive(Clone, Debug)]
enum Step {
    Commit { large: bool, recipients: Vec<(u8, UnixMillis, UnixMillis, Option<UnixMillis>)> },
    Claim { domain: u8, now: UnixMillis, then: Then },
    Release,
    Suspend(u8),
    Resume(u8),
    Retry(u8, UnixMillis),
    Remove(u8),
    Move { message: usize, domain: u8 },
    Expire(UnixMillis),
    Notify(UnixMillis),
    Restart,
}

#[derive(Clone, Debug)]
enum Then {
    Deliver,
    DeliverFirst,
    Defer(UnixMillis),
    GiveBack,
    Keep,
}

fn step() -> impl Strategy<Value = Step> {
    let recipient = (0..DOMAINS, 0..TIMES, 0..TIMES, prop::option::of(0..TIMES));
    let then = prop_oneof![
        3 => Just(Then::Deliver),
        1 => Just(Then::DeliverFirst),
        3 => (0..TIMES).prop_map(Then::Defer),
        1 => Just(Then::GiveBack),
        2 => Just(Then::Keep),
    ];
    prop_oneof![
        8 => (prop::bool::weighted(0.1), prop::collection::vec(recipient, 1..5))
            .prop_map(|(large, recipients)| Step::Commit { large, recipients }),
        8 => (0..DOMAINS, 0..TIMES, then).prop_map(|(domain, now, then)| Step::Claim { domain, now, then }),
        2 => Just(Step::Release),
        1 => (0..DOMAINS).prop_map(Step::Suspend),
        1 => (0..DOMAINS).prop_map(Step::Resume),
        1 => (0..DOMAINS, 0..TIMES).prop_map(|(domain, now)| Step::Retry(domain, now)),
        1 => (0..DOMAINS).prop_map(Step::Remove),
        1 => (any::<usize>(), 0..DOMAINS).prop_map(|(message, domain)| Step::Move { message, domain }),
        1 => (0..TIMES).prop_map(Step::Expire),
        1 => (0..TIMES).prop_map(Step::Notify),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_the_model_does(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for step in &steps {
                world.step(step).await;
                world.compare(step).await;
            }
            world.queue.close().await;
        });
    }
}

#[derive(Clone, Debug)]
struct ModelRecipient {
    /// Domain of its address; `domain` is that of its delivery queue.
    home: u8,
    domain: u8,
    due: UnixMillis,
    expires: UnixMillis,
    notify: Option<UnixMillis>,
    claimed: bool,
    held: bool,
    attempts: u32,
}

impl ModelRecipient {
    fn status(&self) -> Status {
        match self {
            Self { claimed: true, .. } => Status::Active,
            Self { held: true, .. } => Status::Suspended,
            Self { attempts: 0, .. } => Status::Ready,
            Self { .. } => Status::Retry,
        }
    }

    fn waits(&self) -> bool {
        !self.claimed && !self.held
    }
}

type Model = BTreeMap<MessageId, BTreeMap<u32, ModelRecipient>>;

struct World {
    directory: TempDir,
    queue: Queue,
    claims: Vec<Claim>,
    model: Model,
    contents: BTreeMap<MessageId, Vec<u8>>,
}

fn named(domain: u8) -> String {
    format!("d{domain}.example")
}

fn to(domain: u8) -> Destination {
    common::destination(&named(domain))
}

fn of(domain: u8) -> Filter {
    // By address: the next hop changes when a recipient moves.
    Filter { recipient: Some(format!("r@{}", named(domain))), ..Filter::default() }
}

impl World {
    fn new() -> Self {
        // In memory where there is such a place: what syncs are for is tested in crash.rs.
        let directory = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let queue = Queue::open(directory.path(), options()).unwrap().0;
        Self { directory, queue, claims: vec![], model: Model::new(), contents: BTreeMap::new() }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Commit { large, recipients } => self.commit(*large, recipients).await,
            Step::Claim { domain, now, then } => self.claim(*domain, *now, then).await,
            Step::Release => {
                if !self.claims.is_empty() {
                    let claim = self.claims.remove(0);
                    self.give_back(claim);
                }
            }
            Step::Suspend(domain) => {
                let done = self.queue.suspend(of(*domain)).await.unwrap();
                let wanted = |one: &ModelRecipient| one.status() != Status::Suspended;
                assert_eq!(done, change(&mut self.model, *domain, wanted, |one| one.held = true));
            }
            Step::Resume(domain) => {
                let done = self.queue.resume(of(*domain)).await.unwrap();
                let wanted = |one: &ModelRecipient| one.status() == Status::Suspended;
                assert_eq!(done, change(&mut self.model, *domain, wanted, |one| one.held = false));
            }
            Step::Retry(domain, now) => {
                let done = self.queue.retry(of(*domain), *now).await.unwrap();
                let wanted = |one: &ModelRecipient| matches!(one.status(), Status::Ready | Status::Retry);
                assert_eq!(done, change(&mut self.model, *domain, wanted, |one| one.due = *now));
            }
            Step::Remove(domain) => self.remove(*domain).await,
            Step::Move { message, domain } => self.relocate(*message, *domain).await,
            Step::Expire(now) => self.expire(*now).await,
            Step::Notify(now) => self.notify(*now).await,
            Step::Restart => self.restart().await,
        }
    }

    async fn commit(&mut self, large: bool, recipients: &[(u8, UnixMillis, UnixMillis, Option<UnixMillis>)]) {
        let bytes = content(self.contents.len() as u64, if large { 70_000 } else { 700 });
        let new = recipients.iter().map(|(domain, due, expires, notify)| NewRecipient {
            address: format!("r@{}", named(*domain)),
            destination: to(*domain),
            due: *due,
            expires: *expires,
            notify_delay_at: *notify,
        });
        let message = NewMessage { recipients: new.collect(), ..common::message(7, &[]) };
        let id = self.queue.commit(draft(&self.queue, &bytes), message).await.unwrap();
        let seats = recipients.iter().zip(0..).map(|((domain, due, expires, notify), number)| {
            let (domain, due, expires, notify) = (*domain, *due, *expires, *notify);
            (
                number,
                ModelRecipient {
                    home: domain,
                    domain,
                    due,
                    expires,
                    notify,
                    claimed: false,
                    held: false,
                    attempts: 0,
                },
            )
        });
        self.model.insert(id, seats.collect());
        self.contents.insert(id, bytes);
    }

    async fn claim(&mut self, domain: u8, now: UnixMillis, then: &Then) {
        let claim = self.queue.claim(&to(domain), now).await.unwrap();
        let due = |one: &ModelRecipient| one.waits() && one.domain == domain && one.due <= now;
        let each = self
            .model
            .iter()
            .flat_map(|(id, seats)| seats.iter().map(move |(number, one)| (*id, *number, one)));
        let first = each.filter(|(.., one)| due(one)).map(|(id, number, one)| (one.due, id, number)).min();
        let Some((_, id, _)) = first else {
            assert!(claim.is_none());
            return;
        };
        let claim = claim.expect("the model has something due");
        assert_eq!(claim.message.id, id);
        let seats = self.model.get_mut(&id).unwrap();
        let numbers: Vec<u32> = seats.iter().filter(|(_, one)| due(one)).map(|(number, _)| *number).collect();
        assert_eq!(claim.message.recipients.iter().map(|one| one.index).collect::<Vec<_>>(), numbers);
        assert_eq!(read(&self.queue, id).await, self.contents[&id]);
        for one in &claim.message.recipients {
            let wanted = &seats[&one.index];
            assert_eq!(
                (one.attempts, one.next_attempt, &one.destination),
                (wanted.attempts, wanted.due, &to(domain))
            );
            assert_eq!((one.status, one.notify_delay_at), (Status::Active, wanted.notify));
        }
        numbers.iter().for_each(|number| seats.get_mut(number).unwrap().claimed = true);
        self.finish(claim, then).await;
    }

    async fn finish(&mut self, claim: Claim, then: &Then) {
        let id = claim.message.id;
        let numbers: Vec<u32> = claim.message.recipients.iter().map(|one| one.index).collect();
        match then {
            Then::Keep => return self.claims.push(claim),
            Then::GiveBack => {}
            Then::Deliver => self.deliver(id, &numbers).await,
            Then::DeliverFirst => self.deliver(id, &numbers[..1]).await,
            Then::Defer(next) => {
                let retry = |number: &u32| Change::Retry {
                    id,
                    recipient: *number,
                    next_attempt: *next,
                    note: vec![1],
                };
                self.queue.apply(numbers.iter().map(retry).collect()).await.unwrap();
                for number in &numbers {
                    let one = self.model.get_mut(&id).unwrap().get_mut(number).unwrap();
                    (one.due, one.claimed, one.attempts) = (*next, false, one.attempts + 1);
                }
            }
        }
        self.give_back(claim);
    }

    async fn deliver(&mut self, id: MessageId, numbers: &[u32]) {
        let remove = |number: &u32| Change::Remove { id, recipient: *number };
        self.queue.apply(numbers.iter().map(remove).collect()).await.unwrap();
        let seats = self.model.get_mut(&id).unwrap();
        seats.retain(|number, _| !numbers.contains(number));
        self.model.retain(|_, seats| !seats.is_empty());
    }

    fn give_back(&mut self, claim: Claim) {
        for one in &claim.message.recipients {
            if let Some(seat) =
                self.model.get_mut(&claim.message.id).and_then(|seats| seats.get_mut(&one.index))
            {
                seat.claimed = false;
            }
        }
        drop(claim);
    }

    async fn remove(&mut self, domain: u8) {
        let done = self.queue.remove(of(domain)).await.unwrap();
        let mut messages = 0;
        for seats in self.model.values_mut() {
            let before = seats.len();
            seats.retain(|_, one| one.claimed || one.home != domain);
            messages += usize::from(seats.len() < before);
        }
        self.model.retain(|_, seats| !seats.is_empty());
        assert_eq!(done, messages);
    }

    async fn relocate(&mut self, nth: usize, domain: u8) {
        let unclaimed =
            self.model.iter_mut().flat_map(|(id, seats)| seats.iter_mut().map(move |seat| (*id, seat)));
        let mut unclaimed: Vec<_> = unclaimed.filter(|(_, (_, one))| !one.claimed).collect();
        if unclaimed.is_empty() {
            return;
        }
        let nth = nth % unclaimed.len();
        let (id, (number, one)) = &mut unclaimed[nth];
        one.domain = domain;
        let change = Change::Move { id: *id, recipient: **number, destination: to(domain) };
        self.queue.apply(vec![change]).await.unwrap();
    }

    async fn expire(&mut self, now: UnixMillis) {
        let mut gone = BTreeMap::new();
        for (id, seats) in &mut self.model {
            let expired = |one: &ModelRecipient| !one.claimed && one.expires <= now;
            let numbers: Vec<u32> =
                seats.iter().filter(|(_, one)| expired(one)).map(|(number, _)| *number).collect();
            seats.retain(|_, one| !expired(one));
            gone.extend((!numbers.is_empty()).then_some((*id, numbers)));
        }
        self.model.retain(|_, seats| !seats.is_empty());
        for claim in self.queue.expired(now, usize::MAX).await.unwrap() {
            let id = claim.message.id;
            let numbers: Vec<u32> = claim.message.recipients.iter().map(|one| one.index).collect();
            assert_eq!(gone.remove(&id), Some(numbers.clone()));
            let remove = |recipient| Change::Remove { id, recipient };
            self.queue.apply(numbers.into_iter().map(remove).collect()).await.unwrap();
        }
        assert_eq!(gone, BTreeMap::new());
    }

    async fn notify(&mut self, now: UnixMillis) {
        let mut late = BTreeMap::new();
        for (id, seats) in &mut self.model {
            let late_one = |one: &&mut ModelRecipient| {
                !one.claimed && one.expires > now && one.notify.is_some_and(|at| at <= now)
            };
            let mut numbers = Vec::new();
            for (number, one) in seats.iter_mut() {
                if late_one(&one) {
                    one.notify = None;
                    numbers.push(*number);
                }
            }
            late.extend((!numbers.is_empty()).then_some((*id, numbers)));
        }
        for message in self.queue.delayed(now, usize::MAX).await.unwrap() {
            let numbers: Vec<u32> = message.recipients.iter().map(|one| one.index).collect();
            assert_eq!(late.remove(&message.id), Some(numbers.clone()));
            let told = |recipient| Change::DelayNotified { id: message.id, recipient };
            self.queue.apply(numbers.into_iter().map(told).collect()).await.unwrap();
        }
        assert_eq!(late, BTreeMap::new());
    }

    async fn restart(&mut self) {
        for claim in std::mem::take(&mut self.claims) {
            self.give_back(claim);
        }
        self.queue.clone().close().await;
        let (queue, recovery) = Queue::open(self.directory.path(), options()).unwrap();
        self.queue = queue;
        assert_eq!(recovery.messages, self.model.len());
        assert_eq!(recovery.recipients, self.model.values().map(BTreeMap::len).sum::<usize>());
        assert_eq!((recovery.rebuilt, recovery.content_missing.len()), (0, 0));
    }

    async fn compare(&self, step: &Step) {
        let all = || self.model.values().flat_map(BTreeMap::values);
        let waiting = || all().filter(|one| one.waits());
        assert_eq!(self.queue.next_due(), waiting().map(|one| one.due).min(), "{step:?}");
        let alarms =
            all().filter(|one| !one.claimed).map(|one| one.expires.min(one.notify.unwrap_or(i64::MAX)));
        assert_eq!(self.queue.next_alarm(), alarms.min(), "{step:?}");
        for now in [-1, TIMES / 3, TIMES] {
            let later = waiting().map(|one| one.due).filter(|due| *due > now);
            assert_eq!(self.queue.next_due_after(now), later.min(), "{step:?}");
            let due: BTreeMap<_, _> =
                self.queue.due(now).into_iter().map(|due| (due.destination.clone(), due)).collect();
            for domain in 0..DOMAINS {
                let ours = waiting().filter(|one| one.domain == domain && one.due <= now).map(|one| one.due);
                let theirs = due.get(&to(domain));
                assert_eq!(theirs.map_or(0, |due| due.recipients), ours.clone().count(), "{step:?}");
                assert_eq!(theirs.map(|due| due.earliest), ours.min(), "{step:?}");
            }
        }
        assert_eq!(self.queue.statistics(), self.statistics(), "{step:?}");
        self.compare_list(step).await;
    }

    fn statistics(&self) -> Statistics {
        let mut wanted = Statistics::default();
        for seats in self.model.values() {
            let any = |status: Status| seats.values().any(|one| one.status() == status);
            let count = [
                (Status::Active, &mut wanted.active),
                (Status::Ready, &mut wanted.ready),
                (Status::Retry, &mut wanted.retry),
                (Status::Suspended, &mut wanted.suspended),
            ];
            if let Some((_, count)) = count.into_iter().find(|(status, _)| any(*status)) {
                *count += 1;
            }
        }
        wanted.oldest_received = (!self.model.is_empty()).then_some(7);
        wanted
    }

    async fn compare_list(&self, step: &Step) {
        for status in
            [None, Some(Status::Active), Some(Status::Ready), Some(Status::Retry), Some(Status::Suspended)]
        {
            let listed = self.queue.list(Filter { status, ..Filter::default() }).await.unwrap();
            let meant = |seats: &BTreeMap<u32, ModelRecipient>| {
                seats.values().any(|one| status.is_none_or(|status| one.status() == status))
            };
            let ids: Vec<_> =
                self.model.iter().filter(|(_, seats)| meant(seats)).map(|(id, _)| *id).collect();
            assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), ids, "{step:?}");
            for one in
                listed.iter().flat_map(|message| message.recipients.iter().map(|one| (message.id, one)))
            {
                let (id, one) = one;
                let wanted = &self.model[&id][&one.index];
                assert_eq!(
                    (
                        one.status,
                        one.attempts,
                        one.next_attempt,
                        one.expires,
                        one.notify_delay_at,
                        &one.destination
                    ),
                    (
                        wanted.status(),
                        wanted.attempts,
                        wanted.due,
                        wanted.expires,
                        wanted.notify,
                        &to(wanted.domain)
                    ),
                    "{step:?}"
                );
            }
        }
    }
}

/// Changes the recipients an operator means, by address; returns the number of messages.
fn change(
    model: &mut Model,
    domain: u8,
    wanted: impl Fn(&ModelRecipient) -> bool,
    with: impl Fn(&mut ModelRecipient),
) -> usize {
    let mut messages = 0;
    for seats in model.values_mut() {
        let mut any = false;
        for one in seats.values_mut().filter(|one| one.home == domain && wanted(one)) {
            with(one);
            any = true;
        }
        messages += usize::from(any);
    }
    messages
}
