use std::time::Duration;

use super::*;
use crate::observe::test_settings;
use crate::smtp::SessionId;

fn facts() -> MessageFacts {
    MessageFacts {
        message_id: "<one@contoso.example>".to_owned(),
        sender: "anna@contoso.example".to_owned(),
        size: 1234,
        received: 1_763_776_997_000,
        client: "192.0.2.9".to_owned(),
        session: "08D6A8D416004F77".to_owned(),
        ..MessageFacts::default()
    }
}

fn received() -> (Event, Tracked) {
    let event = Event::MessageReceived {
        queue_id: "00A1".to_owned(),
        connector: "Internet".to_owned(),
        session: SessionId(0x08D6_A8D4_1600_4F77),
        sender: "anna@contoso.example".to_owned(),
        size: 1234,
        recipients: 2,
        secured: Some(Domain::parse("contoso.example").unwrap()),
        accept_to_durable: Some(Duration::from_millis(3)),
    };
    let tracked = Tracked {
        message: facts(),
        recipients: vec!["bob@woodgrove.example".to_owned(), "\"a,b\"@woodgrove.example".to_owned()],
        local: Some("192.0.2.1:25".parse().unwrap()),
        remote: Some("192.0.2.9:61061".parse().unwrap()),
        remote_name: "mail.contoso.example\r\nforged".to_owned(),
        ..Tracked::default()
    };
    (event, tracked)
}

fn read(directory: &std::path::Path) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut files = Files::find(&directory.join(FOLDER)).unwrap();
    files
        .each((Timestamp::MIN, Timestamp::MAX), &|_| true, &mut |entry| {
            entries.push(entry);
            true
        })
        .unwrap();
    assert_eq!(files.skipped, 0);
    entries
}

use jiff::Timestamp;

#[tokio::test]
async fn what_was_written_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let observer = Observer::new(&test_settings::with_lists(&[], &[]));
    let settings = test_settings::message_tracking(directory.path().to_owned());
    observer.track(MessageTracking::open(&settings, &observer).unwrap());
    let (event, tracked) = received();
    observer.event_of(event, &tracked);
    let deferred = Event::MessageDeferred {
        queue_id: "00A1".to_owned(),
        recipient: "bob@woodgrove.example".to_owned(),
        reason: "mx.woodgrove.example proved another name; say, \"x\"".to_owned(),
        next_attempt: "2026-11-22T02:00:00Z".parse().unwrap(),
    };
    let missed = Tracked {
        message: facts(),
        fault: Some(Fault::NameMismatch),
        tls_domain: "woodgrove.example".to_owned(),
        reply: "454 4.7.1 NameMismatch".to_owned(),
        session: "FFFF000000000001".to_owned(),
        ..Tracked::default()
    };
    observer.event_of(deferred, &missed);
    let dsn = Event::DsnQueued {
        queue_id: "00A2".to_owned(),
        about: "00A1".to_owned(),
        kind: crate::observe::DsnKind::Delayed,
    };
    let report = Tracked {
        message: MessageFacts { message_id: "<dsn@edge>".to_owned(), ..MessageFacts::default() },
        recipients: vec!["anna@contoso.example".to_owned()],
        about: Some(facts()),
        ..Tracked::default()
    };
    observer.event_of(dsn, &report);
    // What is no event of a message leaves no line.
    observer.event(Event::Stopping { reason: "x".to_owned() });
    observer.tracking().unwrap().flush().await;

    let name = format!("MSGTRK{}-1.LOG", Timestamp::now().strftime("%Y%m%d"));
    let text = std::fs::read_to_string(directory.path().join(FOLDER).join(name)).unwrap();
    assert!(text.contains("#Log-type: Message Tracking Log\r\n"), "{text}");
    let entries = read(directory.path());
    let events: Vec<_> =
        entries.iter().map(|entry| (entry.event.as_str(), entry.queue_id.as_str())).collect();
    assert_eq!(events, [("RECEIVE", "00A1"), ("DEFER", "00A1"), ("DSN", "00A2")]);
    let [first, second, third] = entries.as_slice() else { unreachable!() };
    assert_eq!(first.recipients, ["bob@woodgrove.example", "\"a,b\"@woodgrove.example"]);
    assert_eq!((first.client.as_str(), first.server.as_str()), ("192.0.2.9", "192.0.2.1"));
    assert_eq!(first.client_name, "mail.contoso.example\\r\\nforged");
    assert_eq!(first.custom["session"], "08D6A8D416004F77");
    assert_eq!(first.custom["domain-secured"], "contoso.example");
    assert_eq!(second.context, "mx.woodgrove.example proved another name; say, \"x\"");
    assert_eq!(second.status, "454 4.7.1 NameMismatch");
    assert_eq!(
        (second.custom["fault"].as_str(), second.custom["tls-domain"].as_str()),
        ("NameMismatch", "woodgrove.example")
    );
    assert_eq!(second.received.as_deref(), Some("2025-11-22T02:03:17.000Z"));
    assert_eq!((third.sender.as_str(), third.reference.as_str()), ("", "<one@contoso.example>"));
    assert_eq!((third.context.as_str(), third.custom["about"].as_str()), ("delayed", "00A1"));
}

