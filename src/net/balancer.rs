//! Taking the PROXY header off a connection that a balancer has made to us.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::proxy_protocol::{self, Header, Origin, ProxyError, V2_BYTES_MAX};

/// A balancer knows its header before it connects: this is for a slow way, not for a slow mind.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a connection from a balancer is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BalancerError {
    #[error("{0}")]
    Header(#[from] ProxyError),
    #[error("no whole PROXY header came within 5 s")]
    TooSlow,
    #[error("the connection ended before the end of the PROXY header")]
    Ended,
    #[error("the PROXY header could not be read: {0}")]
    Broken(#[from] io::Error),
}

/// Reads the header and not one octet more: what follows is the client's, be it TLS or SMTP.
///
/// # Errors
/// Where no good header comes in time.
pub async fn read_header(stream: &mut TcpStream) -> Result<Origin, BalancerError> {
    tokio::time::timeout(HEADER_TIMEOUT, header_of(stream)).await.unwrap_or(Err(BalancerError::TooSlow))
}

async fn header_of(stream: &mut TcpStream) -> Result<Origin, BalancerError> {
    let mut header = Vec::new();
    let mut peeked = vec![0; V2_BYTES_MAX];
    loop {
        let count = stream.peek(&mut peeked).await?;
        if count == 0 {
            return Err(BalancerError::Ended);
        }
        let taken = header.len();
        header.extend_from_slice(&peeked[..count]);
        match proxy_protocol::parse(&header)? {
            Header::Complete { origin, length } => {
                stream.read_exact(&mut peeked[..length - taken]).await?;
                return Ok(origin);
            }
            // All of it belongs to the header, so it is taken, lest it be peeked at for ever.
            Header::Incomplete => {
                stream.read_exact(&mut peeked[..count]).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (client, server)
    }

    #[tokio::test]
    async fn what_follows_the_header_is_left_for_the_session() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\nEHLO x\r\n").await.unwrap();
        let origin = read_header(&mut server).await.unwrap();
        let (source, destination) = ("192.0.2.7:40000".parse().unwrap(), "198.51.100.1:25".parse().unwrap());
        assert_eq!(origin, Origin::Client { source, destination });
        let mut rest = [0; 8];
        server.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"EHLO x\r\n");
    }

    #[tokio::test]
    async fn a_header_in_pieces_is_put_together_and_half_of_one_is_none() {
        let (mut client, mut server) = pair().await;
        let reading = tokio::spawn(async move { read_header(&mut server).await });
        for piece in ["PRO", "XY UNKN", "OWN\r", "\n"] {
            client.write_all(piece.as_bytes()).await.unwrap();
            client.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(reading.await.unwrap().unwrap(), Origin::Balancer);
        let (mut client, mut server) = pair().await;
        client.write_all(b"PROXY TC").await.unwrap();
        drop(client);
        assert!(matches!(read_header(&mut server).await, Err(BalancerError::Ended)));
    }

    #[tokio::test]
    async fn a_client_that_is_no_balancer_is_found_out_by_its_first_octets() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"EHLO x\r\n").await.unwrap();
        let refused = read_header(&mut server).await;
        assert!(matches!(refused, Err(BalancerError::Header(ProxyError::NoHeader))));
    }
}
