//! Our two sides against each other and against foreign rustls configurations, over a pipe in
//! memory, in both TLS versions.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::net::stream::Stream;
use crate::policy::OwnCertificate;
use crate::session::send::OwnCertificate as Presented;

const LONG: Duration = Duration::from_secs(60);
const HOST: &str = "mx.woodgrovebank.example";

fn certificate(name: &str) -> OwnCertificate {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    own(vec![params.self_signed(&key).unwrap().der().clone()], &key)
}

fn own(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> OwnCertificate {
    OwnCertificate {
        source: "test.pem".to_owned(),
        thumbprint: chain[0].iter().take(32).map(|byte| format!("{byte:02x}")).collect(),
        chain,
        key: Arc::new(PrivateKeyDer::try_from(key.serialize_der()).unwrap()),
        names: Vec::new(),
        subject: String::new(),
        not_before: jiff::Timestamp::MIN,
        not_after: jiff::Timestamp::MAX,
        self_signed: true,
        preferred_since: None,
    }
}

/// The key of one with the certificate of another: what a thief of public certificates has.
fn forged(shown: &OwnCertificate, held: &OwnCertificate) -> Arc<SingleCertAndKey> {
    let key = provider(KeyExchange::PostQuantum).key_provider.load_private_key(held.key.clone_key()).unwrap();
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(shown.chain.clone(), key)))
}

fn foreign_client(version: &'static SupportedProtocolVersion, who: Arc<SingleCertAndKey>) -> TlsConnector {
    let config = ClientConfig::builder_with_provider(provider(KeyExchange::PostQuantum))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(possession::ProofOfPossession::new(&provider(
            KeyExchange::PostQuantum,
        ))))
        .with_client_cert_resolver(who);
    TlsConnector::from(Arc::new(config))
}

/// Asks for no certificate, or takes only those below `roots`.
fn foreign_server(
    version: &'static SupportedProtocolVersion,
    own: &OwnCertificate,
    roots: Option<RootCertStore>,
) -> TlsAcceptor {
    let builder = ServerConfig::builder_with_provider(provider(KeyExchange::PostQuantum))
        .with_protocol_versions(&[version])
        .unwrap();
    let builder = match roots {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider(KeyExchange::PostQuantum))
                .build()
                .unwrap(),
        ),
    };
    let config = builder.with_single_cert(own.chain.clone(), own.key.clone_key()).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// One octet from server to client, which brings the tickets of TLS 1.3 along.
async fn greet(server: &mut Stream<DuplexStream>, client: &mut Stream<DuplexStream>) {
    server.write_all(b"!").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'!');
}

struct Met {
    at_server: TlsEvidence,
    at_client: TlsEvidence,
    presented: Presented,
}

async fn meet(server: &ServerTls, client: &ClientTls, host: &str) -> Met {
    let (near, far) = duplex(64 << 10);
    let (accepted, connected) = tokio::join!(server.accept(far, LONG), client.connect(near, host, LONG));
    let (mut server, at_server) = accepted.unwrap();
    let (mut client, at_client, presented) = connected.unwrap();
    greet(&mut server, &mut client).await;
    Met { at_server, at_client, presented }
}

/// `ClientTls` that speaks one version alone, as an old peer would make of it.
fn limited(own: Option<&OwnCertificate>, version: &'static SupportedProtocolVersion) -> ClientTls {
    ClientTls::with_versions(own, &[version]).unwrap()
}

static BOTH: [(&SupportedProtocolVersion, TlsVersion); 2] =
    [(&rustls::version::TLS12, TlsVersion::Tls12), (&rustls::version::TLS13, TlsVersion::Tls13)];

/// Only a build that promises the module says that it has it; and with it all that both sides offer
/// is the module's.
#[test]
fn only_a_fips_build_says_that_it_is_one() {
    assert_eq!(is_fips(), cfg!(feature = "fips"));
    for key_exchange in [KeyExchange::PostQuantum, KeyExchange::Classical] {
        let groups = &provider(key_exchange).kx_groups;
        assert!(groups.iter().any(|group| group.name() == rustls::NamedGroup::secp256r1));
        let plain_x25519 = groups.iter().any(|group| group.name() == rustls::NamedGroup::X25519);
        assert_eq!(plain_x25519, !cfg!(feature = "fips"));
    }
}

