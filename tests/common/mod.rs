//! What the whole-process tests share: a site with certificates, DNS and a mailbox; `sealpost` as a
//! child process; tools from the distribution, loudly missed.
//!
//! Nothing here uses a fixed port or address: each site takes a /24 of 127.0.0.0/8 of its own.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub mod http;
pub mod naive;
pub mod settled;

use rcgen::RevocationReason;
use sealpost::cli::demo::dns::{DnsServer, Zone};
use sealpost::cli::demo::mailbox::{Delivered, Mailbox};
use sealpost::cli::demo::pki::{Authority, Identity, IdentityFiles, Validity};
use sealpost::cli::demo::server::Server;
use tempfile::TempDir;

use settled::settled;

/// For mail to arrive on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const OURS: &str = "contoso.example";
pub const PARTNER: &str = "woodgrove.example";
/// On no list.
pub const STRANGER: &str = "litware.example";

/// The program under test.
pub fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sealpost"))
}

/// Loopback addresses of our own, 127.R.S.1 and up, with one port free on all of them when asked:
/// an MX record names no port, so everybody in a test listens on the same one.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    octets: [u8; 2],
    pub port: u16,
}

/// Contoso's side of a test: files, DNS and the mailbox behind the edge.
pub struct Site {
    directory: TempDir,
    pub network: Network,
    pub dns: DnsServer,
    pub mailbox: Mailbox,
    pub partner: Identity,
    pub partner_files: IdentityFiles,
    pub revoked: Identity,
    /// Contoso's authority, and the partner's, for more certificates and lists.
    pub own_authority: Authority,
    pub authority: Authority,
}

impl Network {
    const HOSTS: u8 = 8;

    pub fn reserve() -> Self {
        loop {
            let octets = [rand::random_range(16..=250), rand::random()];
            let mut network = Self { octets, port: 0 };
            let Ok(probe) = TcpListener::bind(network.at(1)) else { continue };
            network.port = probe.local_addr().unwrap().port();
            if (2..=Self::HOSTS).all(|host| TcpListener::bind(network.at(host)).is_ok()) {
                return network;
            }
        }
    }

    pub fn ip(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(127, self.octets[0], self.octets[1], host).into()
    }

    /// The shared port of one host.
    pub fn at(&self, host: u8) -> SocketAddr {
        (self.ip(host), self.port).into()
    }

    /// A port of that host that is free now.
    pub fn free(&self, host: u8) -> SocketAddr {
        TcpListener::bind((self.ip(host), 0)).unwrap().local_addr().unwrap()
    }
}

/// Host numbers within a site's network.
pub const EDGE: u8 = 1;
pub const PARTNER_HOST: u8 = 2;
pub const STRANGER_HOST: u8 = 3;
pub const MAILBOX_HOST: u8 = 4;
/// Where the edge listens for its own users; two connectors on one binding would be told apart by
/// the remote address only.
pub const INSIDE: u8 = 5;
/// crl.woodgrove.example: where the partner's authority publishes its lists.
pub const LIST_HOST: u8 = 6;

impl Site {
    /// Makes certificates, writes them, and starts DNS and mailbox; no edge yet.
    pub async fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("sealpost-test-").tempdir().unwrap();
        open_to_other_users(directory.path());
        let network = Network::reserve();
        let mut ours = Authority::new("Contoso").unwrap();
        let mut theirs = Authority::new("Woodgrove").unwrap();
        let home = directory.path();
        let (own_host, partner_host) = (format!("mx.{OURS}"), format!("mx.{PARTNER}"));
        ours.issue(&[OURS, &own_host], Validity::Current).unwrap().write(home, "contoso").unwrap();
        let partner = theirs.issue(&[PARTNER, &partner_host], Validity::Current).unwrap();
        let partner_files = partner.write(home, "woodgrove").unwrap();
        let revoked = theirs.issue(&[PARTNER], Validity::Current).unwrap();
        theirs.revoke(&revoked, RevocationReason::KeyCompromise);
        for (name, authority) in [("contoso", &mut ours), ("woodgrove", &mut theirs)] {
            std::fs::write(home.join(format!("{name}-root.pem")), authority.root_pem()).unwrap();
            let list = authority.revocation_list_pem().unwrap();
            std::fs::write(home.join(format!("{name}.crl")), list).unwrap();
        }
        let stranger_host = format!("mx.{STRANGER}");
        let zone = Zone::default()
            .mx(OURS, 10, &own_host)
            .address(&own_host, network.ip(EDGE))
            .mx(PARTNER, 10, &partner_host)
            .address(&partner_host, network.ip(PARTNER_HOST))
            .mx(STRANGER, 10, &stranger_host)
            .address(&stranger_host, network.ip(STRANGER_HOST))
            .address(&format!("crl.{PARTNER}"), network.ip(LIST_HOST));
        let dns = DnsServer::start(&zone).await.unwrap();
        let mailbox = Mailbox::start((network.ip(MAILBOX_HOST), 0).into()).await.unwrap();
        let (own_authority, authority) = (ours, theirs);
        Self { directory, network, dns, mailbox, partner, partner_files, revoked, own_authority, authority }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts Contoso's edge; `more` is added to its settings.
    pub fn start_edge(&self, more: &str) -> Edge {
        self.start_edge_trusting("crl_files = [\"woodgrove.crl\"]", more)
    }

