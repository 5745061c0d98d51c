//! TLS reporting (RFC 8460): once a day is over, each domain that asks for it is told how the sessions
//! with its mail hosts went. What is counted lies with the observer; here it is kept on disk
//! (`keeper`), and sent (`send`).

mod count;
pub mod keeper;
mod send;

pub use count::{Reported, policy_not_had, skipped};

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::mail::Domain;
use crate::mail::tls_report::{DateRange, Report};
use crate::observe::tls_reports::{DomainDay, day_of};
use crate::policy::Settings;

use super::shared::Shared;

/// How often it is looked whether anything is to be sent.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Reports being sent at one time.
const AT_ONCE_MAX: usize = 8;

/// Sends what is due until the server drains.
pub async fn run(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shared.draining.cancelled() => return,
        }
        if shared.settings.load().tls_reporting.enabled {
            send_due(&shared).await;
        }
    }
}

async fn send_due(shared: &Arc<Shared>) {
    let settings = shared.settings.load_full();
    let opens = |date, domain: &Domain| leaves_at(&settings, date, domain);
    let mut due = shared.observer.tls_reports().due(Timestamp::now(), opens).into_iter();
    let mut sending = JoinSet::new();
    loop {
        while sending.len() < AT_ONCE_MAX && !shared.draining.is_cancelled() {
            let Some((date, domain)) = due.next() else { break };
            sending.spawn(send::one(Arc::clone(shared), Arc::clone(&settings), date, domain));
        }
        // What is cut off by the end of the server is tried again after the next start.
        tokio::select! {
            sent = sending.join_next() => if sent.is_none() { return },
            () = shared.draining.cancelled() => return,
        }
    }
}

/// When the report of a day that is over may leave: the same however often it is asked, and another
/// time for each domain (RFC 8460 4.1).
fn leaves_at(settings: &Settings, date: Date, domain: &Domain) -> Timestamp {
    let mut hasher = DefaultHasher::new();
    (settings.hostname.as_str(), date.to_string(), domain.as_str()).hash(&mut hasher);
    let range = settings.tls_reporting.max_delay.as_secs().max(1);
    let delay = jiff::SignedDuration::from_secs(i64::try_from(hasher.finish() % range).unwrap_or(0) + 1);
    let end = DateRange::day(date).end_datetime;
    end.saturating_add(delay).unwrap_or(end)
}

/// What operators are shown of a day: whether reports are sent at all, and each of them as it would
/// be sent now, with how far it has come.
pub fn answer(shared: &Shared, day: Option<&str>) -> Value {
    let settings = shared.settings.load();
    let today = day_of(Timestamp::now());
    let Ok(date) = day.map_or(Ok(today), str::parse::<Date>) else {
        let day = day.unwrap_or_default();
        return json!({ "error": format!("{day} is not a day, such as {today}") });
    };
    let reports = shared.observer.tls_reports().of_day(date);
    let reports = reports.iter().map(|(domain, day)| {
        let report = report(&settings, date, domain, day);
        json!({ "domain": domain, "report": report, "sending": day.sending })
    });
    json!({
        "day": date.to_string(),
        "enabled": settings.tls_reporting.enabled,
        "reports": reports.collect::<Vec<_>>(),
    })
}

/// The report on one domain and day, as it would be sent.
fn report(settings: &Settings, date: Date, domain: &str, day: &DomainDay) -> Report {
    Report {
        organization_name: settings.tls_reporting.organization_name.clone(),
        date_range: DateRange::day(date),
        contact_info: settings.tls_reporting.contact_info.clone(),
        report_id: format!("{}.{domain}@{}", date.strftime("%Y%m%d"), settings.hostname),
        policies: day.policies.clone(),
    }
}
