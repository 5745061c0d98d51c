//! What is counted for TLS reports (RFC 8460): for each UTC day and each domain the sessions by policy,
//! until the report has been sent. Kept in `data_directory/tls-reports.json` (`file`); fed by whoever
//! opens sessions, emptied by `relay::tls_report`.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::mail::Domain;
use crate::mail::tls_report::{FailureDetails, Policy, PolicyResult};

pub use file::{ReportsError, path, read, write};

/// Domains counted in one day; sessions with further ones are not reported.
const DOMAINS_MAX: usize = 10_000;
/// Policies of one domain in one day: its own as it changed, and one for each mail host with TLSA.
const POLICIES_MAX: usize = 32;
/// Days before today that are kept while their reports could not be sent.
const DAYS_KEPT: i64 = 2;

/// The counts while the server runs. Shared by all sessions.
#[derive(Default)]
pub struct TlsReports {
    days: Mutex<Days>,
    changed: AtomicBool,
}

/// By day and domain.
pub type Days = BTreeMap<Date, BTreeMap<String, DomainDay>>;

/// One domain on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainDay {
    pub policies: Vec<PolicyResult>,
    /// Once the day is over and sending was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending: Option<Sending>,
}

/// How far a report has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    pub first_attempt: Timestamp,
    pub next_attempt: Timestamp,
    pub attempts: u32,
    /// Where it still has to go; unknown while the domain's record could not be had.
    pub left: Option<Vec<String>>,
}

/// The UTC day of an instant.
pub fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

impl TlsReports {
    /// Counts a session at `now`: a success, or what failed.
    pub fn count(&self, now: Timestamp, domain: &Domain, policy: &Policy, failure: Option<FailureDetails>) {
        let mut days = self.lock();
        let today = days.entry(day_of(now)).or_default();
        if today.len() >= DOMAINS_MAX && !today.contains_key(domain.as_str()) {
            return;
        }
        let policies = &mut today.entry(domain.to_string()).or_default().policies;
        let known = policies.iter().position(|result| result.policy == *policy);
        let at = match known {
            Some(at) => at,
            None if policies.len() >= POLICIES_MAX => return,
            None => {
                policies.push(PolicyResult::new(policy.clone()));
                policies.len() - 1
            }
        };
        match failure {
            None => policies[at].succeeded(),
            Some(details) => policies[at].failed(details),
        }
        self.changed.store(true, Ordering::Relaxed);
    }

    /// What is to be tried at `now`: of days that are over, domains whose time has come. A report
    /// that was not tried yet may go from `opens` on. Days too old for anyone are forgotten.
    pub fn due(&self, now: Timestamp, opens: impl Fn(Date, &Domain) -> Timestamp) -> Vec<(Date, Domain)> {
        let today = day_of(now);
        let oldest = today.saturating_sub(jiff::Span::new().days(DAYS_KEPT));
        let mut days = self.lock();
        let before = days.len();
        days.retain(|date, domains| *date == today || (*date >= oldest && !domains.is_empty()));
        if days.len() != before {
            self.changed.store(true, Ordering::Relaxed);
        }
        let over = days.iter().filter(|(date, _)| **date < today);
        let all = over.flat_map(|(date, domains)| domains.iter().map(move |(name, day)| (*date, name, day)));
        all.filter_map(|(date, name, day)| {
            let domain = Domain::parse(name).ok()?;
            let at =
                day.sending.as_ref().map_or_else(|| opens(date, &domain), |sending| sending.next_attempt);
            (at <= now).then_some((date, domain))
        })
        .collect()
    }

    /// One domain on one day.
    pub fn get(&self, date: Date, domain: &Domain) -> Option<DomainDay> {
        self.lock().get(&date)?.get(domain.as_str()).cloned()
    }

    /// Everything of one day, by domain.
    pub fn of_day(&self, date: Date) -> Vec<(String, DomainDay)> {
        let days = self.lock();
        let domains = days.get(&date).into_iter().flatten();
        domains.map(|(name, day)| (name.clone(), day.clone())).collect()
    }

    /// Notes how far a report has come; `None`: it is done with.
    pub fn settle(&self, date: Date, domain: &Domain, sending: Option<Sending>) {
        let mut days = self.lock();
        let Some(domains) = days.get_mut(&date) else { return };
        match sending {
            None => {
                domains.remove(domain.as_str());
            }
            Some(sending) => {
                if let Some(day) = domains.get_mut(domain.as_str()) {
                    day.sending = Some(sending);
                }
            }
        }
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Whether anything changed since the last call.
    pub fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// Has the next `take_changed` say yes: a snapshot could not be kept.
    pub fn mark_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Begins with what an earlier run has written.
    pub fn restore(&self, days: Days) {
        *self.lock() = days;
    }

    pub fn snapshot(&self) -> Days {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Days> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
