//! One edge that sends, and as many scripted next hops as a test wants, each with a domain, an
//! address and a partner entry of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::RevocationReason;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use sealpost::cli::demo::client::{Client, Disguise};
use sealpost::cli::demo::dns::{DnsServer, Zone};
use sealpost::cli::demo::pki::{Authority, Identity, Validity};
use sealpost::cli::demo::server::Server;
use serde_json::Value;
use tempfile::TempDir;

use super::common::settled::settled;
use super::common::{Network, executable};
use super::peer::{Part, Peer};
use super::resolver::Resolver;

pub const OURS: &str = "contoso.example";
pub const SENDER: &str = "ann@contoso.example";
const EDGE: u8 = 1;
/// Where mail for ourselves goes.
const INSIDE: u8 = 2;

pub static BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];
pub static TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// What a server does about our certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    Nothing,
    /// Asks, takes any or none.
    Politely,
    /// Asks, and hangs up without one.
    Firmly,
    /// Asks, and refuses whatever it gets.
    AndRefuses,
}

pub struct Lab {
    directory: TempDir,
    pub network: Network,
    pub zone: Zone,
    pub theirs: Authority,
    /// Ours: signs the edge's certificate.
    pub ours: Authority,
    next_host: u8,
    partners: String,
    connectors: String,
    pub own: Validity,
}

/// The running edge.
pub struct Edge {
    pub directory: TempDir,
    pub config: PathBuf,
    pub server: Option<Server>,
    pub internal: SocketAddr,
    pub internet: SocketAddr,
    pub admin: SocketAddr,
    pub inside: Peer,
    pub resolver: Resolver,
    pub dns: DnsServer,
}

