use std::collections::BTreeMap;

use crate::observe::test_settings::with_lists;
use crate::policy::concurrency::Feedback;

use super::*;

const BANK: &str = "woodgrovebank.example";
const MINUTE: Duration = Duration::from_secs(60);

fn stranger(name: &str) -> Destination {
    Destination { next_hop: name.to_owned(), connector: "Internet".to_owned(), tls_domain: String::new() }
}

fn bank() -> Destination {
    Destination { tls_domain: BANK.to_owned(), ..stranger(BANK) }
}

fn due(destination: Destination, recipients: usize) -> DueDestination {
    DueDestination { destination, recipients, earliest: 0 }
}

/// A partner entry for the bank, and a connector that allows 20 connections.
fn settings() -> Settings {
    let mut settings = with_lists(&[], &[BANK]);
    let policy = Arc::clone(&settings.default_policy);
    settings.partners = vec![Arc::new(crate::policy::Partner {
        name: "Woodgrove Bank".to_owned(),
        domains: vec![crate::mail::Domain::parse(BANK).unwrap()],
        policy,
        on_inbound_failure: crate::trust::OnFailure::Reject,
        on_outbound_failure: crate::trust::OnFailure::Defer,
        message_expiration: None,
        delay_notification: None,
        retry_intervals: None,
        priority: Priority::Normal,
        mode: crate::trust::Mode::Enforce,
        certificate: None,
        remote_ip_ranges: Vec::new(),
        limits: crate::policy::PartnerLimits::default(),
    })];
    settings.send_connectors = vec![Arc::new(connector())];
    settings
}

fn connector() -> SendConnector {
    SendConnector {
        name: "Internet".to_owned(),
        address_spaces: vec![AddressSpace::All],
        cost: 1,
        dns_routing_enabled: true,
        smart_hosts: Vec::new(),
        port: 25,
        smart_host_auth: None,
        source_addresses: Vec::new(),
        fqdn: crate::mail::Domain::parse("mail1.contoso.example").unwrap(),
        domain_secure_enabled: true,
        require_tls: false,
        implicit_tls: false,
        tls_auth_level: crate::trust::Level::None,
        dane: true,
        mta_sts: true,
        post_quantum_key_exchange: true,
        send_organization_headers: None,
        stamp_exchange_headers: false,
        protocol_logging: crate::policy::ProtocolLogging::None,
        max_messages_per_connection: 100,
        max_connections_per_destination: 20,
    }
}

fn start(queues: &Arc<DeliveryQueues>, plan: Plan) -> Vec<Worker> {
    let each = plan.into_iter().flat_map(|(name, count)| std::iter::repeat_n(name, count));
    each.map(|name| Worker::start(queues, name).expect("planned within the limit")).collect()
}

fn count(plan: &Plan) -> BTreeMap<&str, usize> {
    plan.iter().map(|(name, count)| (name.next_hop.as_str(), *count)).collect()
}

#[test]
fn a_worker_for_each_message_and_more_connections_as_the_peer_takes_them() {
    let (queues, settings) = (Arc::new(DeliveryQueues::default()), settings());
    let mut workers = start(&queues, queues.plan(&settings, &[due(stranger("a"), 2)]));
    assert_eq!(workers.len(), 2);
    workers.extend(start(&queues, queues.plan(&settings, &[due(stranger("a"), 100)])));
    assert_eq!(workers.len(), 4, "few at first");
    let begun = Instant::now();
    workers.iter_mut().for_each(|worker| drop(worker.opened()));
    (0..4).for_each(|_| workers[0].feedback(Feedback::Taken, begun, 20));
    assert_eq!(count(&queues.plan(&settings, &[due(stranger("a"), 100)]))["a"], 4);
    let idle = workers[0].idle();
    assert_eq!(count(&queues.plan(&settings, &[due(stranger("a"), 3)]))["a"], 2, "one is idle");
    drop(idle);
    workers[1].feedback(Feedback::Enough, begun, 20);
    assert!(queues.plan(&settings, &[due(stranger("a"), 100)]).is_empty());
}

