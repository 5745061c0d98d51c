//! `sealpost certificate request` and `renew`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rcgen::KeyPair;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;

use crate::certstore::{
    self, About, Found, KeyKind, Origin, RequestAbout, RequestTerms, Subject, self_signed_certificate,
    signing_request,
};
use crate::mail::Domain;
use crate::policy::{OwnCertificate, Settings};
use crate::trust::CertificateFacts;

use super::import::users;
use super::manage::write_out;
use super::place::{Place, Refusal};
use crate::cli::print::{print_json, print_out};

#[derive(Debug, Args)]
pub struct RequestArgs {
    /// "DC=com,DC=Contoso,CN=mail1.contoso.com" [default: CN=hostname]
    #[arg(long, value_name = "NAME", value_parser = parse_subject)]
    subject: Option<Subject>,
    /// Name for the subjectAltName, "*.x.example" too [default: hostname and the connectors' fqdn]
    #[arg(long = "domain", value_name = "DOMAIN", value_parser = parse_domain)]
    domains: Vec<String>,
    /// Leave out the accepted domains, which partners look for
    #[arg(long)]
    no_accepted_domains: bool,
    #[arg(long, value_enum, default_value = "ec-p256")]
    key: KeyArg,
    /// Make a self-signed certificate, for labs and pins
    #[arg(long)]
    self_signed: bool,
    /// How long the self-signed certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 365, requires = "self_signed", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Let `export` hand out the private key
    #[arg(long)]
    exportable: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct RenewArgs {
    /// Thumbprint, or at least eight digits from its beginning
    thumbprint: String,
    /// Kind of the new key [default: as the old one]
    #[arg(long, value_enum, conflicts_with = "keep_key")]
    key: Option<KeyArg>,
    /// Ask for the old key once more, so that pins still fit
    #[arg(long)]
    keep_key: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Output {
    /// Where to write the request [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write DER instead of PEM
    #[arg(long, requires = "out")]
    der: bool,
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KeyArg {
    #[value(name = "ec-p256")]
    EcP256,
    #[value(name = "ec-p384")]
    EcP384,
    #[value(name = "rsa-2048")]
    Rsa2048,
    #[value(name = "rsa-3072")]
    Rsa3072,
    #[value(name = "rsa-4096")]
    Rsa4096,
}

pub fn request(args: &RequestArgs, place: &Place) -> Result<(), Refusal> {
    let settings = place.required_settings()?;
    let terms = terms(args, &settings)?;
    let key = args.key.kind().generate()?;
    if args.self_signed {
        return keep_self_signed(args, place, &terms, &key);
    }
    warn_if_useless(&terms, &settings);
    let about = RequestAbout {
        created: place.now,
        subject: terms.subject.to_string(),
        names: terms.names.clone(),
        key: args.key.kind().name().to_owned(),
        exportable: args.exportable,
        renews: None,
    };
    keep(place, &args.output, &terms, &key, &about)
}

/// The names in the order of their importance: the CN, what was asked for, what partners look for.
fn terms(args: &RequestArgs, settings: &Settings) -> Result<RequestTerms, Refusal> {
    let hostname = settings.hostname.as_str();
    let subject = match &args.subject {
        Some(subject) => subject.clone(),
        None => Subject::common(hostname).map_err(Refusal::usage)?,
    };
    let mut names: Vec<String> =
        subject.common_name().and_then(|name| parse_domain(name).ok()).into_iter().collect();
    names.extend(args.domains.iter().cloned());
    if args.domains.is_empty() {
        let receive = settings.receive_connectors.iter().map(|connector| &connector.fqdn);
        let send = settings.send_connectors.iter().map(|connector| &connector.fqdn);
        names.push(hostname.to_owned());
        names.extend(receive.chain(send).map(ToString::to_string));
    }
    if !args.no_accepted_domains {
        names.extend(settings.accepted_domains.iter().map(|domain| domain.name.to_string()));
    }
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    Ok(RequestTerms { subject, names: distinct })
}

/// A certificate that no connector would choose is seldom what was meant.
fn warn_if_useless(terms: &RequestTerms, settings: &Settings) {
    let has = |name: &Domain| terms.names.iter().any(|own| own == name.as_str() || covers(own, name));
    let receive = settings.receive_connectors.iter().map(|connector| &connector.fqdn);
    let mut wanted = receive.chain(settings.send_connectors.iter().map(|connector| &connector.fqdn));
    if !has(&settings.hostname) && !wanted.any(has) {
        eprintln!(
            "sealpost certificate: no connector would choose a certificate for {}; add its fqdn or the hostname {} \
             with --domain",
            terms.names.join(", "),
            settings.hostname
        );
    }
}

fn covers(pattern: &str, name: &Domain) -> bool {
    let parent = name.as_str().split_once('.').map(|(_, parent)| parent);
    pattern.strip_prefix("*.").is_some_and(|below| parent == Some(below))
}

fn keep_self_signed(
    args: &RequestArgs,
    place: &Place,
    terms: &RequestTerms,
    key: &KeyPair,
) -> Result<(), Refusal> {
    let lifetime = Duration::from_secs(u64::from(args.days) * 86_400);
    let certificate = self_signed_certificate(terms, key, place.now, lifetime)?;
    let about = About {
        created: place.now,
        origin: Origin::SelfSigned,
        exportable: args.exportable,
        enabled: true,
        preferred_since: None,
        missing: None,
    };
    let entry = place.store.writer()?.add(&[certificate], &private_key(key), &about)?;
    let (thumbprint, pem) = (&entry.certificate.thumbprint, certstore::chain_pem(&entry.certificate.chain));
    place.audit(
        "certificate request --self-signed",
        "",
        &format!("{thumbprint} {}", entry.certificate.subject),
    );
    if let Some(out) = &args.output.out {
        let bytes =
            if args.output.der { entry.certificate.chain[0].to_vec() } else { pem.clone().into_bytes() };
        write_out(out, &bytes, 0o644, false)?;
    }
    if args.output.json {
        let pin = entry.certificate.chain.first().and_then(certstore::pin).map(|pin| pin.to_string());
        print_json(
            &json!({ "thumbprint": thumbprint, "sha1": entry.sha1(), "subject": entry.certificate.subject,
            "names": entry.certificate.names, "pin": pin, "certificate": pem, "out": args.output.out }),
        );
    } else {
        if args.output.out.is_none() {
            print_out(pem.as_bytes());
        }
        eprint!("{thumbprint} made: {}\n{}", entry.certificate.subject, users(place, thumbprint, true));
    }
    Ok(())
}

pub fn renew(args: &RenewArgs, place: &Place) -> Result<(), Refusal> {
    let (old, exportable) = predecessor(&args.thumbprint, place)?;
    let old = &*old;
    let terms = RequestTerms { subject: subject_of(old)?, names: old.names.clone() };
    let (key, kind) = if args.keep_key {
        (certstore::key_pair(&old.key)?, key_words(old))
    } else {
        let kind = args.key.map_or_else(|| same_kind(old), KeyArg::kind);
        (kind.generate()?, kind.name().to_owned())
    };
    let about = RequestAbout {
        created: place.now,
        subject: terms.subject.to_string(),
        names: terms.names.clone(),
        key: kind,
        exportable,
        renews: Some(old.thumbprint.clone()),
    };
    keep(place, &args.output, &terms, &key, &about)
}

/// The certificate to be renewed, from the store or from files, and whether its key may leave.
fn predecessor(thumbprint: &str, place: &Place) -> Result<(Arc<OwnCertificate>, bool), Refusal> {
    if let Some(own) = place.file_certificate(thumbprint) {
        return Ok((own, false));
    }
    match place.find(thumbprint)? {
        Found::Certificate(thumbprint) => {
            let entry = place.store.entry(&thumbprint)?;
            Ok((Arc::new(entry.certificate), entry.about.exportable))
        }
        Found::Request(_) => Err(Refusal::no("a pending request is not renewed; remove it and make another")),
    }
}

fn subject_of(certificate: &OwnCertificate) -> Result<Subject, Refusal> {
    let unreadable = || Refusal::no(format!("certificate {} cannot be read", certificate.thumbprint));
    let leaf = certificate.chain.first().ok_or_else(unreadable)?;
    certstore::subject(leaf).ok_or_else(unreadable)
}

fn key_words(certificate: &OwnCertificate) -> String {
    let facts = certificate.chain.first().and_then(|leaf| CertificateFacts::read(leaf).ok());
    facts
        .map(|facts| facts.key.to_ascii_lowercase().replace([' '], "-").replace("p-", "p"))
        .unwrap_or_default()
}

fn same_kind(certificate: &OwnCertificate) -> KeyKind {
    let words = key_words(certificate);
    let kinds = [KeyKind::EcP256, KeyKind::EcP384, KeyKind::Rsa2048, KeyKind::Rsa3072, KeyKind::Rsa4096];
    kinds.into_iter().find(|kind| kind.name() == words).unwrap_or(KeyKind::EcP256)
}

/// Keeps the request until its answer comes, and hands it out.
fn keep(
    place: &Place,
    output: &Output,
    terms: &RequestTerms,
    key: &KeyPair,
    about: &RequestAbout,
) -> Result<(), Refusal> {
    let request = signing_request(terms, key)?;
    let id = certstore::key_id(&rcgen::PublicKeyData::subject_public_key_info(key));
    place.store.writer()?.add_request(&id, &request, &private_key(key), about)?;
    let what = if about.renews.is_some() { "certificate renew" } else { "certificate request" };
    place.audit(
        what,
        about.renews.as_deref().unwrap_or_default(),
        &format!("request {id} {}", terms.subject),
    );
    let pem = certstore::pem("CERTIFICATE REQUEST", &request);
    if let Some(out) = &output.out {
        let bytes = if output.der { &request[..] } else { pem.as_bytes() };
        write_out(out, bytes, 0o644, false).map_err(|refusal| {
            let sentence =
                format!("{}; `sealpost certificate export {id}` writes the request", refusal.sentence);
            Refusal { sentence, ..refusal }
        })?;
    }
    if output.json {
        print_json(&json!({ "id": id, "subject": about.subject, "names": about.names, "key": about.key,
            "exportable": about.exportable, "renews": about.renews, "request": pem.as_str(), "out": output.out }));
        return Ok(());
    }
    if output.out.is_none() {
        print_out(pem.as_bytes());
    }
    eprintln!("request {id} is kept; have it signed, and `sealpost certificate import` the answer");
    Ok(())
}

fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

impl KeyArg {
    fn kind(self) -> KeyKind {
        match self {
            Self::EcP256 => KeyKind::EcP256,
            Self::EcP384 => KeyKind::EcP384,
            Self::Rsa2048 => KeyKind::Rsa2048,
            Self::Rsa3072 => KeyKind::Rsa3072,
            Self::Rsa4096 => KeyKind::Rsa4096,
        }
    }
}

fn parse_subject(text: &str) -> Result<Subject, String> {
    text.parse().map_err(|error: certstore::SubjectError| error.to_string())
}

/// An A-label name, perhaps with a left-most wildcard.
fn parse_domain(text: &str) -> Result<String, String> {
    let (star, domain) = match text.strip_prefix("*.") {
        Some(parent) => ("*.", parent),
        None => ("", text),
    };
    let domain = Domain::parse_rooted(domain).map_err(|error| error.to_string())?;
    Ok(format!("{star}{domain}"))
}
