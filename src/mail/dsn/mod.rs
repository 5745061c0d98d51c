//! Delivery status notifications (RFC 3464) as multipart/report messages (RFC 6522), and what
//! senders ask to hear (RFC 3461).
//!
//! A report is made of what strangers said: replies, host names, the original header section.
//! None of it can add a field, a line or a part. No part is ever base64: a report must be
//! readable in a queue, a log and the oldest mail reader. It takes the UTF-8 forms of RFC 6533 only
//! where its own recipient's address can travel in no other way, so that each peer that can be
//! given the report at all can take its forms. Otherwise all of it but a returned body is ASCII.

mod encode;
mod original;
pub mod request;
mod shorten;
mod status;
mod words;

use jiff::Timestamp;

use self::encode::wrap;
pub use self::original::{Original, ReceivedFrom, Withheld};
pub use self::request::{MessageRequest, RecipientRequest, Requests};
pub use self::shorten::shorten;
use super::text::{ascii, printable};
use super::{Address, Domain, EnhancedCode, date};

/// Longest text from outside in one field or paragraph, in characters; what is longer is cut.
const TEXT_CHARS_MAX: usize = 2000;
/// Longest line of the conversation that is repeated, in characters.
const TRANSCRIPT_CHARS_MAX: usize = 400;

/// What a report says of its recipients; it decides the class of their status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Delivery has been given up.
    Failed,
    /// Delivery goes on.
    Delayed,
    /// Handed over to a server that tells senders nothing (RFC 3461 5.2.2). A relay never knows
    /// more of success than this.
    Relayed,
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

/// What became of one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    pub address: &'a Address,
    /// The address that the sender of the message used, if it was told.
    pub original: Option<&'a request::OriginalRecipient>,
    /// Written with class 5 in a report of kind `Failed`, 4 in one of kind `Delayed`, 2 in one of
    /// kind `Relayed`.
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
    /// Whether the report can only travel with SMTPUTF8.
    pub fn needs_smtputf8(&self) -> bool {
        self.to.needs_smtputf8() || self.from.needs_smtputf8()
    }

    /// The report as message content; every line ends in CRLF and has at most 998 octets.
    pub fn content(&self) -> Vec<u8> {
        let (original, withheld) = original::part(self);
        let parts = [words::part(self, withheld), status::part(self), original];
        let boundary = unique(self.boundary, &parts);
        let mut out = self.head(&boundary, parts.iter().all(|part| part.is_ascii()));
        for part in &parts {
            out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            out.extend_from_slice(part);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        out
    }

    fn head(&self, boundary: &str, ascii: bool) -> Vec<u8> {
        let mut out = Vec::new();
        wrap(&mut out, "From: Mail Delivery System ", "\t", &format!("<{}>", self.from));
        wrap(&mut out, "To: ", "\t", &format!("<{}>", self.to));
        wrap(&mut out, "Subject: ", "\t", &self.subject());
        wrap(&mut out, "Date: ", "\t", &date::rfc5322(self.at));
        wrap(&mut out, "Message-ID: ", "\t", &format!("<{}>", self.text(self.message_id)));
        if let Some(id) = self.original.message_id() {
            wrap(&mut out, "In-Reply-To: ", "\t", &id);
            wrap(&mut out, "References: ", "\t", &id);
        }
        out.extend_from_slice(b"Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
        out.extend_from_slice(b"Content-Type: multipart/report; report-type=delivery-status;\r\n");
        out.extend_from_slice(format!("\tboundary=\"{boundary}\"\r\n").as_bytes());
        if !ascii {
            out.extend_from_slice(b"Content-Transfer-Encoding: 8bit\r\n");
        }
        out.extend_from_slice(b"\r\nThis is a delivery status report in MIME format.\r\n\r\n");
        out
    }

    fn subject(&self) -> String {
        let what = match self.kind {
            Kind::Failed => "Undeliverable",
            Kind::Delayed => "Delayed",
            Kind::Relayed => "Relayed",
        };
        match self.recipients {
            [only] => format!("{what}: your message to {}", self.text(&only.address.to_string())),
            many => format!("{what}: your message to {} recipients", many.len()),
        }
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
            Kind::Relayed => 2,
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
