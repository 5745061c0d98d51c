//! Contoso's settings, Woodgrove's certificates and the grammar of scripts, for the sessions. All is
//! made once and in the way a server makes it: from a configuration file.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use sealpost::cli::demo::pki::{Authority, Validity};
use sealpost::config;
use sealpost::config::users_file::{self, Entry};
use sealpost::mail::Now;
use sealpost::policy::{ReceiveConnector, Settings};
use sealpost::smtp::sasl::{ITERATIONS_MIN, Verifier};
use sealpost::trust::{RevocationList, RevocationSet, TlsEvidence, TlsVersion};

pub const OURS: &str = "contoso.example";
/// On both secure lists.
pub const PARTNER: &str = "woodgrove.example";
/// On both secure lists, in report mode.
pub const REHEARSING: &str = "fabrikam.example";

/// Of the one user, alice.
pub const PASSWORD: &str = "correct horse";

/// Begins an event in a script; no octet of ordinary mail.
pub const EVENT: u8 = 1;

pub struct Lab {
    pub settings: Arc<Settings>,
    pub lists: Arc<RevocationSet>,
    pub now: Now,
    partner: Chain,
    other_name: Chain,
    stranger: Chain,
    expired: Chain,
    revoked: Chain,
}

type Chain = Vec<CertificateDer<'static>>;

/// What a script has happen, one after the other.
pub enum Step<'a> {
    Bytes(&'a [u8]),
    Event(u8),
}

/// What a peer shows in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Partner,
    Nothing,
    Stranger,
    OtherName,
    Expired,
    Revoked,
    Garbage,
}

pub static LAB: LazyLock<Lab> = LazyLock::new(Lab::new);

impl Lab {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let mut ours = Authority::new("Contoso").expect("an authority");
        let mut theirs = Authority::new("Woodgrove").expect("an authority");
        let mut strangers = Authority::new("Woodgrove").expect("an authority");
        ours.issue(&[OURS, "mx.contoso.example"], Validity::Current)
            .expect("a certificate")
            .write(home.path(), "contoso")
            .expect("files");
        let mut issue = |names: &[&str], validity| theirs.issue(names, validity).expect("a certificate");
        let partner = issue(&[PARTNER], Validity::Current);
        let other_name = issue(&["other.example"], Validity::Current);
        let expired = issue(&[PARTNER], Validity::Expired);
        let revoked = issue(&[PARTNER], Validity::Current);
        let stranger = strangers.issue(&[PARTNER], Validity::Current).expect("a certificate");
        theirs.revoke(&revoked, rcgen::RevocationReason::KeyCompromise);
        let list = theirs.revocation_list_pem().expect("a list");
        for (name, text) in [
            ("woodgrove-root.pem", theirs.root_pem()),
            ("woodgrove.crl", list.clone()),
            ("sealpost.toml", SETTINGS.to_owned()),
        ] {
            std::fs::write(home.path().join(name), text).expect("a file");
        }
        write_users(&home.path().join("users"));
        let loaded = config::load(&home.path().join("sealpost.toml"));
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems:?}"));
        let lists = RevocationList::parse("woodgrove.crl", list.as_bytes()).expect("a list");
        let lists = RevocationSet {
            epoch: 1,
            lists: lists.into_iter().map(Into::into).collect(),
            ..RevocationSet::default()
        };
        Self {
            settings: Arc::new(loaded.settings),
            lists: Arc::new(lists),
            now: Now { wall: Timestamp::now(), mono: Instant::now() },
            partner: partner.chain,
            other_name: other_name.chain,
            stranger: stranger.chain,
            expired: expired.chain,
            revoked: revoked.chain,
        }
    }

    /// A receive connector by its name: a session follows the settings, and no connector beside them.
    pub fn connector(&self, name: &str) -> &Arc<ReceiveConnector> {
        let found = self.settings.receive_connectors.iter().find(|connector| connector.name == name);
        found.expect("a connector of the settings")
    }

    pub fn now_and(&self, passed: Duration) -> Now {
        Now { mono: self.now.mono + passed, ..self.now }
    }

    pub fn evidence(&self, shown: Shown, version: TlsVersion) -> Arc<TlsEvidence> {
        Arc::new(TlsEvidence {
            version,
            cipher_suite: "TLS13_AES_256_GCM_SHA384".to_owned(),
            key_exchange: Some("X25519".to_owned()),
            resumed: false,
            peer_chain: match shown {
                Shown::Partner => self.partner.clone(),
                Shown::Nothing => Vec::new(),
                Shown::Stranger => self.stranger.clone(),
                Shown::OtherName => self.other_name.clone(),
                Shown::Expired => self.expired.clone(),
                Shown::Revoked => self.revoked.clone(),
                Shown::Garbage => vec![CertificateDer::from(b"0\x03\x02\x01\x05".to_vec())],
            },
            staple: None,
            channel_binding: None,
        })
    }
}

