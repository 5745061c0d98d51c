//! `sealpost serve` as a child process: started, awaited until every binding listens, ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// From start to `ready`.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// From SIGTERM to the end, before the process is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// A running server. Dropping it kills it; `stop` lets it drain.
pub struct Server {
    child: Child,
    pub ready: Ready,
    /// What the server wrote to standard error.
    pub log: PathBuf,
}

/// The line `ready NAME=ADDR:PORT … admin=ADDR:PORT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    connectors: BTreeMap<String, Vec<SocketAddr>>,
    pub admin: Option<SocketAddr>,
}

/// Why a server did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0} could not be started: {1}; check the path and its permissions")]
    Spawn(PathBuf, io::Error),
    #[error("the server ended before it was ready; it said: {0}")]
    Ended(String),
    #[error("the server was not ready within 20 s; it said: {0}")]
    NotReady(String),
}

impl Server {
    /// Runs `executable serve -c config` and waits for its `ready`. Blocks, at most 20 s.
    pub fn start(executable: &Path, config: &Path, log: &Path) -> Result<Self, StartError> {
        let spawn = |error| StartError::Spawn(executable.to_owned(), error);
        let log_file = File::create(log).map_err(spawn)?;
        let mut child = Command::new(executable)
            .args(["serve", "-c"])
            .arg(config)
            // Whoever started us is told by us, if at all.
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0) // Ctrl-C is for the one who started us; we end our children.
            .spawn()
            .map_err(spawn)?;
        let found = await_ready(&mut child, log_file).map_err(|timeout| {
            let said = std::fs::read_to_string(log).unwrap_or_default().trim().to_owned();
            if timeout { StartError::NotReady(said) } else { StartError::Ended(said) }
        });
        match found {
            Ok(ready) => Ok(Self { child, ready, log: log.to_owned() }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM: drain and stop. Killed after ten seconds.
    pub fn stop(mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        self.child.kill()?;
        self.child.wait()
    }

    /// SIGKILL: no chance to write anything any more.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// SIGHUP and the like.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Ready {
    /// `None` for any other line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut ready = Self::default();
        let mut rest = line.strip_prefix("ready ")?.trim_start();
        while !rest.is_empty() {
            let is_quoted = rest.starts_with('"');
            let (name, behind) = match is_quoted {
                true => unquote(&rest[1..])?,
                false => {
                    // An address holds no `=`; a name may.
                    let end = rest.find(' ').unwrap_or(rest.len());
                    let (name, _) = rest[..end].rsplit_once('=')?;
                    (name.to_owned(), &rest[name.len()..])
                }
            };
            let behind = behind.strip_prefix('=')?;
            let (address, after) = behind.split_once(' ').unwrap_or((behind, ""));
            let address = address.parse().ok()?;
            if name == "admin" && !is_quoted {
                ready.admin = Some(address);
            } else {
                ready.connectors.entry(name).or_default().push(address);
            }
            rest = after.trim_start();
        }
        Some(ready)
    }

    /// The first binding of a receive connector.
    pub fn connector(&self, name: &str) -> Option<SocketAddr> {
        self.connectors.get(name)?.first().copied()
    }
}

/// A name up to its closing quote, and what follows that.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (_, '\\') => name.push(chars.next()?.1),
            (end, '"') => return Some((name, &text[end + 1..])),
            (_, c) => name.push(c),
        }
    }
}

/// Copies standard error to the log for as long as the child lives; `Err(true)` when time is up,
/// `Err(false)` when the child fell silent for good.
fn await_ready(child: &mut Child, mut log: File) -> Result<Ready, bool> {
    let stderr = child.stderr.take().ok_or(false)?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody is left to be told when the log cannot be written or the wait is over.
            let _written = writeln!(log, "{line}");
            if let Some(ready) = Ready::parse(&line) {
                let _sent = sender.send(ready);
            }
        }
    });
    receiver.recv_timeout(READY_TIMEOUT).map_err(|error| error == RecvTimeoutError::Timeout)
}

/// Kills and reaps; it may have ended by itself.
fn end(child: &mut Child) {
    let _gone = child.kill();
    let _reaped = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_bindings_and_admin() {
        let ready =
            Ready::parse("ready Internet=127.0.0.1:25 Internet=[::1]:26 In=127.0.0.1:9 admin=127.0.0.1:80");
        let ready = ready.unwrap();
        assert_eq!(ready.connector("Internet"), Some("127.0.0.1:25".parse().unwrap()));
        assert_eq!(ready.connector("In"), Some("127.0.0.1:9".parse().unwrap()));
        assert_eq!(ready.admin, Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!(Ready::parse("2026-11-22 INFO ready=1"), None);
        assert_eq!(Ready::parse("ready Internet=nonsense"), None);
        assert_eq!(Ready::parse("ready \"Internet=127.0.0.1:25"), None);
    }

    #[test]
    fn names_with_blanks_are_quoted() {
        let ready = Ready::parse(
            r#"ready "Our users"=127.0.0.1:25 "admin"=127.0.0.1:26 "a \"b\\"=[::1]:27 a=b=127.0.0.1:28 admin=127.0.0.1:80"#,
        )
        .unwrap();
        for (name, address) in [
            ("Our users", "127.0.0.1:25"),
            ("admin", "127.0.0.1:26"),
            ("a \"b\\", "[::1]:27"),
            ("a=b", "127.0.0.1:28"),
        ] {
            assert_eq!(ready.connector(name), Some(address.parse().unwrap()), "{name}");
        }
        assert_eq!(ready.admin, Some("127.0.0.1:80".parse().unwrap()));
    }

    #[test]
    fn a_program_that_ends_at_once_is_reported_with_what_it_said() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let error = Server::start(Path::new("/bin/false"), Path::new("x.toml"), &log).map(drop).unwrap_err();
        assert!(matches!(error, StartError::Ended(_)), "{error}");
        let error = Server::start(Path::new("/nowhere"), Path::new("x.toml"), &log).map(drop).unwrap_err();
        assert!(matches!(error, StartError::Spawn(..)), "{error}");
    }
}
