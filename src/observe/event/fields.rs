//! Fields of events as records write them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::mail::Domain;
use crate::trust::{RuledBy, TlsOutcome, TlsVersion, Verdict};

pub(super) fn display<T: std::fmt::Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn optional_display<T: std::fmt::Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_str("none"),
    }
}

pub(super) fn serialize_version<S: Serializer>(
    version: &Option<TlsVersion>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(version_label(*version))
}

pub(super) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{:.6}", duration.as_secs_f64()))
}

pub(super) fn optional_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => seconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// The label and field value of a TLS version.
pub(in crate::observe) fn version_label(version: Option<TlsVersion>) -> &'static str {
    version.map_or("none", TlsVersion::as_str)
}

/// What an operator needs of a verdict, beside the reply and protocol log that hold all of it.
#[derive(Serialize)]
struct VerdictFields<'a> {
    domain: &'a Domain,
    verdict: &'static str,
    mode: crate::trust::Mode,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<crate::trust::Fault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_name: Option<&'a str>,
}

pub(super) fn serialize_verdict<S: Serializer>(
    verdict: &Arc<Verdict>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    VerdictFields {
        domain: &verdict.domain,
        verdict: if verdict.is_good() { "good" } else { "bad" },
        mode: verdict.mode,
        faults: verdict.facts.iter().map(|fact| fact.fault).collect(),
        detail: (!verdict.is_good()).then(|| verdict.sentence()),
        matched_name: verdict.matched_name.as_deref(),
    }
    .serialize(serializer)
}

/// The same with the policy that ruled, and what it wanted and got.
#[derive(Serialize)]
struct RuledFields<'a> {
    policy: RuledBy,
    wanted_got: String,
    outcome: TlsOutcome,
    #[serde(flatten, serialize_with = "serialize_verdict")]
    verdict: &'a Arc<Verdict>,
}

pub(super) fn serialize_ruled<S: Serializer>(
    verdict: &Arc<Verdict>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let ruling = verdict.ruling();
    RuledFields { policy: ruling.policy, wanted_got: ruling.wanted_got(), outcome: ruling.outcome, verdict }
        .serialize(serializer)
}
