//! The record as values: what `partners.json` holds and `sealpost partner show --json` prints.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::mail::Domain;
use crate::observe::text;
use crate::trust::{
    CertificateFacts, Direction, Fact, Fault, Mode, Ruling, SpkiPin, TlsEvidence, Verdict, spki_pin,
    thumbprint,
};

use super::DAYS_KEPT;

/// Of the file's format.
pub(super) const VERSION: u32 = 1;
/// What strangers can fill is bounded: certificates of a chain, names of one, facts of a verdict,
/// octets of a text.
const CERTIFICATES_MAX: usize = 10;
const NAMES_MAX: usize = 20;
const FACTS_MAX: usize = 12;
const TEXT_BYTES_MAX: usize = 512;

/// Everything seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartnerRecord {
    pub version: u32,
    /// By domain, then direction.
    pub domains: Vec<DomainRecord>,
}

/// What was seen of one domain in one direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainRecord {
    pub domain: Domain,
    pub direction: Direction,
    pub last_good: Option<Sighting>,
    pub last_failed: Option<Sighting>,
    /// Oldest first, at most `DAYS_KEPT`.
    pub days: Vec<Day>,
}

/// One session and its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    #[serde(with = "as_text")]
    pub at: Timestamp,
    /// Of the protocol log.
    pub session: String,
    pub connector: String,
    /// The remote address inbound, the next hop outbound.
    pub peer: String,
    pub mode: Mode,
    pub tls: Option<String>,
    pub cipher_suite: Option<String>,
    /// The first one is *the* fault; none: good.
    pub facts: Vec<Fact>,
    pub matched_name: Option<String>,
    /// End-entity first.
    pub certificates: Vec<SeenCertificate>,
    /// The policy that ruled, and what it wanted and got.
    #[serde(default)]
    pub ruling: Option<Ruling>,
}

/// One certificate as the partner sent it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenCertificate {
    pub subject: String,
    pub issuer: String,
    pub serial: String,
    /// SHA-256, lower-case hex.
    pub thumbprint: String,
    pub names: Vec<String>,
    #[serde(with = "as_text")]
    pub not_before: Timestamp,
    #[serde(with = "as_text")]
    pub not_after: Timestamp,
    pub key: String,
    /// `sha256/…`, as `spki_pins` writes it.
    pub pin: String,
}

/// Verdicts of one day (UTC).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Day {
    #[serde(with = "as_text")]
    pub date: Date,
    pub outcomes: Vec<Outcome>,
}

/// How often something happened: inbound once a MAIL, outbound once a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub good: bool,
    /// None where it was good, or fell short without a fault of its own.
    pub fault: Option<Fault>,
    pub mode: Mode,
    pub count: u64,
}

/// The first day whose counts are kept.
pub(super) fn oldest_day(now: Timestamp) -> Date {
    let today = day_of(now);
    today.checked_sub(jiff::Span::new().days(DAYS_KEPT - 1)).unwrap_or(today)
}

fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Adds a verdict to its day; days that are too old go.
pub(super) fn count(days: &mut Vec<Day>, at: Timestamp, verdict: &Verdict) {
    let date = day_of(at);
    if days.last().is_none_or(|last| last.date != date) {
        let oldest = oldest_day(at);
        days.retain(|day| day.date >= oldest && day.date < date);
        days.push(Day { date, outcomes: Vec::new() });
    }
    let Some(today) = days.last_mut() else { return };
    let (good, fault, mode) = (verdict.is_good(), verdict.fault(), verdict.mode);
    let same = |outcome: &&mut Outcome| (outcome.good, outcome.fault, outcome.mode) == (good, fault, mode);
    match today.outcomes.iter_mut().find(same) {
        Some(outcome) => outcome.count = outcome.count.saturating_add(1),
        None => today.outcomes.push(Outcome { good, fault, mode, count: 1 }),
    }
}

impl DomainRecord {
    /// The certificates that are the partner's, end-entity first. Only a good session proves them:
    /// a failed one may be anybody who claims to be the partner.
    pub fn proved_certificates(&self) -> &[SeenCertificate] {
        self.last_good.as_ref().map(|sighting| sighting.certificates.as_slice()).unwrap_or_default()
    }
}

impl Sighting {
    pub(super) fn of(
        at: Timestamp,
        session: String,
        connector: &str,
        peer: &str,
        verdict: &Verdict,
        evidence: Option<&TlsEvidence>,
    ) -> Self {
        let chain = evidence.map(|evidence| evidence.peer_chain.as_slice()).unwrap_or_default();
        Self {
            at,
            session,
            connector: bounded(connector),
            peer: bounded(peer),
            mode: verdict.mode,
            tls: evidence.map(|evidence| evidence.version.as_str().to_owned()),
            cipher_suite: evidence.map(|evidence| bounded(&evidence.cipher_suite)),
            facts: verdict.facts.iter().take(FACTS_MAX).map(bounded_fact).collect(),
            matched_name: verdict.matched_name.as_deref().map(bounded),
            certificates: chain.iter().take(CERTIFICATES_MAX).filter_map(SeenCertificate::read).collect(),
            ruling: (verdict.direction == Direction::Outbound).then(|| verdict.ruling()),
        }
    }

    /// *The* fault.
    pub fn fault(&self) -> Option<Fault> {
        self.facts.first().map(|fact| fact.fault)
    }
}

impl SeenCertificate {
    /// `None` for octets that are no certificate: the verdict says so.
    pub fn read(certificate: &rustls::pki_types::CertificateDer<'_>) -> Option<Self> {
        let facts = CertificateFacts::read(certificate).ok()?;
        let pin: SpkiPin = spki_pin(certificate)?;
        Some(Self {
            subject: bounded(&facts.subject),
            issuer: bounded(&facts.issuer),
            serial: bounded(&facts.serial),
            thumbprint: thumbprint(certificate),
            names: facts.names.iter().take(NAMES_MAX).map(|name| bounded(name)).collect(),
            not_before: facts.not_before,
            not_after: facts.not_after,
            key: bounded(&facts.key),
            pin: pin.to_string(),
        })
    }
}

fn bounded(words: &str) -> String {
    text::escape(&text::shorten(words, TEXT_BYTES_MAX)).into_owned()
}

fn bounded_fact(fact: &Fact) -> Fact {
    Fact {
        fault: fact.fault,
        detail: bounded(&fact.detail),
        wanted: bounded(&fact.wanted),
        got: bounded(&fact.got),
    }
}

/// Times and dates as they are written everywhere.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<T: std::fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
