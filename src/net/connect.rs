//! Outbound TCP connections of send connectors.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

/// Connects to `target` within `timeout`, from the one of `source_addresses` that is of the same
/// family, if there is one (`source_addresses` of a send connector), and without Nagle's delay.
pub async fn connect(
    target: SocketAddr,
    source_addresses: &[IpAddr],
    timeout: Duration,
) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source_addresses.iter().find(|source| source.is_ipv4() == target.is_ipv4()) {
        let explain = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot send from source address {source}: {error}"))
        };
        socket.bind(SocketAddr::new(*source, 0)).map_err(explain)?;
    }
    let connected = tokio::time::timeout(timeout, socket.connect(target)).await;
    let stream = connected.map_err(|_| {
        let text = format!("no answer from {target} within {} s", timeout.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    })??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::listener;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_source_address_of_the_targets_family_is_used() {
        let listener = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let sources = ["::1".parse().unwrap(), "127.0.0.2".parse().unwrap()];
        let stream = connect(listener.local_addr().unwrap(), &sources, LONG).await.unwrap();
        assert_eq!(stream.local_addr().unwrap().ip(), sources[1]);
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_source_address_that_is_not_ours_is_named() {
        let listener = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let sources = ["203.0.113.77".parse().unwrap()];
        let error = connect(listener.local_addr().unwrap(), &sources, LONG).await.unwrap_err();
        assert!(error.to_string().contains("source address 203.0.113.77"), "{error}");
    }

    #[tokio::test]
    async fn nobody_listening_is_an_error() {
        // Bound, so that nobody else takes the port, but not listening.
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let target = silent.local_addr().unwrap();
        assert_eq!(connect(target, &[], LONG).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
