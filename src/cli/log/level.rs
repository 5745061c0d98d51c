//! `sealpost log level`: how much the running server writes into its event log.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::cli::reload::{AskError, ask};
use crate::cli::user;
use crate::observe::text::escape;
use crate::policy::LogLevels;
use crate::relay::control::Request;

#[derive(Debug, Args)]
pub(super) struct LevelArgs {
    /// LEVEL (off, error, warn, info, debug, trace) for the server's own records, TARGET=LEVEL for
    /// those of one target such as hickory_resolver, or `configured`; without it, what is in force
    #[arg(value_name = "[TARGET=]LEVEL", value_parser = change)]
    change: Option<String>,
    #[arg(long)]
    json: bool,
}

fn change(text: &str) -> Result<String, String> {
    if text != "configured" {
        LogLevels::default().change(text).map_err(|error| error.to_string())?;
    }
    Ok(text.to_owned())
}

/// Exit status 0; 1: no server, or it refuses; 2: the configuration cannot be read.
pub(super) fn run(args: &LevelArgs, config: &Path) -> ExitCode {
    let request = Request::LogLevel { set: args.change.clone(), user: user::name() };
    match ask(config, &request) {
        Ok(answer) => match answer.get("error").and_then(Value::as_str) {
            None => {
                outln!("{}", if args.json { answer.to_string() } else { words(&answer) });
                ExitCode::SUCCESS
            }
            Some(error) => {
                eprintln!("sealpost log level: {}", escape(error));
                ExitCode::from(1)
            }
        },
        Err(error) => {
            eprintln!("sealpost log level: {error}");
            ExitCode::from(if matches!(error, AskError::Location(_)) { 2 } else { 1 })
        }
    }
}

fn words(answer: &Value) -> String {
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    let (now, configured) = (text("level"), text("configured"));
    if now == configured {
        return format!("level {now}, as configured");
    }
    format!("level {now}, until the next reload or restart; configured is {configured}")
}