#[tokio::test]
async fn mutual_tls_fresh_and_resumed_shows_both_chains() {
    for (version, expected) in BOTH {
        let (ours, theirs) = (certificate("mail.contoso.example"), certificate(HOST));
        let server = ServerTls::new(&theirs).unwrap();
        let client = limited(Some(&ours), version);
        for resumed in [false, true, true] {
            let met = meet(&server, &client, HOST).await;
            for evidence in [&met.at_server, &met.at_client] {
                assert_eq!(evidence.version, expected);
                assert_eq!(evidence.resumed, resumed);
                assert!(evidence.cipher_suite.starts_with("TLS"), "{}", evidence.cipher_suite);
            }
            assert_eq!(met.at_server.peer_chain, ours.chain);
            assert_eq!(met.at_client.peer_chain, theirs.chain);
            assert_eq!(met.presented, Presented::Sent);
        }
    }
}

#[tokio::test]
async fn a_client_without_certificate_is_let_in_and_seen_as_such() {
    for (version, _) in BOTH {
        let server = ServerTls::new(&certificate(HOST)).unwrap();
        let client = limited(None, version);
        for resumed in [false, true] {
            let met = meet(&server, &client, HOST).await;
            assert_eq!(met.at_server.peer_chain, []);
            assert_eq!(met.at_server.resumed, resumed);
            assert_eq!(met.presented, Presented::NotRequested);
        }
    }
}

#[tokio::test]
async fn a_server_that_never_asks_is_remembered_as_one() {
    for (version, _) in BOTH {
        let server = foreign_server(version, &certificate(HOST), None);
        let client = ClientTls::new(Some(&certificate("mail.contoso.example"))).unwrap();
        for resumed in [false, true] {
            let (near, far) = duplex(64 << 10);
            let (accepted, connected) =
                tokio::join!(server.accept(ReadAhead::new(far)), client.connect(near, HOST, LONG));
            let (mut connected, evidence, presented) = connected.unwrap();
            greet(&mut Stream::Server(Box::new(accepted.unwrap())), &mut connected).await;
            assert_eq!(evidence.resumed, resumed);
            assert_eq!(presented, Presented::NotRequested);
        }
    }
}

#[tokio::test]
async fn a_session_whose_answer_is_unknown_is_not_resumed() {
    for (version, _) in BOTH {
        let server = ServerTls::new(&certificate(HOST)).unwrap();
        let client = limited(Some(&certificate("mail.contoso.example")), version);
        let (near, far) = duplex(64 << 10);
        // Past `connect`, so that nobody notes what was asked.
        let name = rustls::pki_types::ServerName::try_from(HOST).unwrap();
        let (accepted, connected) =
            tokio::join!(server.accept(far, LONG), client.connector.connect(name, near));
        let (mut accepted, mut connected) = (accepted.unwrap().0, connected.unwrap());
        accepted.write_all(b"!").await.unwrap();
        accepted.flush().await.unwrap();
        connected.read_u8().await.unwrap();

        let met = meet(&server, &client, HOST).await;
        assert!(!met.at_client.resumed);
        assert_eq!(met.presented, Presented::Sent);
    }
}

