//! All lists the server knows, and the snapshot that sessions are judged by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore, watch};

use crate::net::crl;
use crate::net::crl_cache::{CachedList, CrlCache, Origin};
use crate::policy::CrlFetchSettings;
use crate::trust::{ListKey, RevocationList, RevocationSet, Verdict, WantedList};

use super::schedule::{later, refresh_at, retry_at};

/// Fetched lists kept: every shard of a large public CA has a list of its own.
pub const LISTS_MAX: usize = 1000;
/// Octets of all fetched lists together.
const BYTES_MAX: usize = 200_000_000;
/// Requests in flight: twenty megabytes each at worst.
const FETCHES_MAX: usize = 8;
/// After a failure nobody asks again on behalf of a session for this long.
const FAILURE_KEPT: Duration = Duration::from_secs(60);
/// Failures remembered, for the words of verdicts.
const FAILURES_MAX: usize = 1000;
/// How long a list is kept fresh for nobody, and how long one that ran out is kept for those it names.
const KEPT_UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);
/// The last use is noted to this precision.
const USE_NOTED_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Shared by the sessions, which read the snapshot, and those who change it.
pub struct RevocationLists {
    pub(super) cache: CrlCache,
    /// What was read of the configured files. Locked while they are read, so that two readings
    /// follow one another.
    files: Mutex<crl::Files>,
    snapshot: ArcSwap<RevocationSet>,
    state: Mutex<State>,
    /// Fetches under way; a receiver ends with its fetch.
    pub(super) flights: Mutex<HashMap<ListKey, watch::Receiver<()>>>,
    pub(super) slots: Semaphore,
    /// Rung when the next refresh may have come nearer.
    pub(super) changed: Notify,
}

struct State {
    settings: CrlFetchSettings,
    files: Vec<Arc<RevocationList>>,
    fetched: HashMap<ListKey, Fetched>,
    failures: HashMap<ListKey, Failure>,
}

struct Fetched {
    list: Arc<RevocationList>,
    origin: Origin,
    next_attempt: Timestamp,
    failures: u32,
}

struct Failure {
    until: Timestamp,
    error: String,
}

/// A list as operators want to see it.
#[derive(Clone, Debug)]
pub struct ListView {
    /// DER of the issuer's name.
    pub issuer: Vec<u8>,
    pub source: String,
    pub this_update: Timestamp,
    pub next_update: Option<Timestamp>,
    /// When sessions are no longer judged by it; a list without nextUpdate never serves.
    pub good_until: Option<Timestamp>,
    pub current: bool,
    /// Of a fetched list: when we got it or were told that it is still the same, when it is asked for
    /// next, and how often that failed since.
    pub fetched: Option<Timestamp>,
    pub next_fetch: Option<Timestamp>,
    pub failed_fetches: u32,
}

/// What is known of one URL's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Current,
    /// It failed a moment ago.
    Failed,
    Unknown,
}

/// What there is to refresh.
#[derive(Default)]
pub(super) struct Due {
    pub lists: Vec<(WantedList, String)>,
    pub next: Option<Timestamp>,
    /// Some lists are no longer in the snapshot.
    pub dropped: bool,
}

impl RevocationLists {
    pub fn new(
        cache: CrlCache,
        files: Vec<Arc<RevocationList>>,
        cached: Vec<CachedList>,
        settings: &CrlFetchSettings,
    ) -> Self {
        let mut state =
            State { settings: settings.clone(), files, fetched: HashMap::new(), failures: HashMap::new() };
        for cached in cached {
            let entry = state.entry(cached);
            state.fetched.insert(entry.origin.key(), entry);
        }
        let snapshot = ArcSwap::from_pointee(state.snapshot(1));
        Self {
            cache,
            files: Mutex::default(),
            snapshot,
            state: Mutex::new(state),
            flights: Mutex::default(),
            slots: Semaphore::new(FETCHES_MAX),
            changed: Notify::new(),
        }
    }

    /// What sessions are judged by now.
    pub fn load(&self) -> Guard<Arc<RevocationSet>> {
        self.snapshot.load()
    }

