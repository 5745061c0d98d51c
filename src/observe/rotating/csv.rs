//! One field of a line: RFC 4180 quoting, control characters escaped.

use crate::observe::text;

/// Longest field, octets: a certificate with hundreds of names still fits.
const FIELD_BYTES_MAX: usize = 32 << 10;

/// Appends a field; the comma behind it is the caller's.
pub(in crate::observe) fn field(line: &mut String, text: &str) {
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
