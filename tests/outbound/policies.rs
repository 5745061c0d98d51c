//! What a domain publishes about its mail hosts rules over mail to it: TLSA records (DANE) and an
//! MTA-STS policy. Whoever falls short gets nothing, least of all in clear text.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::ServerConfig;
use sealpost::cli::demo::pki::{Authority, Identity, Validity};
use sealpost::trust::tlsa::{TlsaMatching, TlsaRecord, TlsaSelector};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::lab::{Asks, BOTH, Edge, Lab, SENDER, letter, server_config};
use super::peer::{Part, Peer};

/// Behind this, no second attempt falls into a test.
const PATIENT: &str = "[queue]\nretry_intervals = [\"10 min\"]\n";

fn digest(identity: &Identity) -> Vec<u8> {
    TlsaRecord::of_end_entity(&identity.chain[0], TlsaSelector::PublicKey, TlsaMatching::Sha256).unwrap().data
}

/// A domain whose zone is signed, with a record of the key of `named`.
fn publish(lab: &mut Lab, domain: &str, usage: u8, named: &Identity) {
    let owner = format!("_{}._tcp.mx.{domain}", lab.network.port);
    let data = digest(named);
    lab.record(|zone, _| zone.signed(domain).tlsa(&owner, [usage, 1, 1], &data));
}

async fn send(edge: &Edge, domain: &str) -> String {
    edge.submit(SENDER, &[&format!("bob@{domain}")], &letter(domain)).await
}

/// That the message waits, under this policy, with this `wanted:got` and these words.
async fn waits(edge: &Edge, id: &str, policy: &str, wanted_got: &str, words: &str) {
    edge.until("it was tried", |listed| {
        listed.iter().any(|message| message["id"] == id && message["status"] == "retry")
    })
    .await;
    let why = edge.why(id).await;
    assert_eq!(why["policy"], policy, "{why:#}");
    assert_eq!(why["wanted_got"], wanted_got, "{why:#}");
    let told = format!("{} {}", why["fault"], why["reason"]);
    assert!(told.contains(words), "{words}: {why:#}");
    assert!(why["last_reply"].as_str().unwrap().starts_with("454 4.7."), "{why:#}");
}

fn told_nothing(peer: &Peer) {
    assert!(peer.messages().is_empty());
    assert!(!peer.verbs().contains(&"MAIL".to_owned()), "{:?}", peer.verbs());
}

#[tokio::test(flavor = "multi_thread")]
async fn dane_takes_the_server_that_the_zone_names_and_no_other() {
    let mut lab = Lab::new();
    let mut stranger = Authority::new("Stranger").unwrap();
    // Neither its authority nor its name nor its dates mean anything: the zone names its key.
    let odd = stranger.issue(&["elsewhere.example"], Validity::Expired).unwrap();
    let other = stranger.issue(&["mx.mismatch.example"], Validity::Current).unwrap();
    let server = |identity: &Identity| Part::tls(server_config(identity, Asks::Nothing, BOTH));
    let named = lab.peer("named.example", server(&odd)).await;
    publish(&mut lab, "named.example", 3, &odd);
    let mismatch = lab.peer("mismatch.example", server(&other)).await;
    publish(&mut lab, "mismatch.example", 3, &odd);
    let stripped = lab.peer("stripped.example", Part::default()).await;
    publish(&mut lab, "stripped.example", 3, &odd);
    // Records that SMTP cannot use still promise TLS.
    let unusable = lab.peer("unusable.example", Part::default()).await;
    publish(&mut lab, "unusable.example", 1, &odd);
    let bogus = lab.peer("bogus.example", server(&odd)).await;
    publish(&mut lab, "bogus.example", 3, &odd);
    let owner = format!("_{}._tcp.mx.bogus.example", lab.network.port);
    lab.record(|zone, _| zone.failing(&owner));
    // The same mismatch in a zone that nobody signed: anyone may have written that.
    let unsigned = lab.peer("unsigned.example", Part::default()).await;
    let owner = format!("_{}._tcp.mx.unsigned.example", lab.network.port);
    lab.record(|zone, _| zone.tlsa(&owner, [3, 1, 1], &digest(&odd)));
    let edge = lab.start(PATIENT).await;

    send(&edge, "named.example").await;
    assert!(named.message(|_| true).await.tls);
    send(&edge, "unsigned.example").await;
    assert!(!unsigned.message(|_| true).await.tls, "opportunistic, as ever");
    let id = send(&edge, "mismatch.example").await;
    waits(&edge, &id, "dane", "dane:encryption-only", "TlsaMismatch").await;
    let why = edge.why(&id).await;
    assert!(why["got"].as_str().unwrap().starts_with("3 1 1 "), "the record that would fit: {why:#}");
    let id = send(&edge, "stripped.example").await;
    waits(&edge, &id, "dane", "dane:none", "StartTlsNotOffered").await;
    let id = send(&edge, "unusable.example").await;
    waits(&edge, &id, "dane", "encryption-only:none", "StartTlsNotOffered").await;
    let id = send(&edge, "bogus.example").await;
    waits(&edge, &id, "dane", "dane:none", "TLSA records").await;
    for peer in [&mismatch, &stripped, &unusable, &bogus] {
        told_nothing(peer);
    }
    assert!(bogus.sessions().is_empty(), "who cannot be told from an impostor is not even called");
    let counted =
        |result| format!("sealpost_outbound_policy_sessions_total{{policy=\"dane\",result=\"{result}\"}}");
    for result in ["success", "tlsa-invalid", "dnssec-invalid"] {
        assert!(edge.counter(&counted(result)).await >= 1.0, "{result}");
    }
    // The probe of an operator sees the same.
    let (_, page, _) = edge.command(&["partner", "probe", "mismatch.example"]).await;
    let flat = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("): dane, dane:encryption-only"), "{page}");
}

