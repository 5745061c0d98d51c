//! Sessions and lines on standard output. Text of a log is escaped again: an Exchange log, or one
//! that somebody edited, may hold anything.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::View;
use crate::observe::log_reader::{Facts, LogLine, Outcome, Session};
use crate::observe::text::{escape, shorten};
use crate::session::transcript::{Line, LineKind};
use crate::trust::Direction;

/// Addresses shown of a session in the summary.
const ADDRESSES_SHOWN: usize = 2;
/// Longest text of a line on a terminal, octets; JSON has all of it.
const TEXT_BYTES_MAX: usize = 4096;

/// Prints one session after the other, as text or as one JSON array.
#[derive(Debug)]
pub(super) struct Sessions {
    view: View,
    json: bool,
    count: usize,
}

impl Sessions {
    pub(super) fn new(view: View, json: bool) -> Self {
        Self { view, json, count: 0 }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn session(
        &mut self,
        session: &Session,
        facts: &Facts,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let first = self.count == 0;
        self.count += 1;
        match (self.json, self.view) {
            (true, view) => {
                let opening = if first { "[" } else { ",\n" };
                write!(out, "{opening}{}", session_json(session, facts, view))
            }
            (false, View::Summary) => summary(session, facts, out),
            (false, View::Lines) => {
                if !first {
                    writeln!(out)?;
                }
                whole(session, out)
            }
        }
    }

    pub(super) fn end(&self, out: &mut impl Write) -> io::Result<()> {
        match (self.json, self.count) {
            (true, 0) => writeln!(out, "[]"),
            (true, _) => writeln!(out, "]"),
            (false, _) => Ok(()),
        }
    }
}

/// `2026-11-22T01:43:17.000Z in 08D6A8D416004F77 192.0.2.9:61061 Internet: a@x -> b@y; TLSv1.3; accepted 1`
fn summary(session: &Session, facts: &Facts, out: &mut impl Write) -> io::Result<()> {
    let mut parts = Vec::new();
    if !facts.senders.is_empty() {
        let senders: Vec<String> = facts.senders.iter().map(|sender| path(sender)).collect();
        parts.push(format!("{} -> {}", some(&senders), some(&facts.recipients)));
    }
    parts.push(facts.tls.clone().unwrap_or_else(|| "no TLS".to_owned()));
    parts.push(outcome(facts));
    if !facts.faults.is_empty() {
        parts.push(facts.faults.join(" "));
    }
    writeln!(out, "{}: {}", heading(session), safe(&parts.join("; ")))
}

/// Heading, then each line with its time.
pub(in crate::cli) fn whole(session: &Session, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}, here {}", heading(session), safe(&session.local))?;
    for line in &session.lines {
        writeln!(out, "  {:.3} {}", line.at, text(line, &session.remote))?;
    }
    if session.left_out > 0 {
        writeln!(out, "  {} more lines are not shown", session.left_out)?;
    }
    Ok(())
}

fn heading(session: &Session) -> String {
    let direction = match session.direction {
        Direction::Inbound => "in ",
        Direction::Outbound => "out",
    };
    let Session { started, id, remote, connector, .. } = session;
    format!("{started:.3} {direction} {} {} {}", safe(id), safe(remote), safe(connector))
}

/// One line while following: with its session, since sessions mingle.
pub(super) fn followed(line: &LogLine, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        let mut value = line_json(&line.line);
        value["direction"] = json!(line.direction);
        value["connector"] = json!(line.connector);
        value["session"] = json!(line.session);
        value["local"] = json!(line.local);
        value["remote"] = json!(line.remote);
        return writeln!(out, "{value}");
    }
    writeln!(out, "{:.3} {} {}", line.line.at, safe(&line.session), text(&line.line, &line.remote))
}

/// `< EHLO client`, `* NameMismatch … (Domain security verdict)`
pub(super) fn text(line: &Line, remote: &str) -> String {
    let event = line.kind.as_char();
    let (data, context) = (safe(&line.data), safe(&line.context));
    match (line.kind, data.is_empty(), context.is_empty()) {
        (LineKind::Connect, true, true) => format!("{event} connected with {}", safe(remote)),
        (LineKind::Disconnect, true, true) => format!("{event} disconnected"),
        (_, _, true) => format!("{event} {data}"),
        (_, true, false) => format!("{event} {context}"),
        (LineKind::Information, false, false) => format!("{event} {context}: {data}"),
        (_, false, false) => format!("{event} {data} ({context})"),
    }
}

fn outcome(facts: &Facts) -> String {
    let words: Vec<String> = facts
        .outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Accepted => format!("accepted {}", facts.accepted),
            Outcome::Refused => format!("refused {}", facts.refused),
            Outcome::Deferred => format!("deferred {}", facts.deferred),
            Outcome::Unfinished => "unfinished".to_owned(),
            Outcome::Idle => "idle".to_owned(),
        })
        .collect();
    words.join(", ")
}

fn path(sender: &str) -> String {
    if sender.is_empty() { "<>".to_owned() } else { sender.to_owned() }
}

fn some(addresses: &[String]) -> String {
    let shown: Vec<&str> = addresses.iter().take(ADDRESSES_SHOWN).map(String::as_str).collect();
    match (shown.is_empty(), addresses.len() - shown.len()) {
        (true, _) => "(nobody)".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

fn safe(text: &str) -> String {
    escape(&shorten(text, TEXT_BYTES_MAX)).into_owned()
}

/// A session with all its lines.
pub(in crate::cli) fn session_with_lines(session: &Session) -> Value {
    session_json(session, &session.facts(), View::Lines)
}

fn session_json(session: &Session, facts: &Facts, view: View) -> Value {
    let mut value = json!({
        "session": session.id,
        "direction": session.direction,
        "connector": session.connector,
        "local": session.local,
        "remote": session.remote,
        "started": format!("{:.3}", session.started),
        "last": format!("{:.3}", session.last),
        "ended": session.ended,
        "facts": facts,
    });
    if view == View::Lines {
        value["lines"] = session.lines.iter().map(line_json).collect();
        value["left_out"] = session.left_out.into();
    }
    value
}

pub(super) fn line_json(line: &Line) -> Value {
    json!({
        "at": format!("{:.3}", line.at),
        "sequence": line.sequence,
        "event": line.kind.as_char().to_string(),
        "data": line.data,
        "context": line.context,
    })
}
