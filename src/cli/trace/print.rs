//! Messages and their records on standard output. Text of a log is escaped: a sender chose its
//! Message-ID, and somebody may have edited the file.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::cli::log::print as log;
use crate::observe::log_reader::Session;
use crate::observe::text::{escape, shorten};
use crate::observe::tracking::{Entry, Files};

use crate::observe::tracking::follow::{Message, Traced, Wanted};

/// Recipients shown of one record, and the longest text of a line on a terminal; JSON has all.
const RECIPIENTS_SHOWN: usize = 5;
const TEXT_BYTES_MAX: usize = 2048;

pub(super) fn text(traced: &Traced, sessions: &[Session], out: &mut impl Write) -> io::Result<()> {
    for (place, message) in traced.messages.iter().enumerate() {
        if place > 0 {
            writeln!(out)?;
        }
        head(message, out)?;
        for entry in &message.events {
            record(entry, out)?;
        }
    }
    if traced.left_out > 0 {
        writeln!(out, "\n{} more records are not shown", traced.left_out)?;
    }
    for session in sessions {
        writeln!(out)?;
        log::whole(session, out)?;
    }
    Ok(())
}

pub(super) fn json(traced: &Traced, sessions: Option<&[Session]>, out: &mut impl Write) -> io::Result<()> {
    let mut value = json!({ "messages": traced.messages, "more": traced.more });
    if let Some(sessions) = sessions {
        value["sessions"] = sessions.iter().map(log::session_with_lines).collect();
    }
    writeln!(out, "{value:#}")
}

/// Why there is nothing to show, and where it was looked for.
pub(super) fn nothing(wanted: &Wanted, files: &Files, directory: &Path) -> String {
    let Some((oldest, newest)) = files.span() else {
        return format!(
            "there is no message tracking below {}; is [message_tracking] enabled, or is it elsewhere (--dir)?",
            directory.display()
        );
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let what = match &wanted.message {
        Some(message) => format!("no record of {}", safe(message)),
        None => "no record matches".to_owned(),
    };
    let files = match files.len() {
        1 => format!("{} was searched", name(newest)),
        count => format!("{count} files were searched, {} to {}", name(oldest), name(newest)),
    };
    format!("{what}: {files} in {}", directory.display())
}

/// `01A20157DDE70009 <one@contoso.example> from <anna@contoso.example>`
fn head(message: &Message, out: &mut impl Write) -> io::Result<()> {
    let Message { queue_id, message_id, sender, about, .. } = message;
    let id = if message_id.is_empty() { "(no Message-ID)" } else { message_id };
    write!(out, "{} {} from <{}>", safe(queue_id), safe(id), safe(sender))?;
    match about {
        Some(about) => writeln!(out, ", a report about {}", safe(about)),
        None => writeln!(out),
    }
}

/// `  2026-11-22T01:43:17.000Z SEND      bob@x.example  via mx.x.example by Internet; session …`
fn record(entry: &Entry, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "  {:.3} {:9} {}", entry.at, safe(&entry.event), safe(&recipients(entry)))?;
    let mut line = |label: &str, text: &str| -> io::Result<()> {
        if text.is_empty() { Ok(()) } else { writeln!(out, "      {label} {}", safe(text)) }
    };
    line("from", &joined(&[&entry.client_name, &entry.client]))?;
    line("to", &joined(&[&entry.server_name, &entry.server]))?;
    line("connector", &entry.connector)?;
    let custom = |name: &str| entry.custom.get(name).map(String::as_str).unwrap_or_default();
    line("session", custom("session"))?;
    line("domain-secured", custom("domain-secured"))?;
    line("required for", custom("tls-domain"))?;
    line("fault", custom("fault"))?;
    if entry.context != custom("session") {
        line(if entry.source == "ADMIN" { "by" } else { "reason" }, &entry.context)?;
    }
    line("status", &entry.status)?;
    line("next attempt", custom("next-attempt"))?;
    line("subject", &entry.subject)
}

fn joined(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

fn recipients(entry: &Entry) -> String {
    let shown: Vec<&str> = entry.recipients.iter().take(RECIPIENTS_SHOWN).map(String::as_str).collect();
    match entry.recipients.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn safe(text: &str) -> String {
    escape(&shorten(text, TEXT_BYTES_MAX)).into_owned()
}
