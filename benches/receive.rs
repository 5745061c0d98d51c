//! The receive path alone: session, relay driver and queue in this process, over loopback with
//! mutual TLS, durable, 4 KiB; the mail host says nothing, so nothing leaves the queue.
//! `cargo bench --bench receive`. The CPU figure holds the source as well.

mod common;

use std::time::{Duration, Instant};

use common::site::{EDGE, Site};
use common::source::Load;
use common::{BODY_BYTES, CONNECTIONS, is_trial, measure, rounds, seconds};
use sealpost::net::service_manager::ServiceManager;
use sealpost::observe::event_log::EventLog;
use sealpost::relay::Server;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (rounds, time) = if is_trial() { (1, Duration::from_millis(200)) } else { (rounds(), seconds()) };
    println!("connections  accepted/s  CPU ms per 1,000 (source included)");
    for connections in CONNECTIONS {
        let (rates, cpu): (Vec<f64>, Vec<f64>) =
            (0..rounds).map(|_| runtime.block_on(run(connections, time))).unzip();
        println!("{connections:>11}  {:>10.0}  {:>16.0}", measure::median(rates), measure::median(cpu));
    }
}

async fn run(connections: usize, time: Duration) -> (f64, f64) {
    let site = Site::new(false).await;
    let server = Server::start(&site.config(), EventLog::unheard(), ServiceManager::default())
        .await
        .expect("a server");
    let load = Load {
        to: site.listener(server.listening()),
        server_name: EDGE,
        tls: site.client.clone(),
        connections,
        body_bytes: BODY_BYTES,
        time_max: time,
        messages_max: usize::MAX,
    };
    let (since, cpu) = (Instant::now(), measure::cpu(std::process::id()));
    let accepted = load.run().await.waits.len() as f64;
    let (elapsed, cpu) = (since.elapsed(), measure::cpu(std::process::id()) - cpu);
    // Open, so that the deliveries that wait for a banner need not run into a time-out.
    site.sink.open();
    server.stop("bench").await;
    (accepted / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6 / accepted)
}
