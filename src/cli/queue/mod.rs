//! `sealpost queue`: see and steer what waits (Exchange: Get-, Retry-, Suspend-, Resume-, Redirect-,
//! Remove-, Export-Message).

mod care;
mod export;
mod hold;
mod list;
mod progress;
mod text;
mod which;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::mail::text::escape;
use crate::relay::control::{Request, plural};

use super::page::{fold, terminal_width};
use super::reload::{self, AskError};

use progress::Progress;
use which::{Action, queue_id};

#[derive(Debug, Args)]
pub struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// List messages, oldest first
    List(list::ListArgs),
    /// Show one message with all its recipients
    Show {
        id: String,
        #[arg(long)]
        json: bool,
    },
    /// Say why a message is still here, what was wanted and what was got
    Why {
        id: String,
        #[arg(long)]
        json: bool,
    },
    /// Try messages again now
    Retry(Action),
    /// Suspend messages until they are resumed
    Suspend(Action),
    /// Let suspended messages go
    Resume(Action),
    /// Take messages out of the queue, with a delivery status notification to their senders
    Remove {
        #[command(flatten)]
        action: Action,
        /// Tell the senders nothing
        #[arg(long)]
        no_dsn: bool,
    },
    /// Send messages to another host, by the same connector and under the same demands
    Redirect {
        #[command(flatten)]
        action: Action,
        /// The host, not an MX look-up of it; without a port the connector's is used
        #[arg(long, value_name = "HOST[:PORT]", required_unless_present = "undo")]
        to: Option<String>,
        /// Give them back to the route of the settings
        #[arg(long, conflicts_with = "to")]
        undo: bool,
    },
    /// Write one message to standard output, or many into a directory
    Export(export::ExportArgs),
    /// Hold mail to come: what the rule names enters the queue suspended
    Hold(hold::HoldArgs),
    /// End rules of `queue hold`, and let go what they held
    Release(hold::ReleaseArgs),
    /// Read the whole queue on the disk and tell what is wrong with it; the server may run
    Check {
        #[arg(long)]
        json: bool,
    },
    /// Make a new index from all that can be read, with the server stopped; the old one is kept
    Rebuild {
        #[arg(long)]
        json: bool,
    },
}

/// Runs a queue command against the server of these settings.
pub fn run(args: &QueueArgs, config: &Path) -> ExitCode {
    match execute(&args.command, Server { config }) {
        Ok(status) => status,
        Err(failure) => {
            eprintln!("sealpost queue: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Answer(String),
    #[error("{0}")]
    Write(#[from] io::Error),
}

impl Failure {
    fn other_version() -> Self {
        Self::Answer("the server answered in words of another version; restart it".to_owned())
    }

    /// An action on everything must be asked for by name.
    fn unnamed() -> Self {
        Self::Usage("name a queue id or a filter, or say --all for every message".to_owned())
    }
}

fn execute(command: &QueueCommand, server: Server<'_>) -> Result<ExitCode, Failure> {
    match command {
        QueueCommand::List(args) => list::run(args, server),
        QueueCommand::Show { id, json } => {
            let answer = server.ask(&Request::QueueShow { id: queue_id(id)?.to_string() })?;
            print_answer(&answer, *json, text::shown)
        }
        QueueCommand::Why { id, json } => {
            let answer = server.ask(&Request::QueueWhy { id: queue_id(id)?.to_string() })?;
            print_answer(&answer, *json, text::why)
        }
        QueueCommand::Export(args) => export::run(args, server),
        QueueCommand::Hold(args) => hold::hold(args, server),
        QueueCommand::Release(args) => hold::release(args, server),
        QueueCommand::Check { json } => care::check(server, *json),
        QueueCommand::Rebuild { json } => care::rebuild(server, *json),
        QueueCommand::Retry(action) => {
            let (filter, user) = action.selection()?;
            act(server, action, &Request::QueueRetry { filter, user }, "due")
        }
        QueueCommand::Suspend(action) => {
            let (filter, user) = action.selection()?;
            act(server, action, &Request::QueueSuspend { filter, user }, "suspended")
        }
        QueueCommand::Resume(action) => {
            let (filter, user) = action.selection()?;
            act(server, action, &Request::QueueResume { filter, user }, "resumed")
        }
        QueueCommand::Remove { action, no_dsn } => {
            let (filter, user) = action.selection()?;
            act(server, action, &Request::QueueRemove { filter, user, dsn: !no_dsn }, "removed")
        }
        QueueCommand::Redirect { action, to, undo: _ } => {
            let (filter, user) = action.selection()?;
            act(server, action, &Request::QueueRedirect { filter, user, to: to.clone() }, "redirected")
        }
    }
}

/// An action on many messages. Exit status 1 when it was done to none.
fn act(
    server: Server<'_>,
    action: &Action,
    request: &Request,
    done: &'static str,
) -> Result<ExitCode, Failure> {
    let mut progress = Progress::new(done);
    let answer = server.ask_long(request, &mut progress)?;
    drop(progress);
    let count = |value: &Value| usize::try_from(value.as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
    let messages = count(&answer["messages"]);
    if action.json {
        outln!("{answer}");
    } else if messages > 0 {
        outln!("{}", plural(messages, "message"));
    }
    if let (secured @ 1.., false) = (count(&answer["secured"]), action.json) {
        let recipients = plural(secured, "recipient");
        outln!("domain-secured as before, and checked against the recipient's domain: {recipients}");
    }
    for (reason, recipients) in answer["refused"].as_object().into_iter().flatten() {
        let recipients = plural(count(recipients), "recipient");
        eprintln!("sealpost queue: not done to {recipients}: {reason}; `sealpost queue why` says more");
    }
    if messages == 0 {
        let text = "no message in the queue that this could be done to: none is meant, or it is being tried \
                    at this moment (`active` in `sealpost queue list`), which takes seconds; then ask again";
        return Err(Failure::Answer(text.to_owned()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The server that runs with these settings.
#[derive(Clone, Copy)]
struct Server<'a> {
    config: &'a Path,
}

impl Server<'_> {
    fn ask(self, request: &Request) -> Result<Value, Failure> {
        answered(reload::ask(self.config, request))
    }

    fn ask_long(self, request: &Request, progress: &mut Progress) -> Result<Value, Failure> {
        let mut show = |report: &Value| {
            let count = |key: &str| report[key].as_u64().unwrap_or(0);
            progress.show(count("seen"), usize::try_from(count("messages")).unwrap_or(usize::MAX));
        };
        answered(reload::ask_with(self.config, request, &mut show))
    }
}

/// An answer with a member `error` is a refusal.
fn answered(answer: Result<Value, AskError>) -> Result<Value, Failure> {
    let answer = answer.map_err(|error| match error {
        AskError::Location(error) => Failure::Usage(error.to_string()),
        AskError::Control(error) => Failure::Answer(error.to_string()),
    })?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(Failure::Answer(error.to_owned())),
        None => Ok(answer),
    }
}

fn print_answer(answer: &Value, json: bool, told: fn(&Value) -> String) -> Result<ExitCode, Failure> {
    if json {
        outln!("{answer:#}");
    } else {
        let width = terminal_width().unwrap_or(usize::MAX);
        for line in told(answer).lines() {
            // Addresses and replies are a stranger's words.
            fold(&escape(line), text::VALUE_AT, width).iter().for_each(|line| outln!("{line}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
