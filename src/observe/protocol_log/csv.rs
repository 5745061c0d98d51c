//! One line of the protocol log as text: nine fields, RFC 4180 quoting, control characters escaped.

use std::fmt::Write;

use super::LogRecord;
use crate::observe::text;

/// The names of the fields, as Exchange writes them.
pub(super) const FIELDS: &str = "date-time,connector-id,session-id,sequence-number,local-endpoint,\
                                 remote-endpoint,event,data,context";

/// Longest `data` or `context`, octets: a certificate with hundreds of names still fits.
const FIELD_BYTES_MAX: usize = 32 << 10;

/// Appends the record as one line, CRLF included.
pub(super) fn write(line: &mut String, record: &LogRecord) {
    // Writing to a String cannot fail.
    let _ = write!(line, "{:.3},", record.at);
    field(line, &record.connector);
    let LogRecord { session, sequence, local, remote, .. } = record;
    let _ = write!(line, ",{session},{sequence},{local},{remote},{},", record.kind.as_char());
    field(line, &record.data);
    line.push(',');
    field(line, &record.context);
    line.push_str("\r\n");
}

fn field(line: &mut String, text: &str) {
    let text = text::shorten(text, FIELD_BYTES_MAX);
    let text = text::escape(&text);
    if !text.contains([',', '"']) {
        line.push_str(&text);
        return;
    }
    line.push('"');
    for c in text.chars() {
        if c == '"' {
            line.push('"');
        }
        line.push(c);
    }
    line.push('"');
}
