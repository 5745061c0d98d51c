//! `sealpost config reload`: returns once the running server has taken or refused the settings.

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use crate::admin::control::{self, ControlError};
use crate::relay::control::Request;

use super::location::{Location, LocationError};

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

/// Asks the server of these settings to read them again. Exit status 0 took effect, 2 refused (also
/// where the file cannot be read far enough to find the server), 1 no server answered.
pub fn run(config_file: &Path) -> ExitCode {
    ExitCode::from(status(config_file))
}

/// The same as a number.
pub fn status(config_file: &Path) -> u8 {
    match ask(config_file, &Request::Reload { user: super::user::name() }) {
        Ok(answer) => match answer.get("error").and_then(Value::as_str) {
            None => 0,
            Some(error) => {
                eprintln!("sealpost config reload: {error}");
                for problem in answer["problems"].as_array().into_iter().flatten() {
                    eprintln!("{}", problem.as_str().unwrap_or_default());
                }
                2
            }
        },
        Err(error) => {
            eprintln!("sealpost config reload: {error}");
            if matches!(error, AskError::Control(ControlError::NotRunning { .. })) {
                eprintln!("{MOVED}");
            }
            if matches!(error, AskError::Location(_)) { 2 } else { 1 }
        }
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
