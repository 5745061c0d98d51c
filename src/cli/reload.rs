//! `sealpost config reload`: returns once the running server has taken or refused the settings.

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use crate::admin::control;
use crate::relay::control::Request;

use super::location::Location;

/// Asks the server of these settings to read them again. Exit status 0 took effect, 2 refused, 1
/// no server answered.
pub fn run(config_file: &Path) -> ExitCode {
    match ask(config_file, &Request::Reload { user: super::user::name() }) {
        Ok(answer) => match answer.get("error").and_then(Value::as_str) {
            None => ExitCode::SUCCESS,
            Some(error) => {
                eprintln!("sealpost config reload: {error}");
                for problem in answer["problems"].as_array().into_iter().flatten() {
                    eprintln!("{}", problem.as_str().unwrap_or_default());
                }
                ExitCode::from(2)
            }
        },
        Err(error) => {
            eprintln!("sealpost config reload: {error}");
            ExitCode::from(1)
        }
    }
}

/// Sends one request to the server that runs with these settings. Only `data_directory` is read
/// from the file, so that a broken configuration does not cut an operator off from the queue.
pub fn ask(config_file: &Path, request: &Request) -> Result<Value, String> {
    let location = Location::read(config_file).map_err(|error| error.to_string())?;
    let data = location.data_directory().map_err(|error| error.to_string())?;
    let request = serde_json::to_value(request).map_err(|error| error.to_string())?;
    control::call(&control::socket_path(&data), &request).map_err(|error| error.to_string())
}