    /// As `start_edge`, with these lines in `[trust]` in place of the list from a file.
    pub fn start_edge_trusting(&self, trust: &str, more: &str) -> Edge {
        self.start_edge_with(&self.settings_trusting(trust, more))
    }

    /// Starts an edge with settings of the test's own.
    pub fn start_edge_with(&self, settings: &str) -> Edge {
        let config = self.write_settings(settings);
        let server = Server::start(executable(), &config, &self.path("server.log")).unwrap();
        Edge {
            internet: server.ready.connector("Internet").unwrap(),
            internal: server.ready.connector("Internal").unwrap(),
            admin: server.ready.admin.unwrap(),
            config,
            server,
        }
    }

    /// Writes settings without starting anything.
    pub fn write_settings(&self, text: &str) -> PathBuf {
        let config = self.path("sealpost.toml");
        std::fs::write(&config, text).unwrap();
        config
    }

    /// The message from `sender` as it lies in the mailbox, once it is there.
    pub async fn arrival(&self, sender: &str) -> Delivered {
        let found = self.mailbox.wait_for(|kept| kept.from == sender, PATIENCE).await;
        found.unwrap_or_else(|| panic!("nothing from {sender} arrived; server log:\n{}", self.log()))
    }

    pub fn log(&self) -> String {
        settled(&self.path("server.log"))
    }

    /// What `start_edge` writes.
    pub fn settings(&self, more: &str) -> String {
        self.settings_trusting("crl_files = [\"woodgrove.crl\"]", more)
    }

    fn settings_trusting(&self, trust: &str, more: &str) -> String {
        let (edge, inside) = (self.network.ip(EDGE), self.network.ip(INSIDE));
        let (port, mailbox) = (self.network.port, self.mailbox.address());
        format!(
            r#"hostname = "mx.{OURS}"
data_directory = "data"

[trust]
anchors = ["contoso-root.pem"]
{trust}

[[partner]]
name = "Woodgrove"
domains = ["{PARTNER}"]
domain_secure = ["send", "receive"]
trust_anchors = ["woodgrove-root.pem"]

[[accepted_domain]]
name = "{OURS}"

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[receive_connector]]
name = "Internet"
bindings = ["{edge}:0"]
message_rate_limit = 1000000

[[receive_connector]]
name = "Internal"
bindings = ["{inside}:0"]
domain_secure_enabled = false
permissions = ["submit", "relay"]
max_inbound_connections_per_source = 1000
message_rate_limit = 1000000

[[send_connector]]
name = "Internet"
address_spaces = ["*"]
port = {port}

[[send_connector]]
name = "Mailboxes"
address_spaces = ["{OURS}"]
dns_routing_enabled = false
smart_hosts = ["[{mailbox_ip}]:{mailbox_port}"]

[dns]
servers = ["{dns}"]

[admin]
listen = "127.0.0.1:0"

{more}
"#,
            mailbox_ip = mailbox.ip(),
            mailbox_port = mailbox.port(),
            dns = self.dns.address(),
        )
    }
}

/// A running edge; killed when dropped.
pub struct Edge {
    pub server: Server,
    pub config: PathBuf,
    pub internet: SocketAddr,
    pub internal: SocketAddr,
    pub admin: SocketAddr,
}

impl Edge {
    /// Runs one of our commands with this edge's settings: status, standard output, standard error.
    pub fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        command(&self.config, arguments)
    }
}

/// Runs one of our commands with these settings: status, standard output, standard error.
pub fn command(config: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(executable()).args(arguments).arg("-c").arg(config).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// A program of the distribution. Where it is missing the test says so and is skipped, or fails
/// when `SEALPOST_TESTS_REQUIRE_ALL=1` (as in CI).
pub fn tool(test: &str, name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        missing(test, &format!("{name} not found"));
    }
    found
}

/// Says why a test is skipped, or fails it where nothing may be skipped.
pub fn missing(test: &str, why: &str) {
    let sentence = format!("SKIPPED: {test}: {why}");
    let required = std::env::var("SEALPOST_TESTS_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!required, "{sentence}, and SEALPOST_TESTS_REQUIRE_ALL=1");
    // Not println: the test harness would swallow it, and a skipped test must be heard.
    std::io::stderr().write_all(format!("{sentence}\n").as_bytes()).unwrap();
}

/// Postfix's processes run as another user and must reach their files below ours.
fn open_to_other_users(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}
