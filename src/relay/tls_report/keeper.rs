//! Keeping what is counted for TLS reports on disk.

use std::sync::Arc;
use std::time::Duration;

use crate::observe::Observer;
use crate::observe::tls_reports::{self, ReportsError};
use crate::policy::Settings;

use super::super::shared::Shared;

/// A change is on disk within this; what a crash takes with it is no more.
const WRITE_INTERVAL: Duration = Duration::from_secs(30);

/// Begins with the counts of an earlier run. A damaged file is put aside.
pub fn restore(observer: &Observer, settings: &Settings) {
    match tls_reports::read(&settings.data_directory) {
        Ok(days) => observer.tls_reports().restore(days),
        Err(error) => {
            tracing::error!(%error, "the counts for TLS reports begin anew");
            let path = tls_reports::path(&settings.data_directory);
            if matches!(error, ReportsError::Damaged { .. })
                && let Err(error) = std::fs::rename(&path, path.with_extension("json.damaged"))
            {
                tracing::error!(%error, path = %path.display(), "the damaged file cannot be put aside");
            }
        }
    }
}

/// Writes the counts when they changed, until the server drains.
pub async fn run(shared: Arc<Shared>) {
    let mut failing = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(WRITE_INTERVAL) => {}
            () = shared.draining.cancelled() => return,
        }
        let writing = Arc::clone(&shared);
        let written = tokio::task::spawn_blocking(move || write(&writing)).await;
        let failed = !matches!(written, Ok(Ok(())));
        if let Ok(Err(error)) = written
            && !failing
        {
            tracing::error!(%error, "the counts for TLS reports wait; mail goes on");
        }
        failing = failed;
    }
}

/// Once more at the end.
pub fn finish(shared: &Shared) {
    if let Err(error) = write(shared) {
        tracing::error!(%error, "the last sessions are missing from the counts for TLS reports");
    }
}

/// Writes what changed since the last time.
fn write(shared: &Shared) -> Result<(), ReportsError> {
    let reports = shared.observer.tls_reports();
    if !reports.take_changed() {
        return Ok(());
    }
    let written = tls_reports::write(&shared.settings.load().data_directory, &reports.snapshot());
    if written.is_err() {
        reports.mark_changed();
    }
    written
}
