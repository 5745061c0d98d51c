//! A partner organisation: one object for both directions.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::mail::Domain;
use crate::trust::{Mode, OnFailure, TrustPolicy};

use super::PartnerLimits;

/// `priority`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
}

/// Whether an operator means a partner of this name and these domains by `wanted`: the name in upper
/// or lower case, or one of the domains.
pub fn is_called(name: &str, domains: &[Domain], wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted)
        || Domain::parse_rooted(wanted).is_ok_and(|wanted| domains.contains(&wanted))
}

/// `[[partner]]`, or the implied one of a listed domain that no entry refines.
#[derive(Clone, Debug)]
pub struct Partner {
    pub name: String,
    pub domains: Vec<Domain>,
    pub policy: Arc<TrustPolicy>,
    pub on_inbound_failure: OnFailure,
    pub on_outbound_failure: OnFailure,
    /// `None`: the `[queue]` value.
    pub message_expiration: Option<Duration>,
    pub delay_notification: Option<Duration>,
    /// `None`: the `[queue]` value. Never empty.
    pub retry_intervals: Option<Vec<Duration>>,
    /// Against other partners, when there are not workers enough for all.
    pub priority: Priority,
    pub mode: Mode,
    /// Thumbprint or SAN name of the certificate we present to this partner.
    pub certificate: Option<String>,
    /// Where its servers connect from, so that strangers cannot take their places. Proves nothing.
    pub remote_ip_ranges: Vec<IpNet>,
    pub limits: PartnerLimits,
}

impl Partner {
    /// Whether `wanted` is its name or one of its domains.
    pub fn is_called(&self, wanted: &str) -> bool {
        is_called(&self.name, &self.domains, wanted)
    }
}
