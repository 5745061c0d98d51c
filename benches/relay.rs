//! The whole relay: source → `sealpost serve`, a process of its own → sink, on loopback, durable,
//! mutual TLS on both legs, 4 KiB. `cargo bench --bench relay`. With `SEALPOST_BENCH_CUT_THROUGH=1`
//! it compares 4 KiB and 1 MiB over 10 connections with and without `[queue] cut_through` instead.
//!
//! Prints, as medians of some rounds, messages a second from the first MAIL to the last delivery,
//! CPU of the server for 1,000 messages, and how long the source waited for its 250.

mod common;

use std::time::{Duration, Instant};

use common::site::{EDGE, Site, executable};
use common::source::Load;
use common::{BODY_BYTES, CONNECTIONS, is_trial, measure, rounds, seconds};
use sealpost::cli::demo::server::Server;

struct Figures {
    messages_per_second: f64,
    cpu_ms_per_thousand: f64,
    p50: Duration,
    p99: Duration,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (rounds, time) = if is_trial() { (1, Duration::from_millis(200)) } else { (rounds(), seconds()) };
    println!(
        "connections       size  cut-through  messages/s  CPU ms per 1,000  p50 accept  p99 accept   peak RSS"
    );
    for cell in cells() {
        let (figures, resident): (Vec<Figures>, Vec<f64>) =
            (0..rounds).map(|_| runtime.block_on(run(cell, time))).unzip();
        let of = |figure: fn(&Figures) -> f64| measure::median(figures.iter().map(figure).collect());
        let Cell { connections, body_bytes, cut_through } = cell;
        println!(
            "{connections:>11}  {:>5} KiB  {cut_through:>11}  {:>10.0}  {:>16.0}  {:>7.2} ms  {:>7.2} ms  {:>4.0} MiB",
            body_bytes >> 10,
            of(|figures| figures.messages_per_second),
            of(|figures| figures.cpu_ms_per_thousand),
            of(|figures| figures.p50.as_secs_f64() * 1e3),
            of(|figures| figures.p99.as_secs_f64() * 1e3),
            measure::median(resident),
        );
    }
}

/// What one line is about.
#[derive(Clone, Copy)]
struct Cell {
    connections: usize,
    body_bytes: usize,
    cut_through: bool,
}

fn cells() -> Vec<Cell> {
    if std::env::var_os("SEALPOST_BENCH_CUT_THROUGH").is_none() {
        let cell = |connections| Cell { connections, body_bytes: BODY_BYTES, cut_through: false };
        return CONNECTIONS.map(cell).into();
    }
    let cell = |(body_bytes, cut_through)| Cell { connections: 10, body_bytes, cut_through };
    [(BODY_BYTES, false), (BODY_BYTES, true), (1 << 20, false), (1 << 20, true)].map(cell).into()
}

async fn run(cell: Cell, time: Duration) -> (Figures, f64) {
    let Cell { connections, body_bytes, cut_through } = cell;
    let site = Site::with(true, &format!("[queue]\ncut_through = {cut_through}\n")).await;
    let server = Server::start(executable(), &site.config(), &site.path("server.log")).expect("a server");
    let load = Load {
        to: server.ready.connector("Internet").expect("a listener"),
        server_name: EDGE,
        tls: site.client.clone(),
        connections,
        body_bytes,
        time_max: time,
        messages_max: usize::MAX,
    };
    // Resolver, sessions and caches are warm when the clock starts.
    let warm = Load { messages_max: 50, ..load.clone() }.run().await.waits.len();
    site.sink.wait_for(warm).await;
    let (since, cpu) = (Instant::now(), measure::cpu(server.id()));
    let mut waits = load.run().await.waits;
    site.sink.wait_for(warm + waits.len()).await;
    let (elapsed, cpu) = (since.elapsed(), measure::cpu(server.id()) - cpu);
    let resident = measure::peak_resident_kib(server.id());
    let messages = waits.len() as f64;
    let figures = Figures {
        messages_per_second: messages / elapsed.as_secs_f64(),
        cpu_ms_per_thousand: cpu.as_secs_f64() * 1e6 / messages,
        p50: measure::percentile(&mut waits, 0.5),
        p99: measure::percentile(&mut waits, 0.99),
    };
    (figures, resident as f64 / 1024.0)
}