impl Lab {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("sealpost-outbound-").tempdir().unwrap();
        Self::below(directory)
    }

    pub fn below(directory: TempDir) -> Self {
        let host = format!("mx.{OURS}");
        let network = Network::reserve();
        Self {
            zone: Zone::default().mx(OURS, 10, &host).address(&host, network.ip(EDGE)),
            directory,
            network,
            theirs: Authority::new("Partners").unwrap(),
            ours: Authority::new("Contoso").unwrap(),
            next_host: 20,
            partners: String::new(),
            connectors: String::new(),
            own: Validity::Current,
        }
    }

    /// An address nobody has yet.
    pub fn host(&mut self) -> u8 {
        self.next_host += 1;
        self.next_host
    }

    /// A certificate of the partners' authority for this domain and its mail host.
    pub fn identity(&mut self, domain: &str, validity: Validity) -> Identity {
        self.theirs.issue(&[domain, &format!("mx.{domain}")], validity).unwrap()
    }

    pub fn revoke(&mut self, identity: &Identity) {
        self.theirs.revoke(identity, RevocationReason::KeyCompromise);
    }

    /// A TLS server that proves `domain` and asks firmly, as a partner should.
    pub fn good(&mut self, domain: &str) -> Part {
        let identity = self.identity(domain, Validity::Current);
        Part::tls(server_config(&identity, Asks::Firmly, BOTH))
    }

    /// A server for a domain, with MX and address.
    pub async fn peer(&mut self, domain: &str, part: Part) -> Peer {
        let host = self.host();
        let name = format!("mx.{domain}");
        self.record(|zone, network| zone.mx(domain, 10, &name).address(&name, network.ip(host)));
        Peer::start(self.network.at(host), part).await
    }

    /// The same for a domain on the send list; `more` goes into its partner entry.
    pub async fn partner(&mut self, domain: &str, part: Part, more: &str) -> Peer {
        self.list(domain, more);
        self.peer(domain, part).await
    }

    /// Puts a domain on the send list.
    pub fn list(&mut self, domain: &str, more: &str) {
        self.list_trusting(domain, "partners-root.pem", more);
    }

    /// The same with an authority of its own.
    pub fn list_trusting(&mut self, domain: &str, anchors: &str, more: &str) {
        self.partners += &format!(
            "[[partner]]\nname = \"{domain}\"\ndomains = [\"{domain}\"]\ndomain_secure = [\"send\"]\n\
             trust_anchors = [\"{anchors}\"]\n{more}\n\n"
        );
    }

    /// A file beside the settings.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    pub fn connector(&mut self, settings: &str) {
        self.connectors += &format!("[[send_connector]]\n{settings}\n\n");
    }

    pub fn record(&mut self, change: impl FnOnce(Zone, &Network) -> Zone) {
        self.zone = change(std::mem::take(&mut self.zone), &self.network);
    }

    /// Starts the edge and the mailbox behind it; `more` is added to its settings.
    pub async fn start(mut self, more: &str) -> Edge {
        let home = self.directory.path().to_owned();
        let current = self.ours.issue(&[OURS, &format!("mx.{OURS}")], Validity::Current).unwrap();
        current.write(&home, "contoso").unwrap();
        let presented = self.ours.issue(&["client.contoso.example"], self.own).unwrap();
        presented.write(&home, "client").unwrap();
        for (name, authority) in [("contoso", &mut self.ours), ("partners", &mut self.theirs)] {
            std::fs::write(home.join(format!("{name}-root.pem")), authority.root_pem()).unwrap();
            std::fs::write(home.join(format!("{name}.crl")), authority.revocation_list_pem().unwrap())
                .unwrap();
        }
        let dns = DnsServer::start(&self.zone).await.unwrap();
        let resolver = Resolver::before(dns.address()).await;
        let inside_address = self.network.free(INSIDE);
        let inside = Peer::start(inside_address, Part::default()).await;
        let config = home.join("sealpost.toml");
        std::fs::write(&config, self.settings(resolver.address, inside_address, more)).unwrap();
        let server = Server::start(executable(), &config, &home.join("server.log")).unwrap();
        Edge {
            internal: server.ready.connector("Internal").unwrap(),
            internet: server.ready.connector("Internet").unwrap(),
            admin: server.ready.admin.unwrap(),
            server: Some(server),
            directory: self.directory,
            config,
            inside,
            resolver,
            dns,
        }
    }

    fn settings(&self, dns: SocketAddr, inside: SocketAddr, more: &str) -> String {
        let edge = self.network.ip(EDGE);
        let port = self.network.port;
        let (partners, connectors) = (&self.partners, &self.connectors);
        format!(
            r#"hostname = "mx.{OURS}"
data_directory = "data"

[trust]
anchors = ["partners-root.pem"]
crl_files = ["partners.crl"]

{partners}
[[accepted_domain]]
name = "{OURS}"

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[certificate]]
chain = "client.pem"
key = "client.key"

[[receive_connector]]
name = "Internet"
bindings = ["{edge}:{port}"]

[[receive_connector]]
name = "Internal"
bindings = ["{edge}:0"]
domain_secure_enabled = false
permissions = ["submit", "relay"]
accept_organization_headers = true
max_inbound_connections_per_source = 1000
message_rate_limit = 1000000

{connectors}
[[send_connector]]
name = "Internet"
address_spaces = ["*"]
port = {port}

[[send_connector]]
name = "Mailboxes"
address_spaces = ["{OURS}"]
dns_routing_enabled = false
smart_hosts = ["[{}]:{}"]
max_connections_per_destination = 1

[dns]
servers = ["{dns}"]

[admin]
listen = "127.0.0.1:0"

{more}
"#,
            inside.ip(),
            inside.port(),
        )
    }
}

impl Edge {
    /// Hands in a message as a user inside would; its queue id.
    pub async fn submit(&self, from: &str, to: &[&str], content: &[u8]) -> String {
        self.submit_with(from, "", to, content).await
    }

    /// The same with parameters of MAIL.
    pub async fn submit_with(&self, from: &str, parameters: &str, to: &[&str], content: &[u8]) -> String {
        let reply = self.offer(from, parameters, to, content).await;
        assert_eq!(reply.code, 250, "{reply}");
        reply.text.split_whitespace().nth(1).unwrap().to_owned()
    }

    /// The same with parameters of RCPT too: `<to@x.example> NOTIFY=NEVER`.
    pub async fn submit_asking(&self, from: &str, parameters: &str, to: &[&str], content: &[u8]) {
        let reply = self.hand_in(from, parameters, to.iter().map(|to| (*to).to_owned()), content).await;
        assert_eq!(reply.code, 250, "{reply}");
    }

