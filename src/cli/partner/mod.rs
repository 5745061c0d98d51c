//! `sealpost partner`: what each partner is judged by, what was seen of it, and a walk to it as the
//! server would go.

mod certificate;
mod change;
mod list;
mod probe;
mod show;
mod words;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::Value;

use crate::admin::control::{self, ControlError};
use crate::cli::print::print_out;
use crate::config::Severity;
use crate::observe::partners;
use crate::relay::ListsAtHand;
use crate::relay::control::{Request, plural};
use crate::relay::partners::{PartnerView, Site, describe};

use super::certificate::place::Refusal;
use super::location::Location;

/// The answer is no, or it failed.
const EXIT_NO: u8 = 1;
const EXIT_CONFIGURATION: u8 = 2;

#[derive(Debug, Subcommand)]
pub enum PartnerCommand {
    /// List partners: mode, last good and last failed session, what expires
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show a partner: settings in force, what was seen, what report mode would have refused
    Show {
        /// Name or domain of the partner
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// Add a partner to the configuration file, comments and everything else kept
    Add(change::AddArgs),
    /// Take a partner out of the configuration file: mail with it is ordinary mail from then on
    Remove(change::RemoveArgs),
    /// Walk to a domain as the server would, judge what is there, and send no mail
    Probe(probe::ProbeArgs),
}

/// Why there is no answer.
enum Failure {
    Answer(String),
    /// Problems of the configuration have been told.
    Configuration,
}

/// Exit status 0, 1 (no such partner, not admitted, or it failed) or 2 (usage or configuration).
pub fn run(command: &PartnerCommand, config: &Path) -> ExitCode {
    let done = match command {
        PartnerCommand::List { json } => views(config, None).map(|views| {
            print_out(if *json { to_json(&views) } else { list::text(&views) });
            ExitCode::SUCCESS
        }),
        PartnerCommand::Show { name, json } => show(config, name, *json),
        PartnerCommand::Add(args) => changed(change::add(args, config)),
        PartnerCommand::Remove(args) => changed(change::remove(args, config)),
        PartnerCommand::Probe(args) => probe::run(args, config),
    };
    match done {
        Ok(status) => status,
        Err(Failure::Answer(error)) => {
            eprintln!("sealpost partner: {error}");
            ExitCode::from(EXIT_NO)
        }
        Err(Failure::Configuration) => ExitCode::from(EXIT_CONFIGURATION),
    }
}

fn changed(done: Result<u8, Refusal>) -> Result<ExitCode, Failure> {
    done.map(ExitCode::from).or_else(|refusal| {
        eprintln!("sealpost partner: {}", refusal.sentence);
        Ok(ExitCode::from(refusal.status))
    })
}

fn show(config: &Path, name: &str, json: bool) -> Result<ExitCode, Failure> {
    let views = views(config, Some(name))?;
    let Some(view) = views.first() else {
        let name = crate::observe::text::escape(name);
        let error = format!("no partner is called {name} or has that domain; see `sealpost partner list`");
        return Err(Failure::Answer(error));
    };
    if json {
        let text = serde_json::to_string_pretty(view).map_err(|error| Failure::Answer(error.to_string()))?;
        print_out(text + "\n");
    } else {
        print_out(show::text(view));
    }
    Ok(ExitCode::SUCCESS)
}

fn to_json(views: &[PartnerView]) -> String {
    // Structs of texts and numbers: this cannot fail.
    serde_json::to_string_pretty(views).unwrap_or_default() + "\n"
}

/// Asks the running server, whose settings count; without one, the files tell.
fn views(config: &Path, name: Option<&str>) -> Result<Vec<PartnerView>, Failure> {
    let answer = |error: String| Failure::Answer(error);
    let location = Location::read(config).map_err(|error| {
        eprintln!("sealpost partner: {error}");
        Failure::Configuration
    })?;
    let data = location.data_directory().map_err(|error| answer(error.to_string()))?;
    let request = Request::Partners { name: name.map(str::to_owned) };
    let request = serde_json::to_value(request).map_err(|error| answer(error.to_string()))?;
    match control::call(&control::socket_path(&data), &request) {
        Ok(response) => match response.get("error").and_then(Value::as_str) {
            Some(error) => Err(answer(error.to_owned())),
            None => serde_json::from_value(response["partners"].clone())
                .map_err(|error| answer(format!("the server's answer is not understood: {error}"))),
        },
        Err(ControlError::NotRunning { .. }) => offline(config, name),
        Err(error) => Err(answer(error.to_string())),
    }
}

fn offline(config: &Path, name: Option<&str>) -> Result<Vec<PartnerView>, Failure> {
    let settings = load(config)?;
    let record =
        partners::read(&settings.data_directory).map_err(|error| Failure::Answer(error.to_string()))?;
    let lists = lists(&settings).load();
    let site = Site { settings: &settings, record: &record, lists: &lists, now: Timestamp::now() };
    Ok(describe(site, name))
}

/// What the server would start with; files that cannot be used are told of.
fn lists(settings: &crate::policy::Settings) -> ListsAtHand {
    let (lists, problems) = ListsAtHand::open(settings);
    for (_, problem) in problems {
        eprintln!("sealpost partner: {problem}");
    }
    lists
}

/// The settings of the file as far as they can be read, with a word where a server would not take
/// them: at such a time it is to be seen how a partner fares.
fn load(config: &Path) -> Result<crate::policy::Settings, Failure> {
    match crate::config::look_into(config) {
        Ok((settings, problems)) => {
            let mut errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
            if let Some(first) = errors.next() {
                let more = match errors.count() {
                    0 => String::new(),
                    more => format!(" (and {})", plural(more, "more error")),
                };
                eprintln!(
                    "sealpost partner: a server would not take this file, which is used as far as it can be \
                     read: {first}{more}"
                );
            }
            Ok(settings)
        }
        Err(problems) => {
            super::config::report(&problems);
            Err(Failure::Configuration)
        }
    }
}
