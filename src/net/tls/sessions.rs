//! The client's memory of TLS sessions. A resumed session carries no certificate request (RFC 8446
//! 4.3.2), so whether our certificate was asked for and sent is kept with each session; a session
//! whose answer is unknown is never resumed. Nor does it carry an OCSP response, so that is kept as
//! well, and a session whose response has run out is not resumed: a full handshake brings a new one.
//! Nor is one whose server was not admitted: it may have mended its certificate.
//!
//! rustls calls store and resolver without saying for which connection. One configuration serves
//! many connections, so the connection at hand is a task-local around each call into rustls that
//! can lead there: the handshake and every read.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use crate::session::send::OwnCertificate as Presented;
use crate::trust::{STAPLE_BYTES_MAX, staple_next_update};

/// Servers remembered, and TLS 1.3 tickets of each.
const SERVERS_MAX: usize = 256;
const TICKETS_MAX: usize = 4;

tokio::task_local! {
    /// The connection for which rustls is being called.
    pub(super) static CURRENT: Arc<Presentation>;
}

/// What a full handshake leaves behind that a resumed one does not repeat. Copies are of the same
/// handshake.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// What became of our certificate.
    pub own: Presented,
    /// The OCSP response that the server stapled to its certificate.
    pub staple: Option<Arc<[u8]>>,
    /// When the response runs out.
    staple_until: Option<Timestamp>,
    /// Set when the peer was not admitted: it may mend what it shows.
    refused: Arc<AtomicBool>,
}

impl Shown {
    fn new(own: Presented, staple: Option<Arc<[u8]>>) -> Self {
        let staple_until = staple.as_deref().and_then(staple_next_update);
        Self { own, staple, staple_until, refused: Arc::default() }
    }
}

/// What both sides showed on one connection, while it comes to be known.
#[derive(Debug, Default)]
pub(super) struct Presentation {
    /// What this handshake's certificate request led to; empty without one.
    request: OnceLock<Presented>,
    staple: OnceLock<Arc<[u8]>>,
    /// What is kept with the session that was last offered for resumption.
    offered: Mutex<Option<Shown>>,
    /// Set once the handshake is done; what the store goes by.
    answer: OnceLock<Shown>,
}

impl Presentation {
    /// Notes that the server asked for a certificate.
    pub(super) fn asked(&self, presented: Presented) {
        let _ = self.request.set(presented);
    }

    pub(super) fn was_asked(&self) -> bool {
        self.request.get().is_some()
    }

    /// Notes the OCSP response of a server. Of one that is too large as much is kept as shows it.
    pub(super) fn stapled(&self, response: &[u8]) {
        if !response.is_empty() {
            let kept = &response[..response.len().min(STAPLE_BYTES_MAX + 1)];
            let _ = self.staple.set(Arc::from(kept));
        }
    }

    /// Fixes the answer at the end of the handshake. A resumed session without a known answer,
    /// which the store never offers, counts as not asked for.
    pub(super) fn settle(&self, resumed: bool) -> Shown {
        let known = if resumed { lock(&self.offered).clone() } else { Some(self.fresh()) };
        let nothing = || Shown::new(Presented::NotRequested, None);
        self.answer.get_or_init(|| known.unwrap_or_else(nothing)).clone()
    }

    fn fresh(&self) -> Shown {
        let own = self.request.get().copied().unwrap_or(Presented::NotRequested);
        Shown::new(own, self.staple.get().cloned())
    }

    /// No session that goes back to the same full handshake is resumed from now on.
    pub(super) fn refuse(&self) {
        if let Some(shown) = self.answer.get() {
            shown.refused.store(true, Ordering::Relaxed);
        }
    }

    /// What a session made on this connection may be resumed with.
    fn resumable(&self) -> Option<&Shown> {
        let has_run_out = |until: Timestamp| until < Timestamp::now();
        let shown = self.answer.get().filter(|shown| !shown.refused.load(Ordering::Relaxed))?;
        (!shown.staple_until.is_some_and(has_run_out)).then_some(shown)
    }
}

/// Sessions by server name, each with the connection that made it.
#[derive(Debug, Default)]
pub(super) struct SessionMemory {
    servers: Mutex<Servers>,
}

#[derive(Debug, Default)]
struct Servers {
    by_name: HashMap<ServerName<'static>, Server>,
    /// Oldest first; as long as `by_name`.
    order: VecDeque<ServerName<'static>>,
}

#[derive(Debug, Default)]
struct Server {
    group: Option<NamedGroup>,
    tls12: Option<(Tls12ClientSessionValue, Arc<Presentation>)>,
    /// Oldest first.
    tls13: VecDeque<(Tls13ClientSessionValue, Arc<Presentation>)>,
}

impl Servers {
    fn entry(&mut self, name: ServerName<'static>) -> &mut Server {
        if !self.by_name.contains_key(&name) {
            if self.order.len() == SERVERS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_name.remove(&oldest);
            }
            self.order.push_back(name.clone());
        }
        self.by_name.entry(name).or_default()
    }
}

/// A panic elsewhere leaves a session memory that is still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn current() -> Option<Arc<Presentation>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Offers a session to the current connection if its answer is known.
fn offer<T>(session: T, maker: &Presentation) -> Option<T> {
    let shown = maker.resumable()?.clone();
    *lock(&current()?.offered) = Some(shown);
    Some(session)
}

impl ClientSessionStore for SessionMemory {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        lock(&self.servers).entry(name).group = Some(group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        lock(&self.servers).by_name.get(&name.to_owned())?.group
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if let Some(maker) = current() {
            lock(&self.servers).entry(name).tls12 = Some((value, maker));
        }
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let servers = lock(&self.servers);
        let (value, maker) = servers.by_name.get(&name.to_owned())?.tls12.as_ref()?;
        offer(value.clone(), maker)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        if let Some(server) = lock(&self.servers).by_name.get_mut(name) {
            server.tls12 = None;
        }
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        let Some(maker) = current() else { return };
        let mut servers = lock(&self.servers);
        let tickets = &mut servers.entry(name).tls13;
        if tickets.len() == TICKETS_MAX {
            tickets.pop_front();
        }
        tickets.push_back((value, maker));
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut servers = lock(&self.servers);
        let tickets = &mut servers.by_name.get_mut(name)?.tls13;
        let newest_known = tickets.iter().rposition(|(_, maker)| maker.resumable().is_some())?;
        let (value, maker) = tickets.remove(newest_known)?;
        offer(value, &maker)
    }
}
