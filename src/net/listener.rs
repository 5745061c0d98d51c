//! Listening sockets of receive connectors.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections the kernel holds for us until they are accepted.
const BACKLOG: i32 = 1024;

/// Listens on `address`. IPv6 bindings are v6-only, so that `0.0.0.0:25` and `[::]:25` stand side
/// by side on Linux; port 0 takes any free port. Call inside the runtime.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The next connection, without Nagle's delay. Connections that ended before we took them are
/// passed over; what remains is a fault of ours, such as no descriptors left, after which the
/// caller waits a moment before it tries again.
pub async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        let error = match listener.accept().await {
            Ok((stream, remote)) => {
                // Only a socket the peer has already reset refuses this; the first read says so.
                let _ = stream.set_nodelay(true);
                return Ok((stream, remote));
            }
            Err(error) => error,
        };
        if !concerns_one_connection(&error) {
            return Err(error);
        }
    }
}

/// Linux hands errors of the new connection to accept(2).
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | Interrupted | NetworkUnreachable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_families_share_a_port() {
        // A machine without IPv6 has nothing to test here.
        if bind("[::]:0".parse().unwrap()).is_err() {
            return;
        }
        // Somebody else may hold the port on IPv6; not ten times in a row.
        let shared = (0..10).any(|_| {
            let v4 = bind("0.0.0.0:0".parse().unwrap()).unwrap();
            let port = v4.local_addr().unwrap().port();
            bind(SocketAddr::new("::".parse().unwrap(), port)).is_ok()
        });
        assert!(shared);
    }

    #[tokio::test]
    async fn a_second_listener_on_one_address_is_refused() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(bind(first.local_addr().unwrap()).is_err());
    }

    #[tokio::test]
    async fn accepted_connections_do_not_wait_for_more_to_send() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, remote) = accept(&listener).await.unwrap();
        assert!(stream.nodelay().unwrap());
        assert_eq!(remote, client.local_addr().unwrap());
    }
}
