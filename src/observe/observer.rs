//! The one place where something that happened becomes a log record and a counter, both from the
//! same value in the same match.

mod course;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

use crate::policy::{Consequence, Limit, Pressure, Scope, Settings};
use crate::smtp::SessionId;
use crate::trust::{Direction, TlsEvidence, Verdict};

use super::certificate_role::CertificateRole;
use super::connection_guard::ConnectionGuard;
use super::event::{AccessEvent, Event, LogEvent};
use super::history::History;
use super::partners::{PartnerWatch, Peer};
use super::record::{self, Level};
use super::registry::{Counters, Labels, connection_labels};
use super::sent_once::SentOnce;
use super::sparing::Sparing;
use super::tls_reports::TlsReports;
use super::tracking::{MessageTracking, Tracked};

mod level;

use level::level_of;

/// Events in, log records and counters out. Shared by everyone who sees something happen.
pub struct Observer {
    counters: Counters,
    stopping: AtomicBool,
    shown: Mutex<Shown>,
    losses_told: Sparing<()>,
    limits_told: Sparing<(Limit, Scope)>,
    unsigned_told: Sparing<()>,
    sent_once: SentOnce,
    partners: PartnerWatch,
    tracking: OnceLock<MessageTracking>,
    tls_reports: TlsReports,
    history: History,
}

/// Series of gauges that are replaced as a whole, so that what is gone is no longer shown.
#[derive(Default)]
struct Shown {
    certificates: Vec<Labels<2>>,
    crls: Vec<Labels<1>>,
}

