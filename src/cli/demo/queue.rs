//! Asks a running server about its queue the way an operator does: with this program's commands.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

const POLL: Duration = Duration::from_millis(100);

/// The id of the message for this recipient, once its first attempt has failed.
pub async fn waiting_for(
    executable: &Path,
    config: &Path,
    recipient: &str,
    patience: Duration,
) -> Result<String, String> {
    let deadline = Instant::now() + patience;
    loop {
        let listed = json(executable, config, &["queue", "list"])?;
        if let Some(id) = failed_once(&listed, recipient) {
            return Ok(id);
        }
        if Instant::now() > deadline {
            return Err(format!("queue list shows no message for {recipient} that waits for a retry"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What `queue why ID` says, in words and as JSON.
pub fn why(executable: &Path, config: &Path, id: &str) -> Result<(String, Value), String> {
    let words = run(executable, config, &["queue", "why", id])?;
    Ok((words, json(executable, config, &["queue", "why", id])?))
}

fn failed_once(listed: &Value, recipient: &str) -> Option<String> {
    let messages = listed.as_array()?;
    let message = messages.iter().find(|message| {
        let recipients = message["recipients"].as_array().map_or(&[][..], Vec::as_slice);
        recipients.iter().any(|entry| entry["address"] == recipient && !entry["fault"].is_null())
    })?;
    message["id"].as_str().map(str::to_owned)
}

fn json(executable: &Path, config: &Path, command: &[&str]) -> Result<Value, String> {
    let text = run(executable, config, &[command, &["--json"]].concat())?;
    serde_json::from_str(&text).map_err(|error| format!("{} is not JSON: {error}", command.join(" ")))
}

fn run(executable: &Path, config: &Path, command: &[&str]) -> Result<String, String> {
    let shown = format!("sealpost {}", command.join(" "));
    let output = Command::new(executable).args(command).arg("-c").arg(config).output();
    let output = output.map_err(|error| format!("{shown} could not be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{shown} failed ({}): {said}", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_recipient_with_a_fault_is_waiting() {
        let listed = serde_json::json!([
            {"id": "A", "recipients": [{"address": "x@a.example", "fault": null}]},
            {"id": "B", "recipients": [{"address": "y@a.example", "fault": "NameMismatch"}]},
        ]);
        assert_eq!(failed_once(&listed, "x@a.example"), None);
        assert_eq!(failed_once(&listed, "y@a.example").as_deref(), Some("B"));
    }
}
