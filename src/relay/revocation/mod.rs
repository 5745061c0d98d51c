//! Keeping the revocation snapshot current: lists from the configured files, lists fetched from
//! distribution points when a verdict lacks them, and those refreshed before they run out.

mod fetch;
mod refresh;
mod schedule;
mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::net::crl;
use crate::net::crl_cache::{CacheError, CrlCache};
use crate::observe::{Event, Observer};
use crate::policy::Settings;
use crate::trust::certificate::distinguished_name;
use crate::trust::{RevocationList, RevocationSet};

use super::shared::Shared;

pub use fetch::obtain;
pub use refresh::refresh;
pub use store::RevocationLists;

/// Files are looked at this often; the promise is 5 s.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// Below `data_directory`.
const CACHE_DIRECTORY: &str = "crl-cache";

/// Reads the configured files and the lists fetched in earlier lives. Blocks on the disk.
pub fn open(settings: &Settings, observer: &Observer) -> RevocationLists {
    let (files, problems) = crl::load(&settings.crl_files, 0);
    let cache = CrlCache::new(settings.data_directory.join(CACHE_DIRECTORY));
    let (cached, unusable) = cache.load(store::LISTS_MAX);
    announce_loaded(observer, files.lists.iter());
    announce_failed(observer, problems);
    announce_failed(observer, unusable.into_iter().map(|(file, error): (_, CacheError)| (file, error)));
    let lists = RevocationLists::new(cache, files.lists, cached, &settings.crl_fetch);
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
        if watcher.changed(&files) {
            reload(&shared);
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            () = shared.draining.cancelled() => return,
        }
    }
}

/// Reads the files and swaps the snapshot; open sessions are judged by it from their next MAIL on.
pub fn reload(shared: &Shared) {
    let settings = shared.settings.load();
    let (files, problems) = crl::load(&settings.crl_files, 0);
    announce_loaded(&shared.observer, files.lists.iter());
    announce_failed(&shared.observer, problems);
    shared.revocation.set_files(files.lists, &settings.crl_fetch);
    show(&shared.observer, &shared.revocation.load());
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
    let updates =
        lists.lists.iter().filter_map(|list| Some((distinguished_name(&list.issuer), list.next_update?)));
    observer.set_crl_next_update(updates);
}

fn is_fetched(list: &RevocationList) -> bool {
    list.source.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
}
