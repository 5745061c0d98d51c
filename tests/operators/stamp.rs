//! The stamp proven: what leaves with one is signed, dkimpy and our own command verify it, and nobody
//! brings such a signature along.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use sealpost::cli::demo::client::{Disguise, Letter, send};
use sealpost::cli::demo::dns::{DnsServer, Zone};

use crate::common::{Edge, OURS, PARTNER, STRANGER, Site, command, executable, missing};

/// Where the distribution's own Python lies; others do not know its packages.
const PYTHON: &str = "/usr/bin/python3";

/// Verifies the first signature of the message on standard input with the record given.
const VERIFIER: &str = r"
import sys, dkim
record = sys.argv[1].encode()
def dns(name, timeout=5):
    assert name == b'stamp._domainkey.contoso.example.', name
    return record
d = dkim.DKIM(sys.stdin.buffer.read(), minkey=1024)
sys.exit(0 if d.verify(idx=0, dnsfunc=dns) else 1)
";

struct Signed {
    site: Site,
    edge: Edge,
    record: String,
}

/// An edge that signs with a key of this kind; `more` is added to its settings.
async fn signing(kind: &str, more: &str) -> Signed {
    let site = Site::new().await;
    let config = site.write_settings(&site.settings(""));
    let key = site.path("stamp.key");
    let file = key.to_str().unwrap();
    let (status, made, error) =
        command(&config, &["stamp", "key", file, "--kind", kind, "--domain", OURS, "--json"]);
    assert_eq!(status, 0, "{made}{error}");
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["name"], format!("stamp._domainkey.{OURS}"));
    let settings = format!("[stamp]\nsigning_domain = \"{OURS}\"\nsigning_key = \"stamp.key\"\n{more}");
    let edge = site.start_edge(&settings);
    Signed { site, edge, record: made["record"].as_str().unwrap().to_owned() }
}

impl Signed {
    /// The message of the partner as it lies in the mailbox.
    async fn pass(&self, letter: Letter) -> String {
        let sent =
            send(self.edge.internet, Disguise::Certificate(&self.site.partner), &letter).await.unwrap();
        assert!(sent.is_positive(), "{sent:?}");
        self.site.arrival(&letter.from).await.content
    }

    /// What `sealpost stamp verify` says of it: status, output.
    fn verify(&self, message: &str, config: &Path, more: &[&str]) -> (i32, String) {
        let file = self.site.path("message.eml");
        std::fs::write(&file, message).unwrap();
        let arguments = [&["stamp", "verify", file.to_str().unwrap()], more].concat();
        let (status, out, error) = command(config, &arguments);
        (status, out + &error)
    }

