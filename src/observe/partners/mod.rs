//! What was seen of the partners: for each secure domain and direction the last good and the last
//! failed session with the certificates it showed, and counts by day, fault and mode for 30 days.
//! Fed by `Observer::event`, kept in `data_directory/partners.json` (`file`), shown by
//! `sealpost partner`.
//!
//! A session pays for a lock and a few counts; certificates are read when a snapshot is taken.

mod file;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::mail::Domain;
use crate::smtp::SessionId;
use crate::trust::{Direction, TlsEvidence, Verdict};

pub use file::{RecordError, path, read, write};
pub use record::{Day, DomainRecord, Outcome, PartnerRecord, SeenCertificate, Sighting};

/// Days for which counts are kept, today included.
pub const DAYS_KEPT: i64 = 30;
/// Domains and directions remembered; only listed ones come in.
const ENTRIES_MAX: usize = 20_000;

/// The record while the server runs. Shared by all sessions.
#[derive(Default)]
pub struct PartnerWatch {
    entries: Mutex<BTreeMap<Key, Entry>>,
    changed: AtomicBool,
}

type Key = (Domain, Direction);

/// Who was on the other side.
#[derive(Clone, Debug)]
pub enum Peer {
    Address(SocketAddr),
    Host(String),
}

#[derive(Clone, Default)]
struct Entry {
    last_good: Option<Last>,
    last_failed: Option<Last>,
    days: Vec<Day>,
}

#[derive(Clone)]
enum Last {
    /// As it happened; read when somebody wants to know.
    Fresh(Box<Seen>),
    Read(Box<Sighting>),
}

#[derive(Clone)]
struct Seen {
    at: Timestamp,
    session: SessionId,
    connector: String,
    peer: Peer,
    verdict: Arc<Verdict>,
    evidence: Option<Arc<TlsEvidence>>,
}

impl PartnerWatch {
    /// Notes one verdict on a listed domain.
    pub fn judged(
        &self,
        verdict: &Arc<Verdict>,
        connector: &str,
        session: SessionId,
        peer: Peer,
        evidence: &Option<Arc<TlsEvidence>>,
    ) {
        let seen = Box::new(Seen {
            at: Timestamp::now(),
            session,
            connector: connector.to_owned(),
            peer,
            verdict: Arc::clone(verdict),
            evidence: evidence.clone(),
        });
        let key = (verdict.domain.clone(), verdict.direction);
        let mut entries = self.lock();
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&key) {
            return;
        }
        let entry = entries.entry(key).or_default();
        record::count(&mut entry.days, seen.at, verdict);
        match verdict.is_good() {
            true => entry.last_good = Some(Last::Fresh(seen)),
            false => entry.last_failed = Some(Last::Fresh(seen)),
        }
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Whether anything was noted since the last call.
    pub fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// Has the next `take_changed` say yes: a snapshot could not be kept.
    pub fn mark_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Begins with what an earlier run has written.
    pub fn restore(&self, record: PartnerRecord) {
        let mut entries = self.lock();
        for seen in record.domains.into_iter().take(ENTRIES_MAX) {
            let last = |sighting: Option<Sighting>| sighting.map(|s| Last::Read(Box::new(s)));
            let entry = Entry {
                last_good: last(seen.last_good),
                last_failed: last(seen.last_failed),
                days: seen.days,
            };
            entries.insert((seen.domain, seen.direction), entry);
        }
    }

    /// All of it, by domain. What is `listed` no more and was not seen for 30 days is forgotten.
    pub fn snapshot(&self, listed: impl Fn(&Domain, Direction) -> bool) -> PartnerRecord {
        let oldest = record::oldest_day(Timestamp::now());
        let copies: Vec<(Key, Entry)> = {
            let mut entries = self.lock();
            entries.retain(|(domain, direction), entry| {
                entry.days.retain(|day| day.date >= oldest);
                !entry.days.is_empty() || listed(domain, *direction)
            });
            entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect()
        };
        let domains = copies.into_iter().map(|(key, entry)| {
            let last_good = self.read(&key, entry.last_good, |entry| &mut entry.last_good);
            let last_failed = self.read(&key, entry.last_failed, |entry| &mut entry.last_failed);
            DomainRecord { domain: key.0, direction: key.1, last_good, last_failed, days: entry.days }
        });
        PartnerRecord { version: record::VERSION, domains: domains.collect() }
    }

    /// Reads the certificates of a fresh sighting, outside of the lock, and keeps what was read
    /// unless something fresher has come meanwhile.
    fn read(
        &self,
        key: &Key,
        last: Option<Last>,
        place: impl Fn(&mut Entry) -> &mut Option<Last>,
    ) -> Option<Sighting> {
        let seen = match last? {
            Last::Read(sighting) => return Some(*sighting),
            Last::Fresh(seen) => seen,
        };
        let sighting = seen.read();
        if let Some(place) = self.lock().get_mut(key).map(&place)
            && matches!(place, Some(Last::Fresh(now)) if now.session == seen.session && now.at == seen.at)
        {
            *place = Some(Last::Read(Box::new(sighting.clone())));
        }
        Some(sighting)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn read(&self) -> Sighting {
        let peer = match &self.peer {
            Peer::Address(address) => address.to_string(),
            Peer::Host(host) => host.clone(),
        };
        let session = self.session.to_string();
        Sighting::of(self.at, session, &self.connector, &peer, &self.verdict, self.evidence.as_deref())
    }
}
