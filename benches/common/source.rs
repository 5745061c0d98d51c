//! The sending side: some connections, each sending one message after the other over mutual TLS,
//! MAIL, RCPT and DATA in one packet, and how long each waited for its 250.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How many messages over how many connections.
#[derive(Clone)]
pub struct Load {
    pub to: SocketAddr,
    pub server_name: &'static str,
    pub tls: Arc<ClientConfig>,
    pub connections: usize,
    /// Size of the messages, without their header section.
    pub body_bytes: usize,
    /// No message begins after this,
    pub time_max: Duration,
    /// nor when so many have begun.
    pub messages_max: usize,
}

/// One time from MAIL to the 250 behind the final dot for each message.
pub struct Accepted {
    pub waits: Vec<Duration>,
}

impl Load {
    pub async fn run(&self) -> Accepted {
        let begun = Arc::new(AtomicUsize::new(0));
        let end = Instant::now() + self.time_max;
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            let (load, begun) = (self.clone(), Arc::clone(&begun));
            connections.spawn(async move {
                let mut client = Client::open(&load).await;
                let mut waits = Vec::new();
                while Instant::now() < end && begun.fetch_add(1, Ordering::Relaxed) < load.messages_max {
                    waits.push(client.send().await);
                }
                waits
            });
        }
        Accepted { waits: connections.join_all().await.concat() }
    }
}

/// One connection, past its handshake and EHLO.
pub struct Client {
    tls: TlsStream<TcpStream>,
    content: Vec<u8>,
}

impl Client {
    pub async fn open(load: &Load) -> Self {
        let mut tcp = TcpStream::connect(load.to).await.expect("the server listens");
        tcp.set_nodelay(true).expect("a socket");
        expect(&mut tcp, 1, '2').await;
        tcp.write_all(b"EHLO mx.woodgrove.example\r\n").await.expect("open");
        expect(&mut tcp, 1, '2').await;
        tcp.write_all(b"STARTTLS\r\n").await.expect("open");
        expect(&mut tcp, 1, '2').await;
        let name = ServerName::try_from(load.server_name).expect("a name");
        let mut tls =
            TlsConnector::from(Arc::clone(&load.tls)).connect(name, tcp).await.expect("a handshake");
        tls.write_all(b"EHLO mx.woodgrove.example\r\n").await.expect("open");
        tls.flush().await.expect("open");
        expect(&mut tls, 1, '2').await;
        Self { tls, content: content(load.body_bytes) }
    }

    async fn send(&mut self) -> Duration {
        let since = Instant::now();
        let envelope = b"MAIL FROM:<anna@woodgrove.example>\r\nRCPT TO:<bob@woodgrove.example>\r\nDATA\r\n";
        self.tls.write_all(envelope).await.expect("open");
        self.tls.flush().await.expect("open");
        expect(&mut self.tls, 3, '3').await;
        self.tls.write_all(&self.content).await.expect("open");
        self.tls.flush().await.expect("open");
        expect(&mut self.tls, 1, '2').await;
        since.elapsed()
    }
}

/// Reads `count` replies; none may be a refusal, the last must begin with `digit`.
async fn expect(io: &mut (impl AsyncReadExt + Unpin), count: usize, digit: char) {
    let mut seen = Vec::with_capacity(512);
    loop {
        let text = String::from_utf8_lossy(&seen);
        let replies: Vec<&str> = text
            .split_inclusive("\r\n")
            .filter(|line| line.ends_with("\r\n") && !is_continued(line))
            .collect();
        assert!(!replies.iter().any(|reply| reply.starts_with(['4', '5'])), "refused: {text}");
        if replies.len() >= count {
            assert!(replies[count - 1].starts_with(digit), "unexpected: {text}");
            return;
        }
        let read = io.read_buf(&mut seen).await.expect("a reply");
        assert!(read > 0, "the server closed the connection after {:?}", String::from_utf8_lossy(&seen));
    }
}

fn is_continued(line: &str) -> bool {
    line.as_bytes().get(3) == Some(&b'-')
}

fn content(body_bytes: usize) -> Vec<u8> {
    let head = "From: Anna <anna@woodgrove.example>\r\nTo: Bob <bob@woodgrove.example>\r\n\
                Subject: figures\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\
                Message-ID: <figures@woodgrove.example>\r\n\r\n";
    let line = format!("{}\r\n", "0123456789abcdef".repeat(4));
    let mut content = head.as_bytes().to_vec();
    content.extend(line.bytes().cycle().take(body_bytes / line.len() * line.len()));
    content.extend_from_slice(b".\r\n");
    content
}
