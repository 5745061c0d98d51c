//! What the relay keeps with a queued message and with each attempt, as JSON inside the queue's
//! opaque fields.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use sealpost_queue::NOTE_BYTES_MAX;

use crate::mail::dsn::Requests;
use crate::mail::{BodyType, Domain, EnhancedCode, ReversePath, TlsRequired};
use crate::observe::text::shorten;
use crate::policy::outbound::Skipped;
use crate::smtp::{Reply, SessionId};
use crate::trust::{Fault, RuledBy, Ruling, Verdict};

/// Octets kept of each part of a note: a reply may have 128 lines, a name in a certificate 64 KB.
/// Without the transcript they fit `NOTE_BYTES_MAX` even when every octet is escaped in JSON.
const REASON_BYTES_MAX: usize = 3 << 10;
const REPLY_BYTES_MAX: usize = 2 << 10;
const DETAIL_BYTES_MAX: usize = 1 << 10;
const TRANSCRIPT_LINE_BYTES_MAX: usize = 400;

/// `meta` of a queued message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MessageMeta {
    pub reverse_path: ReversePath,
    pub body: BodyType,
    pub smtputf8: bool,
    pub eight_bit: bool,
    /// Content is no text, and needs BINARYMIME.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binary: bool,
    /// The domain the message was secured for when it came in.
    pub secured: Option<Domain>,
    /// Receive connector and session; empty for messages of our own.
    pub connector: String,
    pub session: String,
    /// What the client called itself, and where it came from; none for messages of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_from: Option<ReceivedFrom>,
    /// What the sender asked to hear; recipients by their index in the queue.
    #[serde(default, skip_serializing_if = "Requests::is_empty")]
    pub dsn: Requests,
    /// A rule of `queue hold` held recipients of it as it came in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// For message tracking: the Message-ID field as it stands, and the subject where the settings
    /// allow it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    #[serde(default)]
    pub tls_required: TlsRequired,
}

/// The host that handed a message in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedFrom {
    pub helo: String,
    pub ip: IpAddr,
}

/// `note` of a queued recipient: what the last attempt met.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AttemptNote {
    pub fault: Option<Fault>,
    /// One or more sentences.
    pub reason: String,
    pub wanted: String,
    pub got: String,
    /// The reply as one line: the peer's, or ours in its place.
    pub reply: String,
    /// `5.7.5`; class 4 while queued.
    pub status: String,
    pub host: Option<String>,
    /// The peer said it; otherwise it is our own finding.
    pub from_peer: bool,
    /// Last lines of the conversation.
    pub transcript: Vec<String>,
    /// Nothing the partner or time could change: bounce where the policy says so.
    pub permanent: bool,
    /// When that was, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempted: Option<i64>,
    /// Found by an attempt with another message: the next hop is down, and this one was put off
    /// without knocking. `attempted` is then that attempt's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_next_hop: bool,
    /// Attempts with this recipient itself.
    #[serde(default)]
    pub own_attempts: u32,
    /// The session in the protocol log; empty where none got so far.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// The policy that ruled, and what it wanted and got.
    #[serde(default)]
    pub ruling: Option<Ruling>,
}

impl MessageMeta {
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// A report, which no client handed in.
    pub fn is_of_our_own(&self) -> bool {
        self.connector.is_empty()
    }
}

