//! Levels of the event log, seen and changed while the server runs.

use serde_json::{Value, json};

use crate::observe::{Event, LogEvent};
use crate::relay::shared::Shared;

use super::failure;

/// What is in force, and what a reload or restart brings back. With `set`, `[TARGET=]LEVEL` or
/// `configured`, that is taken first, and written to `audit.log`.
pub(super) async fn answer(shared: &Shared, set: Option<&str>, user: &str) -> Value {
    let (now, configured) = shared.event_log.levels();
    let Some(set) = set else { return told(shared) };
    let mut wanted = now.clone();
    match set {
        "configured" => wanted = configured,
        change => {
            if let Err(error) = wanted.change(change) {
                return failure(error);
            }
        }
    }
    if wanted != now {
        let before = shared.event_log.set_levels(wanted.clone()).to_string();
        let levels = wanted.to_string();
        shared.append_audit(user, "log level", &before, &levels).await;
        let by = user.to_owned();
        shared.observer.event(Event::Log(LogEvent::LogLevelsChanged { before, levels, by }));
    }
    told(shared)
}

fn told(shared: &Shared) -> Value {
    let (now, configured) = shared.event_log.levels();
    json!({ "level": now.to_string(), "configured": configured.to_string() })
}
