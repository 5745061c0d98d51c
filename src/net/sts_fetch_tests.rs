//! Against a real https server on a port of its own.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::cli::demo::dns::{DnsServer, Zone};
use crate::cli::demo::pki::{Authority, Identity, Validity};
use crate::policy::mta_sts::StsMode;
use crate::policy::{DnsSettings, Dnssec};
use crate::trust::{AnchorSet, RevocationMode, TrustPolicy};

const DOMAIN: &str = "woodgrove.example";
const POLICY: &str = "version: STSv1\nmode: enforce\nmx: mx.woodgrove.example\nmax_age: 86400\n";

/// A domain with a server for its policy.
struct Site {
    resolver: Resolver,
    settings: MtaStsSettings,
    _dns: DnsServer,
}

impl Site {
    /// `answer` is all that the server ever says, whatever it is asked.
    async fn new(zone: Zone, identity: &Identity, authority: &Authority, answer: String) -> Self {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain.clone(), identity.key())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer) = (acceptor.clone(), answer.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut buffer = [0; 2048];
                    let count = stream.read(&mut buffer).await.unwrap_or(0);
                    let asked = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    assert!(asked.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"), "{asked}");
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        let zone = zone.address(&format!("mta-sts.{DOMAIN}"), [127, 0, 0, 1]);
        let dns = DnsServer::start(&zone).await.unwrap();
        let resolver =
            Resolver::new(&DnsSettings { servers: vec![dns.address()], dnssec: Dnssec::Auto }).unwrap();
        let anchors = AnchorSet::from_pem_or_der("root.pem", authority.root_pem().as_bytes()).unwrap();
        let trust =
            TrustPolicy { revocation: RevocationMode::SoftFail, ..TrustPolicy::of(Arc::new(anchors)) };
        let settings = MtaStsSettings { port, allow_private_addresses: true, trust: Arc::new(trust) };
        Self { resolver, settings, _dns: dns }
    }

    async fn fetch(&self) -> Result<StsPolicy, StsFetchError> {
        let lists = RevocationSet::default();
        let fetcher = Fetcher { resolver: &self.resolver, settings: &self.settings, lists: &lists };
        fetcher.fetch(&domain(), Timestamp::now()).await
    }

    async fn announced(&self) -> Announced {
        let lists = RevocationSet::default();
        let fetcher = Fetcher { resolver: &self.resolver, settings: &self.settings, lists: &lists };
        fetcher.announced(&domain()).await
    }
}

fn domain() -> Domain {
    Domain::parse(DOMAIN).unwrap()
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A site whose server is who it says it is, and answers this.
async fn site(answer: String) -> Site {
    let mut authority = Authority::new("Web").unwrap();
    let identity = authority.issue(&[&format!("mta-sts.{DOMAIN}")], Validity::Current).unwrap();
    Site::new(Zone::default(), &identity, &authority, answer).await
}

#[tokio::test]
async fn a_policy_is_fetched_from_a_server_that_proves_its_name() {
    let site = site(answer("200 OK", "text/plain; charset=utf-8", POLICY)).await;
    let policy = site.fetch().await.unwrap();
    assert_eq!((policy.mode, policy.hosts().as_str()), (StsMode::Enforce, "mx.woodgrove.example"));
}

#[tokio::test]
async fn whatever_else_a_server_answers_is_no_policy() {
    let large = "x".repeat(STS_POLICY_BYTES_MAX + 1);
    let table = [
        (answer("404 Not Found", "text/plain", POLICY), TlsOutcome::StsPolicyFetchError, "404"),
        // A redirect is not followed (RFC 8461 3.3), wherever it leads.
        (
            "HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.woodgrove.example/.well-known/mta-sts.txt\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            TlsOutcome::StsPolicyFetchError,
            "301",
        ),
        (answer("200 OK", "text/html", POLICY), TlsOutcome::StsPolicyInvalid, "text/html"),
        (answer("200 OK", "text/plain", &large), TlsOutcome::StsPolicyInvalid, "64 KiB"),
        (answer("200 OK", "text/plain", "hello\n"), TlsOutcome::StsPolicyInvalid, "line 1"),
        ("not http\r\n\r\n".to_owned(), TlsOutcome::StsPolicyFetchError, "broke off"),
    ];
    for (answer, outcome, words) in table {
        let shown: String = answer.chars().take(60).collect();
        let error = site(answer).await.fetch().await.unwrap_err();
        assert_eq!(error.outcome(), outcome, "{shown}: {error}");
        assert!(error.to_string().contains(words), "{shown}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_prove_its_name_has_no_say() {
    let good = || answer("200 OK", "text/plain", POLICY);
    let mut authority = Authority::new("Web").unwrap();
    let mut stranger = Authority::new("Stranger").unwrap();
    let host = format!("mta-sts.{DOMAIN}");
    let table = [
        (authority.issue(&[DOMAIN], Validity::Current).unwrap(), "NameMismatch"),
        (authority.issue(&[&host], Validity::Expired).unwrap(), "Expired"),
        (stranger.issue(&[&host], Validity::Current).unwrap(), "IncompleteChain"),
    ];
    for (identity, fault) in table {
        let error =
            Site::new(Zone::default(), &identity, &authority, good()).await.fetch().await.unwrap_err();
        assert_eq!(error.outcome(), TlsOutcome::StsWebpkiInvalid, "{error}");
        assert!(error.to_string().contains(fault), "{fault}: {error}");
    }
}

#[tokio::test]
async fn nothing_that_is_not_public_is_talked_to_unless_allowed() {
    let mut site = site(answer("200 OK", "text/plain", POLICY)).await;
    site.settings.allow_private_addresses = false;
    let error = site.fetch().await.unwrap_err();
    assert!(matches!(error, StsFetchError::Server(WebServerError::PrivateAddress { .. })), "{error}");
    assert_eq!(error.outcome(), TlsOutcome::StsPolicyFetchError);
}

#[tokio::test]
async fn the_txt_record_announces_a_policy() {
    let mut authority = Authority::new("Web").unwrap();
    let identity = authority.issue(&[DOMAIN], Validity::Current).unwrap();
    let owner = format!("_mta-sts.{DOMAIN}");
    let table = [
        (Zone::default().text(&owner, "v=STSv1; id=20261121;"), Announced::Policy("20261121".to_owned())),
        (Zone::default().text(&owner, "v=STSv2; id=1;"), Announced::None),
        (Zone::default(), Announced::None),
    ];
    for (zone, expected) in table {
        let site = Site::new(zone, &identity, &authority, String::new()).await;
        assert_eq!(site.announced().await, expected);
    }
    let failing = Zone::default().failing(&owner);
    let site = Site::new(failing, &identity, &authority, String::new()).await;
    assert!(matches!(site.announced().await, Announced::Unknown(_)));
}

#[tokio::test]
async fn a_name_server_that_never_answers_for_txt_holds_mail_up_for_seconds_only() {
    let mut site = site(String::new()).await;
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let settings = DnsSettings { servers: vec![silent.local_addr().unwrap()], dnssec: Dnssec::Auto };
    site.resolver = Resolver::new(&settings).unwrap();
    let announced = tokio::time::timeout(TXT_TIMEOUT * 3, site.announced()).await.unwrap();
    assert!(matches!(announced, Announced::Unknown(_)), "{announced:?}");
}