impl AttemptNote {
    /// At most `NOTE_BYTES_MAX`: the queue refuses a longer note, and with it all that became of the
    /// message. The transcript goes first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        if bytes.len() <= NOTE_BYTES_MAX || self.transcript.is_empty() {
            return bytes;
        }
        Self { transcript: Vec::new(), ..self.clone() }.to_bytes()
    }

    /// An empty or unreadable note is no note.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// A finding of our own.
    pub fn ours(reply: &Reply, reason: impl Into<String>) -> Self {
        Self {
            reason: kept(&reason.into(), REASON_BYTES_MAX),
            reply: kept(&reply.to_string(), REPLY_BYTES_MAX),
            status: status_of(reply).to_string(),
            permanent: reply.is_permanent(),
            ..Self::default()
        }
    }

    /// The peer's reply to `command`.
    pub fn from_reply(reply: &Reply, command: &str, host: &str) -> Self {
        let reason = format!("{host} answered {command} with: {reply}");
        Self { from_peer: true, host: Some(host.to_owned()), ..Self::ours(reply, reason) }
    }

    /// The same where the reply is a partner's refusal of us.
    #[must_use]
    pub fn of_verdict(self, refusal: Option<&Verdict>) -> Self {
        let Some(verdict) = refusal else { return self };
        let fact = verdict.facts.first();
        Self {
            fault: verdict.fault(),
            reason: kept(&verdict.sentence(), REASON_BYTES_MAX),
            wanted: fact.map(|fact| fact.wanted.clone()).unwrap_or_default(),
            got: fact.map(|fact| kept(&fact.got, DETAIL_BYTES_MAX)).unwrap_or_default(),
            ..self
        }
    }

    /// A verdict that did not admit the peer.
    pub fn from_verdict(verdict: &Verdict, host: &str) -> Self {
        let fact = verdict.facts.first();
        Self {
            fault: verdict.fault(),
            wanted: fact.map(|fact| kept(&fact.wanted, DETAIL_BYTES_MAX)).unwrap_or_default(),
            got: fact.map(|fact| kept(&fact.got, DETAIL_BYTES_MAX)).unwrap_or_default(),
            host: Some(host.to_owned()),
            permanent: verdict.fault().is_some_and(|fault| !fault.clears_by_itself()),
            ruling: Some(verdict.ruling()),
            ..Self::ours(&verdict.outbound_reply(false), verdict.sentence())
        }
    }

    /// A policy kept us from the host.
    pub fn from_skipped(skipped: &Skipped) -> Self {
        Self {
            wanted: kept(&skipped.wanted, DETAIL_BYTES_MAX),
            got: kept(&skipped.got, DETAIL_BYTES_MAX),
            host: Some(skipped.host.clone()),
            ruling: Some(skipped.ruling.clone()),
            ..Self::ours(&skipped.reply(), skipped.reason.clone())
        }
    }

    /// The same where the message itself asked for it, with REQUIRETLS. Then it is for good, unless
    /// it was the handshake that broke off or a list that could not be had (RFC 8689 4.2.1).
    pub fn from_requiretls(verdict: &Verdict, host: &str) -> Self {
        let fault = verdict.fault();
        let waits = matches!(fault, Some(Fault::HandshakeFailed | Fault::RevocationUnknown));
        let (code, class) = if waits { (454, 4) } else { (550, 5) };
        let what = fault.map_or("the session is not secure enough", |fault| fault.row().meaning);
        let reply = Reply::new(code, (class, 7, 10), format!("REQUIRETLS: {what}"));
        Self {
            reply: reply.to_string(),
            status: status_of(&reply).to_string(),
            permanent: !waits,
            ..Self::from_verdict(verdict, host)
        }
    }

    /// The connection failed below SMTP.
    pub fn broken(host: &str, error: &str) -> Self {
        let reply = Reply::new(451, (4, 4, 2), format!("connection to {host} failed: {error}"));
        Self { host: Some(host.to_owned()), ..Self::ours(&reply, format!("{host}: {error}")) }
    }

    /// What is told when one more host was tried: a failed check rather than a connection that
    /// broke, else the later. Only what all hosts say for good is for good.
    #[must_use]
    pub fn after(self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        let permanent = self.permanent && earlier.permanent;
        let of_trust = |note: &Self| note.fault.is_some() || note.ruling.is_some();
        let told = if !of_trust(&self) && of_trust(&earlier) { earlier } else { self };
        Self { permanent, ..told }
    }

    /// A check of ours failed, rather than a connection or a command.
    pub fn is_of_a_check(&self) -> bool {
        (self.fault.is_some() && !self.from_peer) || self.ruling.is_some()
    }

    /// What the recipient's domain has published was not satisfied.
    pub fn is_of_published_policy(&self) -> bool {
        let ruled_by = self.ruling.as_ref().map(|ruling| ruling.policy);
        matches!(ruled_by, Some(RuledBy::Dane | RuledBy::MtaSts))
    }

    /// As the last report says it: a failed check with its final code, 550 5.7.x.
    #[must_use]
    pub fn into_final(self) -> Self {
        let queued = self.reply.strip_prefix("454 4.").filter(|_| self.is_of_a_check());
        let reply = queued.map(|rest| format!("550 5.{rest}")).unwrap_or_else(|| self.reply.clone());
        Self { reply, ..self }
    }

    /// What is known of the next hop, for a message that was not tried itself.
    #[must_use]
    pub fn of_the_next_hop(self) -> Self {
        Self { of_next_hop: true, ..self }
    }

    /// As the outcome of the attempt that ends now, or of the wait for the next hop; `before` is what
    /// was known of the recipient.
    #[must_use]
    pub fn concluded(self, before: &[u8], now: i64) -> Self {
        let own_attempts = Self::from_bytes(before).own_attempts;
        match self.of_next_hop {
            true => Self { own_attempts, ..self },
            false => Self { attempted: Some(now), own_attempts: own_attempts.saturating_add(1), ..self },
        }
    }

    #[must_use]
    pub fn in_session(self, session: SessionId) -> Self {
        Self { session: session.to_string(), ..self }
    }

    #[must_use]
    pub fn with_transcript(self, transcript: &[String]) -> Self {
        let transcript = transcript.iter().map(|line| kept(line, TRANSCRIPT_LINE_BYTES_MAX)).collect();
        Self { transcript, ..self }
    }
}

