//! The pages to look things up in: every command that they show on a line of its own is run against
//! an edge with a partner and a message that waits, and may say yes or no, but not that it was called
//! wrongly.

use std::process::{Command, Stdio};

use sealpost::cli::demo::client::{Disguise, Letter, send};
use sealpost::trust::Fault;
use sealpost::trust::fault::InboundAnswer;

use crate::common::{STRANGER, Site, executable};
use crate::page::Block;

const PAGES: &[&str] = &["docs/runbook.md", "docs/threat-model.md"];
/// What the pages call a session and a message; the edge has others, and they are put in.
const MESSAGE: &str = "01A20157DDE70009";

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_runbook_and_threat_model_can_be_typed() {
    let site = Site::new().await;
    let edge = site.start_edge("");
    let letter = Letter::new("ann@contoso.example", &format!("kim@{STRANGER}"), "waits");
    assert!(send(edge.internal, Disguise::Clear, &letter).await.unwrap().is_positive());
    let waiting = || edge.command(&["queue", "list", "--json"]).1;
    while !waiting().contains("\"id\"") {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let list: serde_json::Value = serde_json::from_str(&waiting()).unwrap();
    let id = list[0]["id"].as_str().unwrap();
    let mut wrong = Vec::new();
    for page in PAGES {
        let text = std::fs::read_to_string(format!("{}/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let commands = indented(&text);
        assert!(commands.len() >= 4, "{page} shows {} commands", commands.len());
        for command in commands {
            let line = format!("timeout 20 {} -c \"$CONFIG\"", command.replace(MESSAGE, id));
            let line = line.replacen("sealpost", "\"$SEALPOST\"", 1);
            let mut shell = Command::new("sh");
            shell.args(["-c", &line]).env("CONFIG", &edge.config).env("SEALPOST", executable());
            let output = shell.current_dir(site.path("")).stdin(Stdio::null()).output().unwrap();
            if !matches!(output.status.code(), Some(0 | 1)) {
                let told = String::from_utf8_lossy(&output.stderr).into_owned();
                wrong.push(format!("{page}: {command}: {}: {told}", output.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lines of indented code that call us.
fn indented(page: &str) -> Vec<String> {
    let lines = page.lines().filter(|line| line.starts_with("    "));
    lines.map(str::trim).filter(|line| line.starts_with("sealpost ")).map(str::to_owned).collect()
}

/// An entry for each fault, in their order, with what is seen of it and words for the partner.
#[test]
fn the_runbook_has_an_entry_for_every_fault() {
    let page = std::fs::read_to_string(format!("{}/docs/runbook.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let entries: Vec<&str> = page.split("\n## ").skip(1).collect();
    let first = entries.iter().position(|entry| entry.starts_with("TlsNotStarted\n")).unwrap();
    for (fault, entry) in Fault::all().zip(&entries[first..]) {
        let row = fault.row();
        assert_eq!(entry.lines().next(), Some(row.name), "the entries stand in the order of the faults");
        let detail = row.detail;
        let reply = match row.inbound {
            InboundAnswer::Refuse(code) => format!("inbound `{code} 5.7.{detail}`"),
            InboundAnswer::Defer => format!("inbound `454 4.7.{detail}`"),
            InboundAnswer::Close => "inbound the connection closes".to_owned(),
            InboundAnswer::OutboundOnly => format!("our own mail waits with `4.7.{detail}`"),
        };
        let label = match fault {
            Fault::TlsaMismatch => "tlsa-invalid".to_owned(),
            _ => format!("fault=\"{}\"", row.name),
        };
        let parts = [reply, format!("waits with `4.7.{detail}`"), label];
        let headings = ["**Means:** ", "**Who mends it:** ", "**Do:** ", "**Write to the partner:**\n\n> "];
        for part in parts.iter().map(String::as_str).chain(headings) {
            assert!(entry.contains(part), "no {part:?} at {fault}");
        }
        let inbound = entry.contains("sealpost_domain_secure_inbound_failures_total");
        assert_eq!(inbound, row.inbound != InboundAnswer::OutboundOnly, "{fault}");
    }
}

/// The blocks that ask for a shell but name no side are followed, not looked up.
#[test]
fn indented_commands_are_found() {
    let page = "text\n\n    sealpost queue list\n      sealpost counters\n    [Unit]\n";
    assert_eq!(indented(page), ["sealpost queue list", "sealpost counters"]);
    let Block { info, text } = &crate::page::blocks("a\n```sh both\nls\n```\n")[0];
    assert_eq!((info.as_str(), text.as_str()), ("sh both", "ls\n"));
}
