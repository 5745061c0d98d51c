//! Opening one connection to one target: what is demanded, which certificate is presented, the
//! connect, the session until it is ready.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::mail::Domain;
use crate::net::connect;
use crate::net::tls::KeyExchange;
use crate::policy::{OwnCertificate, SendConnector, Settings, own_certificate};
use crate::session::send::{Failure, Opening};
use crate::smtp::SessionId;

use super::record::AttemptNote;
use super::send::SendConnection;
use super::shared::Shared;
use super::targets::Target;

/// One address gets this long to answer before the next is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

pub enum Opened {
    Ready(Box<SendConnection>),
    Failed(Box<AttemptNote>),
}

/// Connects to the first of `ways` that answers, all addresses of one host, and takes the session
/// to the point where mail may pass. Where nothing requires TLS and the handshake failed, the host
/// is tried once more in clear (RFC 3207 leaves that to us; opportunistic TLS means it). Also says
/// which addresses need not be tried again. `message` is the queue id that it is for.
pub async fn open(
    shared: &Arc<Shared>,
    settings: &Arc<Settings>,
    connector: &Arc<SendConnector>,
    ways: &[Target],
    message: Option<&str>,
) -> (Opened, Vec<SocketAddr>) {
    let addresses: Vec<SocketAddr> = ways.iter().map(|way| way.address).collect();
    let race = connect::race(&addresses, &connector.source_addresses, CONNECT_TIMEOUT).await;
    let mut tried: Vec<SocketAddr> = race.failed.iter().map(|(address, _)| *address).collect();
    tried.iter().for_each(|address| shared.note_host(*address, false));
    let way = |address| ways.iter().find(|way| way.address == address);
    let Some((stream, target)) = race.connected.and_then(|(stream, at)| Some((stream, way(at)?))) else {
        return (Opened::Failed(Box::new(none_answered(ways, &race.failed))), tried);
    };
    shared.note_host(target.address, true);
    tried.push(target.address);
    let mut session = SessionId(rand::random());
    let opened = match once(shared, settings, connector, target, stream, (session, false, message)).await {
        Err((Failure::Broken { retry_in_clear: true, .. }, _)) => {
            let again = connect::connect(target.address, &connector.source_addresses, CONNECT_TIMEOUT).await;
            match again {
                Ok(stream) => {
                    session = SessionId(rand::random());
                    once(shared, settings, connector, target, stream, (session, true, message)).await
                }
                Err(error) => Err((Failure::broken(format!("cannot connect: {error}")), Vec::new())),
            }
        }
        other => other,
    };
    (finish(opened, target, session), tried)
}

/// No address of the host took a connection.
fn none_answered(ways: &[Target], failed: &[(SocketAddr, std::io::Error)]) -> AttemptNote {
    let host = ways.first().map(|way| way.host.as_str()).unwrap_or_default();
    let notes = failed.iter().map(|(address, error)| {
        AttemptNote::broken(&format!("{host} ({address})"), &format!("cannot connect: {error}"))
    });
    notes.reduce(|earlier, later| later.after(Some(earlier))).unwrap_or_default()
}

fn finish(
    opened: Result<SendConnection, (Failure, Vec<String>)>,
    target: &Target,
    session: SessionId,
) -> Opened {
    match opened {
        Ok(connection) => Opened::Ready(Box::new(connection)),
        Err((failure, tail)) => {
            let host = format!("{} ({})", target.host, target.address);
            let note = match failure {
                Failure::NotAdmitted(verdict) if target.demand.requiretls => {
                    AttemptNote::from_requiretls(&verdict, &host)
                }
                Failure::NotAdmitted(verdict) => AttemptNote::from_verdict(&verdict, &host),
                Failure::Refused { reply, command, verdict } => {
                    // A refusal before MAIL is about the connection, not the recipient: never a
                    // bounce by itself (RFC 5321 3.8, 4.2.1).
                    let note = AttemptNote::from_reply(&reply, command, &host).of_verdict(verdict.as_deref());
                    AttemptNote { permanent: false, ..note }
                }
                Failure::Broken { error, .. } => AttemptNote::broken(&host, &error),
            };
            Opened::Failed(Box::new(note.with_transcript(&tail).in_session(session)))
        }
    }
}

async fn once(
    shared: &Arc<Shared>,
    settings: &Arc<Settings>,
    connector: &Arc<SendConnector>,
    target: &Target,
    stream: TcpStream,
    (id, clear_text, message): (SessionId, bool, Option<&str>),
) -> Result<SendConnection, (Failure, Vec<String>)> {
    let demand = &target.demand;
    let broken = |error: String| (Failure::Broken { error, retry_in_clear: false }, Vec::new());
    let (certificate, own_certificate_fault) = own(settings, connector, demand.tls_domain.as_ref());
    let tls = shared
        .client_tls
        .get(
            &connector.name,
            certificate.as_deref(),
            demand.tls_domain.as_ref(),
            KeyExchange::of(connector.post_quantum_key_exchange),
        )
        .map_err(|error| broken(error.to_string()))?;
    let local = stream.local_addr().map_err(|error| broken(error.to_string()))?;
    let opening = Opening {
        id,
        connector: Arc::clone(connector),
        local,
        remote: target.address,
        host: target.host.clone(),
        entropy: rand::random(),
        requirement: demand.requirement.clone(),
        fallback: demand.fallback.clone(),
        own_certificate_fault,
        certificate,
        clear_text,
        fetch_revocation: settings.crl_fetch.enabled,
        message: message.map(str::to_owned),
    };
    // The second try is the same session for those who are told of it.
    let reported = target.reported.clone().filter(|_| !clear_text);
    SendConnection::open(Arc::clone(shared), stream, opening, tls, reported).await
}

/// The certificate to present, or why there is none.
fn own(
    settings: &Settings,
    connector: &SendConnector,
    tls_domain: Option<&Domain>,
) -> (Option<Arc<OwnCertificate>>, Option<String>) {
    let partner = tls_domain.and_then(|domain| settings.partner_of(domain));
    let wanted = partner.and_then(|partner| partner.certificate.as_deref());
    let now = Shared::now().wall;
    match own_certificate::choose(&settings.certificates, wanted, &connector.fqdn, &settings.hostname, now) {
        Ok(certificate) => (Some(Arc::clone(certificate)), None),
        Err(none) => (None, Some(none.to_string())),
    }
}
