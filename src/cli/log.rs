//! `sealpost log`: protocol logs, session by session, ours and Exchange's own.

pub(super) mod print;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use crate::observe::log_reader::{
    AddressFilter, Assembler, Filter, Follower, LogFiles, LogLine, Outcome, ReadError, Session,
};
use crate::trust::{Direction, Fault};

use super::location::{Location, LocationError};

/// How often `follow` looks for new lines.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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
}

/// Which sessions; all conditions must hold.
#[derive(Debug, Args)]
struct Which {
    /// Session id, as it stands in replies and stamps
    #[arg(value_parser = session_id)]
    session: Option<String>,
    /// Directory (or one file) of protocol logs, ours or Exchange's [default: the configuration's]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Domain of a sender or recipient, or the judged one; may be repeated
    #[arg(long)]
    domain: Vec<String>,
    /// A partner of the configuration: any of its domains
    #[arg(long)]
    partner: Option<String>,
    /// IP address or range of the other side, or a mail address
    #[arg(long, value_parser = AddressFilter::parse)]
    address: Option<AddressFilter>,
    #[arg(long)]
    connector: Option<String>,
    /// Such as NameMismatch; docs/faults.md lists them
    #[arg(long)]
    fault: Option<String>,
    #[arg(long, value_enum)]
    outcome: Option<OutcomeArg>,
    /// Queue id, message id or other text of a line
    #[arg(long)]
    message: Option<String>,
    #[arg(long, value_enum)]
    direction: Option<DirectionArg>,
    /// Not before this time (RFC 3339)
    #[arg(long)]
    since: Option<Timestamp>,
    /// Not after this time (RFC 3339)
    #[arg(long)]
    until: Option<Timestamp>,
    /// JSON: an array of sessions; with `follow` an object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutcomeArg {
    /// A message got its 250
    Accepted,
    /// A command or message got a 5xx
    Refused,
    /// A command or message got a 4xx
    Deferred,
    /// No disconnect line
    Unfinished,
    /// Nothing was sent
    Idle,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DirectionArg {
    Inbound,
    Outbound,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error(transparent)]
    Location(#[from] LocationError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot write to standard output: {0}; see where it leads and whether that disk has space")]
    Write(#[from] io::Error),
}

/// Exit status 0, 1 (no such session, or logs cannot be read) or 2 (configuration).
pub fn run(args: &LogArgs, config: &Path) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let result = match &args.command {
        LogCommand::Show(which) => sessions(which, config, View::Lines, &mut out),
        LogCommand::Sessions(which) => sessions(which, config, View::Summary, &mut out),
        LogCommand::Follow(which) => follow(which, config, &mut out),
    };
    match result.and_then(|found| Ok(out.flush().map(|()| found)?)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        // Whoever reads has seen enough.
        Err(LogError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealpost: {error}");
            ExitCode::from(if matches!(error, LogError::Location(_)) { 2 } else { 1 })
        }
    }
}

/// How a session is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Lines,
    Summary,
}

impl Which {
    fn directory(&self, config: &Path) -> Result<PathBuf, LocationError> {
        match &self.dir {
            Some(directory) => Ok(directory.clone()),
            None => Location::read(config)?.protocol_log(),
        }
    }

    fn filter(&self, config: &Path) -> Result<Filter, LocationError> {
        let mut domains = self.domain.clone();
        if let Some(partner) = &self.partner {
            domains.extend(Location::read(config)?.partner_domains(partner)?);
        }
        Ok(Filter {
            session: self.session.clone(),
            domains,
            address: self.address.clone(),
            connector: self.connector.clone(),
            fault: self.fault.clone(),
            outcome: self.outcome.map(OutcomeArg::outcome),
            message: self.message.clone(),
            direction: self.direction.map(DirectionArg::direction),
            since: self.since,
            until: self.until,
        })
    }
}

impl OutcomeArg {
    fn outcome(self) -> Outcome {
        match self {
            OutcomeArg::Accepted => Outcome::Accepted,
            OutcomeArg::Refused => Outcome::Refused,
            OutcomeArg::Deferred => Outcome::Deferred,
            OutcomeArg::Unfinished => Outcome::Unfinished,
            OutcomeArg::Idle => Outcome::Idle,
        }
    }
}

