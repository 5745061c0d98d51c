//! Asking for policies again before they run out, so that no mail has to wait and no attacker can
//! wait for their end (RFC 8461 10.2).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::mail::Domain;
use crate::net::sts_fetch::{Announced, Fetcher};

use super::super::shared::Shared;

/// Between two looks at what is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Runs until the server drains.
pub async fn refresh(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            () = shared.draining.cancelled() => return,
        }
        let due = shared.sts.due(Timestamp::now());
        for domain in &due.ended {
            tokio::task::block_in_place(|| shared.sts.cache.remove(domain));
        }
        for domain in due.refresh {
            tokio::select! {
                () = ask_again(&shared, &domain) => {}
                () = shared.draining.cancelled() => return,
            }
        }
    }
}

/// The policy anew, if one is still announced; if not, what is kept holds until it runs out.
async fn ask_again(shared: &Arc<Shared>, domain: &Domain) {
    let gate = shared.sts.gate(domain);
    let _only_one = gate.lock().await;
    let now = Timestamp::now();
    let settings = shared.settings.load_full();
    let resolver = shared.resolver.load_full();
    let lists = shared.revocation.load();
    let fetcher = Fetcher { resolver: &resolver, settings: &settings.mta_sts, lists: &lists };
    match fetcher.announced(domain).await {
        Announced::Policy(id) => super::fetch(shared, &fetcher, domain, id, now).await,
        Announced::None | Announced::Unknown(_) => {
            shared.sts.failed(domain, now);
        }
    }
}
