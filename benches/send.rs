//! The send path alone: a full queue drained to a sink in this process, over loopback with mutual
//! TLS, every removal durable, 4 KiB. `cargo bench --bench send`. The CPU figure holds the sink.

mod common;

use std::time::{Duration, Instant};

use common::site::{EDGE, Site};
use common::source::Load;
use common::{BODY_BYTES, is_trial, measure, rounds};
use sealpost::net::service_manager::ServiceManager;
use sealpost::observe::event_log::EventLog;
use sealpost::relay::Server;

const MESSAGES: usize = 10_000;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (rounds, messages) = if is_trial() { (1, 200) } else { (rounds(), MESSAGES) };
    let (rates, cpu): (Vec<f64>, Vec<f64>) = (0..rounds).map(|_| runtime.block_on(run(messages))).unzip();
    println!("delivered/s  CPU ms per 1,000 (sink included)");
    println!("{:>11.0}  {:>16.0}", measure::median(rates), measure::median(cpu));
}

async fn run(messages: usize) -> (f64, f64) {
    let site = Site::new(false).await;
    let server = Server::start(&site.config(), EventLog::unheard(), ServiceManager::default())
        .await
        .expect("a server");
    let load = Load {
        to: site.listener(server.listening()),
        server_name: EDGE,
        tls: site.client.clone(),
        connections: 64,
        body_bytes: BODY_BYTES,
        time_max: Duration::MAX / 4,
        messages_max: messages,
    };
    load.run().await;
    let (since, cpu) = (Instant::now(), measure::cpu(std::process::id()));
    site.sink.open();
    site.sink.wait_for(messages).await;
    let (elapsed, cpu) = (since.elapsed(), measure::cpu(std::process::id()) - cpu);
    server.stop("bench").await;
    (messages as f64 / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6 / messages as f64)
}
