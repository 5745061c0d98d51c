//! The event of an inbound check (docs/inbound-checks.md).

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use crate::policy::{CheckMode, Finding};
use crate::smtp::SessionId;

use super::fields::display;

/// What one check found, and how far it was to go.
#[derive(Clone, Debug, Serialize)]
pub struct InboundChecked {
    #[serde(flatten, serialize_with = "serialize_finding")]
    pub finding: Finding,
    #[serde(serialize_with = "serialize_mode")]
    pub mode: CheckMode,
    pub connector: String,
    #[serde(serialize_with = "display")]
    pub session: SessionId,
    pub remote: SocketAddr,
}

#[derive(Serialize)]
struct FindingFields<'a> {
    check: &'static str,
    result: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    of: String,
}

fn serialize_finding<S: Serializer>(finding: &Finding, serializer: S) -> Result<S::Ok, S::Error> {
    let of = finding.properties.iter().map(|(name, value)| format!("{name}={value}"));
    FindingFields {
        check: finding.check.name(),
        result: finding.outcome.as_str(),
        reason: &finding.reason,
        of: of.collect::<Vec<_>>().join(" "),
    }
    .serialize(serializer)
}

fn serialize_mode<S: Serializer>(mode: &CheckMode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(mode.as_str())
}