#[test]
fn while_a_next_hop_is_down_one_probes_and_the_rest_wait_and_then_all_go() {
    let (queues, settings) = (Arc::new(DeliveryQueues::default()), settings());
    let found = AttemptNote { reason: "nobody answers".to_owned(), ..AttemptNote::default() };
    let mut first = Worker::start(&queues, stranger("dead")).unwrap();
    let begun = first.knock((1, 1)).expect("nothing is known");
    assert_eq!(first.failed(begun, &found, &[MINUTE]), Failed::Down { newly: true });
    first.waits(MessageId(1));
    drop(first);
    // The next worker of this delivery queue knows it.
    let plan = queues.plan(&settings, &[due(stranger("dead"), 100)]);
    assert_eq!(count(&plan)["dead"], 1, "one is enough to put off what is due");
    let mut second = start(&queues, plan).remove(0);
    for id in 2..=5 {
        assert_eq!(second.knock((1, 1)).unwrap_err().reason, "nobody answers");
        second.waits(MessageId(id));
    }
    assert!(queues.due_probes(Instant::now()).is_empty());
    let later = Instant::now() + MINUTE;
    assert_eq!(queues.due_probes(later).len(), 1, "one message is brought forward");
    // A reload may have mended it.
    let begun = second.knock((2, 1)).expect("a probe");
    let mut third = Worker::start(&queues, stranger("dead")).unwrap();
    assert!(third.knock((2, 1)).is_err(), "one probe at a time");
    assert_eq!(second.failed(begun, &found, &[MINUTE]), Failed::Down { newly: false });
    // So does an operator who wants it tried.
    queues.probe_now();
    second.knock((2, 1)).expect("a probe");
    let mut waited = second.opened().expect("it was down");
    waited.sort();
    assert_eq!(waited, (1..=5).map(MessageId).collect::<Vec<_>>());
    third.knock((2, 1)).expect("it is up");
    assert!(third.opened().is_none());
}

#[test]
fn a_probe_that_never_came_back_does_not_bar_the_next() {
    let queues = Arc::new(DeliveryQueues::default());
    let mut worker = Worker::start(&queues, stranger("dead")).unwrap();
    let begun = worker.knock((1, 1)).unwrap();
    worker.failed(begun, &AttemptNote::default(), &[MINUTE]);
    queues.probe_now();
    worker.knock((1, 1)).expect("a probe");
    drop(worker);
    Worker::start(&queues, stranger("dead")).unwrap().knock((1, 1)).expect("another probe");
}

#[test]
fn a_peer_that_refuses_one_more_connection_is_not_down() {
    let queues = Arc::new(DeliveryQueues::default());
    let mut open = Worker::start(&queues, stranger("busy")).unwrap();
    open.knock((1, 1)).unwrap();
    open.opened();
    let mut refused = Worker::start(&queues, stranger("busy")).unwrap();
    let begun = refused.knock((1, 1)).unwrap();
    assert_eq!(refused.failed(begun, &AttemptNote::default(), &[MINUTE]), Failed::OthersAreThere);
    refused.knock((1, 1)).expect("it is not down");
    open.closed();
    assert_eq!(refused.failed(begun, &AttemptNote::default(), &[MINUTE]), Failed::Down { newly: true });
}

#[test]
fn a_crowd_of_strangers_leaves_room_for_partners_and_takes_turns() {
    let (queues, settings) = (Arc::new(DeliveryQueues::default()), settings());
    let crowd = |name: &str, count: usize| -> Vec<DueDestination> {
        (0..count).map(|n| due(stranger(&format!("{name}{n}")), 1)).collect()
    };
    let mut workers = start(&queues, queues.plan(&settings, &crowd("early", WORKERS_MAX)));
    assert_eq!(workers.len(), WORKERS_MAX * 9 / 10);
    let mut everyone = crowd("late", 50);
    everyone.push(due(bank(), 4));
    let plan = queues.plan(&settings, &everyone);
    assert_eq!(count(&plan), BTreeMap::from([(BANK, 4)]), "strangers wait for their turn");
    let _of_bank = start(&queues, plan);
    // Who has more than its share ends behind what it has in hand.
    assert!(!workers[0].must_yield(1, false), "a connection just made is used first");
    workers.retain_mut(|worker| !worker.must_yield(QUANTUM, false));
    assert_eq!(workers.len(), WORKERS_MAX * 9 / 10 - 50);
    let plan = queues.plan(&settings, &everyone);
    assert_eq!(count(&plan).keys().filter(|name| name.starts_with("late")).count(), 50);
    drop(workers);
    let plan = queues.plan(&settings, &everyone);
    assert_eq!(plan.len(), 50, "there is room for all again, and the bank has its workers");
}

#[test]
fn no_more_workers_than_there_are() {
    let queues = Arc::new(DeliveryQueues::default());
    let workers: Vec<_> = (0..WORKERS_MAX + 5).filter_map(|_| Worker::start(&queues, bank())).collect();
    assert_eq!(workers.len(), WORKERS_MAX);
}

const QUANTUM: usize = 20;

#[test]
fn what_is_of_no_more_use_is_forgotten() {
    let queues = Arc::new(DeliveryQueues::default());
    for n in 0..100 {
        drop(Worker::start(&queues, stranger(&format!("s{n}"))).unwrap());
    }
    assert!(queues.lock().queues.is_empty());
    let worker = Worker::start(&queues, stranger("busy")).unwrap();
    worker.feedback(Feedback::Enough, Instant::now(), 20);
    drop(worker);
    assert_eq!(queues.lock().queues.len(), 1, "what it can take is remembered for a while");
    queues.tidy(Instant::now() + CAPACITY_MAX_AGE);
    assert!(queues.lock().queues.is_empty());
}
