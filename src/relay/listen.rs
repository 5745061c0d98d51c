//! Accepting: one task a binding, one task a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::net::listener;
use crate::observe::Event;
use crate::policy::receive_connector;
use crate::session::receive::Opening;
use crate::smtp::SessionId;

use super::listeners::Binding;
use super::receive;
use super::shared::Shared;

/// Pause after `accept` failed (descriptors used up), so that a shortage is not a busy loop.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Accepts on one binding until `stop`. `binding` is the address as configured.
pub async fn run(shared: Arc<Shared>, listener: TcpListener, binding: Binding, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener::accept(&listener) => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, remote)) => welcome(&shared, stream, remote, &binding),
            Err(error) => {
                let error = error.to_string();
                shared.observer.event(Event::AcceptFailed { binding: binding.address, error });
                tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
            }
        }
    }
}

/// Finds the connector of a connection and starts its session.
fn welcome(shared: &Arc<Shared>, stream: TcpStream, remote: SocketAddr, binding: &Binding) {
    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
    let settings = shared.settings.load_full();
    let connectors = &settings.receive_connectors;
    let own = binding.connector.as_ref();
    let selected = match own.map(|own| connectors.iter().position(|connector| connector.name == *own)) {
        Some(Some(only)) => receive_connector::select(&connectors[only..=only], binding.address, remote.ip()),
        Some(None) => None,
        None => receive_connector::select(connectors, binding.address, remote.ip()),
    };
    let Some(connector) = selected else {
        shared.observer.event(Event::ConnectionNotAdmitted { remote, binding: binding.address });
        return;
    };
    let Ok(local) = stream.local_addr() else { return };
    let refusal_or_place = if shared.protocol_log.must_stop_mail() {
        Err("this server cannot write its protocol log and takes no mail; try again later")
    } else {
        shared.connections.enter(connector, remote.ip())
    };
    let tls = shared.server_tls.load().get(&connector.name).cloned();
    let opening = Opening {
        id: SessionId(rand::random()),
        connector: Arc::clone(connector),
        local,
        remote,
        tls_available: connector.offer_starttls && tls.is_some(),
        certificate: tls.as_ref().map(|tls| Arc::clone(&tls.certificate)),
    };
    let shared_of_task = Arc::clone(shared);
    shared.tasks.spawn(async move {
        match refusal_or_place {
            Ok(_place) => receive::serve(shared_of_task, stream, opening, tls, None).await,
            Err(refusal) => receive::serve(shared_of_task, stream, opening, None, Some(refusal)).await,
        }
    });
}
