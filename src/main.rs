//! `sealpost`: see `sealpost --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealpost::cli::run()
}
