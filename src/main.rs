//! `sealpost`: see `sealpost --help`.

use std::process::ExitCode;

/// Less CPU for each message than the C library's, and memory that was freed goes back to the system; its
/// settings stand in `.cargo/config.toml` (docs/decisions/allocator.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    sealpost::cli::run()
}
