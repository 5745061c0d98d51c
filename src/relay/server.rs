//! Starting and stopping a whole server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use sealpost_queue::Queue;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, Document, Problem};
use crate::net::resolver;
use crate::net::service_manager::ServiceManager;
use crate::net::stamp_signature::{SigningError, StampSigner};
use crate::net::tls::{ClientTlsPool, TlsSetupError};
use crate::observe::event_log::EventLog;
use crate::observe::tracking::{MessageTracking, TrackingError};
use crate::observe::{AuditLog, Event, Observer, ProtocolLog, ProtocolLogError};
use crate::policy::Settings;
use crate::trust::Direction;

use super::auth_failures::AuthFailures;
use super::connections::Connections;
use super::handshakes::Handshakes;
use super::holds::{HoldError, Holds};
use super::inspection::{Inspector, InspectorError};
use super::listeners::Listeners;
use super::milters::Gates;
use super::mta_sts::StsPolicies;
use super::partners::{radar, writer};
use super::passwords::Passwords;
use super::shared::Shared;
use super::tls_report::{self, keeper};
use super::verification::Verifier;
use super::{
    back_pressure, certificates, control, dispatch, health, mta_sts, reload, revocation, timers, tls,
};

/// Sessions and deliveries in hand get this long after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Then queue and protocol log get this long to write what they have; a dead disk must not keep us.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Below `data_directory`: the MTA-STS policies of other domains.
const STS_DIRECTORY: &str = "mta-sts";

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the configuration has {} problems", .0.len())]
    Settings(Vec<Problem>),
    #[error("cannot make the data directory {path}: {source}; give its parent to the server's user, or name another data_directory", path = .0.display(), source = .1)]
    DataDirectory(PathBuf, std::io::Error),
    #[error("{0}")]
    Queue(#[from] sealpost_queue::Error),
    #[error("receive connector {connector} cannot listen on {address}: {source}; {remedy}", remedy = how_to_bind(source))]
    Bind { connector: String, address: SocketAddr, source: std::io::Error },
    #[error("{0}")]
    Tls(#[from] TlsSetupError),
    #[error("{0}")]
    ProtocolLog(#[from] ProtocolLogError),
    #[error("{0}")]
    Holds(#[from] HoldError),
    #[error("{0}")]
    Tracking(#[from] TrackingError),
    #[error("{0}")]
    Inspector(#[from] InspectorError),
    #[error("{0}; make another key with `sealpost stamp key`")]
    StampSigner(#[from] SigningError),
    #[error("the resolver cannot be set up: {0}")]
    Resolver(String),
}

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    ready: String,
}

impl Server {
    /// Reads the settings, opens the queue, binds every listener that `manager` has not handed over, and
    /// starts all tasks.
    pub async fn start(
        config_file: &Path,
        event_log: EventLog,
        manager: ServiceManager,
    ) -> Result<Self, StartError> {
        let loaded = config::load(config_file).map_err(StartError::Settings)?;
        event_log.configure(&loaded.settings.event_log, loaded.settings.hostname.as_str());
        let shared = open(config_file, Arc::new(loaded.settings), loaded.document, event_log, manager)?;
        shared.tell_warnings(&loaded.warnings);
        let settings = shared.settings.load_full();
        let listeners = shared.listeners.bind(&settings, &shared.manager)?;
        shared.listeners.follow(&shared, &settings, listeners);
        let ready = shared.listeners.describe(&settings);
        spawn_tasks(&shared);
        radar::show(&shared);
        tls::remind_of_expired(&shared);
        shared.observer.event(Event::Started {
            version: env!("CARGO_PKG_VERSION"),
            fips: crate::net::tls::is_fips(),
            listening: ready.clone(),
        });
        Ok(Self { shared, ready: ready.join(" ") })
    }

    /// `NAME=ADDR:PORT …` of every binding, in the order of the file.
    pub fn listening(&self) -> &str {
        &self.ready
    }

    pub fn settings(&self) -> Arc<Settings> {
        self.shared.settings.load_full()
    }

    pub fn observer(&self) -> Arc<Observer> {
        Arc::clone(&self.shared.observer)
    }

    /// Every door is open: says so to the service manager, and tells of sockets that it handed over for
    /// nothing.
    pub fn ready(&self) {
        self.shared.manager.ready(&health::status(&self.shared));
        for address in self.shared.manager.unused() {
            self.shared.tell_unused_socket(address);
        }
    }

    /// The socket that the service manager handed over for `address`.
    pub fn passed_socket(&self, address: SocketAddr) -> Option<std::io::Result<std::net::TcpListener>> {
        self.shared.manager.take(address)
    }

    /// Cancelled when the server drains.
    pub fn draining(&self) -> CancellationToken {
        self.shared.draining.clone()
    }

    /// Runs a task that the end of the server waits for; it must end when `draining`.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.shared.tasks.spawn(task);
    }

    /// What answers the requests of operators.
    pub fn operator(&self) -> control::Operator {
        control::Operator::new(Arc::clone(&self.shared))
    }

    /// Reads the settings again; a refusal leaves the old ones in force.
    pub async fn reload(&self, who: &str) -> Result<(), Vec<Problem>> {
        reload::reload(&self.shared, who).await.map(|_| ())
    }

    /// Finishes what is in hand, within half a minute, and closes the queue.
    pub async fn stop(self, reason: &str) {
        self.shared.manager.stopping();
        self.shared.observer.event(Event::Stopping { reason: reason.to_owned() });
        self.shared.draining.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, self.shared.tasks.wait()).await.is_err() {
            let after_seconds = DRAIN_TIMEOUT.as_secs();
            self.shared.observer.event(Event::SessionsCutOff { after_seconds });
        }
        let Shared { queue, protocol_log, observer, .. } = &*self.shared;
        let tracking = async {
            if let Some(tracking) = observer.tracking() {
                tracking.flush().await;
            }
        };
        let records = Arc::clone(&self.shared);
        let records = tokio::task::spawn_blocking(move || {
            writer::finish(&records);
            keeper::finish(&records);
        });
        let written = async { tokio::join!(queue.clone().close(), protocol_log.flush(), tracking, records) };
        if tokio::time::timeout(CLOSE_TIMEOUT, written).await.is_err() {
            observer.event(Event::StopIncomplete { waited_seconds: CLOSE_TIMEOUT.as_secs() });
        }
    }
}

/// What to do where an address cannot be had.
fn how_to_bind(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "a port below 1024 needs CAP_NET_BIND_SERVICE: start it as the unit sealpost.service does \
             (AmbientCapabilities), let sealpost.socket bind the port, or name a higher port in bindings"
        }
        std::io::ErrorKind::AddrInUse => {
            "another program has it (`ss -ltnp` shows which): stop that, or name another address in bindings"
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "this host has no such address: name one that it has in bindings, or 0.0.0.0 and [::] for all"
        }
        _ => "free that address, or name another in bindings",
    }
}

/// Opens everything that needs the disk, short of listening.
fn open(
    config_file: &Path,
    settings: Arc<Settings>,
    document: Document,
    event_log: EventLog,
    manager: ServiceManager,
) -> Result<Arc<Shared>, StartError> {
    let data = settings.data_directory.clone();
    make_private_directory(&data).map_err(|e| StartError::DataDirectory(data.clone(), e))?;
    let (queue, recovery) = Queue::open(&data.join("queue"), sealpost_queue::Options::default())?;
    let observer = Observer::new(&settings);
    writer::restore(&observer, &settings);
    keeper::restore(&observer, &settings);
    observer.event(Event::QueueRecovered {
        messages: recovery.messages as u64,
        orphans: recovery.orphans_removed as u64,
    });
    observer.track(MessageTracking::open(&settings.message_tracking, &observer)?);
    let protocol_log = ProtocolLog::open(&settings.protocol_log, Arc::clone(&observer))?;
    let audit = Arc::new(AuditLog::new(&data));
    let holds = Holds::open(&data)?;
    let connections = known_partners(&observer);
    let resolver = resolver::Resolver::new(&settings.dns).map_err(|e| StartError::Resolver(e.to_string()))?;
    let inspector = Inspector::open(&data, &settings.dns)?;
    let lists = revocation::open(&settings, &observer);
    let server_tls = tls::listeners(&settings, &HashMap::new())?;
    let stamp_signer = settings.stamp_signing.as_ref().map(StampSigner::new).transpose()?;
    Ok(Arc::new(Shared {
        started: Shared::now().wall,
        config_file: config_file.to_owned(),
        settings: ArcSwap::new(settings),
        document: ArcSwap::from_pointee(document),
        revocation: lists,
        sts: StsPolicies::open(data.join(STS_DIRECTORY), Shared::now().wall),
        queue,
        holds,
        observer,
        event_log,
        protocol_log,
        audit,
        server_tls: ArcSwap::from_pointee(server_tls),
        client_tls: ClientTlsPool::new(),
        resolver: ArcSwap::from_pointee(resolver),
        inspector,
        stamp_signer: ArcSwapOption::from_pointee(stamp_signer),
        milters: Gates::default(),
        verifier: Verifier::default(),
        auth_failures: AuthFailures::default(),
        passwords: Passwords::default(),
        connections,
        handshakes: Handshakes::default(),
        delivery_queues: Arc::default(),
        back_pressure: back_pressure::BackPressure::default(),
        hosts: Mutex::default(),
        manager,
        listeners: Listeners::default(),
        bound: ArcSwap::default(),
        searching: Arc::new(tokio::sync::Semaphore::new(1)),
        reloading: tokio::sync::Mutex::new(()),
        wake_dispatch: tokio::sync::Notify::new(),
        draining: CancellationToken::new(),
        tasks: TaskTracker::new(),
    }))
}

/// The addresses from which partners last proved themselves to an earlier run keep their places: a
/// flood does not wait for us to have been up for a while.
fn known_partners(observer: &Observer) -> Arc<Connections> {
    let connections = Arc::new(Connections::default());
    for seen in observer.partners().snapshot(|_, _| true).domains {
        let peer = seen.last_good.filter(|_| seen.direction == Direction::Inbound);
        if let Some(address) = peer.and_then(|peer| peer.peer.parse::<SocketAddr>().ok()) {
            connections.proved(address.ip(), Instant::now());
        }
    }
    connections
}

fn spawn_tasks(shared: &Arc<Shared>) {
    shared.tasks.spawn(dispatch::run(Arc::clone(shared)));
    shared.tasks.spawn(health::run(Arc::clone(shared)));
    shared.tasks.spawn(timers::run(Arc::clone(shared)));
    shared.tasks.spawn(control::end_holds(Arc::clone(shared)));
    shared.tasks.spawn(back_pressure::run(Arc::clone(shared)));
    shared.tasks.spawn(revocation::watch(Arc::clone(shared)));
    shared.tasks.spawn(revocation::refresh(Arc::clone(shared)));
    shared.tasks.spawn(mta_sts::refresh(Arc::clone(shared)));
    shared.tasks.spawn(reload::watch_files(Arc::clone(shared)));
    shared.tasks.spawn(certificates::watch(Arc::clone(shared)));
    shared.tasks.spawn(writer::run(Arc::clone(shared)));
    shared.tasks.spawn(radar::run(Arc::clone(shared)));
    shared.tasks.spawn(keeper::run(Arc::clone(shared)));
    shared.tasks.spawn(tls_report::run(Arc::clone(shared)));
}

/// Only the owner may look into the queue, the logs and the control socket.
fn make_private_directory(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