fn kept(text: &str, bytes_max: usize) -> String {
    shorten(text, bytes_max).into_owned()
}

/// The enhanced code of a reply, or the general one of its class (RFC 3463 2).
pub fn status_of(reply: &Reply) -> EnhancedCode {
    let class = if reply.is_permanent() { 5 } else { 4 };
    reply.enhanced.unwrap_or(EnhancedCode::new(class, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::dsn::RecipientRequest;
    use crate::mail::dsn::request::{Notify, OriginalRecipient};
    use crate::policy::limits;

    #[test]
    fn a_peer_with_much_to_say_does_not_keep_the_outcome_from_being_written_down() {
        let lines = vec!["\"\\".repeat(2000); 128];
        let reply = Reply { code: 450, enhanced: Some(EnhancedCode::new(4, 2, 1)), lines };
        let tail = vec![format!("< {}", "\"".repeat(4000)); 12];
        let note = AttemptNote::from_reply(&reply, "RCPT", "mx.woodgrovebank.example").with_transcript(&tail);
        let bytes = note.to_bytes();
        assert!(bytes.len() <= NOTE_BYTES_MAX, "{}", bytes.len());
        let read = AttemptNote::from_bytes(&bytes);
        assert_eq!(read.status, "4.2.1");
        assert!(read.reason.starts_with("mx.woodgrovebank.example answered RCPT with: 450 4.2.1 "));
        assert!(read.reply.ends_with("octets more]"));
    }

    #[test]
    fn a_record_of_before_the_dsn_extension_asks_nothing() {
        let old = r#"{"reverse_path":{"Address":"a@contoso.example"},"body":"SevenBit","smtputf8":false,
            "eight_bit":false,"secured":null,"connector":"Internet","session":"08D6"}"#;
        let meta = MessageMeta::from_bytes(old.as_bytes()).unwrap();
        assert!(meta.dsn.is_empty() && meta.received_from.is_none());
        assert!(!String::from_utf8(meta.to_bytes()).unwrap().contains("dsn"), "nothing asked, nothing kept");
    }

    #[test]
    fn the_most_that_can_be_asked_fits_a_record() {
        let mut meta = MessageMeta::from_bytes(
            br#"{"reverse_path":"Null","body":"SevenBit","smtputf8":false,"eight_bit":false,"secured":null,
                "connector":"","session":""}"#,
        )
        .unwrap();
        let long = format!("rfc822;{}", "\"".repeat(493));
        let asked = RecipientRequest {
            notify: Notify::parse("SUCCESS,FAILURE,DELAY"),
            original: OriginalRecipient::parse(&long),
        };
        let mut index = 0;
        while meta.dsn.stored_bytes_with(&asked) <= limits::DSN_REQUEST_BYTES_MAX {
            meta.dsn.set(index, asked.clone());
            index += 1;
        }
        assert!(index >= 50, "{index}");
        assert!(meta.to_bytes().len() + 4096 <= sealpost_queue::META_BYTES_MAX, "{}", meta.to_bytes().len());
        let longest =
            RecipientRequest { original: OriginalRecipient::parse(&long.replace('"', "x")), ..asked };
        let mut hundred = Requests::default();
        (0..99).for_each(|index| hundred.set(index, longest.clone()));
        assert!(hundred.stored_bytes_with(&longest) <= limits::DSN_REQUEST_BYTES_MAX, "RFC 5321 4.5.3.1.8");
    }

    #[test]
    fn an_ordinary_note_keeps_its_transcript() {
        let tail = vec!["> MAIL FROM:<a@contoso.example>".to_owned(), "< 451 4.3.0 later".to_owned()];
        let reply = Reply::new(451, (4, 3, 0), "later");
        let note = AttemptNote::from_reply(&reply, "MAIL", "mx.example").with_transcript(&tail);
        assert_eq!(AttemptNote::from_bytes(&note.to_bytes()).transcript, tail);
    }
}
