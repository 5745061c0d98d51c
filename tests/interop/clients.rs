//! Foreign clients, each with the partner's certificate, without one, and with a revoked one: msmtp
//! (GnuTLS), s-nail (OpenSSL), Python's smtplib and nodemailer.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealpost::cli::demo::pki::IdentityFiles;

use crate::common::{Edge, OURS, PARTNER, Site, tool};
use crate::peers;

const TEXT: &str = "from a client\n.a dot\nGr\u{fc}\u{df}e\n";

/// What a client is to do.
struct Errand<'a> {
    edge: &'a Edge,
    from: &'a str,
    to: &'a str,
    shows: Option<&'a IdentityFiles>,
    /// A folder for its files.
    home: &'a Path,
}

/// The command, and what it reads.
type Client = fn(&Errand<'_>) -> Option<(Command, Vec<u8>)>;

impl Errand<'_> {
    fn message(&self) -> String {
        let Self { from, to, .. } = self;
        format!(
            "From: <{from}>\nTo: <{to}>\nSubject: client\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{TEXT}"
        )
    }
}

fn msmtp(errand: &Errand<'_>) -> Option<(Command, Vec<u8>)> {
    let mut command = Command::new(tool("msmtp", "msmtp")?);
    command
        .args(["--file=/dev/null", "--tls=on", "--tls-starttls=on", "--tls-certcheck=off", "--auth=off"])
        .arg(format!("--host={}", errand.edge.internet.ip()))
        .arg(format!("--port={}", errand.edge.internet.port()))
        .arg(format!("--from={}", errand.from));
    if let Some(files) = errand.shows {
        command.arg(format!("--tls-cert-file={}", files.chain.display()));
        command.arg(format!("--tls-key-file={}", files.key.display()));
    }
    command.arg(errand.to);
    Some((command, errand.message().into_bytes()))
}

fn s_nail(errand: &Errand<'_>) -> Option<(Command, Vec<u8>)> {
    let mut command = Command::new(tool("s-nail", "s-nail")?);
    command.args(["-:/", "-Sv15-compat", "-Ssendwait", "-Ssmtp-use-starttls", "-Ssmtp-auth=none"]);
    command.args(["-Stls-verify=ignore", "-Sttycharset=utf-8", "-Smime-encoding=8bit"]);
    command.arg(format!("-Smta=smtp://{}", errand.edge.internet));
    if let Some(files) = errand.shows {
        let (chain, key) = (files.chain.display(), files.key.display());
        command.arg(format!("-Stls-config-pairs=Certificate={chain},PrivateKey={key}"));
    }
    command.args(["-r", errand.from, "-s", "client", errand.to]).env("HOME", errand.home);
    Some((command, TEXT.as_bytes().to_vec()))
}

fn smtplib(errand: &Errand<'_>) -> Option<(Command, Vec<u8>)> {
    const SCRIPT: &str = "
import smtplib, ssl, sys
host, port, sender, recipient, *pair = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
if pair:
    context.load_cert_chain(*pair)
with smtplib.SMTP(host, int(port), local_hostname='client.example', timeout=20) as client:
    client.starttls(context=context)
    client.sendmail(sender, [recipient], sys.stdin.buffer.read().replace(b'\\n', b'\\r\\n'), mail_options=['BODY=8BITMIME'])
";
    let mut command = Command::new(tool("smtplib", "python3")?);
    command.args(["-c", SCRIPT, &errand.edge.internet.ip().to_string()]);
    command.args([&errand.edge.internet.port().to_string(), errand.from, errand.to]);
    if let Some(files) = errand.shows {
        command.args([&files.chain, &files.key]);
    }
    Some((command, errand.message().into_bytes()))
}

fn nodemailer(errand: &Errand<'_>) -> Option<(Command, Vec<u8>)> {
    const SCRIPT: &str = "
const [modules, host, port, from, to, chain, key] = process.argv.slice(1)
const { readFileSync } = require('fs')
const tls = { rejectUnauthorized: false }
if (chain) { tls.cert = readFileSync(chain); tls.key = readFileSync(key) }
const transport = require(modules + '/nodemailer').createTransport({ host, port, requireTLS: true, tls })
const raw = readFileSync(0)
transport.sendMail({ envelope: { from, to, use8BitMime: true }, raw }, (error) => {
  if (error) { console.error(error.response ?? error); process.exit(1) }
  process.exit(0)
})
";
    let modules: PathBuf = peers::unpacked("nodemailer", "node/node_modules")?;
    let mut command = Command::new(tool("nodemailer", "node")?);
    command.args(["-e", SCRIPT]).arg(modules).arg(errand.edge.internet.ip().to_string());
    command.args([&errand.edge.internet.port().to_string(), errand.from, errand.to]);
    if let Some(files) = errand.shows {
        command.args([&files.chain, &files.key]);
    }
    Some((command, errand.message().into_bytes()))
}

/// Whether it counts as sent, and all it says; none where the client is missing.
fn run(client: Client, errand: &Errand<'_>) -> Option<(bool, String)> {
    let (mut command, input) = client(errand)?;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

async fn with_each_certificate(client: Client) {
    let site = Site::new().await;
    let edge = site.start_edge("");
    let home = site.path("");
    let revoked = site.revoked.write(&home, "revoked").unwrap();
    let (from, to) = (format!("bob@{PARTNER}"), format!("alice@{OURS}"));
    let errand = |shows| Errand { edge: &edge, from: &from, to: &to, shows, home: &home };
    for (shows, fault) in [(None, "NoCertificate"), (Some(&revoked), "Revoked")] {
        let Some((sent, said)) = run(client, &errand(shows)) else { return };
        assert!(!sent, "{fault}: {said}");
        assert!(said.contains("5.7.5") && said.contains(fault), "no {fault} in {said}");
    }
    assert!(site.mailbox.all().is_empty());
    let Some((sent, said)) = run(client, &errand(Some(&site.partner_files))) else { return };
    assert!(sent, "{said}\n{}", site.log());
    let kept = site.arrival(&from).await;
    let stamp = kept.field("Domain-Secured").expect("a stamp");
    assert!(stamp.contains(&format!("domain={PARTNER}")), "{stamp}");
    assert!(kept.content.ends_with(&TEXT.replace('\n', "\r\n")), "{}", kept.content);
}

#[tokio::test(flavor = "multi_thread")]
async fn msmtp_is_domain_secured_with_its_certificate_and_told_why_not_without() {
    with_each_certificate(msmtp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_nail_is_domain_secured_with_its_certificate_and_told_why_not_without() {
    with_each_certificate(s_nail).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn smtplib_is_domain_secured_with_its_certificate_and_told_why_not_without() {
    with_each_certificate(smtplib).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodemailer_is_domain_secured_with_its_certificate_and_told_why_not_without() {
    with_each_certificate(nodemailer).await;
}
