//! One `sealpost serve` with a mailbox behind it, and eyes for its counters and protocol log.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sealpost::cli::demo::mailbox::{Delivered, Mailbox};
use sealpost::cli::demo::server::Server;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::common::{Network, PATIENCE, executable};
use super::pki::Pki;

pub struct Rig {
    pub server: Server,
    pub pki: Pki,
    mailbox: Mailbox,
    home: TempDir,
    runtime: Runtime,
}

/// One line of the protocol log.
#[derive(Clone, Debug)]
pub struct LogLine {
    pub raw: String,
    pub connector: String,
    pub session: String,
    pub sequence: usize,
    pub local: String,
    pub remote: String,
    pub event: String,
    pub data: String,
    pub context: String,
}

impl Rig {
    /// `{ip}` and `{ip2}` … `{ip8}` in the settings are addresses of our own. `prepare` may write more files.
    pub fn start(settings: impl FnOnce(&mut Pki, &Path) -> String) -> Self {
        let home = tempfile::Builder::new().prefix("sealpost-test-").tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let network = Network::reserve();
        let mailbox = runtime.block_on(Mailbox::start((network.ip(4), 0).into())).unwrap();
        let mut pki = Pki::new(home.path());
        let text = settings(&mut pki, home.path());
        let config = home.path().join("sealpost.toml");
        std::fs::write(&config, complete(&text, &network, mailbox.address())).unwrap();
        let server = Server::start(executable(), &config, &home.path().join("server.log")).unwrap();
        Self { server, pki, mailbox, home, runtime }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn at(&self, connector: &str) -> SocketAddr {
        self.server.ready.connector(connector).unwrap()
    }

    /// Puts `new` for `old` in the settings and reloads: exit status and standard error.
    pub fn reload(&self, old: &str, new: &str) -> (i32, String) {
        let config = self.path("sealpost.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        assert!(text.contains(old), "{old} is not in the settings");
        std::fs::write(&config, text.replace(old, new)).unwrap();
        let output =
            Command::new(executable()).args(["config", "reload", "-c"]).arg(&config).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    pub fn reload_well(&self, old: &str, new: &str) {
        let (status, said) = self.reload(old, new);
        assert_eq!(status, 0, "{said}");
    }

    /// The message with this subject as the mailbox behind us got it.
    pub fn arrival(&self, subject: &str) -> Delivered {
        let fits = |kept: &Delivered| kept.field("Subject").as_deref() == Some(subject);
        let found = self.runtime.block_on(self.mailbox.wait_for(fits, PATIENCE));
        found.unwrap_or_else(|| panic!("{subject} did not arrive: {}", self.events()))
    }

    pub fn events(&self) -> String {
        std::fs::read_to_string(self.path("server.log")).unwrap_or_default()
    }

    fn metrics(&self) -> String {
        let admin = self.server.ready.admin.unwrap();
        let mut stream = TcpStream::connect(admin).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    /// The series of this name that has all these labels; panics when there is none.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.find_counter(name, labels).unwrap_or_else(|| panic!("no series {name} {labels:?}"))
    }

    pub fn find_counter(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        let text = self.metrics();
        let line = text.lines().find(|line| {
            line.starts_with(&format!("{name}{{"))
                && labels.iter().all(|(key, value)| line.contains(&format!("{key}=\"{value}\"")))
        });
        line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok())
    }

    pub fn failures(&self, domain: &str, fault: &str, mode: &str) -> u64 {
        let labels = [("domain", domain), ("fault", fault), ("mode", mode)];
        let name = "sealpost_domain_secure_inbound_failures_total";
        self.find_counter(name, &labels).unwrap_or_else(|| panic!("no series {labels:?}"))
    }

    pub fn secured(&self, domain: &str) -> u64 {
        self.counter("sealpost_domain_secure_messages_received_total", &[("domain", domain)])
    }

    /// Everything in the receive log, by session.
    pub fn log(&self) -> BTreeMap<String, Vec<LogLine>> {
        let mut sessions: BTreeMap<String, Vec<LogLine>> = BTreeMap::new();
        for line in self.log_text().split("\r\n").filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let fields = fields(line);
            let [_, connector, session, sequence, local, remote, event, data, context]: [String; 9] =
                fields.try_into().unwrap_or_else(|fields| panic!("{fields:?}"));
            let sequence = sequence.parse().unwrap();
            let raw = line.to_owned();
            let line = LogLine { raw, connector, session, sequence, local, remote, event, data, context };
            sessions.entry(line.session.clone()).or_default().push(line);
        }
        sessions
    }

    /// The log files as they are.
    pub fn log_text(&self) -> String {
        let Ok(files) = std::fs::read_dir(self.path("data/protocol-log/SmtpReceive")) else {
            return String::new();
        };
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
    }

    /// The session's lines once the one that `ends` is there; the promise is one second.
    pub fn session(&self, id: &str, ends: impl Fn(&LogLine) -> bool) -> Vec<LogLine> {
        until("the protocol log line", || {
            let lines = self.log().remove(id)?;
            lines.iter().any(&ends).then_some(lines)
        })
    }
}

/// Tries until there is something; a busy machine gets its time.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The session id in a reply.
pub fn session_of(reply: &str) -> String {
    let (_, rest) = reply.rsplit_once("session ").unwrap_or_else(|| panic!("no session id in {reply}"));
    let id: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    assert_eq!(id.len(), 16, "{reply}");
    assert_eq!(id, id.to_ascii_uppercase());
    id
}

/// RFC 4180.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut().unwrap();
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    assert!(!quoted, "{line}");
    fields
}

fn complete(text: &str, network: &Network, mailbox: SocketAddr) -> String {
    let mut text = format!(
        r#"hostname = "mx.contoso.example"
data_directory = "data"
{text}
[[send_connector]]
name = "Mailboxes"
address_spaces = ["*"]
dns_routing_enabled = false
smart_hosts = ["[{}]:{}"]

[admin]
listen = "127.0.0.1:0"
"#,
        mailbox.ip(),
        mailbox.port()
    );
    for host in 2..=8 {
        text = text.replace(&format!("{{ip{host}}}"), &network.ip(host).to_string());
    }
    text.replace("{ip}", &network.ip(1).to_string()).replace("{port}", &network.port.to_string())
}
