//! Partners as an operator wants to see them: settings in force beside what was seen. Made by the
//! running server for its own settings, and by the command from the files when none runs.

mod expiring;
pub mod radar;
#[cfg(test)]
mod tests;
mod view;
pub mod writer;

use jiff::Timestamp;

use crate::mail::Domain;
use crate::observe::partners::{DomainRecord, PartnerRecord};
use crate::policy::{Partner, Settings, expiry, own_certificate, send_connector};
use crate::smtp::SessionId;
use crate::trust::{
    Direction, Fault, Level, Mode, OnFailure, RevocationDepth, RevocationMode, RevocationSet, TlsVersion,
    UsagePolicy, Verdict,
};

pub use view::{
    ExpiringView, FailureView, OutboundView, OwnView, PartnerView, PinView, ReportRow, ReportView, SeenView,
    SettingsView,
};

/// What partners are described from.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    pub settings: &'a Settings,
    pub record: &'a PartnerRecord,
    pub lists: &'a RevocationSet,
    pub now: Timestamp,
}

/// Every partner in the order of the file; with `name` those of that name or with that domain.
pub fn describe(site: Site<'_>, name: Option<&str>) -> Vec<PartnerView> {
    let is_meant = |partner: &Partner| name.is_none_or(|name| partner.is_called(name));
    site.settings.partners.iter().filter(|partner| is_meant(partner)).map(|p| view(site, p)).collect()
}

/// Whether a domain is on the list of that direction.
pub fn is_listed(settings: &Settings, domain: &Domain, direction: Direction) -> bool {
    match direction {
        Direction::Inbound => settings.transport.tls_receive_domain_secure_list.contains(domain),
        Direction::Outbound => settings.transport.tls_send_domain_secure_list.contains(domain),
    }
}

fn view(site: Site<'_>, partner: &Partner) -> PartnerView {
    let settings = site.settings;
    let listed = |direction| {
        let domains = partner.domains.iter().filter(move |d| is_listed(settings, d, direction));
        domains.map(Domain::to_string).collect::<Vec<_>>()
    };
    let seen = records(site, partner);
    PartnerView {
        name: partner.name.clone(),
        written: !std::sync::Arc::ptr_eq(&partner.policy, &settings.default_policy),
        domains: partner.domains.iter().map(Domain::to_string).collect(),
        mode: partner.mode,
        send: listed(Direction::Outbound),
        receive: listed(Direction::Inbound),
        settings: settings_view(settings, partner),
        outbound: outbound(site, partner),
        pins: pins(partner, &seen),
        expiring: expiring::of_partner(site, partner),
        report: report(partner, &seen),
        seen: seen.into_iter().map(seen_view).collect(),
    }
}

/// What was seen of the partner's domains, in their order.
fn records<'a>(site: Site<'a>, partner: &Partner) -> Vec<&'a DomainRecord> {
    let mut records = Vec::new();
    for domain in &partner.domains {
        // The record is in the order of its domains.
        let all = &site.record.domains;
        let start = all.partition_point(|seen| &seen.domain < domain);
        records.extend(all[start..].iter().take_while(|seen| &seen.domain == domain));
    }
    records
}

fn settings_view(settings: &Settings, partner: &Partner) -> SettingsView {
    let policy = &partner.policy;
    let on_failure = |what| match what {
        OnFailure::Reject => "reject".to_owned(),
        OnFailure::Defer => "defer".to_owned(),
    };
    let seconds = |own: Option<std::time::Duration>, all: std::time::Duration| own.unwrap_or(all).as_secs();
    SettingsView {
        trust_anchors: policy.anchors.source.clone(),
        anchors: policy.anchors.anchors.len(),
        certificate_names: policy.certificate_names.iter().map(ToString::to_string).collect(),
        extended_key_usage: match policy.usage {
            UsagePolicy::Client => "client",
            UsagePolicy::Server => "server",
            UsagePolicy::Either => "either",
            UsagePolicy::Any => "any",
        }
        .to_owned(),
        revocation: match policy.revocation {
            RevocationMode::HardFail => "hard-fail",
            RevocationMode::SoftFail => "soft-fail",
            RevocationMode::Off => "off",
        }
        .to_owned(),
        revocation_depth: match policy.revocation_depth {
            RevocationDepth::Chain => "chain",
            RevocationDepth::EndEntity => "end-entity",
        }
        .to_owned(),
        minimum_tls: match policy.minimum_tls {
            TlsVersion::Tls12 => "1.2",
            TlsVersion::Tls13 => "1.3",
        }
        .to_owned(),
        minimum_rsa_bits: policy.algorithms.minimum_rsa_bits,
        signature_algorithms: {
            let names = policy.algorithms.signature_algorithms.iter();
            names.map(|algorithm| algorithm.name().to_owned()).collect()
        },
        intermediates: policy.intermediates.len(),
        require_client_certificate_request: policy.require_client_certificate_request,
        on_inbound_failure: on_failure(partner.on_inbound_failure),
        on_outbound_failure: on_failure(partner.on_outbound_failure),
        message_expiration: seconds(partner.message_expiration, settings.queue.message_expiration),
        delay_notification: seconds(partner.delay_notification, settings.queue.delay_notification),
        certificate: partner.certificate.clone(),
    }
}

fn outbound(site: Site<'_>, partner: &Partner) -> Vec<OutboundView> {
    let settings = site.settings;
    let domains = partner.domains.iter().filter(|d| is_listed(settings, d, Direction::Outbound));
    domains.map(|domain| outbound_view(site, partner, domain)).collect()
}

