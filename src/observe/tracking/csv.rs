//! A record as one line: the fields of Exchange's message tracking log, in its order.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::record::Record;
use crate::observe::rotating::field;

/// As Exchange 2016 writes them. Those that we have nothing for stay empty.
pub(super) const FIELDS: &str = "date-time,client-ip,client-hostname,server-ip,server-hostname,\
    source-context,connector-id,source,event-id,internal-message-id,message-id,network-message-id,\
    recipient-address,recipient-status,total-bytes,recipient-count,related-recipient-address,reference,\
    message-subject,sender-address,return-path,message-info,directionality,tenant-id,original-client-ip,\
    original-server-ip,custom-data";

/// Recipients written of one record; the count says how many there are.
const RECIPIENTS_MAX: usize = 1_000;

pub(super) fn write(line: &mut String, record: &Record) {
    let message = &record.message;
    let address = |end: Option<std::net::SocketAddr>| end.map(|end| end.ip().to_string()).unwrap_or_default();
    let path = if message.sender.is_empty() { "<>" } else { &message.sender };
    let origin = if message.received == 0 {
        String::new()
    } else {
        Timestamp::from_millisecond(message.received).map(|at| format!("{at:.3}")).unwrap_or_default()
    };
    // Writing to a String cannot fail.
    let _ = write!(line, "{:.3}", record.at);
    for text in [
        &address(record.client),
        &record.client_name,
        &address(record.server),
        &record.server_name,
        &record.context,
        &record.connector,
        record.source,
        record.event_id,
        &record.queue_id,
        &message.message_id,
        "",
        &recipients(record),
        &record.status,
        &message.size.to_string(),
        &record.recipients.len().to_string(),
        "",
        &record.reference,
        &message.subject,
        path,
        path,
        &origin,
        "",
        "",
        &message.client,
        "",
        &custom(record),
    ] {
        line.push(',');
        field(line, text);
    }
}

/// Joined by semicolons, as Exchange does. A semicolon can only stand in a quoted local part.
fn recipients(record: &Record) -> String {
    let shown: Vec<&str> = record.recipients.iter().take(RECIPIENTS_MAX).map(String::as_str).collect();
    shown.join(";")
}

/// `S:name=value;…`, each name once: the later value counts.
fn custom(record: &Record) -> String {
    let mut text = String::new();
    let message = &record.message;
    let received = [
        ("received-session", message.session.clone()),
        ("received-secured", message.secured.as_ref().map(ToString::to_string).unwrap_or_default()),
    ];
    let all: Vec<&(&str, String)> = record.custom.iter().chain(&received).collect();
    for (place, (name, value)) in all.iter().enumerate() {
        let again = all[place + 1..].iter().any(|(later, _)| later == name);
        if !value.is_empty() && !again {
            let separator = if text.is_empty() { "" } else { ";" };
            // A value of ours has no semicolon: ids, domains, names of faults, times.
            let _ = write!(text, "{separator}S:{name}={}", value.replace(';', ","));
        }
    }
    text
}
