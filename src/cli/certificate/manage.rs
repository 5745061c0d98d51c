//! `sealpost certificate enable`, `export` and `remove`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::certstore::{self, Found};
use crate::config;
use crate::policy::certificate_uses;

use super::import::users;
use super::passphrase::PassphraseArgs;
use super::place::{Place, Refusal};
use crate::cli::print::{print_json, print_out};

#[derive(Debug, Args)]
pub struct EnableArgs {
    /// Thumbprint, or at least eight digits from its beginning
    thumbprint: String,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Thumbprint or request, or at least eight digits from its beginning
    thumbprint: String,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Thumbprint or request, or at least eight digits from its beginning
    thumbprint: String,
    /// Where to write; needed for a private key
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only the certificates, as PEM: what a partner may see
    #[arg(long)]
    public: bool,
    /// Replace a file that exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub fn enable(args: &EnableArgs, place: &Place) -> Result<(), Refusal> {
    let thumbprint = match place.find(&args.thumbprint)? {
        Found::Certificate(thumbprint) => thumbprint,
        Found::Request(id) => {
            return Err(Refusal::no(format!("{id} is a pending request; import the CA's answer first")));
        }
    };
    let entry = place.store.writer()?.enable(&thumbprint, place.now)?;
    let new = format!("{thumbprint} {}", entry.certificate.subject);
    place.audit("certificate enable", "", &new);
    if args.json {
        let warnings = config::unnamed_domains(&place.config, &thumbprint);
        print_json(&json!({ "enabled": thumbprint, "since": place.now, "warnings": warnings }));
        return Ok(());
    }
    let mut text = format!("{thumbprint} enabled: {}\n", entry.certificate.subject);
    if !entry.certificate.is_valid_at(place.now) {
        let (from, to) = (entry.certificate.not_before, entry.certificate.not_after);
        text.push_str(&format!("it is not valid now, only from {from} to {to}\n"));
    }
    text.push_str(&users(place, &thumbprint, true));
    print_out(text.as_bytes());
    Ok(())
}

pub fn remove(args: &RemoveArgs, place: &Place) -> Result<(), Refusal> {
    let removed = match place.find(&args.thumbprint)? {
        Found::Certificate(thumbprint) => {
            let writer = place.store.writer()?;
            refuse_if_used(place, &thumbprint)?;
            let subject = place
                .store
                .entry(&thumbprint)
                .map_or_else(|_| "damaged".to_owned(), |entry| entry.certificate.subject);
            writer.remove(&thumbprint)?;
            place.audit("certificate remove", &format!("{thumbprint} {subject}"), "");
            thumbprint
        }
        Found::Request(id) => {
            place.store.writer()?.remove_request(&id)?;
            place.audit("certificate remove", &format!("request {id}"), "");
            id
        }
    };
    if args.json {
        print_json(&json!({ "removed": removed }));
    } else {
        print_out(format!("{removed} removed\n").as_bytes());
    }
    Ok(())
}

/// Exchange's rule too: first the successor, then the removal.
fn refuse_if_used(place: &Place, thumbprint: &str) -> Result<(), Refusal> {
    let settings = place.required_settings()?;
    let uses = certificate_uses(&settings, place.now);
    let in_use = uses.iter().filter(|used| {
        used.choice.as_ref().is_ok_and(|choice| {
            choice.certificate.thumbprint == thumbprint && choice.certificate.is_managed()
        })
    });
    let users: Vec<_> = in_use.map(|used| used.user.to_string()).collect();
    if users.is_empty() {
        return Ok(());
    }
    Err(Refusal::no(format!(
        "certificate {thumbprint} is in use by {}; import or enable another one for it first",
        users.join(", ")
    )))
}

pub fn export(args: &ExportArgs, place: &Place) -> Result<(), Refusal> {
    let thumbprint = match place.find(&args.thumbprint)? {
        Found::Certificate(thumbprint) => thumbprint,
        Found::Request(id) => {
            let request = certstore::pem("CERTIFICATE REQUEST", &place.store.request(&id)?.request);
            return write(args, request.as_bytes(), 0o644);
        }
    };
    let entry = place.store.entry(&thumbprint)?;
    if args.public {
        return write(args, certstore::chain_pem(&entry.certificate.chain).as_bytes(), 0o644);
    }
    if !entry.about.exportable {
        return Err(Refusal::no(format!(
            "the key of certificate {thumbprint} must not leave this machine; only an import with --exportable allows \
             it, and --public writes the certificate without its key"
        )));
    }
    let Some(out) = &args.out else {
        return Err(Refusal::usage("a private key goes to a file, not to a terminal; name it with --out"));
    };
    let passphrase = args.passphrase.to_protect(&out.display().to_string())?;
    let file = certstore::export(&entry.certificate, &passphrase).map_err(Refusal::no)?;
    write(args, &file, 0o600)?;
    let new = format!("{thumbprint} {}", entry.certificate.subject);
    place.audit("certificate export", "", &new);
    Ok(())
}

fn write(args: &ExportArgs, bytes: &[u8], mode: u32) -> Result<(), Refusal> {
    let Some(out) = &args.out else {
        print_out(bytes);
        return Ok(());
    };
    write_out(out, bytes, mode, args.force)
}

/// Writes a file for somebody else, with this mode from the first octet on.
pub fn write_out(path: &Path, bytes: &[u8], mode: u32, force: bool) -> Result<(), Refusal> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |error: std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AlreadyExists => "name another, or give --force",
            _ => "name a file that can be written",
        };
        Refusal::no(format!("cannot write {}: {error}; {hint}", path.display()))
    };
    if force && path.exists() {
        // Not into the old file, which others may be able to read.
        std::fs::remove_file(path).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}
