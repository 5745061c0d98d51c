//! Certificates of ours while the server runs: a change of the managed store takes effect within a
//! second, and so does the moment at which one begins or ends to be valid. Open sessions keep what
//! they began with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::certstore::Store;
use crate::policy::{Settings, certificate_uses};

use super::shared::Shared;
use super::{reload, tls};

/// The store is looked at this often, so that reading and building fit into the second.
const STORE_INTERVAL: Duration = Duration::from_millis(200);
/// The choice is made again this often, because time passes.
const CHOICE_TICKS: u32 = 5;

/// A certificate in use that is another one than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `certificate of receive_connector.Internet`
    pub user: String,
    /// Thumbprint and source, empty where there was none.
    pub old: String,
    pub new: String,
}

/// Runs until the server drains.
pub async fn watch(shared: Arc<Shared>) {
    let store = Store::below(&shared.settings.load().data_directory);
    let mut seen = store.stamp();
    // What came between reading the settings and now.
    let mut stale = is_stale(&store, &shared.settings.load());
    for tick in 1u32.. {
        tokio::select! {
            () = tokio::time::sleep(STORE_INTERVAL) => {}
            () = shared.draining.cancelled() => return,
        }
        let present = store.stamp();
        if stale || present != seen {
            // A refusal is told as an event; the next change is the next attempt.
            let _ = reload::renew(&shared, "certificate store").await;
            (seen, stale) = (present, false);
        } else if tick % CHOICE_TICKS == 0 {
            tls::choose_again(&shared);
        }
    }
}

fn is_stale(store: &Store, settings: &Settings) -> bool {
    let (enabled, _) = store.enabled();
    let known: Vec<_> = settings.certificates.iter().filter(|own| own.is_managed()).collect();
    enabled.len() != known.len()
        || enabled.iter().any(|new| {
            !known.iter().any(|old| old.chain == new.chain && old.preferred_since == new.preferred_since)
        })
}

/// Which connectors and partners use another certificate under the new settings.
pub fn differences(old: &Settings, new: &Settings) -> Vec<Difference> {
    let now = Timestamp::now();
    let before = certificate_uses(old, now);
    let used = |choice: &Result<crate::policy::own_certificate::Choice<'_>, _>| {
        let chosen = choice.as_ref().ok().map(|choice| choice.certificate);
        chosen.map_or_else(String::new, |own| format!("{} {}", own.thumbprint, own.source))
    };
    let changed = certificate_uses(new, now).into_iter().filter_map(|after| {
        let before = before.iter().find(|before| before.user == after.user)?;
        let (old, new) = (used(&before.choice), used(&after.choice));
        (old != new).then(|| Difference { user: format!("certificate of {}", after.user), old, new })
    });
    changed.collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |text: &str| if text.is_empty() { "(none)".to_owned() } else { text.to_owned() };
        write!(f, "{}: {} -> {}", self.user, value(&self.old), value(&self.new))
    }
}
