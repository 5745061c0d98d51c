//! `sealpost certificate`: the life of a certificate (Exchange: New-, Import-, Enable-, Get-,
//! Export-, Remove-ExchangeCertificate), and judging one as the server does.

mod import;
mod list;
mod manage;
pub(in crate::cli) mod passphrase;
pub(in crate::cli) mod place;
mod request;
mod show;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use place::{Place, Refusal};

#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// Make a key and a request for a CA, or a self-signed certificate
    Request(request::RequestArgs),
    /// Take in a certificate: PEM, DER, PKCS#7 or PKCS#12, or a CA's answer to a request
    Import(import::ImportArgs),
    /// Choose a certificate for the connectors that its names fit
    Enable(manage::EnableArgs),
    /// List certificates and pending requests, and which connector uses which, and why
    List(list::ListArgs),
    /// Show one certificate or request
    Show(show::ShowArgs),
    /// Judge a certificate chain as the server would
    Verify(verify::VerifyArgs),
    /// Write a certificate with its key as PKCS#12, or without it as PEM; a request as PKCS#10
    Export(manage::ExportArgs),
    /// Remove a certificate that is not in use, or a pending request
    Remove(manage::RemoveArgs),
    /// Make a request for the successor of a certificate
    Renew(request::RenewArgs),
}

impl CertificateCommand {
    /// Exit status 0, 1 (refused or failed) or 2 (usage or configuration).
    pub fn run(self, config: &Path) -> ExitCode {
        let done = match self {
            Self::Verify(args) => return verify::run(&args),
            Self::Request(args) => Place::open(config).and_then(|place| request::request(&args, &place)),
            Self::Import(args) => Place::open(config).and_then(|place| import::run(&args, &place)),
            Self::Enable(args) => Place::open(config).and_then(|place| manage::enable(&args, &place)),
            Self::List(args) => Place::open(config).and_then(|place| list::run(&args, &place)),
            Self::Show(args) => Place::open(config).and_then(|place| show::run(&args, &place)),
            Self::Export(args) => Place::open(config).and_then(|place| manage::export(&args, &place)),
            Self::Remove(args) => Place::open(config).and_then(|place| manage::remove(&args, &place)),
            Self::Renew(args) => Place::open(config).and_then(|place| request::renew(&args, &place)),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(Refusal { status, sentence }) => {
                eprintln!("sealpost certificate: {sentence}");
                ExitCode::from(status)
            }
        }
    }
}
