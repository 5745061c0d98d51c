//! Delivery status notifications (RFC 3464) as multipart/report messages (RFC 6522), with the
//! forms of RFC 6533 where the original needed SMTPUTF8.
//!
//! A report is made of what strangers said: replies, host names, the original header section.
//! None of it can add a field, a line or a part. No part is ever base64: a report must be
//! readable in a queue, a log and the oldest mail reader. Without SMTPUTF8 it is pure ASCII.

mod encode;
pub mod request;
mod status;
mod words;

use jiff::Timestamp;

use self::encode::{plain_enough, quoted_printable, wrap};
use super::header::HeaderSection;
use super::text::{ascii, printable};
use super::{Address, Domain, EnhancedCode, date};

/// Longest text from outside in one field or paragraph, in characters; what is longer is cut.
const TEXT_CHARS_MAX: usize = 2000;
/// Longest line of the conversation that is repeated, in characters.
const TRANSCRIPT_CHARS_MAX: usize = 400;
/// Longest Message-ID of the original that is referred to, in octets.
const MESSAGE_ID_BYTES_MAX: usize = 500;

/// What a report says of its recipients; it decides the class of their status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Delivery has been given up.
    Failed,
    /// Delivery goes on.
    Delayed,
}

/// One report, about one message and some of its recipients. Its own reverse-path is null.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    pub kind: Kind,
    pub reporting_mta: &'a Domain,
    /// Our postmaster.
    pub from: &'a Address,
    /// The original reverse-path.
    pub to: &'a Address,
    pub at: Timestamp,
    /// Of the report, without angle brackets.
    pub message_id: &'a str,
    /// Letters and digits that nobody could foresee.
    pub boundary: &'a str,
    pub original: Original<'a>,
    /// At least one.
    pub recipients: &'a [Recipient<'a>],
    /// The last lines of the conversation, `< 550 no`; may be empty.
    pub transcript: &'a [String],
}

/// The message a report is about.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    pub queue_id: &'a str,
    pub arrival: Timestamp,
    /// Its header section, as `header::split` hands it out; the outgoing header firewall has
    /// been through it.
    pub head: &'a [u8],
    /// Its envelope declared SMTPUTF8: then its sender can take a report that needs it.
    pub smtputf8: bool,
}

/// What became of one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    pub address: &'a Address,
    /// Written with class 5 in a report of kind `Failed`, 4 in one of kind `Delayed`.
    pub status: EnhancedCode,
    /// Name or address literal of the server that was spoken to last.
    pub remote_mta: Option<&'a str>,
    pub diagnostic: Option<Diagnostic<'a>>,
    pub last_attempt: Option<Timestamp>,
    /// When delivery is given up; of use in a report of kind `Delayed`.
    pub retry_until: Option<Timestamp>,
    /// For people: what happened and what they can do.
    pub explanation: &'a str,
}