/// A server that staples `staple` to its certificate, in one version.
fn stapling_server(version: &'static SupportedProtocolVersion, staple: &[u8]) -> TlsAcceptor {
    let own = certificate(HOST);
    let config = ServerConfig::builder_with_provider(provider(KeyExchange::PostQuantum))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert_with_ocsp(own.chain.clone(), own.key.clone_key(), staple.to_vec())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn meet_stapling(server: &TlsAcceptor, client: &ClientTls) -> (Stream<DuplexStream>, TlsEvidence) {
    let (near, far) = duplex(64 << 10);
    let (accepted, connected) =
        tokio::join!(server.accept(ReadAhead::new(far)), client.connect(near, HOST, LONG));
    let (mut connected, evidence, _) = connected.unwrap();
    greet(&mut Stream::Server(Box::new(accepted.unwrap())), &mut connected).await;
    (connected, evidence)
}

/// A response that is current from an hour ago for so long.
fn response(lasting: jiff::SignedDuration) -> Vec<u8> {
    let (shown, now) = (certificate(HOST), jiff::Timestamp::now());
    let response = crate::trust::ocsp_maker::Response::of(&shown.chain[0], &shown.chain[0], now);
    let begin = now - jiff::SignedDuration::from_hours(1);
    response.between(begin, Some(begin + lasting)).signed_by(&KeyPair::generate().unwrap())
}

#[tokio::test]
async fn a_stapled_response_is_still_there_on_a_resumed_session() {
    for (version, _) in BOTH {
        let staple = response(jiff::SignedDuration::from_hours(48));
        let (server, client) = (stapling_server(version, &staple), ClientTls::new(None).unwrap());
        for resumed in [false, true, true] {
            let (_, evidence) = meet_stapling(&server, &client).await;
            assert_eq!(evidence.resumed, resumed);
            assert_eq!(evidence.staple.as_deref(), Some(staple.as_slice()), "{version:?} {resumed}");
        }
        let (_, evidence) =
            meet_stapling(&stapling_server(version, b""), &ClientTls::new(None).unwrap()).await;
        assert_eq!(evidence.staple, None);
    }
}

#[tokio::test]
async fn a_session_whose_response_has_run_out_is_not_resumed() {
    for (version, _) in BOTH {
        let old = response(jiff::SignedDuration::from_mins(30));
        let (server, client) = (stapling_server(version, &old), ClientTls::new(None).unwrap());
        for _ in 0..2 {
            assert!(!meet_stapling(&server, &client).await.1.resumed);
        }
    }
}

#[tokio::test]
async fn a_server_that_was_not_admitted_shows_its_certificate_anew() {
    for (version, _) in BOTH {
        let (server, client) = (stapling_server(version, b""), ClientTls::new(None).unwrap());
        meet_stapling(&server, &client).await;
        let (stream, evidence) = meet_stapling(&server, &client).await;
        assert!(evidence.resumed);
        // Also what was brought by the connection before.
        stream.refuse_resumption();
        for resumed in [false, true] {
            assert_eq!(meet_stapling(&server, &client).await.1.resumed, resumed, "{version:?}");
        }
    }
}

/// Of a response that nobody could use no more is kept than shows that it is too large.
#[tokio::test]
async fn a_huge_response_is_not_kept_whole() {
    let (server, client) =
        (stapling_server(&rustls::version::TLS13, &[7; 40_000]), ClientTls::new(None).unwrap());
    let (_, evidence) = meet_stapling(&server, &client).await;
    assert_eq!(evidence.staple.unwrap().len(), crate::trust::STAPLE_BYTES_MAX + 1);
}

#[tokio::test]
async fn tickets_of_one_name_are_not_offered_to_another() {
    let server = ServerTls::new(&certificate(HOST)).unwrap();
    let client = ClientTls::new(None).unwrap();
    meet(&server, &client, HOST).await;
    assert!(!meet(&server, &client, "mx2.woodgrovebank.example").await.at_client.resumed);
    assert!(meet(&server, &client, HOST).await.at_client.resumed);
}

#[tokio::test]
async fn a_copied_client_certificate_without_its_key_is_refused() {
    for (version, _) in BOTH {
        let server = ServerTls::new(&certificate(HOST)).unwrap();
        let thief = forged(&certificate("partner.example"), &certificate("thief.example"));
        let error = foreign_handshake(&server, &foreign_client(version, thief)).await;
        assert!(error.error.contains("did not prove"), "{error}");
    }
}

#[tokio::test]
async fn a_copied_server_certificate_without_its_key_is_refused() {
    for (version, _) in BOTH {
        let resolver = forged(&certificate(HOST), &certificate("thief.example"));
        let config = ServerConfig::builder_with_provider(provider(KeyExchange::PostQuantum))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        let (near, far) = duplex(64 << 10);
        let client = ClientTls::new(None).unwrap();
        let (_, connected) =
            tokio::join!(TlsAcceptor::from(Arc::new(config)).accept(far), client.connect(near, HOST, LONG));
        let error = connected.err().unwrap();
        assert!(error.error.contains("did not prove"), "{error}");
        assert!(!error.certificate_refused);
    }
}

async fn foreign_handshake(server: &ServerTls, client: &TlsConnector) -> HandshakeError {
    let (near, far) = duplex(64 << 10);
    let name = rustls::pki_types::ServerName::try_from(HOST).unwrap();
    let foreign = async {
        // In TLS 1.3 the client learns of its refusal with the first read.
        if let Ok(mut tls) = client.connect(name, near).await {
            let _ = tls.read_u8().await;
        }
    };
    let (accepted, ()) = tokio::join!(server.accept(far, LONG), foreign);
    accepted.err().unwrap()
}

/// 1024 bits, made with `openssl genrsa 1024`; the private half was thrown away.
const SMALL_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDsKED7TtOlLzzMKXURE5QSV7tO
cT2XUmFbY3JLMllqbpaEfGHOXMTT8/UHog5bmCa3orMVNhISEMz3xSMhDaPb8XiT
p9ZvYvKhr4bFfixiC0t6HgZSlrXeQHRFa2L4F7lrk2FeDaEh06726BpBxmpTnmnV
XYDkQuQPdnU9VWhp7QIDAQAB
-----END PUBLIC KEY-----
";

#[tokio::test]
async fn an_undersized_rsa_key_is_called_by_its_size() {
    let small = rcgen::SubjectPublicKeyInfo::from_pem(SMALL_KEY).unwrap();
    assert!(!small.der_bytes().is_empty());
    let issuer_key = KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(CertificateParams::new(Vec::new()).unwrap(), issuer_key);
    let params = CertificateParams::new(vec!["partner.example".to_owned()]).unwrap();
    let shown = params.signed_by(&small, &issuer).unwrap().der().clone();
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let who = own(vec![shown], &rsa);
    for (version, _) in BOTH {
        let server = ServerTls::new(&certificate(HOST)).unwrap();
        let error = foreign_handshake(&server, &foreign_client(version, forged(&who, &who))).await;
        assert!(error.error.contains("RSA key of 1024 bits"), "{error}");
    }
}

#[tokio::test]
async fn an_oversized_certificate_message_is_refused_in_words() {
    let mut who = certificate("partner.example");
    who.chain = vec![who.chain[0].clone(); 300];
    let who = forged(&who, &who);
    for (version, _) in BOTH {
        let server = ServerTls::new(&certificate(HOST)).unwrap();
        let error = foreign_handshake(&server, &foreign_client(version, Arc::clone(&who))).await;
        assert!(error.error.contains("more than 64 KB"), "{error}");
    }
}

#[tokio::test]
async fn garbage_silence_and_a_hang_up_end_the_handshake_with_a_sentence() {
    let server = ServerTls::new(&certificate(HOST)).unwrap();

    let (mut near, far) = duplex(1024);
    near.write_all(b"EHLO still.in.the.clear.example\r\n").await.unwrap();
    let error = server.accept(far, LONG).await.err().unwrap();
    assert!(error.error.contains("not TLS"), "{error}");

    let (near, far) = duplex(1024);
    drop(near);
    let error = server.accept(far, LONG).await.err().unwrap();
    assert!(error.error.contains("closed the connection"), "{error}");

    let (near, far) = duplex(1024);
    let error = server.accept(far, Duration::from_millis(10)).await.err().unwrap();
    assert!(error.error.contains("not complete after"), "{error}");
    drop(near);
}

#[tokio::test]
async fn a_server_that_refuses_our_certificate_is_told_from_a_broken_network() {
    let theirs = certificate(HOST);
    let mut roots = RootCertStore::empty();
    roots.add(theirs.chain[0].clone()).unwrap();
    let client = ClientTls::new(Some(&certificate("mail.contoso.example"))).unwrap();

    let old = foreign_server(&rustls::version::TLS12, &theirs, Some(roots.clone()));
    let (near, far) = duplex(64 << 10);
    let (_, connected) = tokio::join!(old.accept(far), client.connect(near, HOST, LONG));
    let error = connected.err().unwrap();
    assert!(error.certificate_refused, "{error}");
    assert!(error.error.contains("TLS alert"), "{error}");

    let new = foreign_server(&rustls::version::TLS13, &theirs, Some(roots));
    let (near, far) = duplex(64 << 10);
    let (_, connected) = tokio::join!(new.accept(far), client.connect(near, HOST, LONG));
    let (mut stream, _, presented) = connected.unwrap();
    assert_eq!(presented, Presented::Sent);
    let error = stream.read_u8().await.unwrap_err();
    assert!(is_certificate_refusal(&error), "{error}");
}

#[tokio::test]
async fn the_server_name_is_the_host_and_never_an_address() {
    let server = ServerTls::new(&certificate(HOST)).unwrap();
    let table = [
        (HOST, Some(HOST)),
        ("mx.woodgrovebank.example.", Some(HOST)),
        ("192.0.2.1", None),
        ("[192.0.2.1]", None),
        ("[IPv6:2001:db8::1]", None),
    ];
    for (host, expected) in table {
        let client = ClientTls::new(None).unwrap();
        let (near, far) = duplex(64 << 10);
        let (accepted, connected) = tokio::join!(server.accept(far, LONG), client.connect(near, host, LONG));
        assert!(connected.is_ok());
        let Stream::Server(tls) = accepted.unwrap().0 else { unreachable!() };
        assert_eq!(tls.get_ref().1.server_name(), expected, "{host}");
    }
}

#[tokio::test]
async fn an_end_without_close_notify_reads_as_the_end() {
    let server = ServerTls::new(&certificate(HOST)).unwrap();
    let client = ClientTls::new(None).unwrap();
    let (near, far) = duplex(64 << 10);
    let (accepted, connected) = tokio::join!(server.accept(far, LONG), client.connect(near, HOST, LONG));
    let mut stream = connected.unwrap().0;
    drop(accepted.unwrap());
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).await.unwrap(), 0);
}

