//! The receiving side: takes every message over mutual TLS and counts it. While its gate is shut it
//! takes connections and says nothing, so that a queue fills and stays full.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// Nothing arrives for so long: something is lost.
const PATIENCE: Duration = Duration::from_secs(30);
const FINAL_DOT: &[u8] = b"\r\n.\r\n";

pub struct Sink {
    address: SocketAddr,
    taken: Arc<AtomicUsize>,
    gate: watch::Sender<bool>,
}

impl Sink {
    pub async fn start(config: Arc<ServerConfig>, open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.2:0").await.expect("a port");
        let address = listener.local_addr().expect("a port");
        let taken = Arc::new(AtomicUsize::new(0));
        let (gate, opened) = watch::channel(open);
        let acceptor = TlsAcceptor::from(config);
        let counter = Arc::clone(&taken);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, taken, mut opened) = (acceptor.clone(), Arc::clone(&counter), opened.clone());
                tokio::spawn(async move {
                    if opened.wait_for(|open| *open).await.is_ok() {
                        // The server may close its connections as it likes; what counts is counted.
                        let _ = serve(stream, acceptor, &taken).await;
                    }
                });
            }
        });
        Self { address, taken, gate }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn open(&self) {
        self.gate.send_replace(true);
    }

    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Waits until `count` messages came in all, to within a millisecond.
    pub async fn wait_for(&self, count: usize) {
        let (mut last, mut since) = (self.taken(), Instant::now());
        while self.taken() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if self.taken() > last {
                (last, since) = (self.taken(), Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "only {last} of {count} messages arrived");
        }
    }
}

async fn serve(mut plain: TcpStream, acceptor: TlsAcceptor, taken: &AtomicUsize) -> std::io::Result<()> {
    plain.set_nodelay(true)?;
    plain.write_all(b"220 mx.woodgrove.example\r\n").await?;
    if !session(&mut plain, "250-STARTTLS\r\n", taken).await? {
        return Ok(());
    }
    let mut tls = acceptor.accept(plain).await?;
    session(&mut tls, "", taken).await.map(drop)
}

/// True when the client asked for STARTTLS.
async fn session<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    starttls: &str,
    taken: &AtomicUsize,
) -> std::io::Result<bool> {
    let mut input = Vec::with_capacity(64 << 10);
    let mut in_content = false;
    // Octets of content that hold no end.
    let mut searched = 0;
    loop {
        if io.read_buf(&mut input).await? == 0 {
            return Ok(false);
        }
        let mut out = Vec::new();
        let mut at = 0;
        loop {
            let rest = &input[at..];
            if in_content {
                let Some(end) = memchr::memmem::find(&rest[searched..], FINAL_DOT) else {
                    searched = rest.len().saturating_sub(FINAL_DOT.len());
                    break;
                };
                at += searched + end + FINAL_DOT.len();
                (in_content, searched) = (false, 0);
                taken.fetch_add(1, Ordering::Relaxed);
                out.extend_from_slice(b"250 ok\r\n");
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', rest) else { break };
            at += end + 1;
            match &rest[..4.min(end)] {
                b"EHLO" => {
                    let reply =
                        format!("250-mx\r\n{starttls}250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0\r\n");
                    out.extend_from_slice(reply.as_bytes());
                }
                b"STAR" => {
                    io.write_all(b"220 go ahead\r\n").await?;
                    return Ok(true);
                }
                b"DATA" => {
                    out.extend_from_slice(b"354 go ahead\r\n");
                    in_content = true;
                }
                b"QUIT" => {
                    io.write_all(b"221 bye\r\n").await?;
                    io.flush().await?;
                    return Ok(false);
                }
                _ => out.extend_from_slice(b"250 ok\r\n"),
            }
        }
        input.drain(..at);
        if !out.is_empty() {
            io.write_all(&out).await?;
            io.flush().await?;
        }
    }
}