/// One user, who has a password.
fn write_users(path: &Path) {
    let verifier = Verifier::of_password(PASSWORD, b"0123456789abcdef", ITERATIONS_MIN);
    let name = "alice".to_owned();
    let alice = Entry { name, verifier: Some(verifier), certificate: Vec::new(), from: Vec::new() };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("a file");
    writeln!(file, "{}{alice}", users_file::beginning(b"secret")).expect("a file");
}

impl Shown {
    pub fn of(octet: u8) -> Self {
        match octet % 8 {
            0 | 7 => Shown::Partner,
            1 => Shown::Nothing,
            2 => Shown::Stranger,
            3 => Shown::OtherName,
            4 => Shown::Expired,
            5 => Shown::Revoked,
            _ => Shown::Garbage,
        }
    }
}

/// The steps of a script: an `EVENT` octet and the one behind it are an event, all else is what the
/// peer sends.
pub fn steps(mut script: &[u8]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    while !script.is_empty() {
        let end = memchr::memchr(EVENT, script).unwrap_or(script.len());
        let (bytes, rest) = script.split_at(end);
        if !bytes.is_empty() {
            steps.push(Step::Bytes(bytes));
        }
        if let Some(event) = rest.get(1) {
            steps.push(Step::Event(*event));
        }
        script = rest.get(2..).unwrap_or_default();
    }
    steps
}

const SETTINGS: &str = r#"
hostname = "mx.contoso.example"
data_directory = "data"

[transport]
header_from = "reject"

[trust]
anchors = []
crl_files = ["woodgrove.crl"]

[[partner]]
name = "Woodgrove"
domains = ["woodgrove.example"]
domain_secure = ["send", "receive"]
trust_anchors = ["woodgrove-root.pem"]

[[partner]]
name = "Fabrikam"
domains = ["fabrikam.example"]
domain_secure = ["send", "receive"]
trust_anchors = ["woodgrove-root.pem"]
mode = "report"

[[accepted_domain]]
name = "contoso.example"

[[accepted_domain]]
name = "hub.contoso.example"
from = "partners"

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[receive_connector]]
name = "Internet"
bindings = ["192.0.2.25:25"]
max_recipients_per_message = 3
tarpit_interval = "5 s"

[[receive_connector]]
name = "Internal"
bindings = ["192.0.2.26:25"]
remote_ip_ranges = ["198.51.100.0/24"]
domain_secure_enabled = false
permissions = ["submit", "relay"]
accept_organization_headers = true
max_message_size = "1 KiB"
tarpit_interval = "0 s"

[[receive_connector]]
name = "Internet, checked"
bindings = ["192.0.2.27:25"]
max_recipients_per_message = 3
tarpit_interval = "5 s"
spf = "enforce"
dkim = "enforce"

[[receive_connector]]
name = "Internal, checked"
bindings = ["192.0.2.28:25"]
remote_ip_ranges = ["198.51.100.0/24"]
domain_secure_enabled = false
permissions = ["submit", "relay"]
accept_organization_headers = true
max_message_size = "1 KiB"
tarpit_interval = "0 s"
spf = "enforce"
dkim = "enforce"

[[receive_connector]]
name = "Users"
bindings = ["192.0.2.29:465"]
implicit_tls = true
auth_mechanism = ["tls", "basic", "scram-sha-256", "external"]
permissions = ["authenticated-relay"]
tarpit_interval = "0 s"

[authentication]
users_file = "users"

[[send_connector]]
name = "Internet"
address_spaces = ["*"]
"#;

/// That both plays of a script came to the same; where they part is told line by line.
pub fn assert_same(what: &str, by_pieces: &[String], by_octets: &[String]) {
    let parts = by_pieces.iter().zip(by_octets).position(|(one, other)| one != other);
    let at = parts.unwrap_or(by_pieces.len().min(by_octets.len()));
    let (one, other) = (by_pieces.get(at), by_octets.get(at));
    assert_eq!(one, other, "{what} depends on the pieces, at line {at}");
}

/// Octets as lines, to be compared and shown.
pub fn lines(octets: &[u8]) -> Vec<String> {
    octets.split_inclusive(|octet| *octet == b'\n').map(|line| line.escape_ascii().to_string()).collect()
}

/// A file of this thread's own with that content, for what reads files.
pub fn scratch(name: &str, content: &[u8]) -> PathBuf {
    thread_local! {
        static HOME: tempfile::TempDir = tempfile::tempdir().expect("a directory");
    }
    let path = HOME.with(|home| home.path().join(name));
    std::fs::write(&path, content).expect("a file");
    path
}
