//! Outbound TCP connections of send connectors.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

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

/// How long an address has the field to itself before the next is tried beside it (RFC 8305 8).
const HEAD_START: Duration = Duration::from_millis(250);

/// What came of connecting to several addresses of one host.
#[derive(Debug, Default)]
pub struct Race {
    pub connected: Option<(TcpStream, SocketAddr)>,
    /// Those that failed before one answered.
    pub failed: Vec<(SocketAddr, io::Error)>,
}

/// Connects to the first of `addresses` that answers, as RFC 8305 5 has it: in their order, each
/// with a head start before the next, the next at once where one fails. Those that are still
/// trying when one has answered are broken off.
pub async fn race(addresses: &[SocketAddr], source_addresses: &[IpAddr], timeout: Duration) -> Race {
    let sources: Arc<[IpAddr]> = source_addresses.into();
    let mut attempts = JoinSet::new();
    let mut race = Race::default();
    let mut left = addresses.iter().copied();
    let mut next = left.next();
    let mut next_at = Instant::now();
    while next.is_some() || !attempts.is_empty() {
        tokio::select! {
            biased;
            Some(ended) = attempts.join_next(), if !attempts.is_empty() => match ended {
                Ok((address, Ok(stream))) => {
                    race.connected = Some((stream, address));
                    return race;
                }
                Ok((address, Err(error))) => {
                    race.failed.push((address, error));
                    next_at = Instant::now();
                }
                // Only by a panic, which the other attempts survive.
                Err(_) => {}
            },
            () = tokio::time::sleep_until(next_at), if next.is_some() => {
                if let Some(address) = next {
                    let sources = Arc::clone(&sources);
                    attempts.spawn(async move { (address, connect(address, &sources, timeout).await) });
                }
                next = left.next();
                next_at = Instant::now() + HEAD_START;
            }
        }
    }
    race
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

    /// An address that refuses, as long as the socket lives.
    fn refusing() -> (TcpSocket, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn the_first_that_answers_wins_and_those_that_failed_are_named() {
        let (_socket, refused) = refusing();
        let listener = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let answers = listener.local_addr().unwrap();
        let race = race(&[refused, answers], &[], LONG).await;
        assert_eq!(race.connected.map(|(_, address)| address), Some(answers));
        assert_eq!(race.failed.iter().map(|(address, _)| *address).collect::<Vec<_>>(), [refused]);
    }

    #[tokio::test]
    async fn who_is_silent_does_not_hold_up_the_next() {
        // A backlog of one that is used up: the kernel answers nothing more.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent_listener = socket.listen(1).unwrap();
        let silent = silent_listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = connect(silent, &[], Duration::from_millis(100)).await {
            waiting.push(stream);
        }
        let listener = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let answers = listener.local_addr().unwrap();
        let race = race(&[silent, answers], &[], LONG).await;
        assert_eq!(race.connected.map(|(_, address)| address), Some(answers));
        assert!(race.failed.is_empty(), "the silent one was broken off, not found dead");
    }

    #[tokio::test]
    async fn where_nobody_answers_all_failed() {
        let ((_one, first), (_two, second)) = (refusing(), refusing());
        let race = race(&[first, second], &[], LONG).await;
        assert!(race.connected.is_none());
        assert_eq!(race.failed.len(), 2);
        assert!(super::race(&[], &[], LONG).await.connected.is_none());
    }
}
