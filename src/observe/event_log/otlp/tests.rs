use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::Instant;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Theirs;
use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValue as TheirAttribute};
use opentelemetry_proto::tonic::logs::v1::{LogRecord as TheirRecord, SeverityNumber};
use serde_json::json;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// Answers one request; returns its head and its body.
fn serve(listener: &TcpListener, answer: &str) -> (String, Vec<u8>) {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "cut short: {head}");
    }
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    reader.into_inner().write_all(answer.as_bytes()).unwrap();
    (head, body)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn judged() -> Rendered {
    Rendered {
        level: tracing::Level::WARN,
        target: "sealpost::event",
        event: Some("InboundJudged".to_owned()),
        message: "InboundJudged verdict=bad".to_owned(),
        rest: String::new(),
        fields: Some(json!({
            "event": "InboundJudged", "faults": ["Expired", "NameMismatch"], "size": 7, "ratio": 0.5,
            "resumed": true, "nothing": null, "helo": "a\u{1b}\"b",
        })),
    }
}

/// A collector, the address of which is ours for the test, and what was lost.
fn started() -> (TcpListener, Feed, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let lost = Arc::new(AtomicU64::new(0));
    let to = listener.local_addr().unwrap();
    (listener, start(to, "mail1.contoso.example", Arc::clone(&lost)).unwrap(), lost)
}

fn records(body: &[u8]) -> Vec<TheirRecord> {
    let mut request: ExportLogsServiceRequest = serde_json::from_slice(body).unwrap();
    request.resource_logs.remove(0).scope_logs.remove(0).log_records
}

/// The value of one attribute.
fn attribute(attributes: &[TheirAttribute], key: &str) -> Option<Theirs> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.clone()
}

fn text(text: &str) -> Option<Theirs> {
    Some(Theirs::StringValue(text.to_owned()))
}

#[test]
fn a_collector_reads_who_we_are_and_each_field_of_an_event() {
    let (listener, collector, lost) = started();
    let at: Timestamp = "2026-11-22T01:43:17.123456789Z".parse().unwrap();
    collector.push(log_record(&judged(), at));
    let (head, body) = serve(&listener, &answer("200 OK", "{}"));
    collector.flush(Instant::now() + PATIENCE);
    assert_eq!(lost.load(Ordering::Relaxed), 0);

    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/logs http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    let request: ExportLogsServiceRequest = serde_json::from_slice(&body).unwrap();
    let logs = &request.resource_logs[0];
    let resource = &logs.resource.as_ref().unwrap().attributes;
    assert_eq!(attribute(resource, "service.name"), text("sealpost"));
    assert_eq!(attribute(resource, "service.instance.id"), text("mail1.contoso.example"));
    let record = &logs.scope_logs[0].log_records[0];
    assert_eq!(i128::from(record.time_unix_nano), at.as_nanosecond());
    assert_eq!(record.severity_number(), SeverityNumber::Warn);
    assert_eq!((&*record.severity_text, &*record.event_name), ("WARN", "InboundJudged"));
    assert_eq!(record.body.clone().unwrap().value, text("InboundJudged verdict=bad"));
    let field = |name| attribute(&record.attributes, name);
    assert_eq!(field("sealpost.size"), Some(Theirs::IntValue(7)));
    assert_eq!(field("sealpost.ratio"), Some(Theirs::DoubleValue(0.5)));
    assert_eq!(field("sealpost.resumed"), Some(Theirs::BoolValue(true)));
    assert_eq!(field("sealpost.helo"), text("a\u{1b}\"b"));
    assert_eq!((field("sealpost.nothing"), field("sealpost.event")), (None, None));
    let Some(Theirs::ArrayValue(ArrayValue { values })) = field("sealpost.faults") else { panic!() };
    assert_eq!(
        values.into_iter().map(|value| value.value).collect::<Vec<_>>(),
        [text("Expired"), text("NameMismatch")]
    );
}

#[test]
fn records_that_come_together_go_out_together() {
    let (listener, collector, _) = started();
    (0..3).for_each(|_| collector.push(log_record(&judged(), Timestamp::now())));
    let serving = std::thread::spawn(move || serve(&listener, &answer("200 OK", "{}")));
    collector.flush(Instant::now() + PATIENCE);
    assert_eq!(records(&serving.join().unwrap().1).len(), 3);
}

#[test]
fn a_collector_that_is_busy_gets_the_same_records_again() {
    let (listener, collector, lost) = started();
    collector.push(log_record(&judged(), Timestamp::now()));
    let first = serve(&listener, &answer("503 Service Unavailable", "")).1;
    let second = serve(&listener, &answer("200 OK", "{}")).1;
    assert_eq!(first, second);
    collector.flush(Instant::now() + PATIENCE);
    assert_eq!(lost.load(Ordering::Relaxed), 0);
}

#[test]
fn what_a_collector_refuses_or_rejects_is_lost_and_counted() {
    let (listener, collector, lost) = started();
    let cases = [
        ("400 Bad Request", "{}", 3),
        ("200 OK", r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#, 5),
        ("200 OK", r#"{"partialSuccess":{"rejectedLogRecords":1}}"#, 6),
        ("200 OK", r#"{"partialSuccess":{"rejectedLogRecords":"99"}}"#, 9),
        ("200 OK", "<html>", 9),
    ];
    for (status, body, total) in cases {
        (0..3).for_each(|_| collector.push(log_record(&judged(), Timestamp::now())));
        let served = std::thread::scope(|scope| {
            let serving = scope.spawn(|| serve(&listener, &answer(status, body)));
            collector.flush(Instant::now() + PATIENCE);
            serving.join().unwrap().1
        });
        assert_eq!(records(&served).len(), 3);
        assert_eq!(lost.load(Ordering::Relaxed), total, "{status} {body}");
    }
}

#[test]
fn nobody_there_costs_records_and_no_time() {
    let (listener, collector, lost) = started();
    drop(listener);
    let began = Instant::now();
    (0..3 * super::super::buffer::WAITING_MAX)
        .for_each(|_| collector.push(log_record(&judged(), Timestamp::now())));
    assert!(began.elapsed() < PATIENCE / 2);
    assert!(lost.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_record_has_a_limit() {
    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    let fields: serde_json::Map<_, _> =
        (0..20).map(|number| (format!("field{number}"), Value::from(long.clone()))).collect();
    let record = Rendered { fields: Some(fields.into()), message: long, ..judged() };
    let written = log_record(&record, Timestamp::now());
    assert!(written.len() < ATTRIBUTES_BYTES_MAX + VALUE_BYTES_MAX + 1024, "{}", written.len());
    assert!(written.len() > ATTRIBUTES_BYTES_MAX, "{}", written.len());
}
