//! The message a report is about, and the part in which it is returned: its header section, or all
//! of it (RFC 6522 3, RFC 6533 5).

use std::net::IpAddr;

use jiff::Timestamp;

use super::Report;
use super::encode::{plain_enough, quoted_printable, transparent};
use super::request::EnvelopeId;
use crate::mail::header::HeaderSection;

/// Longest Message-ID of the original that is referred to, in octets.
const MESSAGE_ID_BYTES_MAX: usize = 500;

/// The message a report is about.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    pub queue_id: &'a str,
    pub arrival: Timestamp,
    /// What its sender calls this transmission of it.
    pub envelope_id: Option<&'a EnvelopeId>,
    pub received_from: Option<ReceivedFrom<'a>>,
    /// Its header section, as `header::split` hands it out; the outgoing header firewall has
    /// been through it.
    pub head: &'a [u8],
    /// What stands behind the empty line, where it is to be returned.
    pub body: Option<&'a [u8]>,
    /// Why it is not, although its sender asked for it.
    pub withheld: Option<Withheld>,
    /// Its envelope declared SMTPUTF8: the header section may be UTF-8 by right.
    pub smtputf8: bool,
}

/// The host that handed the message to us.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedFrom<'a> {
    pub helo: &'a str,
    pub ip: IpAddr,
}

/// Why a message is not returned although its sender asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// It has more octets than this.
    TooLarge(u64),
    /// It is secured by mutual TLS, and the report is not.
    Secured,
    /// It cannot be read any more.
    Unreadable,
    /// Lines longer than a report may have, and nothing but octets to show for it.
    Unfit,
}

impl Original<'_> {
    /// The `Message-ID`, when it is one.
    pub(super) fn message_id(&self) -> Option<String> {
        let value = HeaderSection::new(self.head).find("Message-ID")?.value();
        let inner = value.strip_prefix(b"<")?.strip_suffix(b">")?;
        let plain = inner.iter().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>'));
        let fits = (1..=MESSAGE_ID_BYTES_MAX).contains(&inner.len());
        (plain && fits).then(|| String::from_utf8_lossy(&value).into_owned())
    }
}

/// The part with its MIME fields, and why it is less than was asked for.
pub(super) fn part(report: &Report<'_>) -> (Vec<u8>, Option<Withheld>) {
    match report.original.body {
        None => (head_only(report), report.original.withheld),
        Some(body) => match whole(report, body) {
            Some(part) => (part, None),
            None => (head_only(report), Some(Withheld::Unfit)),
        },
    }
}

/// All of the message. Only message/global may be encoded (RFC 6532 3.7).
fn whole(report: &Report<'_>, body: &[u8]) -> Option<Vec<u8>> {
    let message = [report.original.head, b"\r\n", body].concat();
    let global = report.original.smtputf8 && !report.original.head.is_ascii();
    let (kind, encoding, message) = match (transparent(&message), global) {
        (true, false) if message.is_ascii() => ("message/rfc822", "7bit", message),
        (true, false) => ("message/rfc822", "8bit", message),
        (true, true) if report.needs_smtputf8() => ("message/global", "8bit", message),
        (true | false, true) => ("message/global", "quoted-printable", quoted_printable(&message)),
        (false, false) => return None,
    };
    Some(assembled(kind, "Your message", encoding, &message))
}

/// The header section may hold anything, and is encoded where it cannot stand as it is.
fn head_only(report: &Report<'_>) -> Vec<u8> {
    let head = report.original.head;
    let utf8 = report.needs_smtputf8();
    let global = report.original.smtputf8 && !head.is_ascii();
    let kind = match global {
        true => "message/global-headers",
        false => "text/rfc822-headers; charset=utf-8",
    };
    let (encoding, head) = match plain_enough(head, utf8) {
        true if head.is_ascii() => ("7bit", head.to_vec()),
        true => ("8bit", head.to_vec()),
        false => ("quoted-printable", quoted_printable(head)),
    };
    assembled(kind, "Header section of your message", encoding, &head)
}

/// A part with its MIME fields; it ends a line.
pub(super) fn assembled(kind: &str, description: &str, encoding: &str, content: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "Content-Type: {kind}\r\nContent-Description: {description}\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    .into_bytes();
    out.extend_from_slice(content);
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}
