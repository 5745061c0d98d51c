//! The counters themselves: registered under the names of `counters`, moved by `Observer::event`
//! and by the gauges the relay sets.

mod access;
mod filter;
mod totals;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::mail::Domain;
use crate::policy::{EventOutput, Finding, Pressure, Resource, Settings};
use crate::smtp::sasl::Mechanism;
use crate::trust::{Direction, Fault, Mode, RuledBy, TlsOutcome, TlsVersion, Verdict};

use super::counters::{self, FAMILIES, Kind};
use super::event::{AccessEvent, version_label};
use super::record::Level;

pub(super) type Labels<const N: usize> = [(&'static str, String); N];

/// Bounds in seconds: half a millisecond is a good commit, ten seconds a sick disk.
const DURABLE_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Up to four days: a delivery may have waited for its partner to mend a certificate.
const DELIVERED_SECONDS: [f64; 14] =
    [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 345_600.0];

/// Label `fault` of a verdict that found nothing wrong and yet did not reach the level asked for.
const BELOW_LEVEL: &str = "BelowLevel";

/// What comes of signing in to the status page.
const SIGN_IN_RESULTS: [&str; 3] = ["ok", "failed", "blocked"];

pub(super) struct Counters {
    registry: Registry,
    domain_secure_received: Family<Labels<1>, Counter>,
    domain_secure_sent: Family<Labels<1>, Counter>,
    outbound_failures: Family<Labels<3>, Counter>,
    inbound_failures: Family<Labels<3>, Counter>,
    received: Family<Labels<1>, Counter>,
    refused: Family<Labels<1>, Counter>,
    checks: Family<Labels<3>, Counter>,
    milters: Family<Labels<2>, Counter>,
    verifications: Family<Labels<1>, Counter>,
    cut_through: Family<Labels<1>, Counter>,
    delivered: Family<Labels<1>, Counter>,
    pub(super) deferred: Counter,
    pub(super) bounced: Counter,
    pub(super) connections: Family<Labels<2>, Gauge>,
    limits_reached: Family<Labels<3>, Counter>,
    handshakes: Family<Labels<3>, Counter>,
    authentications: Family<Labels<2>, Counter>,
    admin_sign_ins: Family<Labels<1>, Counter>,
    pub(super) queue: Family<Labels<1>, Gauge>,
    pub(super) queue_oldest: Gauge,
    pub(super) certificate_expiry: Family<Labels<2>, Gauge>,
    pub(super) crl_next_update: Family<Labels<1>, Gauge>,
    bundle: Family<Labels<2>, Gauge>,
    crl_fetches: Family<Labels<1>, Counter>,
    back_pressure: Family<Labels<1>, Gauge>,
    tls_reports: Family<Labels<1>, Counter>,
    policy_sessions: Family<Labels<2>, Counter>,
    sts_fetches: Family<Labels<1>, Counter>,
    pub(super) log_lines_lost: Counter,
    pub(super) tracking_lost: Counter,
    event_log_lost: Family<Labels<1>, Counter>,
    pub(super) accept_to_durable: Histogram,
    pub(super) accept_to_delivered: Histogram,
    sums: totals::Sums,
    secure: Mutex<SecureDomains>,
}

/// The domains whose series exist.
#[derive(Default)]
struct SecureDomains {
    send: BTreeSet<Domain>,
    receive: BTreeSet<Domain>,
}

impl Counters {
    /// All families, and the series that start at 0.
    pub(super) fn new(settings: &Settings) -> Self {
        let mut r = Registry::default();
        let counters = Self {
            domain_secure_received: register(&mut r, counters::DOMAIN_SECURE_RECEIVED, Family::default()),
            domain_secure_sent: register(&mut r, counters::DOMAIN_SECURE_SENT, Family::default()),
            outbound_failures: register(&mut r, counters::OUTBOUND_FAILURES, Family::default()),
            inbound_failures: register(&mut r, counters::INBOUND_FAILURES, Family::default()),
            received: register(&mut r, counters::RECEIVED, Family::default()),
            refused: register(&mut r, counters::REFUSED, Family::default()),
            checks: register(&mut r, counters::CHECKS, Family::default()),
            milters: register(&mut r, counters::MILTERS, Family::default()),
            verifications: register(&mut r, counters::VERIFICATIONS, Family::default()),
            cut_through: register(&mut r, counters::CUT_THROUGH, Family::default()),
            delivered: register(&mut r, counters::DELIVERED, Family::default()),
            deferred: register(&mut r, counters::DEFERRED, Counter::default()),
            bounced: register(&mut r, counters::BOUNCED, Counter::default()),
            connections: register(&mut r, counters::CONNECTIONS, Family::default()),
            limits_reached: register(&mut r, counters::LIMITS_REACHED, Family::default()),
            handshakes: register(&mut r, counters::HANDSHAKES, Family::default()),
            authentications: register(&mut r, counters::AUTHENTICATIONS, Family::default()),
            admin_sign_ins: register(&mut r, counters::ADMIN_SIGN_INS, Family::default()),
            queue: register(&mut r, counters::QUEUE, Family::default()),
            queue_oldest: register(&mut r, counters::QUEUE_OLDEST, Gauge::default()),
            certificate_expiry: register(&mut r, counters::CERTIFICATE_EXPIRY, Family::default()),
            crl_next_update: register(&mut r, counters::CRL_NEXT_UPDATE, Family::default()),
            bundle: register(&mut r, counters::BUNDLE_INFO, Family::default()),
            crl_fetches: register(&mut r, counters::CRL_FETCHES, Family::default()),
            back_pressure: register(&mut r, counters::BACK_PRESSURE, Family::default()),
            tracking_lost: register(&mut r, counters::TRACKING_LOST, Counter::default()),
            event_log_lost: register(&mut r, counters::EVENT_LOG_LOST, Family::default()),
            tls_reports: register(&mut r, counters::TLS_REPORTS, Family::default()),
            policy_sessions: register(&mut r, counters::POLICY_SESSIONS, Family::default()),
            sts_fetches: register(&mut r, counters::STS_FETCHES, Family::default()),
            log_lines_lost: register(&mut r, counters::LOG_LINES_LOST, Counter::default()),
            accept_to_durable: register(&mut r, counters::ACCEPT_TO_DURABLE, Histogram::new(DURABLE_SECONDS)),
            accept_to_delivered: register(
                &mut r,
                counters::ACCEPT_TO_DELIVERED,
                Histogram::new(DELIVERED_SECONDS),
            ),
            sums: totals::Sums::default(),
            secure: Mutex::default(),
            registry: r,
        };
        counters.begin_fixed_series();
        counters.reconfigure(settings);
        counters
    }

    /// OpenMetrics text.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// Begins the series of new secure domains and connectors at 0 and ends those of domains that
    /// left the lists.
    pub(super) fn reconfigure(&self, settings: &Settings) {
        self.bundle.clear();
        if let Some(bundle) = &settings.bundle {
            let labels = [("serial", bundle.serial.to_string()), ("digest", bundle.digest.clone())];
            self.bundle.get_or_create(&labels).set(1);
        }
        let mut secure = self.secure.lock().unwrap_or_else(PoisonError::into_inner);
        let transport = &settings.transport;
        for gone in secure.receive.difference(&transport.tls_receive_domain_secure_list) {
            self.domain_secure_received.remove(&[("domain", gone.to_string())]);
            remove_failures(&self.inbound_failures, gone);
        }
        for gone in secure.send.difference(&transport.tls_send_domain_secure_list) {
            self.domain_secure_sent.remove(&[("domain", gone.to_string())]);
            remove_failures(&self.outbound_failures, gone);
        }
        for domain in &transport.tls_receive_domain_secure_list {
            drop(self.domain_secure_received.get_or_create(&[("domain", domain.to_string())]));
            begin_failures(&self.inbound_failures, settings, Direction::Inbound, domain);
        }
        for domain in &transport.tls_send_domain_secure_list {
            drop(self.domain_secure_sent.get_or_create(&[("domain", domain.to_string())]));
            begin_failures(&self.outbound_failures, settings, Direction::Outbound, domain);
        }
        secure.receive.clone_from(&transport.tls_receive_domain_secure_list);
        secure.send.clone_from(&transport.tls_send_domain_secure_list);
        drop(secure);
        self.begin_connectors(settings);
    }

    pub(super) fn tls_report(&self, result: &str) {
        self.tls_reports.get_or_create(&[("result", result.to_owned())]).inc();
    }

    pub(super) fn crl_fetch(&self, result: &str) {
        self.crl_fetches.get_or_create(&[("result", result.to_owned())]).inc();
    }

    pub(super) fn back_pressure(&self, resource: Resource, level: Pressure) {
        let labels = [("resource", resource.as_str().to_owned())];
        self.back_pressure.get_or_create(&labels).set(level.as_number().into());
    }

    /// Of DANE and MTA-STS alone; the others have counters of their own.
    pub(super) fn policy_session(&self, policy: RuledBy, outcome: TlsOutcome) {
        let labels = [("policy", policy.to_string()), ("result", outcome.to_string())];
        self.policy_sessions.get_or_create(&labels).inc();
    }

    pub(super) fn checked(&self, connector: &str, finding: &Finding) {
        let labels = [
            ("connector", connector.to_owned()),
            ("check", finding.check.name().to_owned()),
            ("result", finding.outcome.as_str().to_owned()),
        ];
        self.checks.get_or_create(&labels).inc();
    }

    pub(super) fn event_log_lost(&self, output: &str, records: u64) {
        self.event_log_lost.get_or_create(&[("output", output.to_owned())]).inc_by(records);
    }

    pub(super) fn sts_fetch(&self, result: &str) {
        self.sts_fetches.get_or_create(&[("result", result.to_owned())]).inc();
    }

    fn begin_fixed_series(&self) {
        for result in SIGN_IN_RESULTS {
            drop(self.admin_sign_ins.get_or_create(&[("result", result.to_owned())]));
        }
        for output in EventOutput::LOSING {
            self.event_log_lost(output.as_str(), 0);
        }
        for mechanism in Mechanism::ALL {
            for result in ["ok", "failed"] {
                drop(self.authentications.get_or_create(&authentication_labels(mechanism, result)));
            }
        }
        for resource in Resource::ALL {
            self.back_pressure(resource, Pressure::Normal);
        }
        for policy in [RuledBy::Dane, RuledBy::MtaSts] {
            let labels = [("policy", policy.to_string()), ("result", TlsOutcome::Success.to_string())];
            drop(self.policy_sessions.get_or_create(&labels));
        }
        for result in ["fetched", "failed"] {
            drop(self.sts_fetches.get_or_create(&[("result", result.to_owned())]));
        }
        for result in ["sent", "failed", "given-up"] {
            drop(self.tls_reports.get_or_create(&[("result", result.to_owned())]));
        }
        for result in ["fetched", "unchanged", "failed"] {
            drop(self.crl_fetches.get_or_create(&[("result", result.to_owned())]));
        }
        for direction in [Direction::Inbound, Direction::Outbound] {
            for version in [Some(TlsVersion::Tls12), Some(TlsVersion::Tls13)] {
                drop(self.handshakes.get_or_create(&handshake_labels(direction, version, true)));
            }
            drop(self.handshakes.get_or_create(&handshake_labels(direction, None, false)));
        }
        for status in ["active", "ready", "retry", "suspended"] {
            drop(self.queue.get_or_create(&[("status", status.to_owned())]));
        }
    }

    fn begin_connectors(&self, settings: &Settings) {
        for connector in &settings.receive_connectors {
            drop(self.received.get_or_create(&connector_label(&connector.name)));
            drop(self.refused.get_or_create(&connector_label(&connector.name)));
            drop(self.cut_through.get_or_create(&connector_label(&connector.name)));
            drop(self.connections.get_or_create(&connection_labels(Direction::Inbound, &connector.name)));
        }
        for connector in &settings.send_connectors {
            drop(self.delivered.get_or_create(&connector_label(&connector.name)));
            drop(self.connections.get_or_create(&connection_labels(Direction::Outbound, &connector.name)));
        }
    }

    /// Counts a bad verdict on a listed domain; a good one leaves no trace here.
    pub(super) fn judged(&self, verdict: &Verdict) {
        if verdict.is_good() {
            return;
        }
        let fault = verdict.fault().map_or(BELOW_LEVEL, Fault::name);
        let labels = failure_labels(&verdict.domain, fault, verdict.mode);
        let secure = self.secure.lock().unwrap_or_else(PoisonError::into_inner);
        let (listed, family, sum) = match verdict.direction {
            Direction::Inbound => (&secure.receive, &self.inbound_failures, &self.sums.inbound_failures),
            Direction::Outbound => (&secure.send, &self.outbound_failures, &self.sums.outbound_failures),
        };
        if listed.contains(&verdict.domain) {
            sum.inc();
            family.get_or_create(&labels).inc();
        }
    }

    pub(super) fn message_received(&self, connector: &str, secured: Option<&Domain>) {
        self.received.get_or_create(&connector_label(connector)).inc();
        self.sums.received.inc();
        count_listed(&self.domain_secure_received, secured, &self.sums.secured_received);
    }

    pub(super) fn message_cut_through(&self, connector: &str) {
        self.cut_through.get_or_create(&connector_label(connector)).inc();
    }

    pub(super) fn message_refused(&self, connector: &str) {
        self.refused.get_or_create(&connector_label(connector)).inc();
        self.sums.refused.inc();
    }

    pub(super) fn message_delivered(&self, connector: &str, secured: Option<&Domain>) {
        self.delivered.get_or_create(&connector_label(connector)).inc();
        self.sums.delivered.inc();
        count_listed(&self.domain_secure_sent, secured, &self.sums.secured_sent);
    }

    pub(super) fn handshake(&self, direction: Direction, version: Option<TlsVersion>, ok: bool) {
        self.handshakes.get_or_create(&handshake_labels(direction, version, ok)).inc();
        if !ok {
            self.sums.failed_handshakes.inc();
        }
    }
}

/// Puts `metric` into the registry under a name of the table, and hands it back. The library
/// appends `_total` to counters by itself.
fn register<M: Metric + Clone>(registry: &mut Registry, name: &'static str, metric: M) -> M {
    let row = FAMILIES.iter().find(|row| row.name == name);
    debug_assert!(row.is_some(), "{name} is not in the table");
    let help = row.map_or("", |row| row.help);
    let base = match row.map(|row| row.kind) {
        Some(Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
        Some(Kind::Gauge | Kind::Histogram) | None => name,
    };
    registry.register(base, help, metric.clone());
    metric
}

/// Moves the series of a secure domain, if it is (still) one.
fn count_listed(family: &Family<Labels<1>, Counter>, secured: Option<&Domain>, sum: &totals::Sum) {
    if let Some(domain) = secured
        && let Some(counter) = family.get(&[("domain", domain.to_string())])
    {
        counter.inc();
        sum.inc();
    }
}

fn begin_failures(
    family: &Family<Labels<3>, Counter>,
    settings: &Settings,
    direction: Direction,
    domain: &Domain,
) {
    let mode = settings.partner_of(domain).map_or(Mode::Enforce, |partner| partner.mode);
    for fault in Fault::all().filter(|fault| is_possible(direction, *fault)) {
        drop(family.get_or_create(&failure_labels(domain, fault.name(), mode)));
    }
}

fn remove_failures(family: &Family<Labels<3>, Counter>, domain: &Domain) {
    for fault in Fault::all().map(Fault::name).chain([BELOW_LEVEL]) {
        for mode in [Mode::Enforce, Mode::Report] {
            family.remove(&failure_labels(domain, fault, mode));
        }
    }
}

fn failure_labels(domain: &Domain, fault: &str, mode: Mode) -> Labels<3> {
    let mode = match mode {
        Mode::Enforce => "enforce",
        Mode::Report => "report",
    };
    [("domain", domain.to_string()), ("fault", fault.to_owned()), ("mode", mode.to_owned())]
}

fn authentication_labels(mechanism: Mechanism, result: &str) -> Labels<2> {
    [("mechanism", mechanism.to_string()), ("result", result.to_owned())]
}

fn handshake_labels(direction: Direction, version: Option<TlsVersion>, ok: bool) -> Labels<3> {
    let result = if ok { "ok" } else { "failed" };
    [
        ("direction", direction_label(direction).to_owned()),
        ("version", version_label(version).to_owned()),
        ("result", result.to_owned()),
    ]
}

fn connector_label(connector: &str) -> Labels<1> {
    [("connector", connector.to_owned())]
}

pub(super) fn connection_labels(direction: Direction, connector: &str) -> Labels<2> {
    [("direction", direction_label(direction).to_owned()), ("connector", connector.to_owned())]
}

fn direction_label(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// Whether a verdict of that direction can have the fault; the series of those begin at 0. Inbound,
/// a handshake that failed has no MAIL, and four faults are those of outbound sessions.
fn is_possible(direction: Direction, fault: Fault) -> bool {
    match direction {
        Direction::Outbound => true,
        Direction::Inbound => fault != Fault::HandshakeFailed && fault <= Fault::RevocationUnknown,
    }
}
