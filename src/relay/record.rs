//! What the relay keeps with a queued message and with each attempt, as JSON inside the queue's
//! opaque fields.

use serde::{Deserialize, Serialize};

use crate::mail::{BodyType, Domain, EnhancedCode, ReversePath};
use crate::smtp::Reply;
use crate::trust::{Fault, Verdict};

/// `meta` of a queued message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MessageMeta {
    pub reverse_path: ReversePath,
    pub body: BodyType,
    pub smtputf8: bool,
    pub eight_bit: bool,
    /// The domain the message was secured for when it came in.
    pub secured: Option<Domain>,
    /// Receive connector and session; empty for messages of our own.
    pub connector: String,
    pub session: String,
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
}

impl MessageMeta {
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

impl AttemptNote {
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// An empty or unreadable note is no note.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// A finding of our own.
    pub fn ours(reply: &Reply, reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            reply: reply.to_string(),
            status: status_of(reply).to_string(),
            permanent: reply.is_permanent(),
            ..Self::default()
        }
    }

    /// The peer's reply to `command`.
    pub fn from_reply(reply: &Reply, command: &str, host: &str) -> Self {
        Self {
            reason: format!("{host} answered {command} with: {reply}"),
            from_peer: true,
            host: Some(host.to_owned()),
            ..Self::ours(reply, "")
        }
    }

    /// A verdict that did not admit the peer.
    pub fn from_verdict(verdict: &Verdict, host: &str) -> Self {
        let fact = verdict.facts.first();
        Self {
            fault: verdict.fault(),
            reason: verdict.sentence(),
            wanted: fact.map(|fact| fact.wanted.clone()).unwrap_or_default(),
            got: fact.map(|fact| fact.got.clone()).unwrap_or_default(),
            host: Some(host.to_owned()),
            permanent: verdict.fault().is_some_and(|fault| !fault.clears_by_itself()),
            ..Self::ours(&verdict.outbound_reply(false), "")
        }
    }

    /// The connection failed below SMTP.
    pub fn broken(host: &str, error: &str) -> Self {
        let reply = Reply::new(451, (4, 4, 2), format!("connection to {host} failed: {error}"));
        Self { host: Some(host.to_owned()), ..Self::ours(&reply, format!("{host}: {error}")) }
    }

    #[must_use]
    pub fn with_transcript(self, transcript: Vec<String>) -> Self {
        Self { transcript, ..self }
    }
}

/// The enhanced code of a reply, or the general one of its class (RFC 3463 2).
pub fn status_of(reply: &Reply) -> EnhancedCode {
    let class = if reply.is_permanent() { 5 } else { 4 };
    reply.enhanced.unwrap_or(EnhancedCode::new(class, 0, 0))
}
