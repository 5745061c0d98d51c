//! The table of events: what docs/events.md says, in one place. Names and fields are public surface.

mod rows;

use std::fmt::Write;

/// One event as it is documented.
pub struct EventRow {
    /// Which part of the program it is of: a heading of the page.
    pub group: &'static str,
    pub name: &'static str,
    /// With conditions where it depends.
    pub level: &'static str,
    /// In the order in which records write them.
    pub fields: &'static [&'static str],
    /// One or more sentences without the last full stop.
    pub when: &'static str,
    /// Empty where nobody need do anything.
    pub to_do: &'static str,
}

/// Every event, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static EventRow> {
    rows::ROWS.iter()
}

/// docs/events.md, made from the table.
pub fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut group = "";
    for row in all() {
        // Writing to a String cannot fail.
        if row.group != group {
            group = row.group;
            let _ = write!(page, "\n## {group}\n");
        }
        let _ = write!(page, "\n### {}\n\n{}.\n\n- level: {}\n", row.name, row.when, row.level);
        if !row.fields.is_empty() {
            let _ = writeln!(page, "- fields: `{}`", row.fields.join("`, `"));
        }
        if !row.to_do.is_empty() {
            let _ = writeln!(page, "- what to do: {}", row.to_do);
        }
    }
    page.push_str("\n## Fields\n\n| field | holds |\n|---|---|\n");
    for (names, holds) in FIELDS {
        let _ = writeln!(page, "| `{}` | {holds} |", names.replace(", ", "`, `"));
    }
    page
}

const INTRODUCTION: &str = "\
<!-- Made from the table in src/observe/event/table/; change it there. -->
# Events

