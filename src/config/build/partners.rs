//! Partners: those that are written, and the implied one of each listed domain that none refines.

use std::sync::Arc;
use std::time::Duration;

use crate::mail::Domain;
use crate::policy::{Partner, PartnerLimits, Priority, Transport};
use crate::trust::{Mode, OnFailure, TrustPolicy};

use super::super::document::{Document, Table};
use super::super::format;
use super::super::problem::Problems;
use super::connectors::message_rates;
use super::trust::{Anchors, partner_policy};

/// When senders to a partner hear that their mail waits; for everyone else `[queue]` says it.
const DELAY_NOTIFICATION: Duration = Duration::from_secs(30 * 60);

/// The written ones first, in the order of the file.
pub fn partners(
    document: &Document,
    transport: &Transport,
    default_policy: &Arc<TrustPolicy>,
    anchors: &mut Anchors<'_>,
    problems: &mut Problems,
) -> Vec<Arc<Partner>> {
    let mut partners: Vec<Arc<Partner>> =
        document.tables("partner").map(|table| Arc::new(written(table, anchors, problems))).collect();
    let listed = transport.tls_send_domain_secure_list.union(&transport.tls_receive_domain_secure_list);
    let unrefined = listed.filter(|domain| !partners.iter().any(|partner| partner.domains.contains(domain)));
    let implied: Vec<_> = unrefined.map(|domain| Arc::new(implied(domain, default_policy))).collect();
    partners.extend(implied);
    partners
}

fn written(table: &Table, anchors: &mut Anchors<'_>, problems: &mut Problems) -> Partner {
    let on_failure = |key| match table.text(key) {
        Some("defer") => OnFailure::Defer,
        _ => OnFailure::Reject,
    };
    let own_expiration = table.is_written("message_expiration");
    Partner {
        name: table.name().unwrap_or_default().to_owned(),
        domains: table.read_all("domains", format::secure_domain),
        policy: Arc::new(partner_policy(table, anchors, problems)),
        on_inbound_failure: on_failure("on_inbound_failure"),
        on_outbound_failure: on_failure("on_outbound_failure"),
        message_expiration: table.read("message_expiration", format::duration).filter(|_| own_expiration),
        delay_notification: table.read("delay_notification", format::duration),
        retry_intervals: table
            .is_written("retry_intervals")
            .then(|| table.read_all("retry_intervals", format::positive_duration))
            .filter(|intervals| !intervals.is_empty()),
        priority: match table.text("priority") {
            Some("low") => Priority::Low,
            Some("high") => Priority::High,
            _ => Priority::Normal,
        },
        mode: match table.text("mode") {
            Some("report") => Mode::Report,
            _ => Mode::Enforce,
        },
        certificate: table.text("certificate").map(str::to_owned),
        remote_ip_ranges: table.read_all("remote_ip_ranges", format::range),
        limits: PartnerLimits {
            max_connections: table.integer("max_inbound_connections"),
            rates: message_rates(table),
        },
    }
}

fn implied(domain: &Domain, default_policy: &Arc<TrustPolicy>) -> Partner {
    Partner {
        name: domain.to_string(),
        domains: vec![domain.clone()],
        policy: Arc::clone(default_policy),
        on_inbound_failure: OnFailure::Reject,
        on_outbound_failure: OnFailure::Defer,
        message_expiration: None,
        delay_notification: Some(DELAY_NOTIFICATION),
        retry_intervals: None,
        priority: Priority::Normal,
        mode: Mode::Enforce,
        certificate: None,
        remote_ip_ranges: Vec::new(),
        limits: PartnerLimits::default(),
    }
}
