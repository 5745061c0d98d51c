use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::observe::test_settings;

const RECEIVE: &str = "SmtpReceive";

fn observer() -> Arc<Observer> {
    Observer::new(&test_settings::with_lists(&[], &[]))
}

fn record(at: &str, sequence: u32, kind: LineKind, data: &str) -> LogRecord {
    LogRecord {
        at: at.parse().unwrap(),
        connector: "Internet".to_owned(),
        session: SessionId(0x08D6_A8D4_1600_4F77),
        sequence,
        local: "192.0.2.1:25".parse().unwrap(),
        remote: "[2001:db8::1]:61061".parse().unwrap(),
        kind,
        data: data.to_owned(),
        context: String::new(),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn lost(observer: &Observer) -> String {
    let metrics = observer.render_metrics();
    let line = metrics.lines().find(|line| line.starts_with("sealpost_protocol_log_lines_lost_total"));
    line.unwrap().rsplit_once(' ').unwrap().1.to_owned()
}

#[tokio::test]
async fn a_session_is_written_as_exchange_writes_it() {
    let directory = tempfile::tempdir().unwrap();
    let settings = test_settings::protocol_log(directory.path().to_owned());
    let log = ProtocolLog::open(&settings, observer()).unwrap();
    let at = "2023-01-11T15:59:56.232987Z";
    log.write(Direction::Inbound, record(at, 0, LineKind::Connect, "")).await;
    log.write(Direction::Inbound, record(at, 1, LineKind::Sent, "220 ready, say \"EHLO\"")).await;
    log.write(Direction::Inbound, record(at, 2, LineKind::Received, "EHLO a\r\n250 forged")).await;
    log.write(Direction::Outbound, record(at, 0, LineKind::Connect, "")).await;
    log.flush().await;

    let text = std::fs::read_to_string(directory.path().join("SmtpReceive/RECV2023011115-1.LOG")).unwrap();
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "#Software: Sealpost");
    assert!(lines[1].starts_with("#Version: "), "{text}");
    assert_eq!(lines[2], "#Log-type: SMTP Receive Protocol Log");
    assert!(lines[3].starts_with("#Date: 20") && lines[3].ends_with('Z'), "{text}");
    assert_eq!(
        lines[4],
        "#Fields: date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context"
    );
    let ends = "192.0.2.1:25,[2001:db8::1]:61061";
    let head = "2023-01-11T15:59:56.232Z,Internet,08D6A8D416004F77";
    assert_eq!(lines[5], format!("{head},0,{ends},+,,"));
    assert_eq!(lines[6], format!("{head},1,{ends},>,\"220 ready, say \"\"EHLO\"\"\","));
    assert_eq!(lines[7], format!("{head},2,{ends},<,EHLO a\\r\\n250 forged,"));
    assert_eq!(lines.len(), 8);
    let send = std::fs::read_to_string(directory.path().join("SmtpSend/SEND2023011115-1.LOG")).unwrap();
    assert!(send.contains("#Log-type: SMTP Send Protocol Log\r\n"), "{send}");
}

#[tokio::test]
async fn each_hour_has_files_of_its_own_and_stragglers_stay_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let settings = test_settings::protocol_log(directory.path().to_owned());
    let log = ProtocolLog::open(&settings, observer()).unwrap();
    for (n, at) in ["T15:59:59.999Z", "T16:00:00Z", "T15:59:59.998Z", "T16:30:00Z"].iter().enumerate() {
        let sequence = u32::try_from(n).unwrap();
        log.write(Direction::Inbound, record(&format!("2023-01-11{at}"), sequence, LineKind::Sent, "x"))
            .await;
    }
    log.flush().await;
    let folder = directory.path().join(RECEIVE);
    assert_eq!(names(&folder), ["RECV2023011115-1.LOG", "RECV2023011116-1.LOG"]);
    let second = std::fs::read_to_string(folder.join("RECV2023011116-1.LOG")).unwrap();
    assert_eq!(second.lines().filter(|line| !line.starts_with('#')).count(), 3, "{second}");
}

#[tokio::test]
async fn a_restart_goes_on_with_the_last_file_unless_its_last_line_is_torn() {
    let directory = tempfile::tempdir().unwrap();
    let settings = test_settings::protocol_log(directory.path().to_owned());
    let folder = directory.path().join(RECEIVE);
    let at = "2023-01-11T15:00:00Z";
    for _ in 0..2 {
        let log = ProtocolLog::open(&settings, observer()).unwrap();
        log.write(Direction::Inbound, record(at, 0, LineKind::Sent, "x")).await;
        log.flush().await;
    }
    assert_eq!(names(&folder), ["RECV2023011115-1.LOG"]);
    let path = folder.join("RECV2023011115-1.LOG");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("#Fields").count(), 1);
    assert_eq!(text.matches(",>,x,").count(), 2);

    std::fs::write(&path, format!("{text}2023-01-11T15:00:0")).unwrap();
    let log = ProtocolLog::open(&settings, observer()).unwrap();
    log.write(Direction::Inbound, record(at, 0, LineKind::Sent, "y")).await;
    log.flush().await;
    assert_eq!(names(&folder), ["RECV2023011115-1.LOG", "RECV2023011115-2.LOG"]);
}