/// The technical reason (RFC 3464 2.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnostic<'a> {
    /// A reply on one line, code first.
    Smtp(&'a str),
    /// Our own finding, such as a fault and its facts.
    Own(&'a str),
}

impl Report<'_> {
    /// Whether the report can only travel with SMTPUTF8 and 8BITMIME; else it is ASCII.
    pub fn needs_smtputf8(&self) -> bool {
        self.original.smtputf8 || self.to.needs_smtputf8() || self.from.needs_smtputf8()
    }

    /// The report as message content; every line ends in CRLF and has at most 998 octets.
    pub fn content(&self) -> Vec<u8> {
        let parts = [words::part(self), status::part(self), self.original_part()];
        let boundary = unique(self.boundary, &parts);
        let mut out = self.head(&boundary);
        for part in &parts {
            out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            out.extend_from_slice(part);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        out
    }

    fn head(&self, boundary: &str) -> Vec<u8> {
        let mut out = Vec::new();
        wrap(&mut out, "From: Mail Delivery System ", "\t", &format!("<{}>", self.from));
        wrap(&mut out, "To: ", "\t", &format!("<{}>", self.to));
        wrap(&mut out, "Subject: ", "\t", &self.subject());
        wrap(&mut out, "Date: ", "\t", &date::rfc5322(self.at));
        wrap(&mut out, "Message-ID: ", "\t", &format!("<{}>", self.text(self.message_id)));
        if let Some(id) = self.original_message_id() {
            wrap(&mut out, "In-Reply-To: ", "\t", &id);
            wrap(&mut out, "References: ", "\t", &id);
        }
        out.extend_from_slice(b"Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
        out.extend_from_slice(b"Content-Type: multipart/report; report-type=delivery-status;\r\n");
        out.extend_from_slice(format!("\tboundary=\"{boundary}\"\r\n").as_bytes());
        if self.needs_smtputf8() {
            out.extend_from_slice(b"Content-Transfer-Encoding: 8bit\r\n");
        }
        out.extend_from_slice(b"\r\nThis is a delivery status report in MIME format.\r\n\r\n");
        out
    }

    fn subject(&self) -> String {
        let what = match self.kind {
            Kind::Failed => "Undeliverable",
            Kind::Delayed => "Delayed",
        };
        match self.recipients {
            [only] => format!("{what}: your message to {}", self.text(&only.address.to_string())),
            many => format!("{what}: your message to {} recipients", many.len()),
        }
    }

    /// The `Message-ID` of the original, when it is one.
    fn original_message_id(&self) -> Option<String> {
        let value = HeaderSection::new(self.original.head).find("Message-ID")?.value();
        let inner = value.strip_prefix(b"<")?.strip_suffix(b">")?;
        let plain = inner.iter().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>'));
        let fits = (1..=MESSAGE_ID_BYTES_MAX).contains(&inner.len());
        (plain && fits).then(|| String::from_utf8_lossy(&value).into_owned())
    }

    /// The header section of the original: it may hold anything, and is encoded where it cannot
    /// stand as it is (RFC 6522 4).
    fn original_part(&self) -> Vec<u8> {
        let (kind, charset) = match self.needs_smtputf8() {
            true => ("message/global-headers", ""),
            false => ("text/rfc822-headers", "; charset=utf-8"),
        };
        let head = self.original.head;
        let (encoding, body) = match plain_enough(head, self.needs_smtputf8()) {
            true if head.is_ascii() => ("7bit", head.to_vec()),
            true => ("8bit", head.to_vec()),
            false => ("quoted-printable", quoted_printable(head)),
        };
        let mut out = format!(
            "Content-Type: {kind}{charset}\r\nContent-Description: Header section of your message\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\n"
        )
        .into_bytes();
        out.extend_from_slice(&body);
        if !out.ends_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    /// Text from outside on one line, cut to `TEXT_CHARS_MAX`; ASCII unless this report may be
    /// more.
    fn text(&self, text: &str) -> String {
        self.cut(text, TEXT_CHARS_MAX)
    }

    fn cut(&self, text: &str, chars_max: usize) -> String {
        let cut = match text.char_indices().nth(chars_max) {
            Some((end, _)) => format!("{} ...", &text[..end]),
            None => text.to_owned(),
        };
        if self.needs_smtputf8() { printable(cut.as_bytes()) } else { ascii(&cut) }
    }
}

impl Kind {
    /// The class of the status codes.
    fn class(self) -> u8 {
        match self {
            Kind::Failed => 5,
            Kind::Delayed => 4,
        }
    }
}

/// The boundary, made longer until it stands in no part (RFC 2046 5.1.1).
fn unique(wanted: &str, parts: &[Vec<u8>]) -> String {
    let mut boundary: String = wanted.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    while boundary.is_empty() || parts.iter().any(|part| holds(part, &boundary)) {
        boundary.push('x');
    }
    boundary
}

fn holds(part: &[u8], boundary: &str) -> bool {
    memchr::memmem::find(part, boundary.as_bytes()).is_some()
}

#[cfg(test)]
mod tests;
