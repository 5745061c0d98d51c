//! `sealpost config`: check the file, show what is in force, change a key, print the reference.

mod file;
mod set;
mod written;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use crate::config::{self, Problem, Severity};

use super::{bundle, reload};

pub use file::ConfigFile;
pub use set::usage;
pub use written::Written;

/// The answer is no: what was asked for is not in the file.
const EXIT_NO: u8 = 1;
/// The configuration holds an error.
const EXIT_CONFIGURATION: u8 = 2;

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration; tells every error and warning at once
    Check {
        #[arg(long)]
        json: bool,
    },
    /// Show what is in force, defaults included
    Show {
        /// Such as `send_connector.Internet`, `partner` or `transport`; default: everything
        selector: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Print every key with type, default and meaning
    Reference {
        #[arg(long)]
        json: bool,
    },
    /// Change one key of the file, and nothing else in it; what the server would refuse is not written
    Set(set::SetArgs),
    /// Have the running server read its configuration again; returns when it took effect
    Reload,
    #[command(flatten)]
    Bundle(bundle::BundleCommand),
}

/// Exit status 0, 1 (no such section) or 2 (the configuration holds an error).
pub fn run(command: &ConfigCommand, file: &Path) -> ExitCode {
    match command {
        ConfigCommand::Check { json } => check(file, *json),
        ConfigCommand::Show { selector, json } => show(file, selector.as_deref(), *json),
        ConfigCommand::Set(args) => match set::run(args, file) {
            Ok(status) => ExitCode::from(status),
            Err(refusal) => {
                eprintln!("sealpost config set: {}", refusal.sentence);
                ExitCode::from(refusal.status)
            }
        },
        ConfigCommand::Bundle(command) => command.run(file),
        ConfigCommand::Reload => reload::run(file),
        ConfigCommand::Reference { json: false } => print_out(&config::reference::markdown()),
        ConfigCommand::Reference { json: true } => {
            print_out(&format!("{:#}\n", config::reference::to_json()))
        }
    }
}

fn check(path: &Path, json: bool) -> ExitCode {
    let (ok, problems) = match config::load(path) {
        Ok(loaded) => (true, loaded.warnings),
        Err(problems) => (false, problems),
    };
    let (errors, warnings): (Vec<_>, Vec<_>) =
        problems.iter().partition(|problem| problem.severity == Severity::Error);
    if json {
        let answer = json!({"ok": ok, "errors": errors, "warnings": warnings});
        print_out(&format!("{answer:#}\n"));
    } else {
        report(&problems);
        if ok {
            print_out(&format!("{}: no errors, {} warnings\n", path.display(), warnings.len()));
        }
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIGURATION) }
}

fn show(path: &Path, selector: Option<&str>, json: bool) -> ExitCode {
    let document = match config::read(path) {
        Ok(document) => document,
        Err(problems) => {
            report(&problems);
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    match config::render::select(&document, selector) {
        Ok(tables) if json => print_out(&format!("{:#}\n", config::render::to_json(&tables))),
        Ok(tables) => print_out(&config::render::text(&tables)),
        Err(sentence) => {
            eprintln!("sealpost: {sentence}");
            ExitCode::from(EXIT_NO)
        }
    }
}

/// Every problem on standard error, one a line; warnings say that they are.
pub fn report(problems: &[Problem]) {
    for problem in problems {
        match problem.severity {
            Severity::Error => eprintln!("{problem}"),
            Severity::Warning => eprintln!("warning: {problem}"),
        }
    }
}

fn print_out(text: &str) -> ExitCode {
    super::print::print_out(text);
    ExitCode::SUCCESS
}