impl DirectionArg {
    fn direction(self) -> Direction {
        match self {
            DirectionArg::Inbound => Direction::Inbound,
            DirectionArg::Outbound => Direction::Outbound,
        }
    }
}

/// Prints the sessions that match; says whether there was one.
fn sessions(which: &Which, config: &Path, view: View, out: &mut impl Write) -> Result<bool, LogError> {
    let filter = which.filter(config)?;
    let directory = which.directory(config)?;
    let mut files = LogFiles::open(&directory)?;
    let mut assembler = Assembler::default();
    let mut printer = print::Sessions::new(view, which.json);
    while let Some(line) = files.next_line()? {
        for session in assembler.take(line) {
            print_matching(&mut printer, &filter, &session, out)?;
        }
    }
    for session in assembler.finish() {
        print_matching(&mut printer, &filter, &session, out)?;
    }
    printer.end(out)?;
    if files.skipped() > 0 {
        eprintln!("sealpost: {} lines below {} could not be read", files.skipped(), directory.display());
    }
    if printer.count() == 0 && !which.json {
        let doubt = which.fault.as_deref().map(doubtful_fault).unwrap_or_default();
        eprintln!("sealpost: no session below {} matches{doubt}", directory.display());
    }
    Ok(printer.count() > 0)
}

/// A session id of ours or of Exchange's.
fn session_id(text: &str) -> Result<String, String> {
    if text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(text.to_owned());
    }
    Err("a session id has 16 hexadecimal digits; `--message` finds a queue id or a Message-ID".to_owned())
}

/// What an Exchange log calls a fault may be anything, so that only nothing found makes a name
/// doubtful.
fn doubtful_fault(name: &str) -> String {
    if Fault::from_name(name).is_some() {
        return String::new();
    }
    let known = Fault::all().map(Fault::name);
    let near =
        crate::config::nearest(name, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    format!(", and {name} is no fault of docs/faults.md{near}")
}

fn print_matching(
    printer: &mut print::Sessions,
    filter: &Filter,
    session: &Session,
    out: &mut impl Write,
) -> io::Result<()> {
    if filter.matches(session) { printer.session(session, out) } else { Ok(()) }
}

/// Prints lines as they come, until the reader goes away or the process is stopped.
fn follow(which: &Which, config: &Path, out: &mut impl Write) -> Result<bool, LogError> {
    let filter = which.filter(config)?;
    let mut follower = Follower::at_end(&which.directory(config)?)?;
    let mut tail = Tail::default();
    loop {
        for line in follower.poll()? {
            for line in tail.take(line, &filter) {
                print::followed(&line, which.json, out)?;
            }
        }
        out.flush()?;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Holds the lines of a session back until the session meets the filter.
#[derive(Debug, Default)]
struct Tail {
    assembler: Assembler,
    /// Sessions whose lines are being printed.
    shown: std::collections::HashSet<(Direction, String, String)>,
}

impl Tail {
    /// The lines that may be printed now that this one has come.
    fn take(&mut self, line: LogLine, filter: &Filter) -> Vec<LogLine> {
        if filter.is_empty() {
            return vec![line];
        }
        let key = (line.direction, line.connector.clone(), line.session.clone());
        let ended = self.assembler.take(line.clone());
        let whole = ended.iter().find(|s| s.id == key.2 && s.connector == key.1 && s.direction == key.0);
        for gone in ended.iter().filter(|session| session.id != key.2) {
            self.shown.remove(&(gone.direction, gone.connector.clone(), gone.id.clone()));
        }
        if self.shown.contains(&key) {
            if whole.is_some() {
                self.shown.remove(&key);
            }
            return vec![line];
        }
        match whole.or_else(|| self.assembler.open_session(&line)) {
            Some(session) if filter.matches(session) => {
                let lines = session.lines.clone();
                if whole.is_none() {
                    self.shown.insert(key);
                }
                lines
            }
            Some(_) | None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