    pub(super) fn files(&self) -> MutexGuard<'_, crl::Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every list that sessions are judged by, in no order.
    pub fn describe(&self, now: Timestamp) -> Vec<ListView> {
        let state = self.lock();
        let view = |list: &RevocationList, fetched: Option<&Fetched>| ListView {
            issuer: list.issuer.clone(),
            source: list.source.clone(),
            this_update: list.this_update,
            next_update: list.next_update,
            good_until: list.good_until(),
            current: list.is_current_at(now),
            fetched: fetched.map(|fetched| fetched.origin.fetched),
            next_fetch: fetched.map(|fetched| fetched.next_attempt),
            failed_fetches: fetched.map_or(0, |fetched| fetched.failures),
        };
        let fetched = state.fetched.values().filter(|_| state.settings.enabled);
        let files = state.files.iter().map(|list| view(list, None));
        files.chain(fetched.map(|fetched| view(&fetched.list, Some(fetched)))).collect()
    }

    /// Other files, or other settings.
    pub fn set_files(&self, files: Vec<Arc<RevocationList>>, settings: &CrlFetchSettings) {
        let mut state = self.lock();
        state.files = files;
        if state.settings != *settings {
            state.settings = settings.clone();
            state.failures.clear();
            let max_age = settings.max_age;
            for fetched in state.fetched.values_mut() {
                fetched.list = Arc::new(limited(&fetched.list, &fetched.origin, max_age));
                fetched.next_attempt = next_refresh(&fetched.list, &fetched.origin);
            }
        }
        self.publish(&state, true);
        self.changed.notify_one();
    }

    /// Notes that a verdict needed these lists, so that they are kept fresh.
    pub fn note_use(&self, verdict: &Verdict, now: Timestamp) {
        if !verdict.lists_used.iter().any(|list| super::is_fetched(list)) {
            return;
        }
        let mut state = self.lock();
        for fetched in state.fetched.values_mut() {
            let is_old = later(fetched.origin.used, USE_NOTED_EVERY) < now;
            if is_old && verdict.lists_used.iter().any(|list| list.source == fetched.origin.url) {
                fetched.origin.used = now;
            }
        }
    }

    /// Notes that a session asked for this list.
    pub(super) fn touch(&self, key: ListKey, now: Timestamp) {
        if let Some(fetched) = self.lock().fetched.get_mut(&key) {
            fetched.origin.used = now;
        }
    }

    pub(super) fn standing(&self, key: ListKey, now: Timestamp) -> Standing {
        let state = self.lock();
        if state.fetched.get(&key).is_some_and(|fetched| fetched.list.is_current_at(now)) {
            Standing::Current
        } else if state.failures.get(&key).is_some_and(|failure| failure.until > now) {
            Standing::Failed
        } else {
            Standing::Unknown
        }
    }

    /// The list of that key as we have it, current or not.
    pub(super) fn present(&self, key: ListKey) -> Option<CachedList> {
        let state = self.lock();
        let fetched = state.fetched.get(&key)?;
        Some(CachedList { list: RevocationList::clone(&fetched.list), origin: fetched.origin.clone() })
    }

    /// Takes a list in, or the news that it is still the same. Gives back what had to go for it.
    pub(super) fn insert(&self, cached: CachedList) -> Vec<ListKey> {
        let mut state = self.lock();
        let key = cached.origin.key();
        let entry = state.entry(cached);
        let same = state.fetched.get(&key).is_some_and(|old| {
            old.list.der == entry.list.der && old.list.good_until() == entry.list.good_until()
        });
        state.fetched.insert(key, entry);
        let forgotten = state.failures.remove(&key).is_some();
        let evicted = state.evict(key);
        if !same || forgotten {
            self.publish(&state, !same);
        }
        self.changed.notify_one();
        evicted
    }

    /// A fetch failed; says until when the list that we have is good.
    pub(super) fn failed(&self, key: ListKey, error: String, now: Timestamp) -> Option<Timestamp> {
        let mut state = self.lock();
        if state.failures.len() >= FAILURES_MAX {
            state.failures.retain(|_, failure| failure.until > now);
        }
        if state.failures.len() < FAILURES_MAX {
            state.failures.insert(key, Failure { until: later(now, FAILURE_KEPT), error });
        }
        let good_until = state.fetched.get_mut(&key).and_then(|fetched| {
            let good_until = fetched.list.good_until();
            fetched.failures += 1;
            let end = good_until.unwrap_or(now);
            fetched.next_attempt = retry_at(now, end, fetched.failures, rand::random());
            good_until
        });
        self.publish(&state, false);
        self.changed.notify_one();
        good_until
    }

