//! Getting the lists that a verdict lacks: one request a URL however many sessions wait for it, all
//! within one deadline, and nothing is kept that was not checked first.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::net::crl_cache::{CachedList, Origin};
use crate::net::crl_fetch::{Client, Fetched};
use crate::observe::Event;
use crate::trust::{ListKey, RevocationList, WantedList};

use super::super::shared::Shared;
use super::show;
use super::store::{RevocationLists, Standing};

/// Fetches what can be had of `wanted` within `crl_fetch_timeout`, all at once; the points of one
/// list one after the other. What comes later than that serves the next who asks.
pub async fn obtain(shared: &Arc<Shared>, wanted: Vec<WantedList>) {
    let settings = shared.settings.load_full();
    if !settings.crl_fetch.enabled {
        return;
    }
    let deadline = Instant::now() + settings.crl_fetch.timeout;
    let mut lists = tokio::task::JoinSet::new();
    for wanted in wanted {
        lists.spawn(one_list(Arc::clone(shared), wanted, deadline));
    }
    let _late = tokio::time::timeout_at(deadline.into(), lists.join_all()).await;
}

/// Tries one distribution point after the other; each gets its share of the time that is left.
async fn one_list(shared: Arc<Shared>, wanted: WantedList, deadline: Instant) {
    let urls: Vec<&str> = wanted.urls().collect();
    for (index, url) in urls.iter().enumerate() {
        let key = wanted.key(url);
        match shared.revocation.standing(key, Timestamp::now()) {
            Standing::Current => return,
            Standing::Failed => continue,
            Standing::Unknown => {}
        }
        let share = share(deadline, urls.len() - index);
        // An error says that the fetch is over.
        let _over = start(&shared, &wanted, url, share).changed().await;
        if shared.revocation.standing(key, Timestamp::now()) == Standing::Current {
            shared.revocation.touch(key, Timestamp::now());
            return;
        }
    }
}

/// Of the time that is left, what the first of so many URLs gets.
pub(super) fn share(deadline: Instant, urls: usize) -> Duration {
    deadline.saturating_duration_since(Instant::now()) / u32::try_from(urls.max(1)).unwrap_or(u32::MAX)
}

/// Begins a fetch, or joins the one under way. The receiver's `changed` fails when it is over.
pub(super) fn start(
    shared: &Arc<Shared>,
    wanted: &WantedList,
    url: &str,
    limit: Duration,
) -> watch::Receiver<()> {
    let key = wanted.key(url);
    let mut flights = shared.revocation.flights.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(flight) = flights.get(&key) {
        return flight.clone();
    }
    let (over, receiver) = watch::channel(());
    flights.insert(key, receiver.clone());
    let flight = Flight { shared: Arc::clone(shared), key, _over: over };
    let (wanted, url) = (wanted.clone(), url.to_owned());
    // A task of its own: it goes on when the session that asked first has gone.
    shared.tasks.spawn(async move {
        fetch(&flight.shared, &wanted, &url, limit).await;
        drop(flight);
    });
    receiver
}

