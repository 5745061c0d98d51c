//! Which messages a command means: the filters that all of them share.

use clap::builder::TypedValueParser as _;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use sealpost_queue::{Filter, MessageId, Status};

use crate::cli::fault_names::FaultNames;
use crate::cli::user;
use crate::mail::{Address, Domain};
use crate::relay::control::Selection;
use crate::trust::Fault;

use super::Failure;

/// Which messages; all conditions must hold.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Queue id
    pub(super) id: Option<String>,
    /// A recipient's domain, or the next hop
    #[arg(long)]
    domain: Option<String>,
    /// The reverse-path; "<>" is the null one
    #[arg(long)]
    sender: Option<String>,
    /// A recipient's address
    #[arg(long)]
    recipient: Option<String>,
    #[arg(long, value_enum)]
    status: Option<StatusArg>,
    /// In the queue for longer than this: "30 min", "2 hours"
    #[arg(long, value_name = "DURATION")]
    older_than: Option<String>,
    /// The send connector's name
    #[arg(long)]
    connector: Option<String>,
    /// The next hop as `queue list` shows it
    #[arg(long, value_name = "HOST")]
    next_hop: Option<String>,
    /// What the last attempt failed of, such as NameMismatch; docs/faults.md lists them
    #[arg(long, value_parser = FaultNames.try_map(|name| fault(&name)), hide_possible_values = true)]
    fault: Option<Fault>,
}

/// What is done to many messages.
#[derive(Debug, Args)]
pub(super) struct Action {
    #[command(flatten)]
    which: Which,
    /// Every message in the queue
    #[arg(long)]
    all: bool,
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StatusArg {
    Active,
    Ready,
    Retry,
    Suspended,
}

pub(super) fn queue_id(text: &str) -> Result<MessageId, Failure> {
    text.parse()
        .map_err(|_| Failure::Usage(format!("{text} is not a queue id; it has 16 hexadecimal digits")))
}

fn fault(text: &str) -> Result<Fault, String> {
    Fault::from_name(text).ok_or_else(|| format!("{text} is no fault; docs/faults.md lists them"))
}

impl Which {
    pub(super) fn selection(&self) -> Result<Selection, Failure> {
        let id = self.id.as_deref().map(queue_id).transpose()?;
        let received_before = match &self.older_than {
            None => None,
            Some(text) => {
                let age = milliseconds(text, "--older-than")?;
                Some(Timestamp::now().as_millisecond().saturating_sub(age))
            }
        };
        let queue = Filter {
            id,
            after: None,
            domain: self.domain.as_deref().map(domain_as_stored),
            sender: self.sender.as_deref().map(address_as_stored),
            recipient: self.recipient.as_deref().map(address_as_stored),
            status: self.status.map(StatusArg::status),
            received_before,
            limit: None,
        };
        let next_hop = self.next_hop.as_deref().map(domain_as_stored);
        Ok(Selection { queue, connector: self.connector.clone(), next_hop, fault: self.fault })
    }

    pub(super) fn is_empty(&self) -> bool {
        let Self { id, domain, sender, recipient, status, older_than, connector, next_hop, fault } = self;
        id.is_none()
            && domain.is_none()
            && sender.is_none()
            && recipient.is_none()
            && status.is_none()
            && older_than.is_none()
            && connector.is_none()
            && next_hop.is_none()
            && fault.is_none()
    }
}

impl Action {
    /// What is meant and who asks. An action on everything must be asked for by name.
    pub(super) fn selection(&self) -> Result<(Selection, String), Failure> {
        if self.which.is_empty() && !self.all {
            return Err(Failure::unnamed());
        }
        Ok((self.which.selection()?, user::name()))
    }
}

impl StatusArg {
    fn status(self) -> Status {
        match self {
            StatusArg::Active => Status::Active,
            StatusArg::Ready => Status::Ready,
            StatusArg::Retry => Status::Retry,
            StatusArg::Suspended => Status::Suspended,
        }
    }
}

/// A duration as an operator writes it.
pub(super) fn milliseconds(text: &str, option: &str) -> Result<i64, Failure> {
    let span = crate::config::parse_duration(text).map_err(|_| {
        Failure::Usage(format!("{option}: {text} is not a duration; write \"30 min\" or \"2 hours\""))
    })?;
    Ok(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}

/// A domain as the queue writes it; what is none is looked for as it stands.
pub(super) fn domain_as_stored(domain: &str) -> String {
    Domain::parse_rooted(domain).map_or_else(|_| domain.to_ascii_lowercase(), |domain| domain.to_string())
}

/// An address as the queue writes it, with or without angle brackets; `<>` is the null reverse-path.
pub(super) fn address_as_stored(text: &str) -> String {
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    Address::parse(inner).map_or_else(|_| inner.to_owned(), |address| address.to_string())
}
