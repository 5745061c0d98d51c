//! Keeping the revocation snapshot current: lists from the configured files, lists fetched from
//! distribution points when a verdict lacks them, and those refreshed before they run out.

mod at_hand;
mod fetch;
mod refresh;
mod schedule;
mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::net::crl::{self, News};
use crate::net::crl_cache::{CacheError, CrlCache};
use crate::observe::{Event, Observer};
use crate::policy::Settings;
use crate::trust::certificate::distinguished_name;
use crate::trust::{RevocationList, RevocationSet};

use super::shared::Shared;

pub use at_hand::{Asked, ListsAtHand};
pub use fetch::obtain;
pub use refresh::refresh;
pub use store::RevocationLists;

/// Files are looked at this often; the promise is 5 s.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// Below `data_directory`.
const CACHE_DIRECTORY: &str = "crl-cache";

/// Reads the configured files and the lists fetched in earlier lives. Blocks on the disk.
pub fn open(settings: &Settings, observer: &Observer) -> RevocationLists {
    let cache = CrlCache::new(settings.data_directory.join(CACHE_DIRECTORY));
    let (cached, unusable) = cache.load(store::LISTS_MAX);
    let mut files = crl::Files::default();
    announce(observer, files.read(&settings.crl_files));
    announce_failed(observer, unusable.into_iter().map(|(file, error): (_, CacheError)| (file, error)));
    let lists = RevocationLists::new(cache, files.lists(&settings.crl_files), cached, &settings.crl_fetch);
    *lists.files() = files;
    if settings.crl_fetch.enabled {
        announce_loaded(observer, lists.load().lists.iter().filter(|list| is_fetched(list)));
    }
    show(observer, &lists.load());
    lists
}

/// Reads the files again whenever one changes, until the server drains.
pub async fn watch(shared: Arc<Shared>) {
    let mut watcher = crl::Watcher::new();
    loop {
        let files = shared.settings.load().crl_files.clone();
        look(&shared, watcher.changed(&files));
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            () = shared.draining.cancelled() => return,
        }
    }
}

/// Reads the files and swaps the snapshot; open sessions are judged by it from their next MAIL on.
pub fn reload(shared: &Shared) {
    let settings = shared.settings.load();
    let mut files = shared.revocation.files();
    announce(&shared.observer, files.read(&settings.crl_files));
    shared.revocation.set_files(files.lists(&settings.crl_files), &settings.crl_fetch);
    show(&shared.observer, &shared.revocation.load());
}

/// As `reload`, but nothing happens where nothing is new.
fn look(shared: &Shared, changed: bool) {
    let settings = shared.settings.load();
    let mut files = shared.revocation.files();
    let before = files.lists(&settings.crl_files);
    let news = if changed { files.read(&settings.crl_files) } else { files.read_unreadable() };
    announce(&shared.observer, news);
    let now = files.lists(&settings.crl_files);
    let is_same =
        before.len() == now.len() && before.iter().zip(&now).all(|(old, new)| Arc::ptr_eq(old, new));
    if !is_same {
        shared.revocation.set_files(now, &settings.crl_fetch);
        show(&shared.observer, &shared.revocation.load());
    }
}

fn announce(observer: &Observer, news: Vec<News>) {
    for news in news {
        match news {
            News::Loaded(list) => announce_loaded(observer, std::iter::once(&list)),
            News::Failed { file, problem, kept } if kept.is_empty() => {
                announce_failed(observer, [(file, problem)]);
            }
            News::Failed { file, problem, kept } => observer.event(Event::RevocationListKept {
                source: file.display().to_string(),
                error: format!("{problem}; what was read of it before stays in force"),
                good_until: kept.iter().filter_map(|list| list.good_until()).min(),
            }),
        }
    }
}

fn announce_loaded<'a>(observer: &Observer, lists: impl Iterator<Item = &'a Arc<RevocationList>>) {
    for list in lists {
        observer.event(Event::RevocationListLoaded {
            source: list.source.clone(),
            issuer: distinguished_name(&list.issuer),
            next_update: list.next_update,
        });
    }
}

fn announce_failed<E: std::fmt::Display>(
    observer: &Observer,
    problems: impl IntoIterator<Item = (PathBuf, E)>,
) {
    for (file, error) in problems {
        let (source, error) = (file.display().to_string(), error.to_string());
        observer.event(Event::RevocationListFailed { source, error });
    }
}

/// The gauges of the whole snapshot.
fn show(observer: &Observer, lists: &RevocationSet) {
    let needed = needed(lists).into_iter();
    let updates = needed.filter_map(|list| Some((distinguished_name(&list.issuer), list.next_update?)));
    observer.set_crl_next_update(updates);
}

/// Those that have no successor in the set.
fn needed(lists: &RevocationSet) -> Vec<&RevocationList> {
    let lists = || lists.lists.iter().map(Arc::as_ref);
    let succeeds =
        |other: &RevocationList, list: &RevocationList| other.replaces(list) && !list.replaces(other);
    lists().filter(|list| !lists().any(|other| succeeds(other, list))).collect()
}

fn is_fetched(list: &RevocationList) -> bool {
    list.source.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
}