#[tokio::test]
async fn mail_does_not_wait_for_a_disk_that_takes_nothing() {
    let observer = Observer::new(&test_settings::with_lists(&[], &[]));
    let (log, _jobs) = RotatingLog::stuck(2, Duration::from_secs(600), tell(Arc::downgrade(&observer)));
    observer.track(MessageTracking { log, enabled: AtomicBool::new(true) });
    for _ in 0..10 {
        let (event, tracked) = received();
        observer.event_of(event, &tracked);
    }
    let metrics = observer.render_metrics();
    assert!(metrics.contains("sealpost_message_tracking_records_lost_total 8"), "{metrics}");
}

#[tokio::test]
async fn switched_off_it_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let observer = Observer::new(&test_settings::with_lists(&[], &[]));
    let mut settings = test_settings::message_tracking(directory.path().to_owned());
    settings.enabled = false;
    observer.track(MessageTracking::open(&settings, &observer).unwrap());
    let (event, tracked) = received();
    observer.event_of(event, &tracked);
    observer.tracking().unwrap().flush().await;
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    settings.enabled = true;
    observer.tracking().unwrap().reconfigure(&settings).await;
    let (event, tracked) = received();
    observer.event_of(event, &tracked);
    observer.tracking().unwrap().flush().await;
    assert_eq!(read(directory.path()).len(), 1);
}

#[test]
fn the_files_of_exchange_are_known_by_their_columns() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join(FOLDER);
    std::fs::create_dir(&folder).unwrap();
    let line = "#Software: Microsoft Exchange Server\r\n#Fields: date-time,event-id,source,internal-message-id,\
                message-id,recipient-address,return-path\r\n2023-01-11T16:00:00.000Z,SEND,SMTP,17,<m@x>,\
                b@y.example,a@x.example\r\nrubbish\r\n";
    for name in ["MSGTRKMS2023011116-1.LOG", "MSGTRK20230110-2.log", "keep.txt"] {
        std::fs::write(folder.join(name), line).unwrap();
    }
    let mut files = Files::find(&folder).unwrap();
    assert_eq!(files.len(), 2);
    let since = "2023-01-11T00:00:00Z".parse().unwrap();
    let mut ids = Vec::new();
    files
        .each((since, Timestamp::MAX), &|_| true, &mut |entry| {
            ids.push((entry.queue_id, entry.sender));
            false
        })
        .unwrap();
    assert_eq!(ids, [("17".to_owned(), "a@x.example".to_owned())], "the newest file ends the walk");
    assert_eq!(files.skipped, 1);
}
