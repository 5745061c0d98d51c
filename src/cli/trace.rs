//! `sealpost trace`: what became of a message (Exchange: Get-MessageTrackingLog), read from the files
//! of message tracking, so that no server need run.

mod print;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use crate::observe::log_reader::{Filter, Query, ReadError, Session, scan};
use crate::observe::tracking::follow::{self, MESSAGES, Search, Traced, Wanted};
use crate::observe::tracking::{FOLDER, Files, TrackingReadError};

use super::location::{Location, LocationError};

/// How long before and after a record its session's lines are looked for.
const SESSION_MARGIN: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Message-ID, with or without angle brackets, or queue id
    message: Option<String>,
    /// The reverse-path; "<>" is the null one
    #[arg(long)]
    sender: Option<String>,
    /// A recipient's address, or `@` and a domain
    #[arg(long)]
    recipient: Option<String>,
    /// Not before this time (RFC 3339)
    #[arg(long)]
    since: Option<Timestamp>,
    /// Not after this time (RFC 3339)
    #[arg(long)]
    until: Option<Timestamp>,
    /// At most this many messages, the newest
    #[arg(long, value_name = "COUNT", default_value_t = MESSAGES)]
    limit: usize,
    /// Show the lines of the sessions in the protocol log as well
    #[arg(long)]
    sessions: bool,
    /// Directory (or one file) of message tracking, ours or Exchange's [default: the configuration's]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum TraceError {
    #[error("name a Message-ID, or --sender, --recipient, --since or --until")]
    Everything,
    #[error(transparent)]
    Location(#[from] LocationError),
    #[error(transparent)]
    Tracking(#[from] TrackingReadError),
    #[error(transparent)]
    ProtocolLog(#[from] ReadError),
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

impl TraceArgs {
    /// `None` where nothing is asked for.
    fn wanted(&self) -> Option<Wanted> {
        Wanted::new(Search {
            message: self.message.clone(),
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            since: self.since,
            until: self.until,
            limit: Some(self.limit),
        })
    }
}

/// Exit status 0, 1 (nothing found, or files cannot be read) or 2 (usage, configuration).
pub fn run(args: &TraceArgs, config: &Path) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match trace(args, config, &mut out).and_then(|found| Ok(out.flush().map(|()| found)?)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        // Whoever reads has seen enough.
        Err(TraceError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealpost trace: {error}");
            let usage = matches!(error, TraceError::Everything | TraceError::Location(_));
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

fn trace(args: &TraceArgs, config: &Path, out: &mut impl Write) -> Result<bool, TraceError> {
    let wanted = args.wanted().ok_or(TraceError::Everything)?;
    let directory = match &args.dir {
        Some(directory) => directory.clone(),
        None => Location::read(config)?.message_tracking()?.join(FOLDER),
    };
    let mut files = Files::find(&directory)?;
    let traced = follow::trace(&mut files, &wanted)?;
    let sessions = if args.sessions { sessions(args, config, &traced)? } else { Vec::new() };
    if args.json {
        print::json(&traced, args.sessions.then_some(sessions.as_slice()), out)?;
    } else {
        print::text(&traced, &sessions, out)?;
    }
    if files.skipped > 0 {
        eprintln!("sealpost trace: {} lines below {} could not be read", files.skipped, directory.display());
    }
    if traced.messages.is_empty() && !args.json {
        eprintln!("sealpost trace: {}", print::nothing(&wanted, &files, &directory));
    } else if traced.more {
        eprintln!(
            "sealpost trace: these are the newest {}; name a time with --since or --until, or more with --limit",
            wanted.limit
        );
    }
    if args.sessions && sessions.is_empty() && !traced.sessions().is_empty() {
        eprintln!(
            "sealpost trace: the protocol log has no lines of these sessions; its connectors need \
             protocol_logging_level = \"verbose\", and its files may be gone"
        );
    }
    Ok(!traced.messages.is_empty())
}

/// The sessions in the protocol log that the records name, in order.
fn sessions(args: &TraceArgs, config: &Path, traced: &Traced) -> Result<Vec<Session>, TraceError> {
    let wanted = traced.sessions();
    let Some((first, last)) = traced.span().filter(|_| !wanted.is_empty()) else { return Ok(Vec::new()) };
    let directory = match &args.dir {
        // The protocol log lies beside it, as in Exchange.
        Some(directory) if directory.is_dir() => directory.parent().unwrap_or(directory).to_owned(),
        _ => Location::read(config)?.protocol_log()?,
    };
    let filter = Filter {
        sessions: wanted.iter().map(|id| id.to_ascii_uppercase()).collect(),
        since: Some(first.saturating_sub(SESSION_MARGIN).unwrap_or(Timestamp::MIN)),
        until: Some(last.saturating_add(SESSION_MARGIN).unwrap_or(Timestamp::MAX)),
        ..Filter::default()
    };
    let mut found = Vec::new();
    scan(&directory, &Query { filter, lines: true }, &mut |_, _| (), &mut |session, _| {
        found.push(session);
        Ok::<(), ReadError>(())
    })?;
    found.sort_by_key(|session| session.started);
    Ok(found)
}

#[cfg(test)]
mod tests;
