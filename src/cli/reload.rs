//! `sealpost config reload`: returns once the running server has taken or refused the settings, and
//! says what it put in force.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use crate::admin::control::{self, ControlError};
use crate::observe::text::escape;
use crate::relay::control::Request;

use super::location::{Location, LocationError};
use crate::cli::print::print_out;

/// Why a server was not asked, or gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Location(#[from] LocationError),
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// A server is found by `data_directory`, and one that runs is still in its old one.
const MOVED: &str = "If data_directory was changed in the file: the running server keeps, and answers in, the one \
                     it was started with. Restart it to use the new one, or take the change back to reach it.";

/// Something that is in force otherwise than before: a key, a whole table, or a certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Such as `partner.Fabrikam`, or `certificate of receive_connector.Internet`.
    pub what: String,
    /// Empty where there was, or is, none.
    pub old: String,
    pub new: String,
}

/// Asks the server of these settings to read them again. Exit status 0 took effect, 2 refused (also
/// where the file cannot be read far enough to find the server), 1 no server answered.
pub fn run(config_file: &Path) -> ExitCode {
    match reload(config_file) {
        Ok(Some(taken)) if taken.is_empty() => {
            print_out(
                b"nothing changed: these settings were in force; the files that they name were read anew\n",
            );
            ExitCode::SUCCESS
        }
        Ok(taken) => {
            let lines: String = taken.iter().flatten().map(|one| format!("{one}\n")).collect();
            print_out(format!("{lines}the running server has taken it\n").as_bytes());
            ExitCode::SUCCESS
        }
        Err(status) => ExitCode::from(status),
    }
}

/// The same for other commands: what the server put in force, `None` from one of an older version that does
/// not say; or, once it is told why it did not, the exit status.
pub fn reload(config_file: &Path) -> Result<Option<Vec<Taken>>, u8> {
    match ask(config_file, &Request::Reload { user: super::user::name() }) {
        Ok(answer) => match answer.get("error").and_then(Value::as_str) {
            None => Ok(answer["changes"].is_array().then(|| taken(&answer))),
            Some(error) => {
                eprintln!("sealpost config reload: {error}");
                for problem in answer["problems"].as_array().into_iter().flatten() {
                    eprintln!("{}", problem.as_str().unwrap_or_default());
                }
                Err(2)
            }
        },
        Err(error) => {
            eprintln!("sealpost config reload: {error}");
            if matches!(error, AskError::Control(ControlError::NotRunning { .. })) {
                eprintln!("{MOVED}");
            }
            Err(if matches!(error, AskError::Location(_)) { 2 } else { 1 })
        }
    }
}

/// What the server says that it put in force.
pub fn taken(answer: &Value) -> Vec<Taken> {
    let rows = |list: &str, name: &str| {
        let rows = answer[list].as_array().into_iter().flatten();
        let text = |row: &Value, member: &str| row[member].as_str().unwrap_or_default().to_owned();
        rows.map(|row| Taken { what: text(row, name), old: text(row, "old"), new: text(row, "new") })
            .collect::<Vec<_>>()
    };
    [rows("changes", "key"), rows("certificates", "user")].concat()
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value =
            |text: &str| if text.is_empty() { "(none)".to_owned() } else { escape(text).into_owned() };
        write!(f, "{}: {} -> {}", escape(&self.what), value(&self.old), value(&self.new))
    }
}

/// Sends one request to the server that runs with these settings. Only `data_directory` is read
/// from the file, so that a broken configuration does not cut an operator off from the queue.
pub fn ask(config_file: &Path, request: &Request) -> Result<Value, AskError> {
    ask_with(config_file, request, &mut |_| ())
}

/// The same, with what the server says of its progress.
pub fn ask_with(
    config_file: &Path,
    request: &Request,
    progress: &mut dyn FnMut(&Value),
) -> Result<Value, AskError> {
    let data = Location::read(config_file)?.data_directory()?;
    let path = control::socket_path(&data);
    let request = serde_json::to_value(request)
        .map_err(|source| ControlError::BadResponse { path: path.clone(), source })?;
    Ok(control::call_with(&path, &request, progress)?)
}
