//! The daily reports to domains that ask how TLS with their mail hosts went (RFC 8460).

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use sealpost::cli::demo::pki::Validity;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::lab::{Asks, BOTH, Lab, SENDER, letter, server_config};
use super::peer::Part;

const SETTINGS: &str = "[tls_reporting]\norganization_name = \"Contoso Ltd.\"\nmax_delay = \"0 s\"\n\
                        allow_private_addresses = true\n";

#[tokio::test(flavor = "multi_thread")]
async fn yesterdays_sessions_are_reported_by_mail_and_by_https() {
    let mut lab = Lab::new();
    // A host that offers TLS, one that does not, one of a domain that asks for nothing.
    let part = lab.good("bank.example");
    let bank = lab.peer("bank.example", part).await;
    let clear = lab.peer("clear.example", Part::default()).await;
    let silent = lab.peer("silent.example", Part::default()).await;
    let part = lab.good("partner.example");
    let partner = lab.partner("partner.example", part, "").await;
    let collector = lab.identity("reports.example", Validity::Current);
    let host = lab.host();
    let listener = TcpListener::bind((lab.network.ip(host), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    lab.record(|zone, network| {
        zone.address("reports.example", network.ip(host))
            .text(
                "_smtp._tls.bank.example",
                &format!("v=TLSRPTv1; rua=mailto:tls@bank.example,https://reports.example:{port}/in?d=1"),
            )
            .text("_smtp._tls.clear.example", "v=TLSRPTv1; rua=mailto:tls@bank.example")
            .text("_smtp._tls.partner.example", "v=TLSRPTv1; rua=mailto:tls@bank.example")
    });
    let posts = collect(listener, Arc::new(server_config(&collector, Asks::Nothing, BOTH)));
    let mut edge = lab.start(SETTINGS).await;

    for domain in ["bank", "clear", "silent", "partner"] {
        edge.submit(SENDER, &[&format!("bob@{domain}.example")], &letter(domain)).await;
    }
    for peer in [&bank, &clear, &silent, &partner] {
        peer.message(|_| true).await;
    }
    edge.until("all is delivered", <[_]>::is_empty).await;
    let shown = edge.json(&["tls-report", "show", "--json"]).await;
    assert_eq!(shown["enabled"], true);
    let policies = policies(&shown);
    assert_eq!(policies["bank.example"]["policy"]["policy-type"], "no-policy-found");
    assert_eq!(policies["bank.example"]["summary"]["total-successful-session-count"], 1);
    assert_eq!(policies["partner.example"]["summary"]["total-successful-session-count"], 1);
    assert_eq!(policies["clear.example"]["summary"]["total-failure-session-count"], 1);
    let failure = &policies["clear.example"]["failure-details"][0];
    assert_eq!(failure["result-type"], "starttls-not-supported");
    assert_eq!(failure["receiving-mx-hostname"], "mx.clear.example");
    let (status, text, _) = edge.command(&["tls-report", "show", "--domain", "clear.example"]).await;
    assert!(status == 0 && text.contains("1 x starttls-not-supported at mx.clear.example"), "{text}");

    // The night passes while the server is down.
    edge.server.take().unwrap().stop().unwrap();
    let file = edge.path("data/tls-reports.json");
    let counts = std::fs::read_to_string(&file).unwrap();
    let today = shown["day"].as_str().unwrap();
    let yesterday = today.parse::<jiff::civil::Date>().unwrap().yesterday().unwrap().to_string();
    std::fs::write(&file, counts.replace(&format!("\"{today}\""), &format!("\"{yesterday}\""))).unwrap();
    edge.restart();

    for domain in ["bank.example", "clear.example", "partner.example"] {
        let field = format!("\r\nTLS-Report-Domain: {domain}\r\n");
        let arrived = bank.message(|message| text_of(&message.content).contains(&field)).await;
        assert!(arrived.mail.starts_with("MAIL FROM:<>"), "nothing can come back: {}", arrived.mail);
        assert_eq!(arrived.recipients, ["RCPT TO:<tls@bank.example>"]);
        let content = text_of(&arrived.content);
        assert!(content.contains("Content-Type: multipart/report; report-type=\"tlsrpt\";"), "{content}");
        assert!(content.contains("\r\nTLS-Report-Submitter: mx.contoso.example\r\n"), "{content}");
        let report = attached(&content);
        assert_eq!(report["organization-name"], "Contoso Ltd.");
        assert_eq!(report["date-range"]["start-datetime"], format!("{yesterday}T00:00:00Z"));
        assert_eq!(report["policies"], Value::Array(vec![policies[domain].clone()]));
    }
    let (head, body) = tokio::time::timeout(Duration::from_secs(60), posts).await.unwrap().unwrap();
    assert!(head.starts_with("POST /in?d=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("\r\ncontent-type: application/tlsrpt+gzip\r\n"), "{head}");
    assert_eq!(unzipped(&body)["policies"][0], policies["bank.example"]);
    // Delivering reports is not reported: else two reporters would never stop.
    edge.until("the reports are gone", <[_]>::is_empty).await;
    let left = edge.json(&["tls-report", "show", "--json"]).await;
    assert_eq!(left["reports"], Value::Array(Vec::new()), "{left}");
    let sent = edge.counter("sealpost_tls_reports_total{result=\"sent\"}").await;
    assert!((sent - 4.0).abs() < f64::EPSILON, "three by mail, one by https: {sent}");
}

/// By domain the only policy of each report.
fn policies(shown: &Value) -> serde_json::Map<String, Value> {
    let reports = shown["reports"].as_array().unwrap();
    let one = |entry: &Value| {
        let policies = entry["report"]["policies"].as_array().unwrap();
        assert_eq!(policies.len(), 1, "{entry}");
        (entry["domain"].as_str().unwrap().to_owned(), policies[0].clone())
    };
    reports.iter().map(one).collect()
}

fn text_of(content: &[u8]) -> String {
    String::from_utf8_lossy(content).into_owned()
}

fn attached(content: &str) -> Value {
    let (_, part) = content.split_once("Content-Type: application/tlsrpt+gzip\r\n").unwrap();
    let (_, body) = part.split_once("\r\n\r\n").unwrap();
    let encoded = body.split("\r\n--").next().unwrap().replace("\r\n", "");
    unzipped(&Base64::decode_vec(&encoded).unwrap())
}

fn unzipped(bytes: &[u8]) -> Value {
    let mut json = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut json).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// An https server that takes one request: head and body.
fn collect(
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
) -> tokio::task::JoinHandle<(String, Vec<u8>)> {
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut tls = TlsAcceptor::from(config).accept(stream).await.unwrap();
        let mut request = Vec::new();
        let (head, length) = loop {
            assert!(tls.read_buf(&mut request).await.unwrap() > 0, "the request broke off");
            if let Some(end) = memchr::memmem::find(&request, b"\r\n\r\n") {
                let head = text_of(&request[..end + 2]);
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length")
                        .then(|| value.trim().parse::<usize>().unwrap())
                });
                break (head, end + 4 + length.unwrap());
            }
        };
        while request.len() < length {
            assert!(tls.read_buf(&mut request).await.unwrap() > 0, "the request broke off");
        }
        tls.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        tls.shutdown().await.unwrap();
        let body = request[head.len() + 2..length].to_vec();
        (head, body)
    })
}
