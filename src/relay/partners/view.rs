//! What `sealpost partner list` and `show` answer, as JSON and as the values it is made from.

use serde::{Deserialize, Serialize};

use crate::observe::partners::Sighting;
use crate::trust::{Direction, Fault, Mode};

/// One partner: settings in force, what each domain is judged by, and what was seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartnerView {
    pub name: String,
    /// A `[[partner]]` entry; else a listed domain judged by `[trust]`.
    pub written: bool,
    pub domains: Vec<String>,
    pub mode: Mode,
    /// Its domains on the send list and on the receive list.
    pub send: Vec<String>,
    pub receive: Vec<String>,
    pub settings: SettingsView,
    /// One for each domain that mail is sent to.
    pub outbound: Vec<OutboundView>,
    pub seen: Vec<SeenView>,
    pub pins: Vec<PinView>,
    /// What ends within 30 days or has ended, the first first.
    pub expiring: Vec<ExpiringView>,
    pub report: ReportView,
}

/// Settings in force, as `[[partner]]` writes them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SettingsView {
    pub trust_anchors: String,
    pub anchors: usize,
    pub certificate_names: Vec<String>,
    pub extended_key_usage: String,
    pub revocation: String,
    pub revocation_depth: String,
    pub minimum_tls: String,
    #[serde(default)]
    pub minimum_rsa_bits: usize,
    /// Empty: all that the library takes.
    #[serde(default)]
    pub signature_algorithms: Vec<String>,
    /// Certificates that find a path where the partner leaves one out, those of `[trust]` included.
    #[serde(default)]
    pub intermediates: usize,
    pub require_client_certificate_request: bool,
    pub on_inbound_failure: String,
    pub on_outbound_failure: String,
    /// Seconds.
    pub message_expiration: u64,
    pub delay_notification: u64,
    pub certificate: Option<String>,
}

/// How mail to one domain goes: connector and certificate of ours, or why not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutboundView {
    pub domain: String,
    pub connector: Option<String>,
    /// X25519MLKEM768 is offered.
    #[serde(default)]
    pub post_quantum_key_exchange: Option<bool>,
    pub certificate: Option<OwnView>,
    pub problem: Option<String>,
}

/// The certificate that we present.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OwnView {
    pub source: String,
    pub subject: String,
    pub thumbprint: String,
    pub not_after: String,
    pub days_left: i64,
}

/// One domain in one direction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeenView {
    pub domain: String,
    pub direction: Direction,
    pub last_good: Option<Sighting>,
    pub last_failed: Option<Sighting>,
    /// Of the last 30 days.
    pub good: u64,
    pub failures: Vec<FailureView>,
}

impl SeenView {
    /// Nothing good came after what failed.
    pub fn is_failing(&self) -> bool {
        let at = |sighting: &Option<Sighting>| sighting.as_ref().map(|sighting| sighting.at);
        self.last_failed.is_some() && at(&self.last_failed) > at(&self.last_good)
    }
}

/// How often a fault was found in the last 30 days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureView {
    pub fault: Option<Fault>,
    pub mode: Mode,
    pub count: u64,
}

/// One of `spki_pins`, and the directions in which the certificate last seen has this key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PinView {
    pub pin: String,
    pub matched: Vec<Direction>,
    /// Whether any certificate has been seen at all.
    pub tried: bool,
}

/// Something that ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiringView {
    /// `their certificate`, `trust anchor`, `our certificate`, `revocation list`.
    pub what: String,
    pub subject: String,
    pub ends: String,
    pub days_left: i64,
}

/// What enforcing would have refused in the last 30 days.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReportView {
    /// Verdicts under report mode, and those of them that were bad.
    pub judged: u64,
    pub would_refuse: u64,
    pub by_fault: Vec<ReportRow>,
}

/// One fault of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    pub direction: Direction,
    pub domain: String,
    pub fault: Option<Fault>,
    pub count: u64,
    /// What the partner would have heard, or what the mail would have waited with.
    pub reply: String,
}
