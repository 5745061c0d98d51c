//! `sealpost stamp`: the key that signs stamps, and whether the stamp of a message is proved.

mod key;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use super::certificate::place::Refusal;

#[derive(Debug, Subcommand)]
pub enum StampCommand {
    /// Make the key that signs stamps, or show the DNS record of the one that is there
    Key(key::KeyArgs),
    /// Verify that the stamp of a message is signed, and that nothing was changed since
    Verify(verify::VerifyArgs),
}

/// Exit status 0, 1 (not proved, or it failed) or 2 (usage or configuration).
pub fn run(command: &StampCommand, config: &Path) -> ExitCode {
    let done: Result<u8, Refusal> = match command {
        StampCommand::Key(args) => key::run(args, config).map(|()| 0),
        StampCommand::Verify(args) => verify::run(args, config),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(refusal) => {
            eprintln!("sealpost stamp: {}", refusal.sentence);
            ExitCode::from(refusal.status)
        }
    }
}
