use std::io;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::outlet::Outlet;
use super::*;
use crate::observe::record::{self, Level};
use crate::observe::{Event, LogEvent};
use crate::policy::{Facility, SyslogAddress};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings(outputs: &[EventOutput], format: EventFormat) -> EventLogSettings {
    EventLogSettings {
        levels: LogLevels::default(),
        format,
        outputs: outputs.to_vec(),
        syslog_address: SyslogAddress::Unix("/nonexistent/log".into()),
        syslog_facility: Facility::from_name("mail").unwrap(),
        journald_socket: "/nonexistent/journal".into(),
        otlp_address: ([127, 0, 0, 1], 1).into(),
    }
}

fn storage_failed() {
    record::write(Level::Error, &Event::StorageFailed { error: "no space\nleft".to_owned() });
}

/// What stands on standard error after `run`.
fn written(forced: (Option<LogLevels>, Option<EventFormat>), run: impl FnOnce(&EventLog)) -> String {
    let sink = Sink::default();
    let stderr = Stderr::Outlet(Outlet::start(sink.clone()).unwrap());
    let (log, subscriber) = make(forced, stderr);
    tracing::subscriber::with_default(subscriber, || run(&log));
    log.flush();
    String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
}

fn library() {
    tracing::warn!(target: "hickory_resolver", peer = "a\u{1b}b", "from a library\n");
}

#[test]
fn text_is_one_line_an_event() {
    let text = written((None, None), |_| {
        storage_failed();
        library();
    });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("ERROR StorageFailed error=\"no space\\nleft\""), "{text}");
    assert!(lines[1].ends_with("WARN  from a library\\n peer=\"a\\u{1b}b\""), "{text}");
}

#[test]
fn json_holds_the_fields_of_the_event() {
    let text = written((None, Some(EventFormat::Json)), |_| {
        storage_failed();
        library();
    });
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["event"], "StorageFailed");
    assert_eq!(lines[0]["error"], "no space\\nleft");
    assert_eq!(lines[0]["level"], "ERROR");
    assert!(lines[1]["message"].as_str().unwrap().starts_with("from a library"));
    assert_eq!(lines[1]["target"], "hickory_resolver");
}

#[test]
fn levels_change_while_it_runs_and_go_back_with_the_settings() {
    let text = written((None, None), |log| {
        let debug = || tracing::debug!(target: "sealpost::event", "seen");
        debug();
        let mut levels = log.levels().0;
        levels.change("debug").unwrap();
        assert_eq!(log.set_levels(levels).to_string(), "warn,sealpost=info");
        assert_eq!(log.levels().0.to_string(), "warn,sealpost=debug");
        debug();
        log.configure(&settings(&[EventOutput::Stderr], EventFormat::Text), "mail1");
        assert_eq!(log.levels().0, log.levels().1);
        debug();
    });
    assert_eq!(text.matches("seen").count(), 1, "{text}");
}

#[test]
fn the_environment_counts_before_the_settings() {
    let levels: LogLevels = "off".parse().unwrap();
    let text = written((Some(levels), Some(EventFormat::Json)), |log| {
        storage_failed();
        log.configure(&settings(&[EventOutput::Stderr], EventFormat::Text), "mail1");
        storage_failed();
        log.set_levels(LogLevels::default());
        storage_failed();
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with('{'), "{text}");
}

fn bound(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn syslog_and_the_journal_get_every_record_and_standard_error_none() {
    let directory = tempfile::tempdir().unwrap();
    let (syslog, journal) = (bound(&directory.path().join("log")), bound(&directory.path().join("journal")));
    let text = written((None, None), |log| {
        let settings = EventLogSettings {
            syslog_address: SyslogAddress::Unix(directory.path().join("log")),
            journald_socket: directory.path().join("journal"),
            ..settings(&[EventOutput::Syslog, EventOutput::Journald], EventFormat::Text)
        };
        log.configure(&settings, "mail1.contoso.example");
        storage_failed();
    });
    assert_eq!(text, "");
    let mut buffer = [0; 4096];
    let read = syslog.recv(&mut buffer).unwrap();
    let message = String::from_utf8_lossy(&buffer[..read]).into_owned();
    assert!(message.starts_with("<19>1 20"), "{message}");
    let end = "StorageFailed - StorageFailed error=\"no space\\nleft\"";
    assert!(message.contains(" mail1.contoso.example sealpost ") && message.ends_with(end), "{message}");
    let read = journal.recv(&mut buffer).unwrap();
    let record = String::from_utf8_lossy(&buffer[..read]).into_owned();
    assert!(record.starts_with("MESSAGE=StorageFailed error="), "{record}");
    for field in ["PRIORITY=3\n", "SEALPOST_EVENT=StorageFailed\n", "SEALPOST_ERROR=no space\\nleft\n"] {
        assert!(record.contains(field), "{field} in {record}");
    }
}

#[test]
fn syslog_over_udp_takes_json_too() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    written((None, None), |log| {
        let syslog_address = SyslogAddress::Udp(server.local_addr().unwrap());
        let settings =
            EventLogSettings { syslog_address, ..settings(&[EventOutput::Syslog], EventFormat::Json) };
        log.configure(&settings, "mail1");
        storage_failed();
    });
    let mut buffer = [0; 4096];
    let read = server.recv(&mut buffer).unwrap();
    let message = String::from_utf8_lossy(&buffer[..read]).into_owned();
    let (head, json) = message.split_once(" - ").unwrap();
    assert!(head.ends_with(" StorageFailed"), "{message}");
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(json["event"], "StorageFailed");
}

#[test]
fn what_nobody_takes_is_counted_once() {
    written((None, None), |log| {
        log.configure(&settings(&[EventOutput::Syslog], EventFormat::Text), "mail1");
        storage_failed();
        storage_failed();
        log.flush();
        assert_eq!(log.take_losses(), [(EventOutput::Syslog, 2)]);
        assert_eq!(log.take_losses(), []);
    });
}

#[test]
fn a_loss_is_told_to_every_output_but_the_one_that_lost() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    for format in [EventFormat::Text, EventFormat::Json] {
        let text = written((None, None), |log| {
            let syslog_address = SyslogAddress::Udp(server.local_addr().unwrap());
            let settings = settings(&[EventOutput::Stderr, EventOutput::Syslog], format);
            log.configure(&EventLogSettings { syslog_address, ..settings }, "mail1");
            record::write(Level::Error, &Event::Log(LogEvent::EventLogLost { output: "syslog", records: 1 }));
            storage_failed();
        });
        assert!(text.contains("EventLogLost") && text.contains("StorageFailed"), "{text}");
        let mut buffer = [0; 4096];
        let read = server.recv(&mut buffer).unwrap();
        let first = String::from_utf8_lossy(&buffer[..read]).into_owned();
        assert!(first.contains("StorageFailed"), "{first}");
    }
}

#[test]
fn the_same_settings_again_keep_what_is_open() {
    written((None, None), |log| {
        let mut settings = settings(&[EventOutput::Otlp], EventFormat::Text);
        let opened = |settings: &EventLogSettings| {
            log.configure(settings, "mail1");
            Arc::as_ptr(&log.0.outputs.load())
        };
        let first = opened(&settings);
        settings.levels = "debug".parse().unwrap();
        assert_eq!(opened(&settings), first, "levels are no output's");
        settings.format = EventFormat::Json;
        assert_ne!(opened(&settings), first);
    });
}