    /// Lists to be asked for again now, at most `most`, and when to look next. Drops those that
    /// nobody needs.
    pub(super) fn due(&self, now: Timestamp, most: usize) -> Due {
        let mut state = self.lock();
        if !state.settings.enabled {
            return Due::default();
        }
        let gone = state.unneeded(now);
        for key in &gone {
            state.fetched.remove(key);
            self.cache.remove(*key);
        }
        let mut lists = Vec::new();
        let due = |fetched: &&mut Fetched| fetched.is_wanted(now) && fetched.next_attempt <= now;
        for fetched in state.fetched.values_mut().filter(due).take(most) {
            lists.push((fetched.origin.wanted.clone(), fetched.origin.url.clone()));
            // Until the fetch itself says when.
            fetched.next_attempt = later(now, FAILURE_KEPT);
        }
        if !gone.is_empty() {
            self.publish(&state, true);
        }
        let wanted = state.fetched.values().filter(|fetched| fetched.is_wanted(now));
        let next = wanted.map(|fetched| fetched.next_attempt).min();
        Due { lists, next, dropped: !gone.is_empty() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with the state locked, so that snapshots follow one another.
    fn publish(&self, state: &State, lists_changed: bool) {
        let epoch = self.snapshot.load().epoch + u64::from(lists_changed);
        self.snapshot.store(Arc::new(state.snapshot(epoch)));
    }
}

impl State {
    fn snapshot(&self, epoch: u64) -> RevocationSet {
        let fetched = self.fetched.values().filter(|_| self.settings.enabled);
        let lists = self.files.iter().chain(fetched.map(|fetched| &fetched.list)).cloned().collect();
        let failures = self.failures.iter().map(|(key, failure)| (*key, failure.error.clone())).collect();
        RevocationSet { epoch, lists, failures: Arc::new(failures) }
    }

    fn entry(&self, cached: CachedList) -> Fetched {
        let CachedList { list, origin } = cached;
        let list = Arc::new(limited(&list, &origin, self.settings.max_age));
        Fetched { next_attempt: next_refresh(&list, &origin), list, origin, failures: 0 }
    }

    /// Makes room. The authority whose lists take the most gives first, and of its lists the one
    /// used longest ago: nobody can push out the lists of others by publishing many.
    fn evict(&mut self, newest: ListKey) -> Vec<ListKey> {
        let mut evicted = Vec::new();
        while self.fetched.len() > LISTS_MAX || self.bytes() > BYTES_MAX {
            let mut of_issuer: HashMap<&[u8], usize> = HashMap::new();
            for fetched in self.fetched.values() {
                // A list counts for something even when it is empty.
                *of_issuer.entry(&fetched.list.issuer).or_default() += fetched.list.der.len() + 1024;
            }
            let rank = |fetched: &Fetched| {
                let share = of_issuer.get(fetched.list.issuer.as_slice()).copied().unwrap_or(0);
                (std::cmp::Reverse(share), fetched.origin.used)
            };
            let others = self.fetched.iter().filter(|(key, _)| **key != newest);
            let Some(victim) = others.min_by_key(|(_, fetched)| rank(fetched)).map(|(key, _)| *key) else {
                break;
            };
            self.fetched.remove(&victim);
            evicted.push(victim);
        }
        evicted
    }

    fn bytes(&self) -> usize {
        self.fetched.values().map(|fetched| fetched.list.der.len()).sum()
    }

    /// Lists that ran out and that nobody needed or could renew for a month.
    fn unneeded(&self, now: Timestamp) -> Vec<ListKey> {
        let long_over = |fetched: &Fetched| {
            let end = fetched.list.next_update.unwrap_or(fetched.origin.fetched);
            later(end, KEPT_UNUSED) < now || (end < now && !fetched.is_wanted(now))
        };
        self.fetched.iter().filter(|(_, fetched)| long_over(fetched)).map(|(key, _)| *key).collect()
    }
}

impl Fetched {
    fn is_wanted(&self, now: Timestamp) -> bool {
        later(self.origin.used, KEPT_UNUSED) >= now
    }
}

/// What a fetched list may be used for under `crl_max_age`.
fn limited(list: &RevocationList, origin: &Origin, max_age: Option<Duration>) -> RevocationList {
    list.usable_until(max_age.map(|age| later(origin.fetched, age)))
}

fn next_refresh(list: &RevocationList, origin: &Origin) -> Timestamp {
    refresh_at(origin.fetched, list.good_until().unwrap_or(origin.fetched), rand::random())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