What happens and is worth telling, by names that stay: search for them, and build alarms on them. Each event is one
record of the event log, as text (`NAME field=value …`) or as a JSON object (`event` holds the name, beside `time`,
`level` and `target`); syslog has the name as its message id, systemd's journal as `SEALPOST_EVENT`, with every field
as `SEALPOST_FIELD` ([where the event log goes](operations.md#the-event-log)). Many also move a [counter](counters.md).
Values are escaped, whatever a peer sent, and cut at 2 KiB.
";

/// What the fields hold, wherever they stand.
#[rustfmt::skip]
const FIELDS: &[(&str, &str)] = &[
    ("about", "queue id of the message that a report is about"),
    ("accept_to_delivered", "seconds from the message coming in whole to the peer's 250"),
    ("accept_to_durable", "seconds until the message was safe on disk; absent where next hops took it before"),
    ("address", "where the milter listens"),
    ("after_seconds, waited_seconds", "how long was waited"),
    ("allowed, amount", "what the option allows of the resource, and what is there: messages or octets"),
    ("balancer", "address and port of the balancer"),
    ("before", "what it was"),
    ("binding", "address and port of ours"),
    ("blocked", "whether too many wrong tokens came from there before"),
    ("by, user", "who did it: an operator with the user id that the system knows, a rule, a milter; at a login the user"),
    ("certificate, subject", "whose certificate"),
    ("change", "what the milter wanted to change"),
    ("changed", "whether the list is another than the one we had"),
    ("changes, problems, warning", "sentences on settings"),
    ("check", "`spf`, `dkim`, `dmarc`, `arc` or `x-dns-block-list`"),
    ("connector", "name of the receive or send connector"),
    ("consequence", "what becomes of it"),
    ("day, destination", "the UTC day of a TLS report, and where it goes"),
    ("default_action", "what becomes of mail while the milter is down"),
    ("detail, reason, error", "why, in words"),
    ("direction", "`inbound` or `outbound`"),
    ("domain", "the domain that was judged, or whose policy it is"),
    ("epoch", "how many times settings took effect"),
    ("faults", "names of [faults](faults.md), the deciding one first"),
    ("file", "path of a log file"),
    ("fips", "whether all cryptography of TLS is that of a FIPS module"),
    ("given_up", "whether it is not tried again"),
    ("good_until, next_update, not_after", "when something ends"),
    ("host", "name of the mail host"),
    ("id", "id of an MTA-STS policy"),
    ("issuer", "who issued a revocation list"),
    ("kept", "whether the policy from before is still in force"),
    ("kind", "of a report: failure, delay, success or relayed"),
    ("levels", "levels of the event log, such as `warn,sealpost=debug`"),
    ("limit, scope", "which limit, and whose: `source`, `subnet`, `partner` or the connector's"),
    ("lines, records", "how many were lost"),
    ("listening", "each binding as `NAME=ADDR:PORT`"),
    ("matched_name", "the name in the certificate that proved the domain"),
    ("max_age", "seconds that a policy lasts"),
    ("mechanism", "of AUTH"),
    ("messages, orphans", "found in the queue at start, and content without a message that was removed"),
    ("milter, partner", "its name in the settings"),
    ("mode", "`enforce` or `report`; of checks and filters `off`, `mark` or `enforce`; of MTA-STS the policy's"),
    ("next_attempt", "when it is tried again"),
    ("next_hop", "the mail host or domain a delivery queue leads to"),
    ("of", "the connector or partner that a certificate is of; of a check what it looked at"),
    ("outcome", "a result type of RFC 8460"),
    ("output", "`syslog`, `journald` or `otlp`"),
    ("pin", "a pin of `spki_pins`"),
    ("policy, wanted_got", "`dane` or `mta-sts`, what it wanted and what was got"),
    ("pressure", "`normal`, `medium` (strangers are refused) or `high` (everyone is)"),
    ("queue_id", "the message in the queue, in replies, tracking and `sealpost queue`"),
    ("recipient, recipients, recipient_count, sender", "addresses, or how many; an empty sender is the null reverse-path"),
    ("remote", "address and port of the other side"),
    ("reply", "what was answered"),
    ("resource", "`messages`, `disk` or `memory`"),
    ("result", "of a check, filter or verification"),
    ("role", "`server`, `client`, `partner` or `anchor`"),
    ("secured", "the domain for which the message is domain-secured; else absent"),
    ("session", "the session in the protocol log: `sealpost log explain SESSION`"),
    ("size", "octets of stored content"),
    ("source", "file or URL of a revocation list"),
    ("verdict", "`good` or `bad`"),
    ("version", "of this program, or of TLS"),
    ("waited", "messages that waited for the next hop"),
    ("wanted", "open files wanted"),
    ("what", "the action"),
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const SOURCES: [&str; 4] = [
        include_str!("../../event.rs"),
        include_str!("../access.rs"),
        include_str!("../filter.rs"),
        include_str!("../log.rs"),
    ];

    /// Variants and their fields as the enums' sources have them; what others write is `flattened`.
    fn in_the_sources() -> BTreeMap<String, Vec<String>> {
        let mut found = BTreeMap::new();
        for source in SOURCES {
            let body = source.split_once("Event {\n").unwrap().1.split_once("\n}\n").unwrap().0;
            let mut attributes = String::new();
            let mut variant = String::new();
            for line in body.lines().map(str::trim) {
                if line.starts_with("#[") {
                    attributes.push_str(line);
                    continue;
                }
                if line.starts_with("//") || line.is_empty() || line.starts_with('}') {
                    continue;
                }
                if line.starts_with(char::is_uppercase) {
                    let (name, rest) = line.split_once([' ', '(', ',']).unwrap_or((line, ""));
                    variant = name.to_owned();
                    let inside = rest.trim_start_matches('{').trim_end_matches(['}', ',']).split(", ");
                    let fields = inside.filter_map(|field| field.split_once(':'));
                    let fields: Vec<String> = fields.map(|(name, _)| name.trim().to_owned()).collect();
                    if !attributes.contains("untagged") {
                        found.insert(variant.clone(), fields);
                    }
                } else if let Some((field, _)) = line.split_once(':') {
                    let fields: &[&str] = match () {
                        () if attributes.contains("serde(skip)") => &[],
                        () if attributes.contains("serialize_verdict") => &VERDICT,
                        () if attributes.contains("serialize_ruled") => &RULED,
                        () if attributes.contains("rename = \"pressure\"") => &["pressure"],
                        () => &[field],
                    };
                    found.get_mut(&variant).unwrap().extend(fields.iter().map(|field| (*field).to_owned()));
                }
                attributes.clear();
            }
        }
        // Its fields are another type's.
        found.insert("InboundChecked".to_owned(), CHECKED.iter().map(|field| (*field).to_owned()).collect());
        found
    }

    const VERDICT: [&str; 6] = ["domain", "verdict", "mode", "faults", "detail", "matched_name"];
    const RULED: [&str; 9] =
        ["policy", "wanted_got", "outcome", "domain", "verdict", "mode", "faults", "detail", "matched_name"];
    const CHECKED: [&str; 8] = ["check", "result", "reason", "of", "mode", "connector", "session", "remote"];

    #[test]
    fn the_table_has_each_event_with_its_fields() {
        let sources = in_the_sources();
        assert!(sources.len() > 60, "the search is broken: {sources:?}");
        for row in all() {
            let fields = sources.get(row.name).unwrap_or_else(|| panic!("{} is no event", row.name));
            assert_eq!(fields, row.fields, "{}", row.name);
            assert!(!row.when.is_empty() && !row.when.ends_with('.'), "{}", row.name);
        }
        let told: BTreeSet<&str> = all().map(|row| row.name).collect();
        let untold: Vec<&String> = sources.keys().filter(|name| !told.contains(name.as_str())).collect();
        assert!(untold.is_empty(), "give these a row in src/observe/event/table/rows.rs: {untold:?}");
        assert_eq!(told.len(), all().count(), "an event stands there twice");
    }

    #[test]
    fn each_field_is_explained_once() {
        let explained: Vec<&str> = FIELDS.iter().flat_map(|(names, _)| names.split(", ")).collect();
        let used: BTreeSet<&str> = all().flat_map(|row| row.fields).copied().collect();
        assert_eq!(explained.iter().copied().collect::<BTreeSet<_>>(), used);
        assert_eq!(explained.len(), used.len());
    }

    #[test]
    fn a_record_has_the_fields_of_the_table() {
        let event = crate::observe::Event::StorageFailed { error: "no space".to_owned() };
        let serde_json::Value::Object(fields) = crate::observe::record::json(&event) else { panic!() };
        let row = all().find(|row| row.name == "StorageFailed").unwrap();
        let names: Vec<&str> = fields.keys().map(String::as_str).filter(|name| *name != "event").collect();
        assert_eq!(names, row.fields);
    }
}