#[tokio::test]
async fn a_plain_stream_gives_its_connection_back_for_the_handshake() {
    let (near, mut far) = duplex(64);
    let mut plain = Stream::Plain(near);
    plain.write_all(b"220 2.0.0 go ahead\r\n").await.unwrap();
    let mut line = [0; 20];
    far.read_exact(&mut line).await.unwrap();
    assert!(!plain.is_tls());
    assert!(plain.into_plain().is_some());
}

#[test]
fn the_pool_keeps_partners_apart() {
    let pool = ClientTlsPool::new();
    let (ours, renewed) = (certificate("mail.contoso.example"), certificate("mail.contoso.example"));
    let domain = "woodgrovebank.example".parse().unwrap();
    let first = pool.get("Internet", Some(&ours), Some(&domain), KeyExchange::PostQuantum).unwrap();
    assert!(Arc::ptr_eq(
        &first,
        &pool.get("Internet", Some(&ours), Some(&domain), KeyExchange::PostQuantum).unwrap()
    ));
    for other in [
        pool.get("Internet", Some(&ours), None, KeyExchange::PostQuantum).unwrap(),
        pool.get("Internet", None, Some(&domain), KeyExchange::PostQuantum).unwrap(),
        pool.get("Internet", Some(&renewed), Some(&domain), KeyExchange::PostQuantum).unwrap(),
        pool.get("Internet", Some(&ours), Some(&domain), KeyExchange::Classical).unwrap(),
        pool.get("Partners", Some(&ours), Some(&domain), KeyExchange::PostQuantum).unwrap(),
    ] {
        assert!(!Arc::ptr_eq(&first, &other));
    }
    pool.clear();
    assert!(!Arc::ptr_eq(
        &first,
        &pool.get("Internet", Some(&ours), Some(&domain), KeyExchange::PostQuantum).unwrap()
    ));
}

#[tokio::test]
async fn the_post_quantum_switch_of_either_side_decides() {
    let (ours, theirs) = (certificate("mail.contoso.example"), certificate(HOST));
    let classical = if cfg!(feature = "fips") { "secp256r1" } else { "X25519" };
    for (at_server, at_client, group) in [
        (KeyExchange::PostQuantum, KeyExchange::PostQuantum, "X25519MLKEM768"),
        (KeyExchange::Classical, KeyExchange::PostQuantum, classical),
        (KeyExchange::PostQuantum, KeyExchange::Classical, classical),
    ] {
        let server = ServerTls::with_key_exchange(&theirs, at_server).unwrap();
        let client = ClientTls::with_key_exchange(Some(&ours), at_client).unwrap();
        let met = meet(&server, &client, HOST).await;
        assert_eq!(met.at_client.key_exchange.as_deref(), Some(group));
        assert_eq!(met.at_server.key_exchange.as_deref(), Some(group));
    }
}

#[test]
fn errors_outside_tls_keep_their_own_words() {
    let error = io::Error::new(io::ErrorKind::ConnectionReset, "reset by peer");
    assert_eq!(describe(&error), "reset by peer");
    assert!(!is_certificate_refusal(&error));
}
