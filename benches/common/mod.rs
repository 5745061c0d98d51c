//! What the benches of whole servers share: a site whose every file is made on the spot, a source
//! that sends and times messages, a sink that counts them, and what a process has used.
//!
//! All traffic stays on loopback. Spools lie below `$SEALPOST_BENCH_DIR`, else the build directory,
//! because /tmp may be memory, where a sync costs nothing.

#![allow(dead_code, reason = "each bench uses its own part")]

pub mod measure;
pub mod sink;
pub mod site;
pub mod source;

/// Size of the messages sent, without their header section.
pub const BODY_BYTES: usize = 4 << 10;
/// Concurrent connections of the source.
pub const CONNECTIONS: [usize; 3] = [1, 10, 100];

/// Seconds of load for each figure; `$SEALPOST_BENCH_SECONDS`, else 3.
pub fn seconds() -> std::time::Duration {
    let wanted = std::env::var("SEALPOST_BENCH_SECONDS").ok().and_then(|text| text.parse().ok());
    std::time::Duration::from_secs_f64(wanted.unwrap_or(3.0))
}

/// Rounds of which the median is printed; `$SEALPOST_BENCH_ROUNDS`, else 3.
pub fn rounds() -> usize {
    let wanted = std::env::var("SEALPOST_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(3).max(1)
}

/// `cargo test --benches` runs every bench to see that it works; one short round does.
pub fn is_trial() -> bool {
    !std::env::args().any(|argument| argument == "--bench")
}
