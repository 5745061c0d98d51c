//! Records as syslog messages (RFC 5424), the way UDP (RFC 5426) and the machine's own socket take
//! them: one a datagram.

use std::fmt::Write;

use jiff::Timestamp;

use super::render::Rendered;
use crate::policy::Facility;

/// Longest message, octets: what the usual servers take.
const MESSAGE_BYTES_MAX: usize = 8192;
const APP_NAME: &str = "sealpost";
/// Longest host name and message id (section 6).
const HOSTNAME_MAX: usize = 255;
const MSGID_MAX: usize = 32;

/// Makes messages of records.
#[derive(Clone, Debug)]
pub(super) struct Syslog {
    pub(super) facility: Facility,
    pub(super) hostname: String,
}

impl Syslog {
    /// `<22>1 2026-11-22T01:43:17.123Z mail1.contoso.example sealpost 4711 MessageRefused - …`. The
    /// structured data are nil: an id for them would need an enterprise number.
    pub(super) fn message(&self, at: Timestamp, rendered: &Rendered, text: &str) -> Vec<u8> {
        let priority = u32::from(self.facility.code) * 8 + u32::from(severity(rendered.level));
        let mut message = String::with_capacity(text.len() + 120);
        let host = header(&self.hostname, HOSTNAME_MAX);
        let id = rendered.event.as_deref().map_or("-".to_owned(), |event| header(event, MSGID_MAX));
        let process = std::process::id();
        // Writing to a String cannot fail.
        let _ = write!(message, "<{priority}>1 {at:.3} {host} {APP_NAME} {process} {id} - ");
        // A receiver takes the text for UTF-8 only behind this mark (section 6.4).
        if !text.is_ascii() {
            message.push('\u{feff}');
        }
        message.push_str(text);
        let cut = (0..=MESSAGE_BYTES_MAX.min(message.len())).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(cut.unwrap_or(0));
        message.into_bytes()
    }
}

/// Section 6.2.1; what a debugging record is to `tracing`.
pub(super) fn severity(level: tracing::Level) -> u8 {
    match level {
        tracing::Level::ERROR => 3,
        tracing::Level::WARN => 4,
        tracing::Level::INFO => 6,
        _ => 7,
    }
}

/// A field of the header: printable ASCII, nil where nothing is left.
fn header(text: &str, most: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(event: Option<&str>, text: &str) -> String {
        let syslog = Syslog {
            facility: Facility::from_name("mail").unwrap(),
            hostname: "mail1.contoso.example".into(),
        };
        let rendered =
            Rendered { level: tracing::Level::WARN, event: event.map(str::to_owned), ..Rendered::default() };
        let at = "2026-11-22T01:43:17.123456Z".parse().unwrap();
        String::from_utf8(syslog.message(at, &rendered, text)).unwrap()
    }

    #[test]
    fn a_message_is_what_the_standard_says() {
        let process = std::process::id();
        assert_eq!(
            message(Some("MessageRefused"), "MessageRefused reply=\"550 no\""),
            format!(
                "<20>1 2026-11-22T01:43:17.123Z mail1.contoso.example sealpost {process} MessageRefused - \
                 MessageRefused reply=\"550 no\""
            )
        );
        assert!(message(None, "a library").contains(" - - a library"));
        assert!(message(None, "gr\u{fc}n").ends_with("- - \u{feff}gr\u{fc}n"));
        assert_eq!(message(None, &"\u{fc}".repeat(9000)).len().div_ceil(2), MESSAGE_BYTES_MAX / 2);
    }
}
