//! The service manager, as systemd defines one: what it hands over at the start (listening sockets, the
//! time within which it wants to hear from us) and what it is told meanwhile (sd_listen_fds(3),
//! sd_notify(3), sd_watchdog_enabled(3)). Under no service manager everything here does nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A service manager that reads nothing does not keep us for longer.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Octets of a status text.
const STATUS_BYTES_MAX: usize = 500;

/// What the service manager gave us, and the way to it.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
    passed: Mutex<Vec<Passed>>,
}

/// A listening socket that was handed over. It is kept open also while nobody uses it: the service
/// manager holds it too, and we could not bind its address anew.
#[derive(Debug)]
struct Passed {
    address: SocketAddr,
    listener: TcpListener,
    taken: bool,
}

impl ServiceManager {
    /// What the environment tells: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, `LISTEN_FDS` and
    /// `LISTEN_PID`. To be called once, by the process that the service manager started.
    ///
    /// # Errors
    /// Where there is a service manager that cannot be told anything: it would wait for us in vain.
    pub fn from_environment() -> io::Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let socket = variable("NOTIFY_SOCKET").map(|name| connect(&name)).transpose()?;
        let ours = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = variable("WATCHDOG_USEC").filter(|_| ours).and_then(|micros| micros.parse().ok());
        Ok(Self {
            socket,
            watchdog: watchdog.filter(|micros| *micros > 0).map(Duration::from_micros),
            passed: Mutex::new(passed()),
        })
    }

    /// Within this time the service manager wants to hear that all is well, again and again; none where
    /// it does not watch.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Whether anybody listens to what is told.
    pub fn listens(&self) -> bool {
        self.socket.is_some()
    }

    /// The socket that was handed over for `address`, ready for use in the runtime.
    pub fn take(&self, address: SocketAddr) -> Option<io::Result<TcpListener>> {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let found = passed.iter_mut().find(|passed| passed.address == address)?;
        found.taken = true;
        Some(found.listener.try_clone())
    }

    /// Its binding is gone from the settings. The socket stays open, here and with the service manager, which alone
    /// could close it. Says whether there is one.
    pub fn give_back(&self, address: SocketAddr) -> bool {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let found = passed.iter_mut().find(|passed| passed.address == address);
        found.map(|passed| passed.taken = false).is_some()
    }

    /// Sockets that were handed over and that nobody took: connections wait there for nothing.
    pub fn unused(&self) -> Vec<SocketAddr> {
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.iter().filter(|passed| !passed.taken).map(|passed| passed.address).collect()
    }

    /// Every binding listens.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The settings are being read again; `ready` ends it.
    pub fn reloading(&self) {
        // What `Type=notify-reload` wants to see; others pass over it.
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the settings again"));
    }

    /// Mail in hand is being finished.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing the sessions in hand");
    }

    /// All is well.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            self.tell("WATCHDOG=1");
        }
    }

    /// One line for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", one_line(status)));
    }

    /// A service manager that does not take it is no reason to stop carrying mail.
    fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(state.as_bytes());
        }
    }
}

/// A path, or, behind `@`, a name in the abstract namespace.
fn connect(name: &str) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => UnixAddress::from_abstract_name(name)?,
        None => UnixAddress::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_write_timeout(Some(TELL_TIMEOUT))?;
    Ok(socket)
}

fn passed() -> Vec<Passed> {
    let mut sockets = listenfd::ListenFd::from_env();
    let mut found = Vec::new();
    for index in 0..sockets.len() {
        // A socket of another kind is none of ours to answer.
        let Ok(Some(listener)) = sockets.take_tcp_listener(index) else { continue };
        let Ok(address) = listener.local_addr() else { continue };
        if listener.set_nonblocking(true).is_ok() {
            found.push(Passed { address, listener, taken: false });
        }
    }
    found
}

/// A line break would begin another assignment.
fn one_line(status: &str) -> String {
    let mut line = status.replace(|c: char| c.is_control(), " ");
    let mut end = line.len().min(STATUS_BYTES_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(by: impl FnOnce(&ServiceManager)) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let socket = Some(connect(path.to_str().unwrap()).unwrap());
        by(&ServiceManager { socket, watchdog: Some(Duration::from_secs(9)), passed: Mutex::default() });
        let mut text = [0; 1024];
        let count = manager.recv(&mut text).unwrap();
        String::from_utf8(text[..count].to_vec()).unwrap()
    }

    #[test]
    fn assignments_are_those_of_sd_notify() {
        assert_eq!(told(|manager| manager.ready("In=[::]:25")), "READY=1\nSTATUS=In=[::]:25");
        assert_eq!(told(ServiceManager::alive), "WATCHDOG=1");
        assert!(told(ServiceManager::stopping).starts_with("STOPPING=1\n"));
        let reloading = told(ServiceManager::reloading);
        let micros = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(reloading.starts_with("RELOADING=1\n") && micros.unwrap().parse::<u64>().unwrap() > 0);
    }

    #[test]
    fn a_status_stays_one_line_of_bounded_length() {
        let sly = format!("a\nREADY=1 {}", "\u{e4}".repeat(400));
        let text = told(|manager| manager.status(&sly));
        assert!(text.starts_with("STATUS=a READY=1 \u{e4}") && text.lines().count() == 1, "{text}");
        assert!(text.len() <= "STATUS=".len() + STATUS_BYTES_MAX);
    }

    #[test]
    fn an_abstract_name_is_understood() {
        let name = format!("sealpost-{:016x}", rand::random::<u64>());
        let address = UnixAddress::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        connect(&format!("@{name}")).unwrap().send(b"READY=1").unwrap();
        assert_eq!(manager.recv(&mut [0; 16]).unwrap(), 7);
    }

    #[test]
    fn a_socket_is_handed_out_again_after_its_listener_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let passed = vec![Passed { address, listener, taken: false }];
        let manager = ServiceManager { passed: Mutex::new(passed), ..ServiceManager::default() };
        assert_eq!(manager.unused(), [address]);
        assert!(manager.take("127.0.0.1:1".parse().unwrap()).is_none());
        drop(manager.take(address).unwrap().unwrap());
        let again = manager.take(address).unwrap().unwrap();
        assert_eq!(again.local_addr().unwrap(), address);
        assert!(manager.unused().is_empty());
        assert!(manager.give_back(address) && !manager.give_back("127.0.0.1:1".parse().unwrap()));
        assert_eq!(manager.unused(), [address], "connections wait there again");
    }
}
