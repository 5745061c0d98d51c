//! `sealpost config bundle` and what follows it: one signed file of shared settings, made inside, handed
//! to every edge, and compared there (docs/several-edges.md).

mod apply;
mod make;
mod node;
mod nodes;
mod status;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

/// The answer is no, or it failed.
const EXIT_NO: u8 = 1;
/// A configuration or the call is wrong.
const EXIT_CONFIGURATION: u8 = 2;
/// Of a SHA-256 in hexadecimal.
const DIGEST_DIGITS: usize = 64;

#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Make the key that signs bundles, or show the public part of one that is there
    BundleKey(make::KeyArgs),
    /// Make one signed bundle of the organisation's settings and the files that they name
    Bundle(make::BundleArgs),
    /// Take a bundle: check it whole with this edge's own file, put it in force, or change nothing
    Apply(apply::ApplyArgs),
    /// Show which bundle this edge has and runs with, and what its own file says beside it
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Hand a bundle to every edge: first each is asked whether it would take it, then it is applied
    Push(nodes::PushArgs),
    /// Compare what the edges have and run with
    Drift(nodes::DriftArgs),
}

impl BundleCommand {
    pub fn run(&self, config: &Path) -> ExitCode {
        match self {
            BundleCommand::BundleKey(args) => make::key(args),
            BundleCommand::Bundle(args) => make::bundle(args),
            BundleCommand::Apply(args) => apply::run(args, config),
            BundleCommand::Status { json } => status::run(config, *json),
            BundleCommand::Push(args) => nodes::push(args),
            BundleCommand::Drift(args) => nodes::drift(args),
        }
    }
}

/// One sentence on standard error.
fn fail(command: &str, sentence: &dyn std::fmt::Display, status: u8) -> ExitCode {
    eprintln!("sealpost config {command}: {sentence}");
    ExitCode::from(status)
}

/// Eight digits are enough to tell bundles apart for people. What is no SHA-256 came from another edge
/// and may be anything: cut at 64 characters and escaped for a terminal.
fn short(digest: &str) -> String {
    let whole = digest.len() == DIGEST_DIGITS && digest.bytes().all(|octet| octet.is_ascii_hexdigit());
    if whole {
        return digest.chars().take(8).collect();
    }
    let begin: String = digest.chars().take(DIGEST_DIGITS).collect();
    format!("no digest: {}", begin.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_of_another_edge_does_nothing_to_the_terminal() {
        assert_eq!(short(&"0123456789abcdef".repeat(4)), "01234567");
        assert_eq!(short("\x1b[2Jé\u{9b}\n"), "no digest: \\u{1b}[2Jé\\u{9b}\\n");
        assert_eq!(short("1234567é"), "no digest: 1234567é");
        assert_eq!(short(&"x".repeat(100_000)).len(), "no digest: ".len() + 64);
    }
}
