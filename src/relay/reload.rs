//! Replacing the settings while mail flows: read, check, build, and only then swap.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::{self, Change, Problem, Severity, differences};
use crate::net::authentication::Authenticator;
use crate::net::resolver;
use crate::net::stamp_signature::StampSigner;
use crate::observe::Event;

use super::partners::radar;
use super::shared::Shared;
use super::{certificates, health, revocation, tls};

/// Certificate and recipient files are looked at this often.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// What a reload put in force: keys whose value in force is another one, and certificates in use.
#[derive(Clone, Debug, Default)]
pub struct Reloaded {
    pub changes: Vec<Change>,
    pub certificates: Vec<certificates::Difference>,
}

/// Reads the settings again. Sessions in hand go on; their next transaction is judged under the
/// new settings. On any problem the old ones stay in force.
pub async fn reload(shared: &Arc<Shared>, who: &str) -> Result<Reloaded, Vec<Problem>> {
    let _one_at_a_time = shared.reloading.lock().await;
    shared.manager.reloading();
    let result = read_and_apply(shared, who).await;
    // Refused or not: the server goes on, with the settings that it has.
    shared.manager.ready(&health::status(shared));
    refused(shared, result)
}

async fn read_and_apply(shared: &Arc<Shared>, who: &str) -> Result<Reloaded, Vec<Problem>> {
    let file = shared.config_file.clone();
    let loaded = tokio::task::spawn_blocking(move || config::load(&file)).await;
    let loaded =
        loaded.unwrap_or_else(|error| Err(vec![problem(&shared.config_file, "", error.to_string())]));
    match loaded {
        Ok(loaded) => apply(shared, loaded, who).await,
        Err(problems) => Err(problems),
    }
}

fn refused(shared: &Shared, result: Result<Reloaded, Vec<Problem>>) -> Result<Reloaded, Vec<Problem>> {
    if let Err(problems) = &result {
        let problems = problems.iter().map(Problem::to_string).collect();
        shared.observer.event(Event::SettingsRefused { problems });
    }
    result
}

/// Reads the files of the settings in force and the certificate store again, and not the
/// configuration itself: a renewal must not wait for, or bring in, what somebody is just writing.
pub async fn renew(shared: &Arc<Shared>, who: &str) -> Result<Reloaded, Vec<Problem>> {
    let _one_at_a_time = shared.reloading.lock().await;
    let document = config::Document::clone(&shared.document.load());
    let loaded = tokio::task::spawn_blocking(move || config::rebuild(document)).await;
    let loaded =
        loaded.unwrap_or_else(|error| Err(vec![problem(&shared.config_file, "", error.to_string())]));
    let result = match loaded {
        Ok(loaded) => apply(shared, loaded, who).await,
        Err(problems) => Err(problems),
    };
    refused(shared, result)
}

async fn apply(shared: &Arc<Shared>, loaded: config::Loaded, who: &str) -> Result<Reloaded, Vec<Problem>> {
    let old = shared.settings.load_full();
    let mut settings = loaded.settings;
    settings.epoch = old.epoch + 1;
    let refuse = |error: String| vec![problem(&shared.config_file, "", error)];
    let changes = differences(&shared.document.load(), &loaded.document);
    refuse_restart_keys(&shared.config_file, &changes)?;
    let server_tls =
        tls::listeners(&settings, &shared.server_tls.load()).map_err(|e| refuse(e.to_string()))?;
    let resolver = resolver::Resolver::new(&settings.dns).map_err(|e| refuse(e.to_string()))?;
    let authenticator = Authenticator::new(&settings.dns).map_err(|e| refuse(e.to_string()))?;
    let stamp_signer = settings.stamp_signing.as_ref().map(StampSigner::new).transpose();
    let stamp_signer = stamp_signer.map_err(|e| refuse(e.to_string()))?;
    let listeners = shared.listeners.bind(&settings, &shared.manager).map_err(|e| refuse(e.to_string()))?;
    shared.tell_warnings(&loaded.warnings);
    let settings = Arc::new(settings);
    shared.server_tls.store(Arc::new(server_tls));
    shared.client_tls.clear();
    shared.resolver.store(Arc::new(resolver));
    shared.inspector.take(authenticator);
    shared.stamp_signer.store(stamp_signer.map(Arc::new));
    shared.event_log.configure(&settings.event_log, settings.hostname.as_str());
    shared.observer.reconfigure(&settings);
    shared.protocol_log.reconfigure(&settings.protocol_log).await;
    if let Some(tracking) = shared.observer.tracking() {
        tracking.reconfigure(&settings.message_tracking).await;
    }
    shared.settings.store(Arc::clone(&settings));
    shared.verifier.forget();
    shared.listeners.follow(shared, &settings, listeners);
    revocation::reload(shared);
    radar::show(shared);
    shared.document.store(Arc::new(loaded.document));
    let certificates = certificates::differences(&old, &settings);
    record(shared, who, &changes, &certificates).await;
    let told = changes.iter().map(describe).chain(certificates.iter().map(ToString::to_string)).collect();
    shared.observer.event(Event::SettingsReloaded { epoch: settings.epoch, changes: told });
    shared.wake_dispatch.notify_one();
    Ok(Reloaded { changes, certificates })
}

