//! What every task of a running server shares.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use sealpost_queue::Queue;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Change, Document, Problem};
use crate::mail::Now;
use crate::net::resolver::Resolver;
use crate::net::service_manager::ServiceManager;
use crate::net::stamp_signature::StampSigner;
use crate::net::tls::{ClientTlsPool, KeyExchange, ServerTls};
use crate::observe::event_log::EventLog;
use crate::observe::{AuditEntry, AuditLog, Event, Observer, ProtocolLog};
use crate::policy::host_memory::HostMemory;
use crate::policy::{OwnCertificate, Settings};

use super::auth_failures::AuthFailures;
use super::back_pressure::BackPressure;
use super::connections::Connections;
use super::delivery_queues::DeliveryQueues;
use super::handshakes::Handshakes;
use super::holds::Holds;
use super::inspection::Inspector;
use super::listeners::Listeners;
use super::milters::Gates;
use super::mta_sts::StsPolicies;
use super::passwords::Passwords;
use super::revocation::RevocationLists;
use super::targets::Target;
use super::verification::Verifier;

/// Cheap to clone by `Arc`; replaced parts are swapped whole.
pub struct Shared {
    pub started: Timestamp,
    pub config_file: PathBuf,
    pub settings: ArcSwap<Settings>,
    /// What the settings were made from.
    pub document: ArcSwap<Document>,
    pub revocation: RevocationLists,
    pub sts: StsPolicies,
    pub queue: Queue,
    pub holds: Holds,
    pub observer: Arc<Observer>,
    pub event_log: EventLog,
    pub protocol_log: ProtocolLog,
    pub audit: Arc<AuditLog>,
    pub server_tls: ArcSwap<HashMap<String, ListenerTls>>,
    pub client_tls: ClientTlsPool,
    pub resolver: ArcSwap<Resolver>,
    pub inspector: Inspector,
    /// What stamps that leave are signed with, if they are.
    pub stamp_signer: ArcSwapOption<StampSigner>,
    pub milters: Gates,
    pub verifier: Verifier,
    pub connections: Arc<Connections>,
    pub auth_failures: AuthFailures,
    pub passwords: Passwords,
    pub handshakes: Handshakes,
    pub delivery_queues: Arc<DeliveryQueues>,
    pub back_pressure: BackPressure,
    /// Which hosts could not be reached a moment ago.
    pub hosts: Mutex<HostMemory>,
    pub manager: ServiceManager,
    pub listeners: Listeners,
    /// Every address a listener is bound to, with the port the system gave for port 0.
    pub bound: ArcSwap<Vec<SocketAddr>>,
    /// One search in logs at a time.
    pub searching: Arc<tokio::sync::Semaphore>,
    /// Held while settings are being replaced.
    pub reloading: tokio::sync::Mutex<()>,
    /// Rung when the settings changed: other connectors may serve what waits.
    pub wake_dispatch: Notify,
    /// Cancelled when the server drains.
    pub draining: CancellationToken,
    pub tasks: TaskTracker,
}

/// The TLS side of one receive connector.
#[derive(Clone)]
pub struct ListenerTls {
    pub tls: Arc<ServerTls>,
    pub certificate: Arc<OwnCertificate>,
    pub key_exchange: KeyExchange,
}

impl Shared {
    /// `targets` with hosts that could not be reached a moment ago behind the others.
    pub fn in_order_of_hope(&self, targets: Vec<Target>) -> Vec<Target> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.order(targets, |target| target.address, Instant::now())
    }

    /// Whether all of `targets` have just been found dead by somebody.
    pub fn all_failed_lately(&self, targets: &[Target]) -> bool {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.all_failed_lately(targets.iter().map(|target| target.address), Instant::now())
    }

    /// Whatever was found dead may be alive: an operator wants it tried, or the settings changed.
    pub fn probe_next_hops(&self) {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).forget();
        self.delivery_queues.probe_now();
    }

    /// What became of connecting to `address`.
    pub fn note_host(&self, address: SocketAddr, connected: bool) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if connected { hosts.connected(address) } else { hosts.failed(address, Instant::now()) }
    }

    pub fn now() -> Now {
        Now { wall: Timestamp::now(), mono: Instant::now() }
    }

    pub fn now_millis() -> i64 {
        Timestamp::now().as_millisecond()
    }

    /// An event for each warning of the settings check.
    pub fn tell_warnings(&self, warnings: &[Problem]) {
        for warning in warnings {
            self.observer.event(Event::SettingsWarning { warning: warning.to_string() });
        }
    }

    /// A socket that the service manager handed over and that no binding names, or names no more.
    pub fn tell_unused_socket(&self, address: SocketAddr) {
        let warning = format!(
            "the service manager handed over a socket for {address}, which no binding names; connections wait there \
             for nothing, so name it in bindings, or take it out of the socket unit and restart that"
        );
        self.observer.event(Event::SettingsWarning { warning });
    }

    /// One line of `audit.log`; an action that cannot be recorded is an error event, not a refusal.
    pub async fn append_audit(&self, user: &str, what: &str, old: &str, new: &str) {
        let (old, new) = (old.to_owned(), new.to_owned());
        self.append(user.to_owned(), what.to_owned(), old, new, false).await;
    }

    /// One line of `audit.log` for a key that a reload changed.
    pub async fn audit_change(&self, user: &str, change: &Change) {
        let what = format!("settings reload: {}", change.key);
        let (old, new) = (change.old.clone().unwrap_or_default(), change.new.clone().unwrap_or_default());
        self.append(user.to_owned(), what, old, new, change.secure_list).await;
    }

    /// The disk is waited for on a thread that may wait: those of the runtime carry mail.
    async fn append(&self, user: String, what: String, old: String, new: String, secure_list: bool) {
        let audit = Arc::clone(&self.audit);
        let written = tokio::task::spawn_blocking(move || {
            let at = Timestamp::now();
            let entry = AuditEntry { at, user: &user, what: &what, old: &old, new: &new, secure_list };
            let failed = audit.append(&entry).err()?.to_string();
            Some(Event::AuditFailed { error: failed, what, user })
        });
        // There is no answer only where the runtime ends.
        if let Ok(Some(failed)) = written.await {
            self.observer.event(failed);
        }
    }
}
