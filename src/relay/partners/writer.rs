//! Keeping the record of partners on disk.

use std::sync::Arc;
use std::time::Duration;

use crate::observe::partners::{self, PartnerRecord, RecordError};
use crate::observe::{Event, Observer};
use crate::policy::Settings;

use super::super::shared::Shared;
use super::is_listed;

/// A change is on disk within this; what a crash takes with it is no more.
const WRITE_INTERVAL: Duration = Duration::from_secs(2);

/// Begins with the record of an earlier run. A damaged one is put aside, so that nothing of it is
/// lost to who wants to look.
pub fn restore(observer: &Observer, settings: &Settings) {
    match partners::read(&settings.data_directory) {
        Ok(record) => observer.partners().restore(record),
        Err(error) => {
            let failed = |error: String, consequence| {
                observer.event(Event::PartnerRecordFailed { error, consequence });
            };
            failed(error.to_string(), "the record of partners begins anew");
            let path = partners::path(&settings.data_directory);
            if matches!(error, RecordError::Damaged { .. })
                && let Err(error) = std::fs::rename(&path, path.with_extension("json.damaged"))
            {
                failed(format!("{}: {error}", path.display()), "the damaged record cannot be put aside");
            }
        }
    }
}

/// Writes the record when it changed, until the server drains.
pub async fn run(shared: Arc<Shared>) {
    let mut failing = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(WRITE_INTERVAL) => {}
            () = shared.draining.cancelled() => return,
        }
        if shared.observer.partners().take_changed() {
            let writing = Arc::clone(&shared);
            let written = tokio::task::spawn_blocking(move || write(&writing)).await;
            let failed = !matches!(written, Ok(Ok(())));
            if failed {
                shared.observer.partners().mark_changed();
            }
            if let Ok(Err(error)) = written
                && !failing
            {
                let consequence = "the record of partners waits; mail goes on";
                shared.observer.event(Event::PartnerRecordFailed { error: error.to_string(), consequence });
            }
            failing = failed;
        }
    }
}

/// Once more at the end.
pub fn finish(shared: &Shared) {
    if shared.observer.partners().take_changed()
        && let Err(error) = write(shared)
    {
        let consequence = "the last sessions are missing from the record of partners";
        shared.observer.event(Event::PartnerRecordFailed { error: error.to_string(), consequence });
    }
}

/// The record as it is now.
pub fn snapshot(shared: &Shared) -> PartnerRecord {
    let settings = shared.settings.load();
    shared.observer.partners().snapshot(|domain, direction| is_listed(&settings, domain, direction))
}

fn write(shared: &Shared) -> Result<(), RecordError> {
    partners::write(&shared.settings.load().data_directory, &snapshot(shared))
}
