//! Sending the report on one domain and day to wherever the domain wants it, within a day of the first
//! attempt (RFC 8460 5.5).

use std::sync::Arc;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::mail::tls_report::{Destination, Message, Report, destinations, gzip};
use crate::mail::{Address, Domain, TlsRequired};
use crate::net::report_post::Poster;
use crate::net::resolver::TxtAnswer;
use crate::observe::Event;
use crate::observe::tls_reports::Sending;
use crate::policy::Settings;

use super::super::report as own_mail;
use super::super::shared::Shared;

const PATIENCE: SignedDuration = SignedDuration::from_hours(24);
/// Before the second attempt; each further wait is twice as long.
const FIRST_WAIT: SignedDuration = SignedDuration::from_mins(5);
/// Doublings of the first wait, after which it no longer grows: 5 h 20 min.
const DOUBLINGS_MAX: u32 = 6;

/// What came of one destination.
enum Outcome {
    Done,
    Again(String),
    Never(String),
}

/// Tries once, and notes what is left.
pub async fn one(shared: Arc<Shared>, settings: Arc<Settings>, date: Date, domain: Domain) {
    let Some(day) = shared.observer.tls_reports().get(date, &domain) else { return };
    let now = Timestamp::now();
    let before = day.sending.clone();
    let errand = Errand {
        report: super::report(&settings, date, domain.as_str(), &day),
        shared: &shared,
        settings: &settings,
        date,
        domain: &domain,
        last: before.as_ref().is_some_and(|sending| now >= last_moment(sending)),
        now,
    };
    let known = before.as_ref().and_then(|sending| sending.left.clone());
    let wanted = match known {
        Some(left) => left.iter().filter_map(|uri| Destination::parse(uri)).collect(),
        None => match errand.look_up().await {
            Ok(wanted) => wanted,
            Err(error) => {
                errand.settle(before, None, &error);
                return;
            }
        },
    };
    let left = errand.send(&wanted).await;
    errand.settle(before, Some(left), "");
}

/// One attempt.
struct Errand<'a> {
    shared: &'a Shared,
    settings: &'a Settings,
    date: Date,
    domain: &'a Domain,
    report: Report,
    now: Timestamp,
    /// There will be no further one.
    last: bool,
}

impl Errand<'_> {
    /// Where the report shall go; nowhere for a domain that asks for none.
    async fn look_up(&self) -> Result<Vec<Destination>, String> {
        let name = format!("_smtp._tls.{}", self.domain);
        match self.shared.resolver.load_full().txt(&name).await {
            TxtAnswer::Records(records) => match destinations(records.iter().map(String::as_str)) {
                Ok(wanted) => Ok(wanted),
                Err(why) => {
                    tracing::debug!(domain = %self.domain, %why, "no TLS report");
                    Ok(Vec::new())
                }
            },
            TxtAnswer::None => Ok(Vec::new()),
            TxtAnswer::Temporary(why) => Err(format!("looking up {name} failed: {why}")),
        }
    }

    /// What is still to be tried afterwards.
    async fn send(&self, wanted: &[Destination]) -> Vec<String> {
        let gzipped = gzip(&self.report.to_json());
        let mut left = Vec::new();
        for destination in wanted {
            let outcome = match destination {
                Destination::Mail(to) => self.mail(to, &gzipped).await,
                Destination::Https(url) => {
                    let resolver = self.shared.resolver.load_full();
                    let lists = self.shared.revocation.load();
                    let poster = Poster {
                        resolver: &resolver,
                        trust: &self.settings.mta_sts.trust,
                        lists: &lists,
                        allow_private_addresses: self.settings.tls_reporting.allow_private_addresses,
                    };
                    match poster.post(url, &gzipped, self.now).await {
                        Ok(()) => Outcome::Done,
                        Err(error) if error.is_permanent() => Outcome::Never(error.to_string()),
                        Err(error) => Outcome::Again(error.to_string()),
                    }
                }
            };
            let uri = destination.to_string();
            match outcome {
                Outcome::Done => self.tell_sent(uri),
                Outcome::Never(error) => self.tell_failed(uri, error, true),
                Outcome::Again(error) => {
                    self.tell_failed(uri.clone(), error, self.last);
                    left.push(uri);
                }
            }
        }
        left
    }

    /// Puts the report into our own queue. It is not signed: a receiver that asks for DKIM may pass
    /// it over.
    async fn mail(&self, to: &Address, gzipped: &[u8]) -> Outcome {
        let hostname = &self.settings.hostname;
        let message = Message {
            report: &self.report,
            domain: self.domain,
            submitter: hostname,
            from: &self.settings.tls_reporting.from,
            to,
            at: self.now,
            message_id: &format!("{:016x}.tls-report@{hostname}", rand::random::<u64>()),
            boundary: &format!("report{:032x}", rand::random::<u128>()),
            gzipped,
        };
        // RFC 8460 3: what the domain published must not keep the report of its failure from it.
        let utf8 = message.needs_smtputf8();
        let change = own_mail::insert(self.settings, to, utf8, TlsRequired::No, message.content(), self.now);
        match self.shared.queue.apply(vec![change]).await {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Again(error.to_string()),
        }
    }

    /// Notes where it still has to go; `None` when that is not known yet.
    fn settle(&self, before: Option<Sending>, left: Option<Vec<String>>, error: &str) {
        if left.is_none() {
            self.tell_failed(String::new(), error.to_owned(), self.last);
        }
        let reports = self.shared.observer.tls_reports();
        if self.last || left.as_ref().is_some_and(Vec::is_empty) {
            return reports.settle(self.date, self.domain, None);
        }
        let attempts = before.as_ref().map_or(0, |sending| sending.attempts) + 1;
        let wait = FIRST_WAIT * 2i32.pow((attempts - 1).min(DOUBLINGS_MAX));
        let first_attempt = before.map_or(self.now, |sending| sending.first_attempt);
        let next = self.now.saturating_add(wait).unwrap_or(self.now);
        let sending = Sending { first_attempt, next_attempt: next, attempts, left };
        let next_attempt = next.min(last_moment(&sending).max(self.now));
        reports.settle(self.date, self.domain, Some(Sending { next_attempt, ..sending }));
    }

    fn tell_sent(&self, destination: String) {
        let (domain, day) = (self.domain.clone(), self.date.to_string());
        self.shared.observer.event(Event::TlsReportSent { domain, day, destination });
    }

    fn tell_failed(&self, destination: String, error: String, given_up: bool) {
        let (domain, day) = (self.domain.clone(), self.date.to_string());
        self.shared.observer.event(Event::TlsReportFailed { domain, day, destination, error, given_up });
    }
}

fn last_moment(sending: &Sending) -> Timestamp {
    sending.first_attempt.saturating_add(PATIENCE).unwrap_or(Timestamp::MAX)
}
