//! The state of the server as a whole: what waits, what is short, what ends when.

use serde_json::{Value, json};

use crate::policy::{Pressure, expiry};
use crate::relay::partners::radar;
use crate::relay::shared::Shared;
use crate::trust::Direction;
use crate::trust::certificate::distinguished_name;

use super::render::time;

/// Revocation lists of one answer, those that run out first.
const LISTS_MAX: usize = 200;

pub fn overview(shared: &Shared) -> Value {
    let settings = shared.settings.load();
    let queue = shared.queue.statistics();
    let connections = |direction| shared.observer.open_connections(&settings, direction);
    let lists = lists(shared);
    json!({
        "hostname": settings.hostname.to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "now": Shared::now().wall.to_string(),
        "started": shared.started.to_string(),
        "stopping": shared.draining.is_cancelled(),
        "partners": settings.partners.len(),
        "queue": {
            "active": queue.active,
            "ready": queue.ready,
            "retry": queue.retry,
            "suspended": queue.suspended,
            "oldest": queue.oldest_received.map(time),
        },
        "holds": shared.holds.rules().len(),
        "back_pressure": match shared.back_pressure.level() {
            Pressure::Normal => "normal",
            Pressure::Medium => "medium",
            Pressure::High => "high",
        },
        "connections": {
            "inbound": connections(Direction::Inbound),
            "outbound": connections(Direction::Outbound),
        },
        "connectors": {
            "receive": settings.receive_connectors.iter().map(|one| &one.name).collect::<Vec<_>>(),
            "send": settings.send_connectors.iter().map(|one| &one.name).collect::<Vec<_>>(),
        },
        "protocol_log_lines_lost": shared.observer.log_lines_lost(),
        "tracking_records_lost": shared.observer.tracking_lost(),
        "certificates": certificates(shared),
        "revocation_lists": lists.iter().take(LISTS_MAX).collect::<Vec<_>>(),
        "revocation_list_count": lists.len(),
        "revocation_failures": shared.revocation.load().failures.len(),
    })
}

/// Ours, the partners' as last seen, and anchors; what ends first comes first.
fn certificates(shared: &Shared) -> Vec<Value> {
    let now = Shared::now().wall;
    let mut all = radar::all(shared);
    all.sort_by(|a, b| (a.ends, &a.subject, &a.of).cmp(&(b.ends, &b.subject, &b.of)));
    let shown = all.iter().map(|ending| {
        json!({
            "role": ending.role.as_str(),
            "subject": ending.subject,
            "of": ending.of,
            "begins": ending.begins.to_string(),
            "ends": ending.ends.to_string(),
            "days_left": expiry::days_left(ending.ends, now),
            "soon": expiry::mark(ending.begins, ending.ends, now).is_some(),
        })
    });
    shown.collect()
}

/// Those that run out first come first.
fn lists(shared: &Shared) -> Vec<Value> {
    let now = Shared::now().wall;
    let mut all = shared.revocation.describe(now);
    all.sort_by(|a, b| (a.good_until, &a.source).cmp(&(b.good_until, &b.source)));
    let shown = all.iter().map(|list| {
        let soon = list.good_until.is_some_and(|end| expiry::mark(list.this_update, end, now).is_some());
        json!({
            "issuer": distinguished_name(&list.issuer),
            "source": list.source,
            "fetched": list.fetched.map(|at| at.to_string()),
            "this_update": list.this_update.to_string(),
            "next_update": list.next_update.map(|at| at.to_string()),
            "good_until": list.good_until.map(|at| at.to_string()),
            "current": list.current,
            "soon": soon,
            "next_fetch": list.next_fetch.map(|at| at.to_string()),
            "failed_fetches": list.failed_fetches,
        })
    });
    shown.collect()
}