/// A fetch under way; ends with it, whichever way that is.
struct Flight {
    shared: Arc<Shared>,
    key: ListKey,
    _over: watch::Sender<()>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.shared.revocation.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

async fn fetch(shared: &Arc<Shared>, wanted: &WantedList, url: &str, limit: Duration) {
    let (settings, resolver) = (shared.settings.load_full(), shared.resolver.load_full());
    let client = Client { resolver: &resolver, settings: &settings.crl_fetch };
    match get(&shared.revocation, &client, wanted, url, limit).await {
        Ok(taken) => keep(shared, taken).await,
        Err(error) => {
            let good_until = shared.revocation.failed(wanted.key(url), error.clone(), Timestamp::now());
            shared.observer.event(Event::RevocationListFetchFailed {
                source: url.to_owned(),
                issuer: wanted.issuer(),
                error,
                good_until,
            });
        }
    }
}

/// Asks one URL for a list, and checks what comes. Changes nothing.
pub(super) async fn get(
    lists: &RevocationLists,
    client: &Client<'_>,
    wanted: &WantedList,
    url: &str,
    limit: Duration,
) -> Result<Taken, String> {
    let present = lists.present(wanted.key(url));
    let validators = present.as_ref().map(|present| present.origin.validators.clone()).unwrap_or_default();
    let request = async {
        let _slot = lists.slots.acquire().await.map_err(|error| error.to_string())?;
        client.fetch(url, &validators).await.map_err(|error| error.to_string())
    };
    match tokio::time::timeout(limit, request).await {
        Ok(Ok(fetched)) => examine(wanted, url, fetched, present).await,
        Ok(Err(error)) => Err(error),
        Err(_) => Err(format!("no complete answer within {:.1} s", limit.as_secs_f64())),
    }
}

/// A list that may be kept.
pub(super) struct Taken {
    pub cached: CachedList,
    /// It is another than the one we had.
    changed: bool,
}

/// Reads and checks what came, away from the sessions' threads: a list may have megabytes.
async fn examine(
    wanted: &WantedList,
    url: &str,
    fetched: Fetched,
    present: Option<CachedList>,
) -> Result<Taken, String> {
    let now = Timestamp::now();
    let origin = |validators| {
        let (url, wanted) = (url.to_owned(), wanted.clone());
        Origin {
            url,
            wanted,
            fetched: now,
            used: present.as_ref().map_or(now, |p| p.origin.used),
            validators,
        }
    };
    match (fetched, &present) {
        (Fetched::Unchanged, Some(had)) => {
            wanted.check(&had.list, now).map_err(|error| format!("unchanged, and {error}"))?;
            let origin = origin(had.origin.validators.clone());
            Ok(Taken { cached: CachedList { list: had.list.clone(), origin }, changed: false })
        }
        (Fetched::Unchanged, None) => Err("the server says unchanged of a list we never had".to_owned()),
        (Fetched::List { bytes, validators }, _) => {
            let origin = origin(validators);
            let (wanted, source) = (wanted.clone(), url.to_owned());
            let read = move || first_good(&wanted, &source, &bytes, now);
            let list = tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())??;
            let had = present.as_ref().map(|present| &present.list);
            if had.is_some_and(|had| had.this_update > list.this_update) {
                return Err("the list is older than the one we have".to_owned());
            }
            let changed = had.is_none_or(|had| had.der != list.der);
            Ok(Taken { cached: CachedList { list, origin }, changed })
        }
    }
}

/// Some servers give PEM, which may hold several; the first that is the one wanted counts.
fn first_good(
    wanted: &WantedList,
    source: &str,
    bytes: &[u8],
    now: Timestamp,
) -> Result<RevocationList, String> {
    let mut refused = None;
    for list in RevocationList::parse(source, bytes).map_err(|error| error.to_string())? {
        match wanted.check(&list, now) {
            Ok(()) => return Ok(list),
            Err(error) => refused = Some(error.to_string()),
        }
    }
    Err(refused.unwrap_or_else(|| "the answer holds no list".to_owned()))
}

/// To disk, then into the snapshot. A disk that fails costs the list at the next start only.
async fn keep(shared: &Arc<Shared>, taken: Taken) {
    let Taken { cached, changed } = taken;
    let event = Event::RevocationListFetched {
        source: cached.origin.url.clone(),
        issuer: cached.origin.wanted.issuer(),
        next_update: cached.list.next_update,
        changed,
    };
    let (storing, on_disk) = (Arc::clone(shared), cached.clone());
    let stored = tokio::task::spawn_blocking(move || storing.revocation.cache.store(&on_disk)).await;
    if let Err(error) = stored.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        let error = format!("it was fetched and is used, but cannot be kept on disk: {error}");
        shared.observer.event(Event::RevocationListFailed { source: cached.origin.url.clone(), error });
    }
    for evicted in shared.revocation.insert(cached) {
        shared.revocation.cache.remove(evicted);
    }
    shared.observer.event(event);
    show(&shared.observer, &shared.revocation.load());
}
