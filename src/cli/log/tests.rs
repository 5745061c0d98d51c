use clap::Parser;

use jiff::Timestamp;

use super::follow::Tail;
use super::*;
use crate::observe::log_reader::{Filter, LogLine};
use crate::session::transcript::Line;
use crate::trust::Direction;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
}

const HEAD: &str = "#Software: Sealpost\r\n#Log-type: SMTP Receive Protocol Log\r\n\
                    #Fields: date-time,connector-id,session-id,sequence-number,local-endpoint,\
                    remote-endpoint,event,data,context\r\n";

fn line(session: &str, sequence: u32, event: &str, data: &str) -> String {
    format!(
        "2026-11-22T01:00:{sequence:02}.000Z,Internet,{session},{sequence},192.0.2.1:25,192.0.2.9:61061,{event},{data}\r\n"
    )
}

fn logs(directory: &Path) {
    let mut text = HEAD.to_owned();
    for (sequence, (event, data)) in [
        ("+", ","),
        ("<", "MAIL FROM:<a@woodgrovebank.example>,"),
        ("*", "NameMismatch domain=woodgrovebank.example,Domain security verdict"),
        (">", "550 5.7.1 \u{1b}[31mno,"),
        ("-", ","),
    ]
    .into_iter()
    .enumerate()
    {
        let sequence = u32::try_from(sequence).unwrap();
        text += &line("AAAAAAAAAAAAAAAA", sequence, event, data);
        text += &line("BBBBBBBBBBBBBBBB", sequence, if event == "-" { "-" } else { "*" }, ",");
    }
    std::fs::write(directory.join("RECV2026112201-1.LOG"), text).unwrap();
}

/// What the command prints, and whether anything matched.
fn output(arguments: &[&str]) -> (String, bool) {
    let directory = tempfile::tempdir().unwrap();
    logs(directory.path());
    let dir = directory.path().to_str().unwrap();
    let cli = Cli::try_parse_from(["log"].iter().chain(arguments).copied().chain(["--dir", dir])).unwrap();
    let mut out = Vec::new();
    let (which, view) = match &cli.log.command {
        LogCommand::Show(which) => (which, View::Lines),
        LogCommand::Sessions(which) => (which, View::Summary),
        LogCommand::Explain(which) => {
            let found = explanations(which, Path::new("unused.toml"), &mut out).unwrap();
            return (String::from_utf8(out).unwrap(), found);
        }
        LogCommand::Follow(_) | LogCommand::Level(_) => unreachable!("they need more than a log"),
    };
    let found = sessions(which, Path::new("unused.toml"), view, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), found)
}

#[test]
fn a_session_is_listed_with_who_what_and_why() {
    let (text, found) = output(&["sessions", "--fault", "namemismatch"]);
    assert!(found);
    assert_eq!(
        text,
        "2026-11-22T01:00:00.000Z in  AAAAAAAAAAAAAAAA 192.0.2.9:61061 Internet: \
         a@woodgrovebank.example -> (nobody); no TLS; refused 1; NameMismatch\n"
    );
}

#[test]
fn a_session_is_shown_whole_and_safe_for_a_terminal() {
    let (text, _) = output(&["show", "aaaaaaaaaaaaaaaa"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert_eq!(lines[1], "  2026-11-22T01:00:00.000Z + connected with 192.0.2.9:61061");
    assert!(lines[3].ends_with("* Domain security verdict: NameMismatch domain=woodgrovebank.example"));
    assert!(lines[4].ends_with("> 550 5.7.1 \\u{1b}[31mno"), "{text}");
    assert!(!text.contains("BBBB"), "{text}");
}

#[test]
fn json_is_one_array_and_nothing_found_is_an_empty_one() {
    let (text, _) = output(&["show", "--json"]);
    let sessions: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(sessions.as_array().unwrap().len(), 2);
    assert_eq!(sessions[0]["facts"]["faults"][0], "NameMismatch");
    assert_eq!(sessions[0]["lines"][3]["event"], ">");
    let (text, found) = output(&["sessions", "--json", "--domain", "elsewhere.example"]);
    assert_eq!((text.as_str(), found), ("[]\n", false));
}

#[test]
fn following_with_a_condition_brings_the_lines_before_it_too() {
    let filter = Filter { fault: Some("Expired".to_owned()), ..Filter::default() };
    let mut tail = Tail::default();
    let line = |session: &str, sequence: u32, kind, data: &str| LogLine {
        direction: Direction::Inbound,
        connector: "Internet".to_owned(),
        session: session.to_owned(),
        local: String::new(),
        remote: String::new(),
        line: Line {
            at: Timestamp::UNIX_EPOCH,
            sequence,
            kind,
            data: data.to_owned(),
            context: String::new(),
        },
    };
    use crate::session::transcript::LineKind::{Connect, Disconnect, Information, Sent};
    let mut printed = |session: &str, sequence, kind, data: &str| -> Vec<u32> {
        let lines = tail.take(line(session, sequence, kind, data), &filter);
        lines.iter().map(|line| line.line.sequence).collect()
    };
    assert!(printed("A", 0, Connect, "").is_empty());
    assert!(printed("B", 0, Connect, "").is_empty());
    assert_eq!(printed("A", 1, Information, "Expired domain=x.example"), [0, 1]);
    assert_eq!(printed("A", 2, Sent, "550"), [2]);
    assert_eq!(printed("A", 3, Disconnect, ""), [3]);
    assert!(printed("B", 1, Disconnect, "").is_empty());
    assert!(printed("A", 0, Connect, "").is_empty());
    assert!(tail.shown.is_empty());
}

#[test]
fn an_address_that_is_none_is_a_usage_error() {
    let error = Cli::try_parse_from(["log", "sessions", "--address", "woodgrove"]).unwrap_err();
    assert!(error.to_string().contains("no mail address"), "{error}");
}

#[test]
fn a_session_is_explained_in_sentences_and_as_json() {
    let (text, found) = output(&["explain", "AAAAAAAAAAAAAAAA"]);
    assert!(found);
    assert!(
        text.starts_with("Session AAAAAAAAAAAAAAAA\n  - At 2026-11-22 01:00:00 UTC 192.0.2.9:61061"),
        "{text}"
    );
    for part in
        ["decided by    line 2: * Domain security verdict: NameMismatch", "who acts      ", "what to do    "]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
    let (text, _) = output(&["explain", "--fault", "NameMismatch", "--json"]);
    let explanations: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(explanations[0]["deciding"]["fault"], "NameMismatch");
    assert_eq!(explanations[0]["transactions"][0]["fate"], "refused");
}