/// Web servers of many domains behind one address: what each serves, by host name.
async fn web(lab: &mut Lab, policies: &[(&str, Option<String>)]) -> (u16, tokio::task::JoinHandle<()>) {
    let hosts: Vec<String> = policies.iter().map(|(domain, _)| format!("mta-sts.{domain}")).collect();
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let identity = lab.theirs.issue(&names, Validity::Current).unwrap();
    let config: Arc<ServerConfig> = Arc::new(server_config(&identity, Asks::Nothing, BOTH));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for ((domain, _), host) in policies.iter().zip(&hosts) {
        lab.record(|zone, _| {
            zone.address(host, [127, 0, 0, 1]).text(&format!("_mta-sts.{domain}"), "v=STSv1; id=20261121;")
        });
    }
    let served: HashMap<String, Option<String>> =
        hosts.into_iter().zip(policies.iter().map(|(_, policy)| policy.clone())).collect();
    let served = Arc::new(served);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, served) = (TlsAcceptor::from(Arc::clone(&config)), Arc::clone(&served));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = [0; 2048];
                let count = stream.read(&mut buffer).await.unwrap_or(0);
                let asked = String::from_utf8_lossy(&buffer[..count]).to_ascii_lowercase();
                let host = asked.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
                let host = host.split(':').next().unwrap_or_default();
                let answer = match served.get(host).cloned().flatten() {
                    Some(policy) => format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{policy}",
                        policy.len()
                    ),
                    None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
                };
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (port, task)
}

fn policy(mode: &str, host: &str) -> Option<String> {
    Some(format!("version: STSv1\nmode: {mode}\nmx: {host}\nmax_age: 86400\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mta_sts_policy_is_kept_to_and_one_in_testing_holds_nothing_back() {
    let mut lab = Lab::new();
    let (port, web) = web(
        &mut lab,
        &[
            ("good.example", policy("enforce", "*.good.example")),
            ("wrong.example", policy("enforce", "mx.wrong.example")),
            ("elsewhere.example", policy("enforce", "mx.other.example")),
            ("testing.example", policy("testing", "mx.testing.example")),
            ("broken.example", None),
        ],
    )
    .await;
    let proving = |lab: &mut Lab, name: &str| {
        let identity = lab.theirs.issue(&[name], Validity::Current).unwrap();
        Part::tls(server_config(&identity, Asks::Nothing, BOTH))
    };
    // The host's own name counts, not the domain's.
    let part = proving(&mut lab, "mx.good.example");
    let good = lab.peer("good.example", part).await;
    let part = proving(&mut lab, "wrong.example");
    let wrong = lab.peer("wrong.example", part).await;
    let part = proving(&mut lab, "mx.elsewhere.example");
    let elsewhere = lab.peer("elsewhere.example", part).await;
    let testing = lab.peer("testing.example", Part::default()).await;
    let broken = lab.peer("broken.example", Part::default()).await;
    let settings = format!("{PATIENT}\n[mta_sts]\nport = {port}\nallow_private_addresses = true\n");
    let mut edge = lab.start(&settings).await;

    for (domain, peer, tls) in [
        ("good.example", &good, true),
        ("testing.example", &testing, false),
        ("broken.example", &broken, false),
    ] {
        send(&edge, domain).await;
        assert_eq!(peer.message(|_| true).await.tls, tls, "{domain}");
    }
    let id = send(&edge, "wrong.example").await;
    waits(&edge, &id, "mta-sts", "mta-sts:certificate-validation", "NameMismatch").await;
    let id = send(&edge, "elsewhere.example").await;
    waits(&edge, &id, "mta-sts", "mta-sts:none", "mx.other.example").await;
    assert!(elsewhere.sessions().is_empty(), "a host that the policy does not name is not called");
    let counted =
        "sealpost_outbound_policy_sessions_total{policy=\"mta-sts\",result=\"starttls-not-supported\"}";
    assert!(edge.counter(counted).await >= 1.0, "what testing would have held back is told");
    let log = edge.log();
    assert!(log.contains("StsPolicyFetchFailed") && log.contains("StsPolicyFetched"), "{log}");

    // The web server is gone, and so is the server's memory; what it keeps on disk is still the rule.
    web.abort();
    drop(edge.server.take());
    edge.restart();
    let id = send(&edge, "wrong.example").await;
    waits(&edge, &id, "mta-sts", "mta-sts:certificate-validation", "NameMismatch").await;
    told_nothing(&wrong);
}
