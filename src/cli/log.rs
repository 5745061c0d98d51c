//! `sealpost log`: protocol logs, session by session, ours and Exchange's own.

mod explain;
mod follow;
mod level;
pub(super) mod print;
mod which;

use std::cell::RefCell;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::observe::log_reader::{Facts, Query, ReadError, Session, scan};

use super::location::LocationError;
use super::status_line::{StatusLine, bar};
use which::Which;

#[derive(Debug, Args)]
pub struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Show whole sessions, line by line
    Show(Which),
    /// Show lines as they are written; with conditions, those of sessions that meet them
    Follow(Which),
    /// List sessions, one a line
    Sessions(Which),
    /// Tell the story of a session, the line that decided, the remedy and who must act
    Explain(Which),
    /// Show or change how much the running server writes into its event log
    Level(level::LevelArgs),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error(transparent)]
    Location(#[from] LocationError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("name a session id, or what its lines hold, such as --message or --partner")]
    Everything,
    #[error("cannot write to standard output: {0}; see where it leads and whether that disk has space")]
    Write(#[from] io::Error),
}

/// Exit status 0, 1 (no such session, or logs cannot be read) or 2 (configuration).
pub fn run(args: &LogArgs, config: &Path) -> ExitCode {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let result = match &args.command {
        LogCommand::Show(which) => sessions(which, config, View::Lines, &mut out),
        LogCommand::Sessions(which) => sessions(which, config, View::Summary, &mut out),
        LogCommand::Explain(which) => explanations(which, config, &mut out),
        LogCommand::Level(args) => return level::run(args, config),
        LogCommand::Follow(which) => follow::run(which, config, &mut out),
    };
    match result.and_then(|found| Ok(out.flush().map(|()| found)?)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        // Whoever reads has seen enough.
        Err(LogError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealpost: {error}");
            let usage = matches!(error, LogError::Location(_) | LogError::Everything);
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

/// How a session is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Lines,
    Summary,
}

/// Prints the sessions that match; says whether there was one.
fn sessions(which: &Which, config: &Path, view: View, out: &mut impl Write) -> Result<bool, LogError> {
    let query = Query { filter: which.filter(config)?, lines: view == View::Lines };
    let mut printer = print::Sessions::new(view, which.json);
    each(which, config, &query, &mut |session, facts| printer.session(&session, &facts, out))?;
    printer.end(out)?;
    found(which, config, printer.count())
}

/// Explains the sessions that match; says whether there was one.
fn explanations(which: &Which, config: &Path, out: &mut impl Write) -> Result<bool, LogError> {
    let query = Query { filter: which.filter(config)?, lines: true };
    if query.filter.is_empty() {
        return Err(LogError::Everything);
    }
    let mut printer = explain::Explanations::new(which.json);
    each(which, config, &query, &mut |session, _| printer.session(&session, out))?;
    printer.end(out)?;
    found(which, config, printer.count)
}

/// Hands over the sessions that match, with a bar on a terminal while the logs are read.
fn each(
    which: &Which,
    config: &Path,
    query: &Query,
    take: &mut dyn FnMut(Session, Facts) -> io::Result<()>,
) -> Result<(), LogError> {
    let directory = which.directory(config)?;
    let line = RefCell::new(StatusLine::new());
    let tally = scan(
        &directory,
        query,
        &mut |done, total| line.borrow_mut().show(|| bar(done, total)),
        &mut |session, facts| {
            line.borrow_mut().clear();
            take(session, facts).map_err(LogError::from)
        },
    )?;
    drop(line);
    if tally.skipped > 0 {
        eprintln!("sealpost: {} lines below {} could not be read", tally.skipped, directory.display());
    }
    Ok(())
}

/// Whether there was one, and a word to whoever expected one.
fn found(which: &Which, config: &Path, count: usize) -> Result<bool, LogError> {
    if count == 0 && !which.json {
        let directory = which.directory(config)?;
        eprintln!("sealpost: no session below {} matches{}", directory.display(), which.doubt());
    }
    Ok(count > 0)
}

#[cfg(test)]
mod tests;
