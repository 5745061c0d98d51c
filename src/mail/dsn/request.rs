//! What a sender asked to hear about a message: the parameters of the DSN extension (RFC 3461 4),
//! kept in the form in which they came, because that is how they are passed on (5.2.1).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::mail::{Address, xtext};

/// Longest values that are taken, in characters (RFC 3461 5.4).
const ENVELOPE_ID_CHARS_MAX: usize = 100;
const ORIGINAL_RECIPIENT_CHARS_MAX: usize = 500;

/// `RET`: how much of the message a report of failure returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Return {
    Full,
    Headers,
}

/// `ENVID`, in xtext: at most 100 characters that stand for printable US-ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvelopeId(String);

/// `NOTIFY`: the occasions on which a report is wanted. None of them is `NEVER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Notify {
    pub success: bool,
    pub failure: bool,
    pub delay: bool,
}

/// `ORCPT`: the address that the sender of the message used, `type;address`, encoded; at most 500
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginalRecipient(String);

/// What was asked with MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns: Option<Return>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_id: Option<EnvelopeId>,
}

/// What was asked with RCPT.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<OriginalRecipient>,
}

/// All that was asked about one message; recipients by their index in the envelope, those of whom
/// nothing was said left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    pub message: MessageRequest,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    recipients: BTreeMap<u32, RecipientRequest>,
}

impl Return {
    pub fn parse(value: &str) -> Option<Self> {
        [Return::Full, Return::Headers].into_iter().find(|known| value.eq_ignore_ascii_case(known.as_str()))
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Return::Full => "FULL",
            Return::Headers => "HDRS",
        }
    }
}

impl EnvelopeId {
    pub fn parse(value: &str) -> Option<Self> {
        let fits = (1..=ENVELOPE_ID_CHARS_MAX).contains(&value.len()) && xtext::decode(value).is_some();
        fits.then(|| Self(value.to_owned()))
    }

    /// As `Original-Envelope-Id` says it (RFC 3464 2.2.1).
    pub fn decoded(&self) -> String {
        xtext::decode(&self.0).unwrap_or_default()
    }
}

impl Notify {
    pub const NEVER: Self = Self { success: false, failure: false, delay: false };

    /// `NEVER` alone, or the others in any order.
    pub fn parse(value: &str) -> Option<Self> {
        let mut notify = Self::NEVER;
        if value.eq_ignore_ascii_case("NEVER") {
            return Some(notify);
        }
        for word in value.split(',') {
            match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => notify.success = true,
                "FAILURE" => notify.failure = true,
                "DELAY" => notify.delay = true,
                _ => return None,
            }
        }
        Some(notify)
    }
}

impl OriginalRecipient {
    /// The type is an atom; a UTF-8 address has encodings of its own (RFC 6533 3), every other type
    /// is xtext of printable US-ASCII.
    pub fn parse(value: &str) -> Option<Self> {
        if value.chars().count() > ORIGINAL_RECIPIENT_CHARS_MAX {
            return None;
        }
        let (kind, address) = value.split_once(';')?;
        let decoded = match is_utf8(kind) {
            true => xtext::decode_utf8_address(address),
            false => xtext::decode(address),
        };
        (is_atom(kind) && decoded.is_some()).then(|| Self(value.to_owned()))
    }

    /// As a peer is told: to one without SMTPUTF8 a UTF-8 address goes in ASCII (RFC 6533 3). None
    /// where that is longer than a peer must take.
    pub fn for_peer(&self, smtputf8: bool) -> Option<Self> {
        if smtputf8 || self.0.is_ascii() {
            return Some(self.clone());
        }
        Self::parse(&xtext::to_ascii(&self.0))
    }

    /// As `Original-Recipient` says it: xtext undone, a UTF-8 address in ASCII unless the report
    /// may hold more (RFC 3464 2.3.1, RFC 6533 3).
    pub fn field(&self, utf8: bool) -> String {
        let (kind, address) = self.0.split_once(';').unwrap_or_default();
        let address = match (is_utf8(kind), utf8) {
            (false, _) => xtext::decode(address).unwrap_or_default(),
            (true, false) => xtext::to_ascii(address),
            // What is no mailbox stays as it came.
            (true, true) => xtext::decode_utf8_address(address)
                .filter(|plain| Address::parse(plain).is_ok())
                .unwrap_or_else(|| address.to_owned()),
        };
        format!("{kind}; {address}")
    }
}

