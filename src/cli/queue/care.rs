//! `sealpost queue check` and `rebuild`: the queue on the disk, read without the server.

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use sealpost_queue::{CheckReport, RebuildReport};
use serde_json::json;

use crate::cli::location::{Location, LocationError};
use crate::cli::user;
use crate::observe::{AuditEntry, AuditLog};
use crate::relay::control::plural;

use super::{Failure, Server};

/// Exit status 1 when something is wrong.
pub(super) fn check(server: Server<'_>, as_json: bool) -> Result<ExitCode, Failure> {
    let report =
        sealpost_queue::check(&data_directory(server)?.join("queue")).map_err(|error| answer(&error))?;
    if as_json {
        outln!("{:#}", check_json(&report));
    } else {
        crate::cli::print::print_out(check_text(&report));
    }
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Exit status 1 when something could not be read any more.
pub(super) fn rebuild(server: Server<'_>, as_json: bool) -> Result<ExitCode, Failure> {
    let data = data_directory(server)?;
    let report = sealpost_queue::rebuild(&data.join("queue")).map_err(|error| answer(&error))?;
    let entry = AuditEntry {
        at: Timestamp::now(),
        user: &user::name(),
        what: "queue rebuild",
        old: "",
        new: &plural(report.messages, "message"),
        secure_list: false,
    };
    if let Err(error) = AuditLog::new(&data).append(&entry) {
        eprintln!("sealpost queue: {error}");
    }
    if as_json {
        outln!("{:#}", rebuild_json(&report));
    } else {
        crate::cli::print::print_out(rebuild_text(&report));
    }
    let whole = report.jobs_missing == 0 && report.content_missing.is_empty();
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn data_directory(server: Server<'_>) -> Result<PathBuf, Failure> {
    let directory = Location::read(server.config).and_then(|location| location.data_directory());
    directory.map_err(|error: LocationError| Failure::Usage(error.to_string()))
}

fn answer(error: &sealpost_queue::Error) -> Failure {
    let stop = matches!(error, sealpost_queue::Error::Locked(_));
    Failure::Answer(if stop {
        "the server runs on this queue; stop it first".to_owned()
    } else {
        error.to_string()
    })
}

fn check_json(report: &CheckReport) -> serde_json::Value {
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    json!({
        "sound": findings.is_empty(),
        "findings": findings,
        "running": report.running,
        "messages": report.messages,
        "recipients": report.recipients,
        "unsettled": report.jobs,
        "content_files": report.content_files,
        "orphans": report.orphans,
    })
}

fn check_text(report: &CheckReport) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text += &format!("{finding}\n");
    }
    let beside = if report.running { ", read beside the running server" } else { "" };
    text += &format!(
        "{} for {}, {}{beside}\n",
        plural(report.messages, "message"),
        plural(report.recipients, "recipient"),
        plural(report.content_files, "content file"),
    );
    if report.orphans > 0 {
        text += &format!(
            "{} without a message, which the next start deletes\n",
            plural(report.orphans, "content file")
        );
    }
    text += &match report.findings.len() {
        0 => "nothing is wrong\n".to_owned(),
        1 => "1 thing is wrong\n".to_owned(),
        count => format!("{count} things are wrong\n"),
    };
    text
}

fn rebuild_json(report: &RebuildReport) -> serde_json::Value {
    json!({
        "messages": report.messages,
        "recipients": report.recipients,
        "from_index": report.from_index,
        "records_missing": report.jobs_missing,
        "content_missing": report.content_missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "kept": report.kept,
    })
}

fn rebuild_text(report: &RebuildReport) -> String {
    let mut text = format!(
        "{} for {} in the queue now, {} of them read from the old index\n",
        plural(report.messages, "message"),
        plural(report.recipients, "recipient"),
        report.from_index,
    );
    if report.jobs_missing > 0 {
        text += &format!(
            "{} of the journal cannot be read any more: messages may be missing, or come twice\n",
            plural(usize::try_from(report.jobs_missing).unwrap_or(usize::MAX), "record")
        );
    }
    for id in &report.content_missing {
        text += &format!("{id} is suspended because its content file is not whole\n");
    }
    for path in &report.kept {
        text += &format!("kept: {}\n", path.display());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_stopped_queue_is_checked_and_rebuilt_from_its_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("sealpost.toml");
        std::fs::write(&config, "data_directory = \"data\"\n").unwrap();
        let server = || Server { config: &config };
        assert!(matches!(check(server(), true), Err(Failure::Answer(_))), "there is no queue yet");
        let queue = directory.path().join("data/queue");
        let open = |queue: &Path| sealpost_queue::Queue::open(queue, sealpost_queue::Options::default());
        let running = open(&queue).unwrap();
        assert!(matches!(check(server(), false), Ok(ExitCode::SUCCESS)), "the server may run");
        let refused = rebuild(server(), false).unwrap_err().to_string();
        assert!(refused.contains("stop it first"), "{refused}");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(running.0.close());
        std::fs::write(queue.join("index.db"), b"no database at all").unwrap();
        assert!(!matches!(check(server(), false), Ok(ExitCode::SUCCESS)));
        assert!(matches!(rebuild(server(), false), Ok(ExitCode::SUCCESS)));
        assert!(matches!(check(server(), false), Ok(ExitCode::SUCCESS)));
        let audit = std::fs::read_to_string(directory.path().join("data/audit.log")).unwrap();
        assert!(audit.contains("queue rebuild"), "{audit}");
        assert!(open(&queue).is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_do() {
        let finding = sealpost_queue::Finding::WithoutContent(sealpost_queue::MessageId(7));
        let report =
            CheckReport { findings: vec![finding], messages: 1, orphans: 2, ..CheckReport::default() };
        let text = check_text(&report);
        for part in ["0000000000000007 has no content", "2 content files without", "1 thing is wrong"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(check_json(&report)["sound"], false);
        let report = RebuildReport { jobs_missing: 3, ..RebuildReport::default() };
        assert!(rebuild_text(&report).contains("3 records of the journal cannot be read"));
    }
}