fn outbound_view(site: Site<'_>, partner: &Partner, domain: &Domain) -> OutboundView {
    let settings = site.settings;
    let mut view = OutboundView {
        domain: domain.to_string(),
        connector: None,
        post_quantum_key_exchange: None,
        certificate: None,
        problem: None,
    };
    let Some(connector) = send_connector::select(&settings.send_connectors, Some(domain), true) else {
        view.problem = Some("no send connector with domain_secure_enabled serves this domain".to_owned());
        return view;
    };
    view.connector = Some(connector.name.clone());
    view.post_quantum_key_exchange = Some(connector.post_quantum_key_exchange);
    let wanted = partner.certificate.as_deref();
    let hostname = &settings.hostname;
    match own_certificate::choose(&settings.certificates, wanted, &connector.fqdn, hostname, site.now) {
        Ok(own) => {
            view.certificate = Some(OwnView {
                source: own.source.clone(),
                subject: own.subject.clone(),
                thumbprint: own.thumbprint.clone(),
                not_after: own.not_after.to_string(),
                days_left: expiry::days_left(own.not_after, site.now),
            });
        }
        Err(none) => view.problem = Some(none.to_string()),
    }
    view
}

fn seen_view(seen: &DomainRecord) -> SeenView {
    let outcomes = || seen.days.iter().flat_map(|day| &day.outcomes);
    let mut failures: Vec<FailureView> = Vec::new();
    for outcome in outcomes().filter(|outcome| !outcome.good) {
        let same = |row: &&mut FailureView| row.fault == outcome.fault && row.mode == outcome.mode;
        match failures.iter_mut().find(same) {
            Some(row) => row.count += outcome.count,
            None => {
                failures.push(FailureView { fault: outcome.fault, mode: outcome.mode, count: outcome.count });
            }
        }
    }
    failures.sort_by_key(|row| std::cmp::Reverse(row.count));
    SeenView {
        domain: seen.domain.to_string(),
        direction: seen.direction,
        last_good: seen.last_good.clone(),
        last_failed: seen.last_failed.clone(),
        good: outcomes().filter(|outcome| outcome.good).map(|outcome| outcome.count).sum(),
        failures,
    }
}

fn pins(partner: &Partner, seen: &[&DomainRecord]) -> Vec<PinView> {
    let shown: Vec<(Direction, &str)> = seen
        .iter()
        .filter_map(|seen| {
            let leaf = seen.proved_certificates().first()?;
            Some((seen.direction, leaf.pin.as_str()))
        })
        .collect();
    let view = |pin: &crate::trust::SpkiPin| {
        let pin = pin.to_string();
        let mut matched: Vec<Direction> =
            shown.iter().filter(|(_, shown)| *shown == pin).map(|(direction, _)| *direction).collect();
        matched.sort();
        matched.dedup();
        PinView { pin, matched, tried: !shown.is_empty() }
    };
    partner.policy.pins.iter().map(view).collect()
}

/// Counts of report mode, whatever the mode is today.
fn report(partner: &Partner, seen: &[&DomainRecord]) -> ReportView {
    let mut report = ReportView::default();
    for seen in seen {
        for outcome in seen.days.iter().flat_map(|day| &day.outcomes) {
            // A partner's refusal of us is none of ours, whatever the mode.
            if outcome.mode == Mode::Enforce || outcome.fault == Some(Fault::RefusedByPartner) {
                continue;
            }
            report.judged += outcome.count;
            if outcome.good {
                continue;
            }
            report.would_refuse += outcome.count;
            let (domain, direction, fault) = (seen.domain.to_string(), seen.direction, outcome.fault);
            let same = |row: &&mut ReportRow| {
                row.domain == domain && row.direction == direction && row.fault == fault
            };
            match report.by_fault.iter_mut().find(same) {
                Some(row) => row.count += outcome.count,
                None => {
                    let reply = reply(partner, seen, fault);
                    report.by_fault.push(ReportRow { direction, domain, fault, count: outcome.count, reply });
                }
            }
        }
    }
    report.by_fault.sort_by_key(|row| std::cmp::Reverse(row.count));
    report
}

/// The code with which enforcing answers this fault.
fn reply(partner: &Partner, seen: &DomainRecord, fault: Option<Fault>) -> String {
    let fact = |fault| crate::trust::Fact {
        fault,
        detail: String::new(),
        wanted: String::new(),
        got: String::new(),
    };
    let verdict = Verdict {
        ruled_by: crate::trust::RuledBy::Partner,
        outcome: crate::trust::TlsOutcome::ValidationFailure,
        direction: seen.direction,
        domain: seen.domain.clone(),
        mode: Mode::Enforce,
        required: Level::DomainSecure,
        achieved: Level::None,
        facts: fault.map(fact).into_iter().collect(),
        verified: Vec::new(),
        matched_name: None,
        missing_lists: Vec::new(),
        lists_used: Vec::new(),
        staple: None,
    };
    let reply = match seen.direction {
        Direction::Inbound => verdict.reply(partner.on_inbound_failure, SessionId(0)),
        Direction::Outbound => Some(verdict.outbound_reply(false)),
    };
    match reply {
        Some(reply) => {
            let enhanced = reply.enhanced.map(|code| format!(" {code}")).unwrap_or_default();
            format!("{}{enhanced}", reply.code)
        }
        None => "closed without a reply".to_owned(),
    }
}