/// Keys that only a start reads are refused, so that nobody believes they took effect.
fn refuse_restart_keys(file: &Path, changes: &[Change]) -> Result<(), Vec<Problem>> {
    let problems: Vec<Problem> = changes
        .iter()
        .filter(|change| change.restart)
        .map(|change| problem(file, &change.key, "changed, and takes effect only at a start".to_owned()))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn problem(file: &Path, key: &str, what: String) -> Problem {
    Problem {
        severity: Severity::Error,
        file: file.to_owned(),
        line: None,
        key: key.to_owned(),
        what,
        remedy: "restart the server to use the new settings, or take the change back".to_owned(),
    }
}

/// One line of the audit log for each key and each certificate in use that changed.
async fn record(shared: &Shared, who: &str, changes: &[Change], certificates: &[certificates::Difference]) {
    for certificate in certificates {
        shared.append_audit(who, &certificate.user, &certificate.old, &certificate.new).await;
    }
    if changes.is_empty() && certificates.is_empty() {
        shared.append_audit(who, "settings reload", "", "no key changed").await;
    }
    for change in changes {
        shared.audit_change(who, change).await;
    }
}

fn describe(change: &Change) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    format!("{}: {} -> {}", change.key, value(&change.old), value(&change.new))
}

/// Reloads by itself when a certificate, key, anchor or recipient file changes, so that a renewal
/// needs no hand. A file half written is refused and looked at again.
pub async fn watch_files(shared: Arc<Shared>) {
    let mut seen = stamps(&shared.settings.load().watched_files);
    loop {
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            () = shared.draining.cancelled() => return,
        }
        let present = stamps(&shared.settings.load().watched_files);
        if present != seen {
            let reloaded = reload(&shared, "file watch").await;
            // A refused reload is tried again only when the files change again.
            seen = if reloaded.is_ok() { stamps(&shared.settings.load().watched_files) } else { present };
        }
    }
}

/// What tells one state of a file from another. Time and length alone miss a renewal that keeps
/// both, such as one that is moved into place with the times of its source.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    len: u64,
    device_and_inode: (u64, u64),
    /// Seconds and nanoseconds; moves whenever anything about the file is changed.
    status_changed: (i64, i64),
}

/// A stamp of each file, as far as it can be read.
fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    use std::os::unix::fs::MetadataExt;
    let stamp = |file: &PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some(Stamp {
            modified: metadata.modified().ok()?,
            len: metadata.len(),
            device_and_inode: (metadata.dev(), metadata.ino()),
            status_changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    };
    files.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_of_the_same_length_and_time_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let (in_use, renewed) = (directory.path().join("mail1.pem"), directory.path().join("new.pem"));
        for (path, content) in [(&in_use, "old"), (&renewed, "new")] {
            std::fs::write(path, content).unwrap();
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        let files = [in_use.clone()];
        let before = stamps(&files);
        assert_eq!(before, stamps(&files));
        std::fs::rename(&renewed, &in_use).unwrap();
        assert_ne!(before, stamps(&files));
    }
}