impl Observer {
    /// Begins all counters at 0, with a series for each secure domain and connector.
    pub fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            counters: Counters::new(settings),
            stopping: AtomicBool::new(false),
            shown: Mutex::default(),
            losses_told: Sparing::default(),
            limits_told: Sparing::default(),
            unsigned_told: Sparing::default(),
            sent_once: SentOnce::default(),
            partners: PartnerWatch::default(),
            tracking: OnceLock::new(),
            tls_reports: TlsReports::default(),
            history: History::default(),
        })
    }

    /// After a reload: series of new secure domains and connectors begin, those of removed domains end.
    pub fn reconfigure(&self, settings: &Settings) {
        self.counters.reconfigure(settings);
    }

    /// From now on events of messages leave a line there; the first call counts.
    pub fn track(&self, tracking: MessageTracking) {
        let _ = self.tracking.set(tracking);
    }

    /// Message tracking, once `track` was called.
    pub fn tracking(&self) -> Option<&MessageTracking> {
        self.tracking.get()
    }

    /// Whether it is worth while to gather a `Tracked`.
    pub fn tracks(&self) -> bool {
        self.tracking().is_some_and(MessageTracking::is_enabled)
    }

    /// As `event`, with what message tracking tells of it.
    #[allow(clippy::needless_pass_by_value, reason = "an event is told once and then over")]
    pub fn event_of(&self, event: Event, tracked: &Tracked) {
        if let Some(tracking) = self.tracking() {
            tracking.take(&event, tracked);
        }
        let level = self.count(&event);
        record::write(level, &event);
    }

    /// Writes the record and moves the counters. Never waits.
    pub fn event(&self, event: Event) {
        self.event_of(event, &Tracked::default());
    }

    /// Moves the counters of an event, and says how much it matters.
    fn count(&self, event: &Event) -> Level {
        let counters = &self.counters;
        match event {
            Event::Stopping { .. } => {
                self.stopping.store(true, Ordering::Relaxed);
                Level::Info
            }
            Event::TlsHandshake { direction, version, error, .. } => {
                counters.handshake(*direction, *version, error.is_none());
                if error.is_none() { Level::Debug } else { Level::Warning }
            }
            Event::InboundJudged { verdict, connector, session, remote, evidence } => {
                self.judged(verdict, connector, *session, Peer::Address(*remote), evidence)
            }
            Event::OutboundJudged { verdict, connector, session, host, evidence } => {
                self.judged(verdict, connector, *session, Peer::Host(host.clone()), evidence)
            }
            Event::PolicyJudged { .. }
            | Event::PolicyHostSkipped { .. }
            | Event::StsPolicyFetched { .. }
            | Event::StsPolicyFetchFailed { .. }
            | Event::TlsReportSent { .. }
            | Event::TlsReportFailed { .. }
            | Event::RevocationListFetched { .. }
            | Event::RevocationListFetchFailed { .. }
            | Event::InboundChecked(_) => self.policy(event),
            Event::MessageReceived { connector, secured, accept_to_durable, .. } => {
                counters.message_received(connector, secured.as_ref());
                match accept_to_durable {
                    Some(duration) => counters.accept_to_durable.observe(duration.as_secs_f64()),
                    None => counters.message_cut_through(connector),
                }
                Level::Info
            }
            Event::MessageRefused { connector, .. } => {
                counters.message_refused(connector);
                Level::Info
            }
            Event::MessageDelivered { queue_id, connector, secured, accept_to_delivered, .. } => {
                let counted = secured.as_ref().filter(|domain| self.sent_once.is_first(queue_id, domain));
                counters.message_delivered(connector, counted);
                counters.accept_to_delivered.observe(accept_to_delivered.as_secs_f64());
                Level::Info
            }
            Event::Access(event) => self.access(event),
            Event::MessageDeferred { queue_id, .. } => {
                self.sent_once.deferred(queue_id);
                counters.deferred.inc();
                Level::Info
            }
            Event::MessageBounced { .. } => {
                counters.bounced.inc();
                Level::Warning
            }
            Event::Log(event) => self.of_logs(event),
            Event::BackPressureChanged { resource, level, .. } => {
                counters.back_pressure(*resource, *level);
                if *level == Pressure::Normal { Level::Info } else { Level::Warning }
            }
            Event::Filter(event) => counters.filtered(event),
            Event::StampUnsigned { .. } if !self.unsigned_told.may_tell((), Instant::now()) => Level::Debug,
            told_only => level_of(told_only),
        }
    }

    /// What domains publish about their mail, and what came of it.
    fn policy(&self, event: &Event) -> Level {
        let counters = &self.counters;
        match event {
            Event::PolicyJudged { verdict, .. } => {
                counters.policy_session(verdict.ruled_by, verdict.outcome);
                if verdict.is_good() {
                    return Level::Debug;
                }
            }
            Event::PolicyHostSkipped { policy, outcome, .. } => counters.policy_session(*policy, *outcome),
            Event::InboundChecked(checked) => {
                counters.checked(&checked.connector, &checked.finding);
                if checked.finding.consequence == Consequence::Take {
                    return Level::Debug;
                }
            }
            Event::RevocationListFetched { changed, .. } => {
                counters.crl_fetch(if *changed { "fetched" } else { "unchanged" });
                if !changed {
                    return Level::Debug;
                }
            }
            Event::RevocationListFetchFailed { .. } => counters.crl_fetch("failed"),
            Event::StsPolicyFetched { .. } => counters.sts_fetch("fetched"),
            Event::StsPolicyFetchFailed { .. } => counters.sts_fetch("failed"),
            Event::TlsReportSent { .. } => counters.tls_report("sent"),
            Event::TlsReportFailed { given_up: false, .. } => counters.tls_report("failed"),
            Event::TlsReportFailed { given_up: true, .. } => {
                counters.tls_report("given-up");
                return Level::Warning;
            }
            _ => {}
        }
        level_of(event)
    }

    fn judged(
        &self,
        verdict: &Arc<Verdict>,
        connector: &str,
        session: SessionId,
        peer: Peer,
        evidence: &Option<Arc<TlsEvidence>>,
    ) -> Level {
        self.counters.judged(verdict);
        self.partners.judged(verdict, connector, session, peer, evidence);
        if verdict.is_good() { Level::Debug } else { Level::Warning }
    }

    /// Who came, and who took too much.
    fn access(&self, event: &AccessEvent) -> Level {
        let level = self.counters.accessed(event);
        let AccessEvent::LimitReached { limit, scope, .. } = event else { return level };
        if self.limits_told.may_tell((*limit, *scope), Instant::now()) { level } else { Level::Debug }
    }

    /// What became of the logs.
    fn of_logs(&self, event: &LogEvent) -> Level {
        let counters = &self.counters;
        match event {
            LogEvent::ProtocolLogLost { lines } => {
                counters.log_lines_lost.inc_by(*lines);
                self.loss_level()
            }
            LogEvent::TrackingLost { records } => {
                counters.tracking_lost.inc_by(*records);
                self.loss_level()
            }
            LogEvent::EventLogLost { output, records } => {
                counters.event_log_lost(output, *records);
                self.loss_level()
            }
            LogEvent::ProtocolLogAgedEarly { .. } | LogEvent::TrackingAgedEarly { .. } => Level::Warning,
            LogEvent::ProtocolLogError { .. } | LogEvent::TrackingError { .. } => Level::Error,
            LogEvent::LogLevelsChanged { .. } => Level::Info,
        }
    }

    fn loss_level(&self) -> Level {
        if self.losses_told.may_tell((), Instant::now()) { Level::Error } else { Level::Debug }
    }

    /// What `/metrics` answers: OpenMetrics text, names as in docs/counters.md.
    pub fn render_metrics(&self) -> String {
        self.counters.render()
    }

    /// Whether `Stopping` was told: `/healthz` then answers 503.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Counts a connection until the guard is dropped.
    pub fn connection(&self, direction: Direction, connector: &str) -> ConnectionGuard {
        let gauge = self.counters.connections.get_or_create_owned(&connection_labels(direction, connector));
        ConnectionGuard::new(gauge)
    }

    /// What was seen of the partners.
    pub fn partners(&self) -> &PartnerWatch {
        &self.partners
    }

    /// What is counted for TLS reports.
    pub fn tls_reports(&self) -> &TlsReports {
        &self.tls_reports
    }

    /// Replaces what is shown of certificates: role, subject, not-after.
    pub fn set_certificate_expiry(
        &self,
        certificates: impl IntoIterator<Item = (CertificateRole, String, Timestamp)>,
    ) {
        let family = &self.counters.certificate_expiry;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.certificates.drain(..) {
            family.remove(&gone);
        }
        for (role, subject, not_after) in certificates {
            let labels =
                [("role", role.as_str().to_owned()), ("subject", super::text::escape(&subject).into_owned())];
            let gauge = family.get_or_create_owned(&labels);
            // Of two of ours with one subject the one that lasts longer counts: it is the one in
            // use. Of a partner's each may be, on one of its servers.
            let (before, end) = (gauge.get(), not_after.as_second());
            gauge.set(match role {
                CertificateRole::Server | CertificateRole::Client => before.max(end),
                CertificateRole::Partner | CertificateRole::Anchor if before != 0 => before.min(end),
                CertificateRole::Partner | CertificateRole::Anchor => end,
            });
            shown.certificates.push(labels);
        }
    }

    /// Replaces what is shown of revocation lists: of each issuer the nextUpdate that comes first.
    pub fn set_crl_next_update(&self, lists: impl IntoIterator<Item = (String, Timestamp)>) {
        let family = &self.counters.crl_next_update;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.crls.drain(..) {
            family.remove(&gone);
        }
        for (issuer, next_update) in lists {
            let labels = [("issuer", super::text::escape(&issuer).into_owned())];
            let gauge = family.get_or_create_owned(&labels);
            let (before, end) = (gauge.get(), next_update.as_second());
            gauge.set(if before == 0 { end } else { before.min(end) });
            shown.crls.push(labels);
        }
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

#[cfg(test)]
mod tests;
