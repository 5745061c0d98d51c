//! The MTA-STS policies in force: looked up when mail goes to a domain, kept on disk until they run
//! out, asked for again before that (RFC 8461 5.1, 10.2).
//!
//! Nothing that fails here stops mail: a look-up has seconds, and without a policy the next in the
//! order of precedence rules. A policy that is kept stays in force whatever fails.

mod refresh;
mod store;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::mail::Domain;
use crate::net::sts_cache::KeptPolicy;
use crate::net::sts_fetch::{Announced, Fetcher};
use crate::observe::Event;
use crate::policy::mta_sts::StsPolicy;

use super::shared::Shared;
use super::tls_report;

pub use refresh::refresh;
pub use store::StsPolicies;

/// How long mail waits while others are being fetched; then it goes as if nothing had been announced,
/// and the next finds the policy.
const SLOT_TIMEOUT: Duration = Duration::from_secs(5);

/// The policy that rules over mail to `domain` now, if it has one.
pub async fn policy_of(shared: &Arc<Shared>, domain: &Domain) -> Option<Arc<StsPolicy>> {
    let policies = &shared.sts;
    // One look-up a domain; who waits here finds its answer.
    let gate = policies.gate(domain);
    let _only_one = gate.lock().await;
    let now = Timestamp::now();
    if !policies.is_fresh(domain, now) {
        look_up(shared, domain, now).await;
    }
    policies.in_force(domain, now)
}

async fn look_up(shared: &Arc<Shared>, domain: &Domain, now: Timestamp) {
    let settings = shared.settings.load_full();
    let resolver = shared.resolver.load_full();
    let lists = shared.revocation.load();
    let fetcher = Fetcher { resolver: &resolver, settings: &settings.mta_sts, lists: &lists };
    let announced = fetcher.announced(domain).await;
    shared.sts.looked_at(domain, now);
    // What is kept rules on where nothing is announced, or nothing could be learned.
    let Announced::Policy(id) = announced else { return };
    if shared.sts.holds(domain, &id, now) || shared.sts.failed_lately(domain, now) {
        return;
    }
    fetch(shared, &fetcher, domain, id, now).await;
}

/// Fetches the policy with this `id` and takes it, or notes that it could not be had.
async fn fetch(shared: &Arc<Shared>, fetcher: &Fetcher<'_>, domain: &Domain, id: String, now: Timestamp) {
    let slot = tokio::time::timeout(SLOT_TIMEOUT, shared.sts.slots.acquire()).await;
    let Ok(Ok(_slot)) = slot else { return };
    match fetcher.fetch(domain, now).await {
        Ok(policy) => {
            let event = Event::StsPolicyFetched {
                domain: domain.clone(),
                id: id.clone(),
                mode: policy.mode,
                max_age: policy.max_age.as_secs(),
            };
            let kept = KeptPolicy { domain: domain.clone(), id, fetched: now, policy: Arc::new(policy) };
            keep(shared, kept).await;
            shared.observer.event(event);
        }
        Err(error) => {
            let kept = shared.sts.failed(domain, now);
            tls_report::policy_not_had(shared, domain, error.outcome());
            shared.observer.event(Event::StsPolicyFetchFailed {
                domain: domain.clone(),
                outcome: error.outcome(),
                error: error.to_string(),
                kept,
            });
        }
    }
}

/// Into memory and onto the disk; without the disk it still holds until the server stops.
async fn keep(shared: &Arc<Shared>, kept: KeptPolicy) {
    let gone = shared.sts.keep(kept.clone());
    let shared = Arc::clone(shared);
    let written = tokio::task::spawn_blocking(move || {
        gone.iter().for_each(|domain| shared.sts.cache.remove(domain));
        shared.sts.cache.store(&kept)
    });
    if let Ok(Err(error)) = written.await {
        tracing::warn!(%error, "an MTA-STS policy could not be kept on disk");
    }
}
