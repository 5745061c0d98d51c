//! `sealpost certificate import`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::certstore::{self, Bundle, BundleError, Completeness, ImportOptions, Imported};
use crate::config;
use crate::policy::certificate_uses;
use crate::trust::AnchorSet;

use super::passphrase::PassphraseArgs;
use super::place::{Place, Refusal, read_file};
use crate::cli::print::{print_json, print_out};

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// PEM, DER, PKCS#7 or PKCS#12; "-" is standard input
    file: PathBuf,
    /// The private key, where it lies in a file of its own
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Intermediate certificates that FILE lacks
    #[arg(long, value_name = "FILE")]
    chain: Vec<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Let `export` hand out the private key
    #[arg(long)]
    exportable: bool,
    /// Keep it out of use until `enable`
    #[arg(long)]
    no_enable: bool,
    /// Print what was imported as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ImportArgs, place: &Place) -> Result<(), Refusal> {
    let mut bundle = open(&args.file, &args.passphrase)?;
    for path in args.key.iter().chain(&args.chain) {
        let more = open(path, &args.passphrase)?;
        bundle.certificates.extend(more.certificates);
        bundle.keys.extend(more.keys);
    }
    let roots = AnchorSet::union([
        AnchorSet::from_certificates("system", rustls_native_certs::load_native_certs().certs),
        AnchorSet::new("mozilla", webpki_roots::TLS_SERVER_ROOTS.to_vec()),
        configured_roots(place),
    ]);
    let options =
        ImportOptions { now: place.now, exportable: args.exportable, enable: !args.no_enable, roots: &roots };
    let imported = certstore::import(&place.store.writer()?, &bundle, &options);
    let imported = imported.map_err(|error| Refusal::no(format!("{}: {error}", args.file.display())))?;
    for one in &imported {
        let certificate = &one.entry.certificate;
        let new = format!("{} {}", certificate.thumbprint, certificate.subject);
        place.audit("certificate import", one.completed.as_deref().unwrap_or_default(), &new);
    }
    if args.json {
        let imported = imported.iter().map(|one| to_json(one, place));
        print_json(&json!({ "imported": imported.collect::<Vec<_>>() }));
    } else {
        imported.iter().for_each(|one| tell(one, place));
    }
    Ok(())
}

/// Anchors that the settings name: a private root that we know is one that partners have.
fn configured_roots(place: &Place) -> AnchorSet {
    let settings = place.settings_if_any();
    let policies = settings.iter().flat_map(|settings| {
        let partners = settings.partners.iter().map(|partner| &partner.policy);
        partners.chain([&settings.default_policy])
    });
    let named = policies.filter(|policy| !policy.anchors.is_public());
    let roots = named.flat_map(|policy| policy.anchors.certificates().cloned());
    AnchorSet::from_certificates("settings", roots.collect::<Vec<_>>())
}

fn open(path: &Path, passphrase: &PassphraseArgs) -> Result<Bundle, Refusal> {
    let bytes = zeroize::Zeroizing::new(read_file(path)?);
    let read = |passphrase: Option<&str>| Bundle::read(&bytes, passphrase);
    let given = passphrase.given()?;
    let bundle = match read(given.as_ref().map(|given| given.as_str())) {
        Err(BundleError::PassphraseNeeded) => read(Some(&passphrase.to_open(&path.display().to_string())?)),
        other => other,
    };
    bundle.map_err(|error| Refusal::no(format!("{}: {error}", path.display())))
}

fn to_json(one: &Imported, place: &Place) -> serde_json::Value {
    let certificate = &one.entry.certificate;
    json!({
        "thumbprint": certificate.thumbprint,
        "sha1": one.entry.sha1(),
        "subject": certificate.subject,
        "names": certificate.names,
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "completed_request": one.completed,
        "missing": one.completeness.missing(),
        "exportable": one.entry.about.exportable,
        "enabled": one.entry.about.enabled,
        "known": one.known,
        "warnings": config::unnamed_domains(&place.config, &certificate.thumbprint),
    })
}

fn tell(one: &Imported, place: &Place) {
    let certificate = &one.entry.certificate;
    let what = if one.known { "was known, and is kept" } else { "imported" };
    let mut text = format!("{} {what}: {}\n", certificate.thumbprint, certificate.subject);
    if let Some(request) = &one.completed {
        text.push_str(&format!("it completes request {request}\n"));
    }
    match &one.completeness {
        Completeness::SelfSigned => text.push_str("it is self-signed: partners need its pin\n"),
        Completeness::Complete => text.push_str(&format!("chain of {}, complete\n", certificate.chain.len())),
        Completeness::Missing(issuer) => text.push_str(&format!(
            "the chain lacks {issuer}; unless that is the root, which partners have, get it from the CA and import it\n"
        )),
    }
    if !certificate.is_valid_at(place.now) {
        let (from, to) = (certificate.not_before, certificate.not_after);
        text.push_str(&format!("it is not valid now, only from {from} to {to}\n"));
    }
    text.push_str(&users(place, &certificate.thumbprint, one.entry.about.enabled));
    print_out(text.as_bytes());
}

/// Who uses it from now on, as a line; on standard error, what partners who look for our mail domain
/// will miss in it.
pub fn users(place: &Place, thumbprint: &str, enabled: bool) -> String {
    if !enabled {
        return "not in use until `sealpost certificate enable`\n".to_owned();
    }
    let Some(settings) = place.settings() else { return String::new() };
    let uses = certificate_uses(&settings, place.now);
    let chosen = |used: &&crate::policy::CertificateUse<'_>| {
        used.choice.as_ref().is_ok_and(|choice| choice.certificate.thumbprint == thumbprint)
    };
    let users: Vec<_> = uses.iter().filter(chosen).map(|used| used.user.to_string()).collect();
    crate::cli::config::report(&config::unnamed_domains(&place.config, thumbprint));
    if users.is_empty() {
        "no connector chooses it; `sealpost certificate list` says why\n".to_owned()
    } else {
        format!("in use by {}\n", users.join(", "))
    }
}
