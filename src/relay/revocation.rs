//! Keeping the revocation snapshot current from the configured files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::net::crl;
use crate::observe::{Event, Observer};
use crate::trust::RevocationSet;
use crate::trust::certificate::distinguished_name;

use super::shared::Shared;

/// Files are looked at this often; the promise is 5 s.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Reads the lists again whenever a file changes, until the server drains.
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

/// Reads the lists and swaps the snapshot; open sessions are judged by it from their next MAIL on.
pub fn reload(shared: &Shared) {
    let settings = shared.settings.load();
    let epoch = shared.revocation.load().epoch + 1;
    let (lists, problems) = crl::load(&settings.crl_files, epoch);
    announce(&shared.observer, &lists, &problems);
    shared.revocation.store(Arc::new(lists));
}

/// Events and gauges of a freshly read set.
pub fn announce(observer: &Observer, lists: &RevocationSet, problems: &[(PathBuf, String)]) {
    for list in &lists.lists {
        observer.event(Event::RevocationListLoaded {
            source: list.source.clone(),
            issuer: distinguished_name(&list.issuer),
            next_update: list.next_update,
        });
    }
    for (file, error) in problems {
        observer
            .event(Event::RevocationListFailed { source: file.display().to_string(), error: error.clone() });
    }
    let updates =
        lists.lists.iter().filter_map(|list| Some((distinguished_name(&list.issuer), list.next_update?)));
    observer.set_crl_next_update(updates);
}
