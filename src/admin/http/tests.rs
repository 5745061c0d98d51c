use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::observe::{Event, test_settings};

struct Server {
    address: SocketAddr,
    observer: Arc<Observer>,
    _stop: tokio_util::sync::DropGuard,
}

async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let observer = Observer::new(&test_settings::with_lists(&["woodgrovebank.example"], &[]));
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, Arc::clone(&observer), None, stop.clone()));
    Server { address, observer, _stop: stop.drop_guard() }
}

impl Server {
    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(&self, path: &str, host: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
    }
}

#[tokio::test]
async fn metrics_and_health_are_there_for_our_own_address() {
    let server = server().await;
    let own = server.address.to_string();
    let metrics = server.get("/metrics", &own).await;
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    assert!(metrics.contains("application/openmetrics-text"), "{metrics}");
    let series = "sealpost_domain_secure_messages_received_total{domain=\"woodgrovebank.example\"} 0\n";
    assert!(metrics.contains(series), "{metrics}");
    assert!(server.get("/healthz", "localhost:9999").await.ends_with("\r\n\r\nok\n"));

    server.observer.event(Event::Stopping { reason: "SIGTERM".to_owned() });
    assert!(server.get("/healthz", &own).await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn a_foreign_host_is_refused() {
    let server = server().await;
    for host in ["rebound.example", "192.0.2.1", "localhost.evil.example", "127.0.0.1.evil.example:8025"] {
        let answer = server.get("/metrics", host).await;
        assert!(answer.starts_with("HTTP/1.1 421"), "{host}: {answer}");
        assert!(!answer.contains("sealpost_"), "{host}: {answer}");
    }
    let two = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert!(!server.ask(two).await.contains("sealpost_"));
    let absolute = "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(!server.ask(absolute).await.contains("sealpost_"));
    assert!(!server.ask("GET /metrics HTTP/1.0\r\n\r\n").await.contains("sealpost_"));
}

#[tokio::test]
async fn nothing_else_is_there() {
    let server = server().await;
    assert!(server.get("/api/queue", "localhost").await.starts_with("HTTP/1.1 404"));
    let post = "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(server.ask(post).await.starts_with("HTTP/1.1 405"));
}

#[test]
fn hosts_that_are_ours() {
    let cases = [
        ("127.0.0.1:8025", "127.0.0.1", true),
        ("127.0.0.1", "127.0.0.1", true),
        ("LOCALHOST", "127.0.0.1", true),
        ("[::1]:8025", "::1", true),
        ("::1", "::1", true),
        ("[::1]", "127.0.0.1", true),
        ("10.0.0.5:8025", "10.0.0.5", true),
        ("10.0.0.6:8025", "10.0.0.5", false),
        ("localhost", "10.0.0.5", false),
        ("10.0.0.6:8025", "0.0.0.0", true),
        ("mail.example:8025", "0.0.0.0", false),
        ("", "127.0.0.1", false),
        (":8025", "127.0.0.1", false),
    ];
    for (host, own, wanted) in cases {
        assert_eq!(is_own_host(host, own.parse().unwrap()), wanted, "{host} at {own}");
    }
}
