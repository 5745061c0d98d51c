//! One event as one record of the event log: `EventName key=value …` for people, an object for
//! machines. It goes through `tracing`, target `sealpost::event`.

use std::fmt::{self, Write};

use serde_json::Value;

use super::event::Event;
use super::text;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

/// The target of every event record, for filters.
pub const TARGET: &str = "sealpost::event";
/// Longest value of a field, octets: a reply of 128 lines has no place in an event.
const VALUE_BYTES_MAX: usize = 2048;

/// Writes the record, if its level is wanted.
pub(super) fn write(level: Level, event: &Event) {
    match level {
        Level::Debug if tracing::enabled!(target: TARGET, tracing::Level::DEBUG) => {
            tracing::debug!(target: TARGET, record = %Record(event), "{}", Sentence(event));
        }
        Level::Info if tracing::enabled!(target: TARGET, tracing::Level::INFO) => {
            tracing::info!(target: TARGET, record = %Record(event), "{}", Sentence(event));
        }
        Level::Warning if tracing::enabled!(target: TARGET, tracing::Level::WARN) => {
            tracing::warn!(target: TARGET, record = %Record(event), "{}", Sentence(event));
        }
        Level::Error if tracing::enabled!(target: TARGET, tracing::Level::ERROR) => {
            tracing::error!(target: TARGET, record = %Record(event), "{}", Sentence(event));
        }
        Level::Debug | Level::Info | Level::Warning | Level::Error => {}
    }
}

/// Made only if the log's format writes it.
struct Record<'a>(&'a Event);
struct Sentence<'a>(&'a Event);

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", json(self.0))
    }
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sentence(self.0))
    }
}

/// `{"event": "MessageReceived", "queue_id": …}`
pub(super) fn json(event: &Event) -> Value {
    // Every variant is a struct of strings, numbers and lists, so this cannot fail.
    let mut value = serde_json::to_value(event).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value {
        fields.values_mut().for_each(make_safe);
    }
    value
}

/// `MessageReceived queue_id=… connector=Internet …`; values with blanks stand in quotes.
pub(super) fn sentence(event: &Event) -> String {
    let Value::Object(fields) = json(event) else { return String::new() };
    let mut line = String::new();
    if let Some(Value::String(name)) = fields.get("event") {
        line.push_str(name);
    }
    for (key, value) in fields.iter().filter(|(key, _)| *key != "event") {
        // Writing to a String cannot fail.
        let _ = match value {
            Value::String(text) => write!(line, " {key}={}", word(text)),
            Value::Array(values) => write!(line, " {key}={}", list(values)),
            value => write!(line, " {key}={value}"),
        };
    }
    line
}

fn list(values: &[Value]) -> String {
    let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    let joined = texts.join(if texts.iter().all(|text| is_word(text)) { "," } else { "; " });
    word(&joined)
}

/// The text as it is, or in quotes. It is escaped already, so that a backslash stays one.
fn word(text: &str) -> String {
    if is_word(text) { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\\\"")) }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains([' ', '"', '='])
}

fn make_safe(value: &mut Value) {
    match value {
        Value::String(text) => {
            *text = text::escape(&text::shorten(text, VALUE_BYTES_MAX)).into_owned();
        }
        Value::Array(values) => values.iter_mut().for_each(make_safe),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
    }
}
