//! `sealpost partner add / remove`: the partner entries of the configuration file.

use std::path::Path;

use clap::{Args, ValueEnum};
use toml_edit::{Array, Value};

use crate::cli::certificate::place::Refusal;
use crate::cli::config::{ConfigFile, Written, usage};
use crate::config::options::{SECTIONS, Section};
use crate::config::{self, edit};
use crate::observe::text::escape;

#[derive(Debug, Args)]
pub struct AddArgs {
    /// What you call the partner
    name: String,
    /// A mail domain of the partner; may be given several times
    #[arg(long = "domain", value_name = "DOMAIN", required = true)]
    domains: Vec<String>,
    /// In which direction mail goes over mutual TLS or not at all [default: both]
    #[arg(long, value_name = "DIRECTION")]
    domain_secure: Vec<SecureDirection>,
    /// A root that speaks for this partner, PEM or DER, relative to the configuration [default: those of `[trust]`]
    #[arg(long = "trust-anchor", value_name = "FILE")]
    trust_anchors: Vec<String>,
    /// A name that proves the partner besides its domains
    #[arg(long = "certificate-name", value_name = "NAME")]
    certificate_names: Vec<String>,
    /// sha256/BASE64 of the partner's public key
    #[arg(long = "spki-pin", value_name = "PIN")]
    spki_pins: Vec<String>,
    /// `report` logs and counts and refuses nothing: for the first days
    #[arg(long)]
    mode: Option<PartnerMode>,
    /// Have the running server take it up at once, with whatever else has changed in the file
    #[arg(long)]
    reload: bool,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Name of the partner
    name: String,
    /// Have the running server take it up at once, with whatever else has changed in the file
    #[arg(long)]
    reload: bool,
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SecureDirection {
    Send,
    Receive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PartnerMode {
    Enforce,
    Report,
}

/// Gives the exit status: 0, 1 (it is there, or it could not be written or reloaded) or 2.
pub fn add(args: &AddArgs, config: &Path) -> Result<u8, Refusal> {
    let section = section();
    let file = ConfigFile::open(config)?;
    if edit::names(&file.text, section).map_err(usage)?.contains(&args.name) {
        let name = escape(&args.name);
        return Err(Refusal::no(format!(
            "a partner {name} is there already; change it with `sealpost config set partner.{name}.KEY`"
        )));
    }
    let text = edit::add_table(&file.text, section, &entries(args));
    Ok(file.replace(&text)?.tell(config, args.reload, args.json, &[]))
}

/// The same.
pub fn remove(args: &RemoveArgs, config: &Path) -> Result<u8, Refusal> {
    let section = section();
    let file = ConfigFile::open(config)?;
    if !edit::names(&file.text, section).map_err(usage)?.contains(&args.name) {
        let name = escape(&args.name);
        let elsewhere = crate::config::survey(config)
            .is_ok_and(|settings| settings.partners.iter().any(|partner| partner.name == args.name));
        return Err(Refusal::no(if elsewhere {
            format!(
                "{name} comes with the bundle and stands in no file here; take it out of the file that the bundle is \
                 made from, and apply the new bundle"
            )
        } else {
            format!("no partner is called {name}; `sealpost partner list` shows who there is")
        }));
    }
    let text = edit::remove_table(&file.text, section, &args.name).map_err(usage)?;
    let domains = domains(config, &file.text, &args.name);
    let written = file.replace(&text)?;
    let notes = still_listed(&written, &domains);
    Ok(written.tell(config, args.reload, args.json, &notes))
}

/// The domains of a partner entry, as they are compared.
fn domains(config: &Path, text: &str, partner: &str) -> Vec<String> {
    let Some(document) = config::glance(config, text) else { return Vec::new() };
    let entry = document.tables("partner").find(|table| table.name() == Some(partner));
    let domains = entry.map(|entry| entry.read_all("domains", config::format::domain)).unwrap_or_default();
    domains.iter().map(ToString::to_string).collect()
}

/// Domains of an entry that is gone which a secure list names itself: they stay secured, by other rules.
fn still_listed(written: &Written, domains: &[String]) -> Vec<String> {
    let listed: Vec<_> = domains.iter().filter(|domain| written.is_listed(domain)).collect();
    if listed.is_empty() {
        return Vec::new();
    }
    let listed: Vec<_> = listed.iter().map(|domain| escape(domain)).collect();
    vec![format!(
        "{} stays on a list of [transport]: mail with it is secured further on, judged by [trust] and by its own name \
         instead of what the entry said",
        listed.join(", ")
    )]
}

fn section() -> &'static Section {
    SECTIONS.iter().find(|section| section.name == "partner").expect("there is a section of partners")
}

fn entries(args: &AddArgs) -> Vec<(&'static str, Value)> {
    let list = |members: &[String]| Value::Array(members.iter().map(String::as_str).collect::<Array>());
    let directions = match args.domain_secure.as_slice() {
        [] => &[SecureDirection::Send, SecureDirection::Receive],
        some => some,
    };
    let directions: Vec<String> = directions
        .iter()
        .map(|direction| match direction {
            SecureDirection::Send => "send".to_owned(),
            SecureDirection::Receive => "receive".to_owned(),
        })
        .collect();
    let mut entries = vec![
        ("name", Value::from(args.name.as_str())),
        ("domains", list(&args.domains)),
        ("domain_secure", list(&directions)),
    ];
    let lists = [
        ("trust_anchors", &args.trust_anchors),
        ("certificate_names", &args.certificate_names),
        ("spki_pins", &args.spki_pins),
    ];
    entries.extend(lists.iter().filter(|(_, members)| !members.is_empty()).map(|(key, m)| (*key, list(m))));
    entries.extend(args.mode.map(|mode| {
        let mode = match mode {
            PartnerMode::Enforce => "enforce",
            PartnerMode::Report => "report",
        };
        ("mode", Value::from(mode))
    }));
    entries
}
