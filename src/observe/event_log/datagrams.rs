//! The way to a datagram socket of syslog or of the journal, with a thread of its own behind a
//! bounded buffer. What finds nobody at the other end is lost and counted.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::buffer::{Buffer, Feed};

/// How long one datagram may take; a reader that is behind makes us wait.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// After a failure records are dropped for so long before the socket is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where datagrams go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Unix(PathBuf),
    Udp(SocketAddr),
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

/// Starts the thread; `lost` rises with each record that nobody got.
pub(super) fn start(to: Destination, lost: Arc<AtomicU64>) -> io::Result<Feed> {
    let buffer = Arc::new(Buffer::new(lost));
    let source = Arc::clone(&buffer);
    std::thread::Builder::new().name("event-log-out".to_owned()).spawn(move || run(&source, &to))?;
    Ok(Feed(buffer))
}

fn run(source: &Buffer, to: &Destination) {
    let mut socket: Option<Socket> = None;
    let mut not_before = Instant::now();
    while let Some(records) = source.take(1, Duration::ZERO) {
        for record in records {
            if socket.is_none() && Instant::now() >= not_before {
                socket = Socket::open(to).ok();
            }
            let sent = socket.as_ref().is_some_and(|socket| match socket.send(&record) {
                Ok(()) => true,
                // Too large for this socket: the next one may not be.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                    false
                }
                Err(_) => {
                    not_before = Instant::now() + RETRY_AFTER;
                    false
                }
            });
            if !sent {
                source.lose(1);
                if Instant::now() < not_before {
                    socket = None;
                } else if socket.is_none() {
                    not_before = Instant::now() + RETRY_AFTER;
                }
            }
        }
    }
}

impl Socket {
    fn open(to: &Destination) -> io::Result<Self> {
        match to {
            Destination::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(SEND_TIMEOUT))?;
                socket.connect(path)?;
                Ok(Socket::Unix(socket))
            }
            Destination::Udp(address) => {
                let any: SocketAddr =
                    if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
                let socket = UdpSocket::bind(any)?;
                socket.set_write_timeout(Some(SEND_TIMEOUT))?;
                socket.connect(address)?;
                Ok(Socket::Udp(socket))
            }
        }
    }

    fn send(&self, record: &[u8]) -> io::Result<()> {
        match self {
            Socket::Unix(socket) => socket.send(record),
            Socket::Udp(socket) => socket.send(record),
        }
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::buffer::WAITING_MAX;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn until() -> Instant {
        Instant::now() + PATIENCE
    }

    #[test]
    fn records_arrive_in_order_and_again_when_the_other_end_came_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let lost = Arc::new(AtomicU64::new(0));
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        let datagrams = start(Destination::Unix(path.clone()), Arc::clone(&lost)).unwrap();
        let mut buffer = [0; 64];
        for record in ["one", "two"] {
            datagrams.push(record.into());
            let read = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..read], record.as_bytes());
        }
        drop(receiver);
        std::fs::remove_file(&path).unwrap();
        datagrams.push(b"nobody there".to_vec());
        datagrams.flush(until());
        assert_eq!(lost.load(Ordering::Relaxed), 1);

        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let deadline = until();
        loop {
            datagrams.push(b"again".to_vec());
            if receiver.recv(&mut buffer).is_ok() {
                break;
            }
            assert!(Instant::now() < deadline, "never tried again");
        }
    }

    #[test]
    fn a_reader_that_sleeps_costs_records_and_no_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let _sleeper = UnixDatagram::bind(&path).unwrap();
        let lost = Arc::new(AtomicU64::new(0));
        let datagrams = start(Destination::Unix(path), Arc::clone(&lost)).unwrap();
        let began = Instant::now();
        (0..3 * WAITING_MAX).for_each(|_| datagrams.push(vec![b'x'; 1000]));
        assert!(began.elapsed() < PATIENCE / 2);
        assert!(lost.load(Ordering::Relaxed) >= 1);
    }
}