#[tokio::test]
async fn files_and_directory_keep_to_their_limits_and_an_early_end_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = test_settings::protocol_log(directory.path().to_owned());
    settings.max_file_size = 2000;
    settings.max_directory_size = 8000;
    settings.max_age = Duration::from_secs(u32::MAX.into());
    let log = ProtocolLog::open(&settings, observer()).unwrap();
    let folder = directory.path().join(RECEIVE);
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    for sequence in 0..200 {
        let line = record("2023-01-11T15:00:00Z", sequence, LineKind::Sent, &"x".repeat(50));
        log.write(Direction::Inbound, line).await;
    }
    log.flush().await;
    let names = names(&folder);
    assert!(names.contains(&"notes.txt".to_owned()), "{names:?}");
    assert!(!names.contains(&"RECV2023011115-1.LOG".to_owned()), "{names:?}");
    let mut total = 0;
    for name in names.iter().filter(|name| name.ends_with(".LOG")) {
        let size = folder.join(name).metadata().unwrap().len();
        assert!(size <= 2000, "{name} {size}");
        total += size;
    }
    assert!(total <= 8000, "{total}");
    let text = std::fs::read_to_string(folder.join(&names[names.len() - 2])).unwrap();
    assert!(text.contains(",199,"), "{text}");
}

#[tokio::test]
async fn old_files_go_when_their_age_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = test_settings::protocol_log(directory.path().to_owned());
    settings.max_age = Duration::from_secs(30 * 86_400);
    let folder = directory.path().join(RECEIVE);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("RECV2020010100-1.LOG"), "#Software: Sealpost\r\n").unwrap();
    let log = ProtocolLog::open(&settings, observer()).unwrap();
    log.write(Direction::Inbound, record(&Timestamp::now().to_string(), 0, LineKind::Sent, "x")).await;
    log.flush().await;
    let names = names(&folder);
    assert!(names.len() == 1 && names[0] != "RECV2020010100-1.LOG", "{names:?}");
}

/// A directory in the way of every file: opening fails for root too.
fn obstruct(directory: &Path) -> std::path::PathBuf {
    let folder = directory.join(RECEIVE);
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    folder
}

#[tokio::test]
async fn lines_that_cannot_be_written_are_counted_and_mail_is_stopped_only_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    let observer = observer();
    let mut settings = test_settings::protocol_log(directory.path().to_owned());
    let log = ProtocolLog::open(&settings, Arc::clone(&observer)).unwrap();
    let obstacle = obstruct(directory.path());
    let at = "2023-01-11T15:00:00Z";
    for sequence in 0..3 {
        log.write(Direction::Inbound, record(at, sequence, LineKind::Sent, "x")).await;
    }
    log.flush().await;
    assert_eq!(lost(&observer), "3");
    assert!(!log.must_stop_mail());
    settings.stop_mail_on_error = true;
    log.reconfigure(&settings).await;
    assert!(log.must_stop_mail());

    std::fs::remove_file(obstacle).unwrap();
    log.write(Direction::Inbound, record(at, 3, LineKind::Sent, "x")).await;
    log.flush().await;
    assert_eq!(lost(&observer), "3");
    assert!(!log.must_stop_mail());
}

#[tokio::test]
async fn a_failing_log_is_tried_again_without_lines() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = test_settings::protocol_log(directory.path().to_owned());
    settings.stop_mail_on_error = true;
    let log = ProtocolLog::open(&settings, observer()).unwrap();
    let obstacle = obstruct(directory.path());
    log.write(Direction::Inbound, record("2023-01-11T15:00:00Z", 0, LineKind::Sent, "x")).await;
    log.flush().await;
    assert!(log.must_stop_mail());
    std::fs::remove_file(obstacle).unwrap();
    let started = Instant::now();
    while log.must_stop_mail() && started.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!log.must_stop_mail());
}

/// The queue without its writer: a disk that takes nothing.
#[tokio::test]
async fn a_disk_that_stands_still_costs_one_wait_and_then_lines() {
    let observer = observer();
    let stall = Duration::from_millis(50);
    let (log, _jobs) = RotatingLog::stuck(2, stall, tell(Arc::clone(&observer)));
    let log = ProtocolLog { log, live: Arc::default(), stop_mail_on_error: Arc::new(AtomicBool::new(true)) };
    let started = Instant::now();
    for sequence in 0..10 {
        log.write(Direction::Inbound, record("2023-01-11T15:00:00Z", sequence, LineKind::Sent, "x")).await;
    }
    assert!(started.elapsed() >= stall);
    assert!(log.must_stop_mail());
    assert_eq!(lost(&observer), "8");
}
