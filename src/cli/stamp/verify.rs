//! `sealpost stamp verify`: exit status 0 only for a message whose stamp says that it was domain-secured,
//! and whose signature holds.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::certstore::stamp_key;
use crate::cli::certificate::place::Refusal;
use crate::cli::page::Page;
use crate::cli::print::{print_json, print_out};
use crate::config::{self, format};
use crate::disk;
use crate::mail::Domain;
use crate::net::authentication::Authenticator;
use crate::net::stamp_signature::{self, Proof, Unproved};
use crate::observe::text::escape;
use crate::policy::{DnsSettings, Dnssec, Settings};

/// Largest message read, octets.
const MESSAGE_BYTES_MAX: u64 = 256 << 20;
/// Largest file with a key or a record, octets.
const KEY_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The message as it lies in the mailbox; `-` is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Whose signature proves it [default: `signing_domain` of `[stamp]`]
    #[arg(long)]
    domain: Option<String>,
    /// A file with the text of the DNS record, or with the key itself; without it the DNS is asked
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

/// What a stamp says, for those who read it.
struct Stamp<'a> {
    domain: Option<&'a str>,
    by: Option<&'a str>,
    verified: Vec<&'a str>,
}

pub fn run(args: &VerifyArgs, config: &Path) -> Result<u8, Refusal> {
    let surveyed = config::survey(config);
    let domain = domain(args, surveyed.as_ref())?;
    let settings = surveyed.ok();
    let record = args.key.as_deref().map(record).transpose()?;
    let message = with_crlf(&read(&args.file)?);
    let nobody = DnsSettings { servers: Vec::new(), dnssec: Dnssec::Off };
    let dns = settings.as_ref().map_or(&nobody, |settings| &settings.dns);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Refusal::no(format!("cannot start: {error}; try again")))?;
    let proved = runtime.block_on(async {
        let authenticator = Authenticator::new(dns).map_err(Refusal::no)?;
        Ok::<_, Refusal>(stamp_signature::verify(&authenticator, &message, &domain, record.as_deref()).await)
    })?;
    match proved {
        Ok(proof) => Ok(told(&proof, args.json)),
        Err(error @ Unproved::BadKey { .. }) => Err(Refusal::usage(error)),
        Err(error) if args.json => {
            print_json(&json!({"verified": false, "reason": error.to_string()}));
            Ok(1)
        }
        Err(error) => Err(Refusal::no(escape(&error.to_string()))),
    }
}

fn told(proof: &Proof, json: bool) -> u8 {
    let stamps: Vec<Stamp<'_>> = proof.stamps.iter().map(|text| Stamp::read(text)).collect();
    let good = good(&stamps);
    let signed_at = proof.signed_at.map(|at| at.to_string());
    if json {
        let stamps = stamps.iter().zip(&proof.stamps).map(|(stamp, text)| {
            json!({"domain": stamp.domain, "by": stamp.by, "verified": stamp.verified, "text": text})
        });
        print_json(&json!({
            "verified": good.is_some(),
            "reason": good.is_none().then_some(NOT_SECURED),
            "signature": {
                "domain": proof.domain, "selector": proof.selector, "algorithm": proof.algorithm,
                "signed_at": signed_at,
            },
            "stamps": stamps.collect::<Vec<_>>(),
        }));
        return u8::from(good.is_none());
    }
    let mut page = Page::default();
    match good {
        Some(stamp) => page.heading(&format!("domain-secured from {}", stamp.domain.unwrap_or_default())),
        None => page.heading(NOT_SECURED),
    }
    for text in &proof.stamps {
        page.row("  ", "stamp", text);
    }
    let at = signed_at.map(|at| format!(", at {at}")).unwrap_or_default();
    let by = format!("{} under {}, {}{at}", proof.domain, proof.selector, proof.algorithm);
    page.row("  ", "signed by", &by);
    print_out(page.into_text().as_bytes());
    u8::from(good.is_none())
}

/// The first, where every one says domain-secured: beside one that warns, the others count for nothing.
fn good<'a, 'b>(stamps: &'b [Stamp<'a>]) -> Option<&'b Stamp<'a>> {
    stamps.first().filter(|_| stamps.iter().all(|stamp| stamp.domain.is_some()))
}

