//! Which sessions an operator means: the options of all `sealpost log` commands that read logs.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::cli::fault_names::FaultNames;
use crate::cli::location::{Location, LocationError};
use crate::observe::log_reader::{AddressFilter, Filter, Outcome, VerdictIs};
use crate::observe::text::escape;
use crate::trust::{Direction, Fault};

/// All conditions must hold.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Session id, as it stands in replies and stamps
    #[arg(value_parser = session_id)]
    pub(super) session: Option<String>,
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
    #[arg(long, value_parser = FaultNames, hide_possible_values = true)]
    pub(super) fault: Option<String>,
    #[arg(long, value_enum)]
    outcome: Option<OutcomeArg>,
    /// What the last verdict on domain security in the session was
    #[arg(long, value_enum)]
    verdict: Option<VerdictArg>,
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
    pub(super) json: bool,
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
enum VerdictArg {
    Admitted,
    Refused,
    /// Nothing was judged
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DirectionArg {
    Inbound,
    Outbound,
}

impl Which {
    pub(super) fn directory(&self, config: &Path) -> Result<PathBuf, LocationError> {
        match &self.dir {
            Some(directory) => Ok(directory.clone()),
            None => Location::read(config)?.protocol_log(),
        }
    }

    pub(super) fn filter(&self, config: &Path) -> Result<Filter, LocationError> {
        let mut domains = self.domain.clone();
        if let Some(partner) = &self.partner {
            domains.extend(Location::read(config)?.partner_domains(partner)?);
        }
        Ok(Filter {
            sessions: self.session.iter().map(|id| id.to_ascii_uppercase()).collect(),
            domains,
            address: self.address.clone(),
            connector: self.connector.clone(),
            fault: self.fault.clone(),
            outcome: self.outcome.map(OutcomeArg::outcome),
            verdict: self.verdict.map(VerdictArg::verdict),
            message: self.message.clone(),
            direction: self.direction.map(DirectionArg::direction),
            since: self.since,
            until: self.until,
        })
    }

    /// What may be the reason that nothing was found. What an Exchange log calls a fault may be anything, so that only nothing found makes a name
    /// doubtful.
    pub(super) fn doubt(&self) -> String {
        if let Some(message) = &self.message {
            return format!(
                "; connectors with protocol_logging_level = \"none\" write no lines, and `sealpost trace {}` says what \
                 became of a message",
                escape(message)
            );
        }
        if let Some(id) = &self.session {
            return format!(
                "; an id that a partner quotes is of a session in its own log, and with a queue id `sealpost trace {}` \
                 goes further",
                escape(id)
            );
        }
        let Some(name) = self.fault.as_deref().filter(|name| Fault::from_name(name).is_none()) else {
            return String::new();
        };
        let near = crate::config::nearest(name, Fault::all().map(Fault::name));
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!(", and {name} is no fault of docs/faults.md{near}")
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

impl VerdictArg {
    fn verdict(self) -> VerdictIs {
        match self {
            VerdictArg::Admitted => VerdictIs::Admitted,
            VerdictArg::Refused => VerdictIs::Refused,
            VerdictArg::None => VerdictIs::None,
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

/// A session id of ours or of Exchange's.
fn session_id(text: &str) -> Result<String, String> {
    if text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(text.to_owned());
    }
    Err("a session id has 16 hexadecimal digits; `--message` finds a queue id or a Message-ID".to_owned())
}
