//! Asking for fetched lists again before they run out, so that no session has to wait.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::super::shared::Shared;
use super::{fetch, show};

/// Longest sleep: the clock may have been set.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Refreshes under way; the other slots are for sessions that wait.
const AT_ONCE: usize = 4;

/// Runs until the server drains.
pub async fn refresh(shared: Arc<Shared>) {
    loop {
        let now = Timestamp::now();
        let due = shared.revocation.due(now, AT_ONCE);
        if due.dropped {
            show(&shared.observer, &shared.revocation.load());
        }
        let limit = shared.settings.load().crl_fetch.timeout;
        let flights = due.lists.iter().map(|(wanted, url)| fetch::start(&shared, wanted, url, limit));
        for mut flight in flights.collect::<Vec<_>>() {
            // An error says that the fetch is over.
            let _over = flight.changed().await;
        }
        let wait = |next: Timestamp| Duration::try_from(next.duration_since(now)).unwrap_or_default();
        let pause = due.next.map(wait);
        tokio::select! {
            () = tokio::time::sleep(pause.unwrap_or(LOOK_INTERVAL_MAX).min(LOOK_INTERVAL_MAX)) => {}
            () = shared.revocation.changed.notified() => {}
            () = shared.draining.cancelled() => return,
        }
    }
}