const NOT_SECURED: &str = "the signature holds, and the stamp says that the message was not domain-secured";

impl<'a> Stamp<'a> {
    fn read(text: &'a str) -> Self {
        let value = |name: &str| text.split("; ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        // `none; from=…` is a stamp that warns.
        let domain = text.strip_prefix("domain=").and(value("domain"));
        // It stands last; before it are texts of certificates, which may hold anything.
        let verified = text.rsplit("; ").next().and_then(|part| part.strip_prefix("verified="));
        let verified = verified.unwrap_or_default().split(',').filter(|word| !word.is_empty());
        Self { domain, by: value("by"), verified: verified.collect() }
    }
}

fn domain(args: &VerifyArgs, settings: Result<&Settings, &Vec<config::Problem>>) -> Result<Domain, Refusal> {
    if let Some(text) = &args.domain {
        let wrong = |wrong: format::Wrong| Refusal::usage(format!("{}; {}", wrong.what, wrong.remedy));
        return format::domain(text).map_err(wrong);
    }
    match settings.map(|settings| &settings.stamp_signing) {
        Ok(Some(signing)) => Ok(signing.domain.clone()),
        Ok(None) => Err(Refusal::usage(
            "the configuration names no signing_domain; name the domain whose signature counts with --domain",
        )),
        Err(problems) => {
            crate::cli::config::report(problems);
            Err(Refusal::usage(
                "the settings have the errors above; mend them, or name the domain whose signature counts with \
                 --domain",
            ))
        }
    }
}

fn record(path: &Path) -> Result<String, Refusal> {
    let bytes = disk::read(path, KEY_BYTES_MAX).map_err(|error| unreadable(path, &error))?;
    if bytes.windows(b"-----BEGIN".len()).any(|window| window == b"-----BEGIN") {
        let key = stamp_key::read(path).map_err(Refusal::usage)?;
        return Ok(stamp_key::record(&key));
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // A line of a zone file: what stands between the quotes, one after the other.
    match text.contains('"') {
        true => Ok(text.split('"').skip(1).step_by(2).collect()),
        false => Ok(text),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let read = match path == Path::new("-") {
        true => disk::read_all(io::stdin().lock(), MESSAGE_BYTES_MAX),
        false => disk::read(path, MESSAGE_BYTES_MAX),
    };
    read.map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Refusal {
    Refusal::usage(format!("{}: cannot be read ({error}); name a readable file", path.display()))
}

/// As it came over the wire: files keep messages with bare line feeds.
fn with_crlf(message: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(message.len() + message.len() / 32);
    let mut last = 0;
    for octet in message {
        if *octet == b'\n' && last != b'\r' {
            lines.push(b'\r');
        }
        lines.push(*octet);
        last = *octet;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_that_warns_is_no_good_one() {
        let good = Stamp::read("domain=woodgrove.example; by=mx.contoso.example; verified=chain,name");
        assert_eq!((good.domain, good.by), (Some("woodgrove.example"), Some("mx.contoso.example")));
        assert_eq!(good.verified, ["chain", "name"]);
        for bad in ["none; from=woodgrove.example", "none; domain=woodgrove.example", "", "x; domain=y"] {
            assert_eq!(Stamp::read(bad).domain, None, "{bad}");
        }
    }

    #[test]
    fn one_that_warns_spoils_all() {
        let [good_one, warning] = ["domain=woodgrove.example; verified=chain", "none; from=fabrikam.example"];
        for (texts, domain) in [
            (&[good_one][..], Some("woodgrove.example")),
            (&[good_one, good_one], Some("woodgrove.example")),
            (&[good_one, warning], None),
            (&[warning, good_one], None),
            (&[], None),
        ] {
            let stamps: Vec<Stamp<'_>> = texts.iter().map(|text| Stamp::read(text)).collect();
            assert_eq!(good(&stamps).and_then(|stamp| stamp.domain), domain, "{texts:?}");
        }
    }

    #[test]
    fn line_ends_become_those_of_the_wire() {
        assert_eq!(with_crlf(b"a\nb\r\nc\n\n"), b"a\r\nb\r\nc\r\n\r\n");
    }
}
