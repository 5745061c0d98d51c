//! `[event_log]`.

use crate::config::document::Document;
use crate::config::format;
use crate::policy::{EventFormat, EventLogSettings, EventOutput, Facility};

pub(super) fn event_log(document: &Document) -> EventLogSettings {
    let table = document.table("event_log");
    let written =
        |output: &EventOutput| table.items("outputs").iter().any(|item| item.text == output.as_str());
    // What cannot be read has been reported.
    let fallback = EventLogSettings::default();
    EventLogSettings {
        levels: table.read("level", format::log_levels).unwrap_or(fallback.levels),
        format: match table.text("format") {
            Some("json") => EventFormat::Json,
            _ => EventFormat::Text,
        },
        outputs: EventOutput::ALL.into_iter().filter(written).collect(),
        syslog_address: table
            .read("syslog_address", format::syslog_address)
            .unwrap_or(fallback.syslog_address),
        syslog_facility: table
            .text("syslog_facility")
            .and_then(Facility::from_name)
            .unwrap_or(Facility::MAIL),
        journald_socket: match table.read("journald_socket", format::path) {
            Some(path) => document.resolve(path),
            None => fallback.journald_socket,
        },
        otlp_address: table.read("otlp_address", format::collector).unwrap_or(fallback.otlp_address),
    }
}
