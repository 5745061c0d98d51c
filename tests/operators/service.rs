//! The service manager's side, played by a datagram socket and by systemd's own tools.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{EDGE, PATIENCE, Site, executable, tool};

/// Killed when dropped.
struct Started(Child);

impl Started {
    /// The server, told where its service manager listens.
    fn notifying(config: &Path, socket: &Path, environment: &[(&str, &str)]) -> Self {
        let child = Command::new(executable())
            .args(["serve", "-c"])
            .arg(config)
            .env("NOTIFY_SOCKET", socket)
            .envs(environment.iter().copied())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Manager(UnixDatagram);

impl Manager {
    fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn next(&self) -> String {
        let mut text = [0; 2048];
        let count = self.0.recv(&mut text).expect("the server tells something");
        String::from_utf8(text[..count].to_vec()).unwrap()
    }

    /// The next that begins so; other news may come before it.
    fn wait_for(&self, start: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let told = self.next();
            if told.starts_with(start) {
                return told;
            }
            assert!(Instant::now() < until, "no {start}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_of_start_life_reload_and_stop() {
    let site = Site::new().await;
    let config = site.write_settings(&site.settings(""));
    let manager = Manager::new(&site.path("notify"));
    let mut started = Started::notifying(&config, &site.path("notify"), &[("WATCHDOG_USEC", "300000")]);
    let ready = manager.wait_for("READY=1");
    assert!(ready.contains("STATUS=0 messages in the queue; Internet=127."), "{ready}");
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    let pid = Pid::from_child(&started.0);
    kill_process(pid, Signal::HUP).unwrap();
    let reloading = manager.wait_for("RELOADING=1");
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    manager.wait_for("READY=1");
    // A refusal ends the reload as well: the server goes on.
    std::fs::write(&config, "nonsense = 1\n").unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    kill_process(pid, Signal::TERM).unwrap();
    manager.wait_for("STOPPING=1");
    assert!(started.0.wait().unwrap().success());
}

/// A watchdog of another process is not ours to feed.
#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_of_another_process_is_left_alone() {
    let site = Site::new().await;
    let config = site.write_settings(&site.settings(""));
    let manager = Manager::new(&site.path("notify"));
    let watchdog = [("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")];
    let started = Started::notifying(&config, &site.path("notify"), &watchdog);
    manager.wait_for("READY=1");
    manager.0.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut text = [0; 2048];
    while let Ok(count) = manager.0.recv(&mut text) {
        assert!(!text[..count].starts_with(b"WATCHDOG"), "not ours");
    }
    drop(started);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_systemd_has_bound_is_taken_over() {
    let Some(activate) = tool("socket activation", "systemd-socket-activate") else { return };
    let site = Site::new().await;
    let address = site.network.free(EDGE);
    let edge = site.network.ip(EDGE);
    let settings = site.settings("").replace(&format!("\"{edge}:0\""), &format!("\"{address}\""));
    let config = site.write_settings(&settings);
    // The second socket is named by no binding.
    let spare = site.network.free(EDGE);
    let child = Command::new(activate)
        .args(["-l", &address.to_string(), "-l", &spare.to_string()])
        .arg(executable())
        .args(["serve", "-c"])
        .arg(&config)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut started = Started(child);
    let mut log = BufReader::new(started.0.stderr.take().unwrap());
    // It starts the program with the first connection, which waits in the socket until then.
    let banner = greeting(address);
    assert!(banner.starts_with("220 "), "{banner}");
    let mut seen = String::new();
    while !seen.contains("\nready ") {
        assert!(log.read_line(&mut seen).unwrap() > 0, "{seen}");
    }
    assert!(seen.contains(&format!("ready Internet={address} ")), "{seen}");
    while !seen.contains("handed over a socket for") {
        assert!(log.read_line(&mut seen).unwrap() > 0, "{seen}");
    }
    assert!(seen.contains(&format!("handed over a socket for {spare}")), "{seen}");
    // The binding goes and comes back: the socket has not been lost meanwhile.
    let other = site.network.free(EDGE);
    let pid = Pid::from_child(&started.0);
    for binding in [other, address] {
        site.write_settings(&settings.replace(&address.to_string(), &binding.to_string()));
        kill_process(pid, Signal::HUP).unwrap();
        assert!(greeting(binding).starts_with("220 "));
    }
    // While no binding named it, connections waited there for nothing: that is told.
    let told = format!("handed over a socket for {address}, which no binding names");
    while !seen.contains(&told) {
        assert!(log.read_line(&mut seen).unwrap() > 0, "{seen}");
    }
}

/// Also from a server that is not there yet.
fn greeting(address: SocketAddr) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Ok(mut stream) = TcpStream::connect(address) {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut text = [0; 512];
            if let Ok(count @ 1..) = stream.read(&mut text) {
                let _ = stream.write_all(b"QUIT\r\n");
                return String::from_utf8_lossy(&text[..count]).into_owned();
            }
        }
        assert!(Instant::now() < until, "nobody greets at {address}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Without the right to bind, the error says how it is got.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named_with_a_remedy() {
    let site = Site::new().await;
    let edge = site.network.ip(EDGE);
    let taken = std::net::TcpListener::bind((edge, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let settings = site.settings("").replace(&format!("\"{edge}:0\""), &format!("\"{address}\""));
    let config = site.write_settings(&settings);
    let output = Command::new(executable()).args(["serve", "-c"]).arg(&config).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("cannot listen on {address}")) && error.contains("ss -ltnp"), "{error}");
}
