//! Memory for each idle TLS connection: sessions past EHLO under mutual TLS that say nothing.
//! `cargo bench --bench idle`. Goal: 10,000 of them, 5,000 within 250 MB of the server.
//! `SEALPOST_BENCH_SESSIONS` says how many, else 10,000.

mod common;

use std::time::Duration;

use common::site::{EDGE, Site, executable};
use common::source::{Client, Load};
use common::{BODY_BYTES, is_trial, measure};
use sealpost::cli::demo::server::Server;

const SESSIONS: usize = 10_000;
/// Handshakes at one time.
const AT_ONCE: usize = 50;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let wanted = std::env::var("SEALPOST_BENCH_SESSIONS").ok().and_then(|text| text.parse().ok());
    runtime.block_on(run(if is_trial() { 50 } else { descriptors().min(wanted.unwrap_or(SESSIONS)) }));
}

/// Sessions that the limit of open files allows us to hold.
fn descriptors() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it cannot be raised, the old one still counts.
    let _ = setrlimit(Resource::Nofile, limit);
    let open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(open.saturating_sub(200)).unwrap_or(usize::MAX)
}

async fn run(sessions: usize) {
    let site = Site::new(true).await;
    let server = Server::start(executable(), &site.config(), &site.path("server.log")).expect("a server");
    let load = Load {
        to: server.ready.connector("Internet").expect("a listener"),
        server_name: EDGE,
        tls: site.client.clone(),
        connections: 1,
        body_bytes: BODY_BYTES,
        time_max: Duration::ZERO,
        messages_max: 0,
    };
    let before = measure::resident_kib(server.id());
    let mut open = Vec::with_capacity(sessions);
    while open.len() < sessions {
        let batch: tokio::task::JoinSet<Client> = (0..AT_ONCE.min(sessions - open.len()))
            .map(|_| {
                let load = load.clone();
                async move { Client::open(&load).await }
            })
            .collect();
        open.extend(batch.join_all().await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = measure::resident_kib(server.id());
    let each = (after - before) as f64 / sessions as f64;
    println!(
        "{sessions} idle TLS sessions: {:.0} MiB resident, {:.0} before them; {each:.1} KiB each",
        after as f64 / 1024.0,
        before as f64 / 1024.0,
    );
    drop(open);
}
