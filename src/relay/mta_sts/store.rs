//! What is known of each domain's policy, in bounded memory.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::mail::Domain;
use crate::net::sts_cache::{KeptPolicy, StsCache, later};
use crate::policy::mta_sts::StsPolicy;

/// Domains known; beyond this those without a policy are forgotten, then the longest unused.
const DOMAINS_MAX: usize = 10_000;
/// How long the answer to the question for the TXT record counts.
const LOOK_KEPT: Duration = Duration::from_secs(60);
/// A server that failed is left alone for this long (RFC 8461 3.3 asks for such a limit).
const FAILURE_KEPT: Duration = Duration::from_secs(300);
/// Policies are asked for again daily, or when half their time is over if that is sooner.
const REFRESH_EVERY: Duration = Duration::from_secs(24 * 3600);
/// A policy of seconds is looked at when mail goes there, not over and over.
const REFRESH_MIN: Duration = Duration::from_secs(600);
/// How long a policy is kept fresh for nobody.
const KEPT_UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);
/// Requests in flight: slow servers of a few domains must not keep the others' policies from us.
const FETCHES_MAX: usize = 64;

/// Shared by all deliveries.
pub struct StsPolicies {
    pub(super) cache: StsCache,
    entries: Mutex<HashMap<Domain, Entry>>,
    pub(super) slots: Semaphore,
}

#[derive(Default)]
struct Entry {
    kept: Option<KeptPolicy>,
    looked_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    used_at: Option<Timestamp>,
    /// Held while the domain is being asked.
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl StsPolicies {
    /// With what earlier lives left on the disk. Blocks on it.
    pub fn open(directory: PathBuf, now: Timestamp) -> Self {
        let cache = StsCache::new(directory);
        let entry = |kept: KeptPolicy| {
            let (domain, used_at) = (kept.domain.clone(), Some(now));
            (domain, Entry { kept: Some(kept), used_at, ..Entry::default() })
        };
        let entries = cache.load(now, DOMAINS_MAX).into_iter().map(entry).collect();
        Self { cache, entries: Mutex::new(entries), slots: Semaphore::new(FETCHES_MAX) }
    }

    pub(super) fn gate(&self, domain: &Domain) -> Arc<tokio::sync::Mutex<()>> {
        let mut entries = self.lock();
        if !entries.contains_key(domain) && entries.len() >= DOMAINS_MAX {
            // Policies are few: almost every domain that mail goes to has none.
            entries.retain(|_, entry| entry.kept.is_some() || Arc::strong_count(&entry.gate) > 1);
        }
        Arc::clone(&entries.entry(domain.clone()).or_default().gate)
    }

    /// Whether the domain was asked a moment ago.
    pub(super) fn is_fresh(&self, domain: &Domain, now: Timestamp) -> bool {
        self.lock().get(domain).is_some_and(|entry| within(entry.looked_at, LOOK_KEPT, now))
    }

    pub(super) fn looked_at(&self, domain: &Domain, now: Timestamp) {
        self.lock().entry(domain.clone()).or_default().looked_at = Some(now);
    }

    /// Whether the policy with this `id` is kept and has not run out.
    pub(super) fn holds(&self, domain: &Domain, id: &str, now: Timestamp) -> bool {
        let entries = self.lock();
        let kept = entries.get(domain).and_then(|entry| entry.kept.as_ref());
        kept.is_some_and(|kept| kept.id == id && kept.expires() > now)
    }

    pub(super) fn failed_lately(&self, domain: &Domain, now: Timestamp) -> bool {
        self.lock().get(domain).is_some_and(|entry| within(entry.failed_at, FAILURE_KEPT, now))
    }

    /// Notes a failure; says whether a policy from before is still in force.
    pub(super) fn failed(&self, domain: &Domain, now: Timestamp) -> bool {
        let mut entries = self.lock();
        let entry = entries.entry(domain.clone()).or_default();
        entry.failed_at = Some(now);
        entry.kept.as_ref().is_some_and(|kept| kept.expires() > now)
    }

    /// Takes a policy; names the domains whose policies had to go for it.
    pub(super) fn keep(&self, kept: KeptPolicy) -> Vec<Domain> {
        let mut entries = self.lock();
        let entry = entries.entry(kept.domain.clone()).or_default();
        entry.failed_at = None;
        entry.used_at = Some(kept.fetched);
        let domain = kept.domain.clone();
        entry.kept = Some(kept);
        let mut gone = Vec::new();
        while entries.values().filter(|entry| entry.kept.is_some()).count() > DOMAINS_MAX {
            let others = entries.iter().filter(|(other, entry)| entry.kept.is_some() && **other != domain);
            let Some(oldest) = others.min_by_key(|(_, entry)| entry.used_at).map(|(other, _)| other.clone())
            else {
                break;
            };
            entries.remove(&oldest);
            gone.push(oldest);
        }
        gone
    }

    /// The policy that has not run out.
    pub fn in_force(&self, domain: &Domain, now: Timestamp) -> Option<Arc<StsPolicy>> {
        let mut entries = self.lock();
        let entry = entries.get_mut(domain)?;
        entry.used_at = Some(now);
        let kept = entry.kept.as_ref().filter(|kept| kept.expires() > now)?;
        Some(Arc::clone(&kept.policy))
    }

    /// Policies to be asked for again, and those that ran out, which are forgotten.
    pub(super) fn due(&self, now: Timestamp) -> Due {
        let mut due = Due::default();
        for entry in self.lock().values_mut() {
            let Some(kept) = &entry.kept else { continue };
            if kept.expires() <= now {
                due.ended.push(kept.domain.clone());
                entry.kept = None;
            } else if refresh_at(kept) <= now
                && within(entry.used_at, KEPT_UNUSED, now)
                && !within(entry.failed_at, retry_after(kept, now), now)
            {
                due.refresh.push(kept.domain.clone());
            }
        }
        due
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Domain, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What time has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub refresh: Vec<Domain>,
    pub ended: Vec<Domain>,
}

fn refresh_at(kept: &KeptPolicy) -> Timestamp {
    later(kept.fetched, (kept.policy.max_age / 2).clamp(REFRESH_MIN, REFRESH_EVERY))
}

/// After a failure: hourly, and more often when little time is left.
fn retry_after(kept: &KeptPolicy, now: Timestamp) -> Duration {
    let left = Duration::try_from(kept.expires().duration_since(now)).unwrap_or_default();
    (left / 8).clamp(FAILURE_KEPT, Duration::from_secs(3600))
}

/// Whether `since` lies less than `span` back; the clock may have been set.
fn within(since: Option<Timestamp>, span: Duration, now: Timestamp) -> bool {
    since.is_some_and(|since| since <= now && later(since, span) > now)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
