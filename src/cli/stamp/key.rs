//! `sealpost stamp key`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::certstore::stamp_key::{self, StampKeyKind};
use crate::certstore::{self, Owner};
use crate::cli::certificate::place::Refusal;
use crate::cli::print::{print_json, print_out};
use crate::config::{self, Document, format};
use crate::mail::Domain;

#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Where the key is to lie [default: `signing_key` of `[stamp]`]
    file: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "ed25519")]
    kind: Kind,
    /// Show the record of the key that lies there, and make none
    #[arg(long, conflicts_with = "kind")]
    show: bool,
    /// The domain that signs [default: `signing_domain` of `[stamp]`]
    #[arg(long)]
    domain: Option<String>,
    /// [default: `selector` of `[stamp]`, which is `stamp` unless written]
    #[arg(long)]
    selector: Option<String>,
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Short and fast; RFC 8463, which not every verifier knows yet
    Ed25519,
    /// Known to every verifier
    #[value(name = "rsa-2048")]
    Rsa2048,
    #[value(name = "rsa-4096")]
    Rsa4096,
}

pub fn run(args: &KeyArgs, config: &Path) -> Result<(), Refusal> {
    let document = config::read(config).ok();
    let file = place(args, document.as_ref())?;
    let (domain, selector) = names(args, document.as_ref())?;
    if !args.show {
        make(args.kind, &file, document.as_ref())?;
    }
    let key = stamp_key::read(&file).map_err(Refusal::no)?;
    let name = format!("{selector}._domainkey.{domain}");
    let record = stamp_key::record(&key);
    let zone_line = stamp_key::zone_line(&name, &record);
    if args.json {
        let file = file.display().to_string();
        print_json(&json!({"file": file, "name": name, "record": record, "zone_line": zone_line}));
        return Ok(());
    }
    let path = toml_edit::Value::from(file.to_string_lossy().into_owned());
    print_out(
        format!(
            "# for the zone of {domain}\n{zone_line}\n\n# for the configuration\n[stamp]\nsigning_domain = \"{domain}\"\n\
             selector = \"{selector}\"\nsigning_key = {path}\n"
        )
        .as_bytes(),
    );
    Ok(())
}

fn place(args: &KeyArgs, document: Option<&Document>) -> Result<PathBuf, Refusal> {
    if let Some(file) = &args.file {
        return Ok(std::path::absolute(file).unwrap_or_else(|_| file.clone()));
    }
    let written = document.and_then(|document| {
        Some(document.resolve(document.table("stamp").read("signing_key", format::path)?))
    });
    written.ok_or_else(|| Refusal::usage("no file is named; give one, such as /etc/sealpost/stamp.key"))
}

fn names(args: &KeyArgs, document: Option<&Document>) -> Result<(Domain, Domain), Refusal> {
    let written = |key: &str| document.and_then(|document| document.table("stamp").read(key, format::domain));
    let given = |text: &Option<String>| {
        let parsed = text.as_deref().map(format::domain).transpose();
        parsed.map_err(|wrong| Refusal::usage(format!("{}; {}", wrong.what, wrong.remedy)))
    };
    let domain = given(&args.domain)?.or_else(|| written("signing_domain"));
    let selector = given(&args.selector)?.or_else(|| written("selector"));
    let domain = domain.ok_or_else(|| {
        Refusal::usage("the configuration names no signing_domain; give the domain that signs with --domain")
    })?;
    Ok((domain, selector.unwrap_or_else(|| Domain::parse("stamp").expect("a label"))))
}

/// Never in the place of a key that is there: what it signed would no longer be proved.
fn make(kind: Kind, file: &Path, document: Option<&Document>) -> Result<(), Refusal> {
    let kind = match kind {
        Kind::Ed25519 => StampKeyKind::Ed25519,
        Kind::Rsa2048 => StampKeyKind::Rsa2048,
        Kind::Rsa4096 => StampKeyKind::Rsa4096,
    };
    let pem = stamp_key::generate(kind).map_err(Refusal::no)?;
    let data = document.and_then(|document| {
        Some(document.resolve(document.table("").read("data_directory", format::path)?))
    });
    // The server must be able to read what root makes for it.
    let directory = data.filter(|data| data.exists()).unwrap_or_else(|| PathBuf::from("/"));
    let written = Owner::of(&directory).and_then(|owner| certstore::write_new(file, pem.as_bytes(), owner));
    written.map_err(|error| {
        let path = file.display();
        Refusal::no(match error.kind() {
            ErrorKind::AlreadyExists => format!(
                "{path} is there already, and is not replaced; name another file, or give --show to see its record"
            ),
            _ => format!("cannot write {path}: {error}; name a file in a directory that can be written"),
        })
    })
}
