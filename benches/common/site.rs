//! Contoso's edge between Woodgrove's sender and Woodgrove's mail host, every leg mutual TLS with
//! revocation checked, as a partner would have it; no protocol log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sealpost::cli::demo::dns::{DnsServer, Zone};
use sealpost::cli::demo::pki::{Authority, Identity, Validity};
use tempfile::TempDir;

use super::sink::Sink;

pub const EDGE: &str = "edge.contoso.example";

pub struct Site {
    directory: TempDir,
    pub sink: Sink,
    /// How Woodgrove's sender speaks TLS: our certificate checked, theirs presented, never resumed.
    pub client: Arc<ClientConfig>,
    _dns: DnsServer,
}

impl Site {
    /// Makes everything but the server. `open`: the mail host takes mail at once.
    pub async fn new(open: bool) -> Self {
        Self::with(open, "").await
    }

    /// The same with more settings at the end of the file.
    pub async fn with(open: bool, more: &str) -> Self {
        let above =
            std::env::var_os("SEALPOST_BENCH_DIR").unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
        let directory = TempDir::new_in(above).expect("a directory to measure in");
        let home = directory.path();
        let (mut ours, mut theirs) =
            (Authority::new("Contoso").expect("a root"), Authority::new("Woodgrove").expect("a root"));
        for (name, authority) in [("contoso", &mut ours), ("woodgrove", &mut theirs)] {
            std::fs::write(home.join(format!("{name}-root.pem")), authority.root_pem()).expect("a file");
            let list = authority.revocation_list_pem().expect("a list");
            std::fs::write(home.join(format!("{name}.crl")), list).expect("a file");
        }
        let names = ["woodgrove.example", "mx.woodgrove.example"];
        let partner = theirs.issue(&names, Validity::Current).expect("a certificate");
        let edge = ours.issue(&[EDGE], Validity::Current).expect("a certificate");
        edge.write(home, "contoso").expect("files");

        let (client, server) = tls(&ours, &partner);
        let sink = Sink::start(server, open).await;
        let zone = Zone::default()
            .mx("woodgrove.example", 10, "mx.woodgrove.example")
            .address("mx.woodgrove.example", sink.address().ip());
        let dns = DnsServer::start(&zone).await.expect("a DNS server");
        let settings = settings(&dns.address().to_string(), sink.address().port()) + more;
        std::fs::write(home.join("sealpost.toml"), settings).expect("a file");
        Self { directory, sink, client, _dns: dns }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The address in what a server in this process says of its listeners, `Internet=ADDR:PORT`.
    pub fn listener(&self, listening: &str) -> SocketAddr {
        let address = listening.split_whitespace().find_map(|pair| pair.strip_prefix("Internet="));
        address.and_then(|address| address.parse().ok()).expect("a listener")
    }

    pub fn config(&self) -> PathBuf {
        self.path("sealpost.toml")
    }
}

/// The program that is measured where a process of its own is.
pub fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sealpost"))
}

fn tls(ours: &Authority, partner: &Identity) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    // Whoever is first; the server in the same process sets none.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots.add(ours.root().clone()).expect("a root");
    let roots = Arc::new(roots);
    let mut client = ClientConfig::builder()
        .with_root_certificates(Arc::clone(&roots))
        .with_client_auth_cert(partner.chain.clone(), partner.key())
        .expect("a key that fits");
    client.resumption = rustls::client::Resumption::disabled();
    let verifier = WebPkiClientVerifier::builder(roots).build().expect("a verifier");
    let server = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(partner.chain.clone(), partner.key())
        .expect("a key that fits");
    (Arc::new(client), Arc::new(server))
}

fn settings(dns: &str, port: u16) -> String {
    format!(
        r#"hostname = "{EDGE}"
data_directory = "data"

[trust]
anchors = ["woodgrove-root.pem"]
crl_files = ["woodgrove.crl"]
crl_fetch = false

[[partner]]
name = "Woodgrove"
domains = ["woodgrove.example"]
domain_secure = ["send", "receive"]

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[receive_connector]]
name = "Internet"
bindings = ["127.0.0.1:0"]
domain_secure_enabled = true
permissions = ["submit", "relay"]
protocol_logging_level = "none"
max_inbound_connections = 20000
max_inbound_connections_per_source = 20000
message_rate_limit = 100000000

[[send_connector]]
name = "Internet"
address_spaces = ["*"]
port = {port}
protocol_logging_level = "none"
max_messages_per_connection = 1000000

[dns]
servers = ["{dns}"]

[admin]
listen = ""
"#
    )
}