    /// The reply to the final dot, or the first that refuses.
    pub async fn offer(
        &self,
        from: &str,
        parameters: &str,
        to: &[&str],
        content: &[u8],
    ) -> sealpost::cli::demo::client::Reply {
        self.hand_in(from, parameters, to.iter().map(|to| format!("<{to}>")), content).await
    }

    async fn hand_in(
        &self,
        from: &str,
        parameters: &str,
        to: impl Iterator<Item = String>,
        content: &[u8],
    ) -> sealpost::cli::demo::client::Reply {
        let mut client = Client::connect(self.internal, Disguise::Clear).await.unwrap();
        let mut commands = vec![format!("MAIL FROM:<{from}>{parameters}")];
        commands.extend(to.map(|to| format!("RCPT TO:{to}")));
        commands.push("DATA".to_owned());
        for command in commands {
            let reply = client.command(&command).await.unwrap();
            if !reply.is_positive() {
                return reply;
            }
        }
        let reply = client.content(content).await.unwrap();
        client.quit().await;
        reply
    }

    /// Runs one of our commands with this edge's settings: status, standard output, standard error.
    pub async fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let config = self.config.clone();
        let run = move || {
            let output = Command::new(executable()).args(arguments).arg("-c").arg(config).output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    pub async fn json(&self, arguments: &[&str]) -> Value {
        let (status, out, error) = self.command(arguments).await;
        assert_eq!(status, 0, "{arguments:?}: {error}");
        serde_json::from_str(&out).unwrap()
    }

    /// The messages that `queue list --json` shows, filters added.
    pub async fn list(&self, filters: &[&str]) -> Vec<Value> {
        let arguments = [&["queue", "list", "--json"], filters].concat();
        self.json(&arguments).await.as_array().unwrap().clone()
    }

    pub async fn why(&self, id: &str) -> Value {
        self.json(&["queue", "why", id, "--json"]).await
    }

    /// Waits until the queue is as wanted.
    pub async fn until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let listed = self.list(&[]).await;
            if holds(&listed) {
                return listed;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: never; queue: {}\nlog:\n{}",
                serde_json::to_string_pretty(&listed).unwrap(),
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until an event tells of it: events follow what they tell of.
    pub async fn told(&self, event: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.log().contains(event) {
            assert!(Instant::now() < deadline, "no {event} in:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn log(&self) -> String {
        settled(&self.path("server.log"))
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// The value of one series at /metrics; 0 when it is not there.
    pub async fn counter(&self, series: &str) -> f64 {
        let (_, metrics) = self.http("/metrics", "localhost").await;
        let line =
            metrics.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a series has this value.
    pub async fn until_series(&self, series: &str, value: f64) {
        for _ in 0..300 {
            if self.counter(series).await == value {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{series} never became {value}\n{}", self.log());
    }

    /// A GET on the admin listener: status and body.
    pub async fn http(&self, path: &str, host: &str) -> (u16, String) {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
    }

    pub async fn request(&self, text: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.admin).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Starts the server again on the same files; it was stopped or killed before.
    pub fn restart(&mut self) {
        let server = Server::start(executable(), &self.config, &self.path("server.log")).unwrap();
        self.internal = server.ready.connector("Internal").unwrap();
        self.internet = server.ready.connector("Internet").unwrap();
        self.admin = server.ready.admin.unwrap();
        self.server = Some(server);
    }

    /// Changes a part of the settings file.
    pub fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "{from} is not in the settings");
        std::fs::write(&self.config, text.replace(from, to)).unwrap();
    }
}

impl Drop for Edge {
    /// A test that fails shows what the server said.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// Header and body of a short letter.
pub fn letter(subject: &str) -> Vec<u8> {
    format!("From: <{SENDER}>\r\nSubject: {subject}\r\nMessage-ID: <{subject}@{OURS}>\r\n\r\n{subject}\r\n")
        .into_bytes()
}

pub fn server_config(
    identity: &Identity,
    asks: Asks,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = match asks {
        Asks::Nothing => builder.with_no_client_auth(),
        _ => builder.with_client_cert_verifier(Arc::new(Judge { asks, provider })),
    };
    builder.with_single_cert(identity.chain.clone(), identity.key()).unwrap()
}

#[derive(Debug)]
struct Judge {
    asks: Asks,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Judge {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.asks != Asks::Politely
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.asks == Asks::AndRefuses {
            return Err(rustls::CertificateError::UnknownIssuer.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