fn is_utf8(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("utf-8")
}

fn is_atom(text: &str) -> bool {
    let is_atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    !text.is_empty() && text.bytes().all(is_atext)
}

impl RecipientRequest {
    pub fn is_empty(&self) -> bool {
        self.notify.is_none() && self.original.is_none()
    }

    /// As a peer that announced DSN is told.
    #[must_use]
    pub fn for_peer(&self, smtputf8: bool) -> Self {
        let original = self.original.as_ref().and_then(|original| original.for_peer(smtputf8));
        Self { notify: self.notify, original }
    }

    /// Said or not, a failure is reported unless other occasions only were asked for (RFC 3461
    /// 5.2.6).
    pub fn wants_failure(&self) -> bool {
        self.notify.is_none_or(|notify| notify.failure)
    }

    /// Likewise a delay (RFC 3461 5.2.5).
    pub fn takes_delay(&self) -> bool {
        self.notify.is_none_or(|notify| notify.delay)
    }

    /// Success is reported only to who asked for it.
    pub fn wants_success(&self) -> bool {
        self.notify.is_some_and(|notify| notify.success)
    }

    /// Octets of it in the queue's record, none too few.
    fn stored_bytes(&self) -> usize {
        const KEYS: usize = 60;
        let twice = |c: char| if matches!(c, '"' | '\\') { 2 } else { c.len_utf8() };
        let original = self.original.as_ref().map_or(0, |original| original.0.chars().map(twice).sum());
        if self.is_empty() { 0 } else { original + KEYS }
    }
}

impl From<MessageRequest> for Requests {
    fn from(message: MessageRequest) -> Self {
        Self { message, recipients: BTreeMap::new() }
    }
}

impl Requests {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What was asked about the recipient with this index.
    pub fn of(&self, index: u32) -> RecipientRequest {
        self.recipients.get(&index).cloned().unwrap_or_default()
    }

    pub fn set(&mut self, index: u32, request: RecipientRequest) {
        if !request.is_empty() {
            self.recipients.insert(index, request);
        }
    }

    /// The recipient with this index is gone, and those behind it move up.
    pub fn remove(&mut self, index: u32) {
        self.recipients.remove(&index);
        let behind = self.recipients.split_off(&index);
        self.recipients.extend(behind.into_iter().map(|(at, request)| (at - 1, request)));
    }

    /// Octets of it in the queue's record with this request added, none too few.
    pub fn stored_bytes_with(&self, request: &RecipientRequest) -> usize {
        request.stored_bytes() + self.recipients.values().map(RecipientRequest::stored_bytes).sum::<usize>()
    }
}

impl fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let words: Vec<&str> = words.into_iter().filter(|(said, _)| *said).map(|(_, word)| word).collect();
        if words.is_empty() { f.write_str("NEVER") } else { f.write_str(&words.join(",")) }
    }
}

/// Each parameter with a blank before it.
impl fmt::Display for MessageRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(returns) = self.returns {
            write!(f, " RET={}", returns.as_str())?;
        }
        self.envelope_id.iter().try_for_each(|id| write!(f, " ENVID={id}"))
    }
}

/// Each parameter with a blank before it.
impl fmt::Display for RecipientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.notify.iter().try_for_each(|notify| write!(f, " NOTIFY={notify}"))?;
        self.original.iter().try_for_each(|original| write!(f, " ORCPT={}", original.0))
    }
}

/// A record holds a value that no sender could have said.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no value of a DSN parameter")]
pub struct BadValue(String);

macro_rules! kept_as_text {
    ($($kind:ident: $text:expr;)*) => {$(
        impl TryFrom<String> for $kind {
            type Error = BadValue;

            fn try_from(text: String) -> Result<Self, BadValue> {
                Self::parse(&text).ok_or(BadValue(text))
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                ($text)(value)
            }
        }
    )*};
}

kept_as_text! {
    EnvelopeId: |value: EnvelopeId| value.0;
    OriginalRecipient: |value: OriginalRecipient| value.0;
    Notify: |value: Notify| value.to_string();
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
