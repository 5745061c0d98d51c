//! A flood of hostile connections from many addresses while a partner sends: how much of its rate the
//! partner keeps, and what is left behind. `cargo bench --bench flood`. Goal: 1,000 hostile
//! connections a second, at least half of the undisturbed rate, memory bounded, no descriptor left.

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::site::{EDGE, Site, executable};
use common::source::Load;
use common::{BODY_BYTES, is_trial, measure, rounds, seconds};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use sealpost::cli::demo::server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

const HOSTILE_PER_SECOND: usize = 1_000;
/// Started together, so many times a second.
const BATCHES_PER_SECOND: usize = 100;
/// Where the flood comes from: so many /24, and addresses in each, none of them the partner's.
const NETWORKS: usize = 400;
const HOSTS: usize = 10;
const PARTNER_CONNECTIONS: usize = 10;
/// What a hostile client holds open for so long.
const STALL: Duration = Duration::from_secs(3);

/// As an edge has them by default, but for the partner's own rates.
const LIMITS: &str = "max_inbound_connections = 5000\nmax_inbound_connections_per_source = 20\n\
    message_rate_limit = 100000000\nconnection_rate_limit = 1200\nprotocol_error_rate_limit = 600";
const NO_LIMITS: &str = "max_inbound_connections = 20000\nmax_inbound_connections_per_source = 20000\n\
    message_rate_limit = 100000000";

/// A client that has nothing to show.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Connections of the flood so far.
#[derive(Default)]
struct Hostile {
    started: AtomicUsize,
    refused: AtomicUsize,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    raise_descriptors();
    let (rounds, time) = if is_trial() { (1, Duration::from_millis(500)) } else { (rounds(), seconds()) };
    runtime.block_on(run(rounds, time));
}

async fn run(rounds: usize, time: Duration) {
    let site = Site::new(true).await;
    let settings = std::fs::read_to_string(site.config()).expect("settings");
    assert!(settings.contains(NO_LIMITS));
    let settings = settings.replace(NO_LIMITS, LIMITS).replacen(
        "protocol_logging_level = \"none\"",
        "protocol_logging_level = \"verbose\"",
        1,
    );
    std::fs::write(site.config(), settings).expect("a file");
    let server = Server::start(executable(), &site.config(), &site.path("server.log")).expect("a server");
    let to = server.ready.connector("Internet").expect("a listener");
    let load = Load {
        to,
        server_name: EDGE,
        tls: site.client.clone(),
        connections: PARTNER_CONNECTIONS,
        time_max: time,
        messages_max: usize::MAX,
        body_bytes: BODY_BYTES,
    };
    let mut nobody = ClientConfig::clone(&site.client);
    nobody.client_auth_cert_resolver = Arc::new(NoCertificate);
    let nobody = Arc::new(nobody);
    // The partner is known from here on, and everything is warm.
    load.run().await;
    let (descriptors, memory) = (open_files(server.id()), measure::resident_kib(server.id()));
    let (mut calm, mut stormy, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let hostile = Arc::new(Hostile::default());
    let mut flooded = Duration::ZERO;
    for _ in 0..rounds {
        let undisturbed = rate(&load).await;
        let flood = tokio::spawn(flood(to, Arc::clone(&nobody), Arc::clone(&hostile)));
        let began = Instant::now();
        let disturbed = rate(&load).await;
        flooded += began.elapsed();
        flood.abort();
        tokio::time::sleep(STALL).await;
        kept.push(disturbed / undisturbed);
        calm.push(undisturbed);
        stormy.push(disturbed);
    }
    let started = hostile.started.load(Ordering::Relaxed);
    println!(
        "partner: {:.0} messages/s undisturbed, {:.0} in a flood of {:.0} connections/s ({} of {started} turned away): {:.0} % kept",
        measure::median(calm),
        measure::median(stormy),
        started as f64 / flooded.as_secs_f64(),
        hostile.refused.load(Ordering::Relaxed),
        measure::median(kept) * 100.0,
    );
    let left = settled(server.id(), descriptors).await;
    println!(
        "memory: {} MiB before, {} MiB at the most; descriptors: {descriptors} before, {left} after",
        memory >> 10,
        measure::peak_resident_kib(server.id()) >> 10,
    );
    assert!(left <= descriptors, "{left} descriptors are open that were {descriptors}");
}

async fn rate(load: &Load) -> f64 {
    let since = Instant::now();
    load.run().await.waits.len() as f64 / since.elapsed().as_secs_f64()
}

/// Starts connections at the wanted pace, each from another address, until it is aborted. Those under
/// way end by themselves.
async fn flood(to: SocketAddr, tls: Arc<ClientConfig>, hostile: Arc<Hostile>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / BATCHES_PER_SECOND as u32);
    loop {
        ticks.tick().await;
        for _ in 0..HOSTILE_PER_SECOND / BATCHES_PER_SECOND {
            let number = hostile.started.fetch_add(1, Ordering::Relaxed);
            let (tls, hostile) = (Arc::clone(&tls), Arc::clone(&hostile));
            tokio::spawn(async move {
                // Whatever becomes of it is the server's business.
                if let Ok(true) = attack(number, to, tls).await {
                    hostile.refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }
}

/// One hostile connection; true when it was turned away at the door.
async fn attack(number: usize, to: SocketAddr, tls: Arc<ClientConfig>) -> std::io::Result<bool> {
    let (network, host) = (number % NETWORKS, number / NETWORKS % HOSTS);
    let octet = |value: usize| u8::try_from(value).expect("few networks and hosts");
    let from = Ipv4Addr::new(127, octet(64 + network % 40), octet(network / 40), octet(1 + host));
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.into(), 0))?;
    let mut stream = socket.connect(to).await?;
    let mut banner = [0; 512];
    if !number.is_multiple_of(6) {
        let count = stream.read(&mut banner).await?;
        if banner[..count].starts_with(b"421") {
            return Ok(true);
        }
    }
    match number % 6 {
        0 => {}
        1 => say(&mut stream, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await?,
        2 => {
            say(&mut stream, b"EHLO x.example\r\nSTARTTLS\r\n").await?;
            stream.write_all(b"this is no ClientHello, whatever it is").await?;
        }
        3 => tokio::time::sleep(STALL).await,
        4 => say(&mut stream, b"EHLO x.example\r\nMAIL FROM:<kim@woodgrove.example>\r\nXYZZY\r\n").await?,
        // A whole handshake, for a sender it cannot be.
        _ => {
            say(&mut stream, b"EHLO x.example\r\n").await?;
            say(&mut stream, b"STARTTLS\r\n").await?;
            let name = ServerName::try_from(EDGE).expect("a name");
            let mut secured = TlsConnector::from(tls).connect(name, stream).await?;
            secured.write_all(b"EHLO x.example\r\nMAIL FROM:<a@nowhere.example>\r\n").await?;
            secured.flush().await?;
            let _count = secured.read(&mut banner).await?;
        }
    }
    Ok(false)
}

async fn say(stream: &mut TcpStream, words: &[u8]) -> std::io::Result<()> {
    stream.write_all(words).await?;
    stream.read(&mut [0; 1024]).await.map(drop)
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The open files of the server once they are as few as before, or after half a minute.
async fn settled(pid: u32, before: usize) -> usize {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let now = open_files(pid);
        if now <= before || Instant::now() > deadline {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it cannot be raised, fewer hostile connections are held open at one time.
    let _ = setrlimit(Resource::Nofile, limit);
}
