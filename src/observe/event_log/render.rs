//! One record of `tracing` as what is written of it: text for people, one JSON object for machines.

use std::fmt::{self, Write};

use jiff::Timestamp;
use serde_json::Value;
use tracing::field::{Field, Visit};

use crate::observe::record::TARGET;
use crate::observe::text;
use crate::policy::EventOutput;

/// Which forms of a record anybody wants: an event is not even formatted in the others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) text: bool,
    pub(super) fields: bool,
}

/// A record, its fields taken out.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) level: tracing::Level,
    pub(super) target: &'static str,
    /// Of one of our events.
    pub(super) event: Option<String>,
    /// The sentence; of ours it begins with the event's name. Empty if no text is wanted.
    pub(super) message: String,
    /// Fields of a library's record, as ` name=value`.
    pub(super) rest: String,
    /// The fields of one of our events, if they are wanted.
    pub(super) fields: Option<Value>,
}

impl Default for Rendered {
    fn default() -> Self {
        Self {
            level: tracing::Level::INFO,
            target: "",
            event: None,
            message: String::new(),
            rest: String::new(),
            fields: None,
        }
    }
}

impl Rendered {
    pub(super) fn of(record: &tracing::Event<'_>, wanted: Wanted) -> Self {
        let metadata = record.metadata();
        let ours = metadata.target() == TARGET;
        let mut visit = Fields { text: wanted.text || !ours, fields: wanted.fields, ..Fields::default() };
        record.record(&mut visit);
        let fields: Option<Value> = visit.record.and_then(|record| serde_json::from_str(&record).ok());
        let named = fields.as_ref().and_then(|fields| fields.get("event")).and_then(Value::as_str);
        let first = || visit.message.split(' ').next().filter(|word| !word.is_empty());
        let event = if ours { named.or_else(first).map(str::to_owned) } else { None };
        Self {
            level: *metadata.level(),
            target: metadata.target(),
            event,
            message: visit.message,
            rest: visit.rest,
            fields,
        }
    }

    /// The output whose losses this record tells of.
    pub(super) fn loser(&self) -> Option<EventOutput> {
        if self.event.as_deref() != Some("EventLogLost") {
            return None;
        }
        let output = match &self.fields {
            Some(fields) => fields.get("output")?.as_str()?,
            None => self.message.split(' ').find_map(|word| word.strip_prefix("output="))?,
        };
        EventOutput::LOSING.into_iter().find(|one| one.as_str() == output)
    }

    /// Message and fields, safe for a terminal.
    pub(super) fn text(&self) -> String {
        format!("{}{}", text::escape(&self.message), self.rest)
    }

    /// A line of text: `2026-11-22T01:43:17.123Z INFO  MessageReceived …`.
    pub(super) fn line(&self, at: Timestamp) -> String {
        format!("{at:.3} {:5} {}{}\n", self.level, text::escape(&self.message), self.rest)
    }

    /// One object: the event's fields, or a library's `message`, with `time`, `level` and `target`.
    pub(super) fn json(&self, at: Timestamp) -> Value {
        let mut object = match &self.fields {
            Some(Value::Object(object)) => object.clone(),
            Some(_) | None => {
                let mut object = serde_json::Map::new();
                object.insert("message".to_owned(), format!("{}{}", self.message, self.rest).into());
                object
            }
        };
        object.insert("time".to_owned(), format!("{at:.3}").into());
        object.insert("level".to_owned(), self.level.as_str().into());
        object.insert("target".to_owned(), self.target.into());
        object.into()
    }
}

/// Takes the fields of a record.
#[derive(Default)]
struct Fields {
    text: bool,
    fields: bool,
    message: String,
    /// An event as JSON text.
    record: Option<String>,
    rest: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" if self.text => write!(self.message, "{value:?}"),
            "record" if self.fields => {
                self.record = Some(format!("{value:?}"));
                Ok(())
            }
            "message" | "record" => Ok(()),
            name if name.starts_with("log.") => Ok(()),
            name => write!(self.rest, " {name}={}", text::escape(&format!("{value:?}"))),
        };
    }
}