    fn with_record(&self) -> String {
        let file = self.site.path("record.txt");
        std::fs::write(&file, &self.record).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

fn letter(local: &str) -> Letter {
    Letter::new(&format!("{local}@{PARTNER}"), &format!("bert@{OURS}"), "the  stamp")
}

fn dkimpy(message: &str, record: &str) -> Option<bool> {
    let modules = ["-c", "import dkim, nacl"];
    let there = Path::new(PYTHON).is_file()
        && Command::new(PYTHON).args(modules).stderr(Stdio::null()).status().unwrap().success();
    if !there {
        missing("stamp", "python3-dkim or python3-nacl not found");
        return None;
    }
    let mut verifier =
        Command::new(PYTHON).args(["-c", VERIFIER, record]).stdin(Stdio::piped()).spawn().unwrap();
    verifier.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
    Some(verifier.wait().unwrap().success())
}

fn signatures(message: &str) -> usize {
    let head = message.split("\r\n\r\n").next().unwrap();
    head.lines().filter(|line| line.to_ascii_lowercase().starts_with("dkim-signature:")).count()
}

async fn proved(kind: &str, more: &str, body: &str) {
    let signed = signing(kind, more).await;
    let mut letter = letter("anna");
    letter.content.push_str(body);
    let message = signed.pass(letter).await;
    assert!(message.starts_with("DKIM-Signature: v=1; "), "{}", &message[..400]);
    let record = signed.with_record();
    let config = &signed.edge.config;
    let (status, said) = signed.verify(&message, config, &["--key", &record]);
    assert!(status == 0 && said.contains(&format!("domain-secured from {PARTNER}")), "{said}");
    assert_ne!(dkimpy(&message, &signed.record), Some(false), "{}", &message[..800]);
    let bent = message.replacen("the  stamp", "the clamp", 1);
    let (status, said) = signed.verify(&bent, config, &["--key", &record]);
    assert!(status == 1 && said.contains("does not hold"), "{said}");
    assert_ne!(dkimpy(&bent, &signed.record), Some(true));
    let forged = format!("Domain-Secured: domain=fabrikam.example; verified=chain\r\n{message}");
    assert_eq!(signed.verify(&forged, config, &["--key", &record]).0, 1);
    assert_ne!(dkimpy(&forged, &signed.record), Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stamp_signed_with_ed25519_is_proved_to_others() {
    proved("ed25519", "", "\r\nends in blanks  \t\r\n\r\n\r\n").await;
}

/// Too large for the journal: the content lies in a file, and is read twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_signed_with_rsa_is_proved_to_others() {
    let body: String = (0..20_000).map(|line| format!("line {line}  of many\r\n")).collect();
    proved("rsa-2048", "", &body).await;
}

/// The next hop has it before it is durable, and has it signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_cut_through_is_signed() {
    proved("ed25519", "[queue]\ncut_through = true\n", "more\r\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_brings_a_signature_in_our_name_along() {
    let signed = signing("ed25519", "").await;
    let genuine = signed.pass(letter("anna")).await;
    let (head, _) = genuine.split_once("\r\n\r\n").unwrap();
    // Up to the first line of another field.
    let end = head.find("\r\nReceived:").unwrap();
    let signature = &head[..end];
    let stamp = head.split("\r\n").find(|line| line.starts_with("Domain-Secured:")).unwrap();
    // A stranger who has seen a stamped message sends it again, signature, stamp and all.
    let mut replay = Letter::new(&format!("eve@{STRANGER}"), &format!("bert@{OURS}"), "x");
    replay.content = genuine.clone();
    let sent = send(signed.edge.internet, Disguise::Clear, &replay).await.unwrap();
    assert!(sent.is_positive(), "{sent:?}");
    let arrived = signed.site.arrival(&replay.from).await.content;
    // Its From: is the partner's and unproved, so it is marked, and that mark is signed.
    assert_eq!((signatures(&arrived), arrived.contains(stamp)), (1, false), "{arrived}");
    let record = signed.with_record();
    let (status, said) = signed.verify(&arrived, &signed.edge.config, &["--key", &record]);
    assert!(status == 1 && said.contains("was not domain-secured"), "{said}");
    // The partner itself brings one along, folded and in other letters.
    let again = letter("carl").with_field(&signature.replace("DKIM-Signature:", "dkim-signature :"));
    let arrived = signed.pass(again).await;
    assert_eq!(signatures(&arrived), 1, "{arrived}");
    assert_eq!(signed.verify(&arrived, &signed.edge.config, &["--key", &record]).0, 0);
    // Without a stamp nothing is signed; other signatures stay.
    let foreign = format!("DKIM-Signature: v=1; d={STRANGER}; s=a; h=from; bh=x; b=y");
    let plain = Letter::new(&format!("dora@{STRANGER}"), &format!("bert@{OURS}"), "x").with_field(&foreign);
    assert!(send(signed.edge.internet, Disguise::Clear, &plain).await.unwrap().is_positive());
    let arrived = signed.site.arrival(&plain.from).await.content;
    assert!(arrived.contains(&foreign) && signatures(&arrived) == 1, "{arrived}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_found_in_the_dns_and_a_new_selector_takes_effect() {
    let signed = signing("ed25519", "").await;
    let message = signed.pass(letter("anna")).await;
    let zone = Zone::default().text(&format!("stamp._domainkey.{OURS}"), &signed.record);
    let dns = DnsServer::start(&zone).await.unwrap();
    let settings = signed.site.settings("");
    let settings = settings.replace(&signed.site.dns.address().to_string(), &dns.address().to_string());
    let elsewhere = signed.site.path("elsewhere.toml");
    std::fs::write(&elsewhere, settings).unwrap();
    let (status, said) = signed.verify(&message, &elsewhere, &["--domain", OURS, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &told["verified"]), (0, &true.into()), "{said}");
    assert_eq!(told["stamps"][0]["domain"], PARTNER);
    assert_eq!(told["signature"]["algorithm"], "ed25519-sha256");
    // Mailboxes keep messages with bare line feeds, and mail readers hand them over by a pipe.
    let mut child = Command::new(executable())
        .args(["stamp", "verify", "--domain", OURS, "-c"])
        .arg(&elsewhere)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(message.replace("\r\n", "\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let (status, said) = signed.verify(&message, &elsewhere, &["--domain", PARTNER]);
    assert!(status == 1 && said.contains("no signature of"), "{said}");
    assert_eq!(signed.verify(&message, &elsewhere, &[]).0, 2, "whose signature?");

    let (status, _, error) = signed.edge.command(&["config", "set", "stamp.selector", "next", "--reload"]);
    assert_eq!(status, 0, "{error}");
    let message = signed.pass(letter("carl")).await;
    assert!(message.contains("; s=next; "), "{message}");
    let (status, _, error) = signed.edge.command(&["stamp", "key"]);
    assert!(status == 1 && error.contains("is not replaced"), "{error}");
    let (status, shown, _) = signed.edge.command(&["stamp", "key", "--show"]);
    assert!(
        status == 0 && shown.contains(&format!("next._domainkey.{OURS}. IN TXT \"{}\"", signed.record)),
        "{shown}"
    );
}
