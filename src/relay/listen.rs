//! Accepting: one task a binding, one task a connection. A balancer's connection is first asked whose it
//! is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::net::balancer;
use crate::net::listener;
use crate::net::proxy_protocol::Origin;
use crate::observe::{AccessEvent, Event};
use crate::policy::{Reached, ReceiveConnector, Settings, receive_connector};
use crate::session::receive::{Opening, Report, TurnedAway};
use crate::smtp::SessionId;

use super::listeners::Binding;
use super::shared::Shared;
use super::{receive, receive_events};

/// Pause after `accept` failed (descriptors used up), so that a shortage is not a busy loop.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Connections of balancers on one binding whose header is awaited at one time.
const HEADERS_AWAITED_MAX: usize = 1024;

/// A connection, and both its ends as they are to be known.
struct Arrival {
    stream: TcpStream,
    remote: SocketAddr,
    local: SocketAddr,
    /// Who says so, if not the connection itself.
    balancer: Option<SocketAddr>,
}

/// Accepts on one binding until `stop`. `binding` is the address as configured.
pub async fn run(shared: Arc<Shared>, listener: TcpListener, binding: Binding, stop: CancellationToken) {
    let headers = Arc::new(Semaphore::new(HEADERS_AWAITED_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener::accept(&listener) => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
                let Ok(local) = stream.local_addr() else { continue };
                let arrival = Arrival { stream, remote, local, balancer: None };
                if comes_from_balancer(&shared.settings.load(), &binding, remote.ip()) {
                    ask_balancer(&shared, arrival, &binding, &headers);
                } else {
                    welcome(&shared, arrival, &binding);
                }
            }
            Err(error) => {
                let error = error.to_string();
                shared.observer.event(Event::AcceptFailed { binding: binding.address, error });
                tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
            }
        }
    }
}

/// The connectors of a binding: for port 0 the one that has it.
fn connectors_of<'a>(settings: &'a Settings, binding: &Binding) -> &'a [Arc<ReceiveConnector>] {
    let connectors = &settings.receive_connectors;
    match &binding.connector {
        None => connectors,
        Some(own) => {
            let place = connectors.iter().position(|connector| connector.name == *own);
            place.map_or(&[], |only| &connectors[only..=only])
        }
    }
}

fn comes_from_balancer(settings: &Settings, binding: &Binding, remote: IpAddr) -> bool {
    receive_connector::is_balancer(connectors_of(settings, binding), binding.address, remote)
}

/// Reads the header beside the accept loop, and welcomes whom it names.
fn ask_balancer(shared: &Arc<Shared>, arrival: Arrival, binding: &Binding, headers: &Arc<Semaphore>) {
    let place = Arc::clone(headers).try_acquire_owned();
    let (shared_of_task, binding) = (Arc::clone(shared), binding.clone());
    shared.tasks.spawn(async move {
        let refused = |error: String| {
            let (balancer, binding) = (arrival.remote, binding.address);
            let event = AccessEvent::ProxyHeaderRefused { balancer, binding, error };
            shared_of_task.observer.event(Event::Access(event));
        };
        let Ok(_place) = place else {
            return refused("too many connections of balancers await their PROXY header".to_owned());
        };
        let mut stream = arrival.stream;
        let balancer = Some(arrival.remote);
        let (remote, local) = match balancer::read_header(&mut stream).await {
            Ok(Origin::Client { source, destination }) => (source, destination),
            Ok(Origin::Balancer) => (arrival.remote, arrival.local),
            Err(error) => return refused(error.to_string()),
        };
        welcome(&shared_of_task, Arrival { stream, remote, local, balancer }, &binding);
    });
}

/// Finds the connector of a connection and starts its session.
fn welcome(shared: &Arc<Shared>, arrival: Arrival, binding: &Binding) {
    let Arrival { stream, remote, local, balancer } = arrival;
    let settings = shared.settings.load_full();
    let connectors = connectors_of(&settings, binding);
    let behind = balancer.map(|balancer| balancer.ip());
    let selected = receive_connector::select(connectors, binding.address, behind, remote.ip());
    let Some(connector) = selected else {
        let event = AccessEvent::ConnectionNotAdmitted { remote, binding: binding.address };
        shared.observer.event(Event::Access(event));
        return;
    };
    let now = Instant::now();
    let place = if shared.protocol_log.must_stop_mail() {
        let text = "this server cannot write its protocol log and takes no mail; try again later";
        Err(TurnedAway { text: text.to_owned(), reached: None })
    } else {
        let entered = shared.connections.enter(&settings, connector, remote.ip(), now);
        entered.map_err(|reached| TurnedAway { text: reached.to_string(), reached: Some(reached) })
    };
    let tls = shared.server_tls.load().get(&connector.name).cloned();
    let opening = Opening {
        id: SessionId(rand::random()),
        connector: Arc::clone(connector),
        local,
        remote,
        balancer,
        entropy: rand::random(),
        tls_available: connector.offer_starttls && tls.is_some(),
        certificate: tls.as_ref().map(|tls| Arc::clone(&tls.certificate)),
    };
    if let Err(TurnedAway { text, reached: Some(reached) }) = &place
        && !shared.connections.may_log_refusal(now)
    {
        return turn_away_in_silence(shared, &stream, &opening, text, *reached);
    }
    shared.tasks.spawn(receive::serve(Arc::clone(shared), stream, opening, tls, place));
}

/// Of a flood, most connections get no session and no line in the protocol log: only the reply, if
/// it can be sent at once, and their place in the counters.
fn turn_away_in_silence(
    shared: &Shared,
    stream: &TcpStream,
    opening: &Opening,
    text: &str,
    reached: Reached,
) {
    let reply = format!("421 4.7.0 {text}\r\n");
    if !opening.connector.implicit_tls {
        // Whoever does not take it has lost nothing but the reason.
        let _ = stream.try_write(reply.as_bytes());
    }
    let event = receive_events::event(opening, Report::LimitReached(reached), &mut None, None);
    if let Some(event) = event {
        shared.observer.event(event);
    }
}
