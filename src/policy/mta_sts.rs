//! MTA-STS: what a domain says of its mail hosts (RFC 8461 section 3). Reading alone; fetching is in
//! `net`, keeping in `relay`.

use std::fmt;
use std::time::Duration;

use crate::mail::Domain;

use super::limits::STS_MX_PATTERNS_MAX;

/// Longest `max_age` of the RFC; more is taken as this.
const MAX_AGE_MOST: Duration = Duration::from_secs(31_557_600);
/// A policy shown or kept as text never grows beyond what was fetched.
const VERSION: &str = "STSv1";

/// A policy, as published or kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsPolicy {
    pub mode: StsMode,
    /// Never empty but under `none`.
    pub mx: Vec<MxPattern>,
    pub max_age: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StsMode {
    Enforce,
    /// Judged and reported, and nothing held back.
    Testing,
    /// The domain takes its policy back.
    None,
}

/// A value of `mx`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MxPattern {
    Exact(Domain),
    /// `*.x.example`: hosts exactly one label below.
    AnyChildOf(Domain),
}

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StsPolicyError {
    #[error("it is not UTF-8")]
    NotText,
    #[error("line {0} is not `key: value`")]
    BadLine(usize),
    #[error("`version` is not {VERSION}, or missing")]
    Version,
    #[error("`mode` is none of enforce, testing and none, or missing")]
    Mode,
    #[error("`max_age` is not a number of seconds, or missing")]
    MaxAge,
    #[error("an `mx` is neither a host name nor `*.` and a domain")]
    Mx,
    #[error("it names no `mx`, so that no host could ever be right")]
    NoMx,
    #[error("it has more than {STS_MX_PATTERNS_MAX} `mx` lines")]
    TooManyMx,
}

impl StsPolicy {
    /// Reads a policy (RFC 8461 3.2). Of a key that may stand once the first counts; keys that are
    /// not known are passed over, as RFC 8461 3.2 has it.
    pub fn parse(octets: &[u8]) -> Result<Self, StsPolicyError> {
        let text = std::str::from_utf8(octets).map_err(|_| StsPolicyError::NotText)?;
        let (mut version, mut mode, mut max_age) = (None, None, None);
        let mut mx = Vec::new();
        for (index, line) in text.split('\n').enumerate() {
            let line = line.strip_suffix('\r').unwrap_or(line).trim_matches([' ', '\t']);
            if line.is_empty() {
                continue;
            }
            let (key, value) = line.split_once(':').ok_or(StsPolicyError::BadLine(index + 1))?;
            let value = value.trim_matches([' ', '\t']);
            match key.trim_end_matches([' ', '\t']) {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" if mx.len() >= STS_MX_PATTERNS_MAX => return Err(StsPolicyError::TooManyMx),
                "mx" => mx.push(MxPattern::parse(value).ok_or(StsPolicyError::Mx)?),
                _ => {}
            }
        }
        if version != Some(VERSION) {
            return Err(StsPolicyError::Version);
        }
        let mode = mode.and_then(StsMode::parse).ok_or(StsPolicyError::Mode)?;
        let max_age = max_age.and_then(seconds).ok_or(StsPolicyError::MaxAge)?;
        if mx.is_empty() && mode != StsMode::None {
            return Err(StsPolicyError::NoMx);
        }
        Ok(Self { mode, mx, max_age })
    }

    /// Whether `host`, the name in the MX record, is one of the policy's (RFC 8461 4.1).
    pub fn names(&self, host: &Domain) -> bool {
        self.mx.iter().any(|pattern| pattern.matches(host))
    }

    /// Line by line, as reports quote it (RFC 8460 4.4) and the disk keeps it.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("version: {VERSION}"), format!("mode: {}", self.mode)];
        lines.extend(self.mx.iter().map(|pattern| format!("mx: {pattern}")));
        lines.push(format!("max_age: {}", self.max_age.as_secs()));
        lines
    }

    /// The hosts that are right, in one line.
    pub fn hosts(&self) -> String {
        let hosts: Vec<String> = self.mx.iter().map(MxPattern::to_string).collect();
        hosts.join(", ")
    }
}

impl StsMode {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "enforce" => StsMode::Enforce,
            "testing" => StsMode::Testing,
            "none" => StsMode::None,
            _ => return None,
        })
    }
}

impl fmt::Display for StsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StsMode::Enforce => "enforce",
            StsMode::Testing => "testing",
            StsMode::None => "none",
        })
    }
}

impl MxPattern {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("*.") {
            Some(parent) => Domain::parse_rooted(parent).ok().map(MxPattern::AnyChildOf),
            None => Domain::parse_rooted(text).ok().map(MxPattern::Exact),
        }
    }

    fn matches(&self, host: &Domain) -> bool {
        match self {
            MxPattern::Exact(name) => name == host,
            MxPattern::AnyChildOf(parent) => {
                host.as_str().split_once('.').is_some_and(|(_, rest)| rest == parent.as_str())
            }
        }
    }
}

impl fmt::Display for MxPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MxPattern::Exact(name) => write!(f, "{name}"),
            MxPattern::AnyChildOf(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// 1 to 10 digits (RFC 8461 3.2).
fn seconds(text: &str) -> Option<Duration> {
    let fits = (1..=10).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| fits)?;
    Some(Duration::from_secs(seconds).min(MAX_AGE_MOST))
}

/// The `id` of a domain's policy, from the TXT records at `_mta-sts.` (RFC 8461 3.1). Other records
/// there mean nothing; two that are meant mean that there is no policy.
pub fn policy_id(records: &[String]) -> Option<&str> {
    let mut meant = records.iter().filter_map(|record| record.strip_prefix("v=STSv1"));
    let (record, None) = (meant.next()?, meant.next()) else { return None };
    let mut fields = record.trim_start_matches([' ', '\t']).strip_prefix(';')?.split(';');
    let id = fields.find_map(|field| field.trim_matches([' ', '\t']).strip_prefix("id="))?;
    let fits = (1..=32).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric());
    fits.then_some(id)
}

#[cfg(test)]
#[path = "mta_sts_tests.rs"]
mod tests;
