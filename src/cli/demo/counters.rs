//! Reads the counters of a running server, as Prometheus would: over HTTP from `/metrics`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use crate::cli::exposition::value;

const TIMEOUT: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: u64 = 4 << 20;

/// The exposition text of `/metrics`.
pub async fn fetch(admin: SocketAddr) -> io::Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(admin).await?;
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(BODY_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let timed_out = |_| Err(io::ErrorKind::TimedOut.into());
    let answer: String = tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or_else(timed_out)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => {
            let status = answer.lines().next().unwrap_or("nothing");
            Err(io::Error::other(format!("/metrics at {admin} answered {status:?}")))
        }
    }
}
