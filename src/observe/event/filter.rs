//! The events of milters and of recipient verification (docs/milter.md).

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use crate::mail::Domain;
use crate::policy::CheckMode;
use crate::policy::milter::MilterResult;
use crate::smtp::SessionId;

use super::fields::display;

/// Written as the other events are, each under its own name.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event")]
pub enum FilterEvent {
    /// A milter had its last word on a sender, a recipient or a message.
    MilterAnswered {
        milter: String,
        #[serde(serialize_with = "serialize_result")]
        result: MilterResult,
        /// A reply, a reason to hold the message, or why it could not be asked.
        #[serde(skip_serializing_if = "String::is_empty")]
        detail: String,
        #[serde(serialize_with = "serialize_mode")]
        mode: CheckMode,
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        remote: SocketAddr,
    },
    /// A milter wanted something that it may not have; the message went on without it.
    MilterChangeDenied {
        milter: String,
        change: String,
        reason: String,
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
    },
    /// A next hop was asked about a recipient, or had been before.
    RecipientVerified {
        recipient: String,
        /// `exists`, `any-is-taken`, `missing` or `unknown`.
        result: &'static str,
        #[serde(skip_serializing_if = "String::is_empty")]
        detail: String,
        #[serde(serialize_with = "serialize_mode")]
        mode: CheckMode,
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        remote: SocketAddr,
    },
    /// The next hop of a domain takes any recipient, so that it cannot verify one.
    AnyRecipientTaken {
        domain: Domain,
    },
    /// A milter could not be asked; told once, until it can be again.
    MilterDown {
        milter: String,
        address: String,
        error: String,
        default_action: &'static str,
    },
    MilterUp {
        milter: String,
    },
    /// A message got its 250 and goes nowhere, because a milter wants it so.
    MessageDiscarded {
        queue_id: String,
        by: String,
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        /// Empty for the null reverse-path.
        sender: String,
        recipients: usize,
    },
}

fn serialize_result<S: Serializer>(result: &MilterResult, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(result.as_str())
}

fn serialize_mode<S: Serializer>(mode: &CheckMode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(mode.as_str())
}
