//! rspamd as a milter, with the configuration of its package but for what needs a network: an
//! ordinary message goes on with its fields, a test message for spam filters is refused.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{EDGE, OURS, PATIENCE, STRANGER, Site, tool};

/// What every spam filter takes for spam (https://spamassassin.apache.org/gtube/).
const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

/// Without the modules that ask the Internet or a database.
const SILENT: &[&str] = &[
    "arc",
    "arc_signing",
    "asn",
    "clickhouse",
    "dkim",
    "dkim_signing",
    "dmarc",
    "fuzzy_check",
    "greylist",
    "history_redis",
    "metadata_exporter",
    "mx_check",
    "neural",
    "phishing",
    "ratelimit",
    "rbl",
    "redis",
    "replies",
    "spf",
    "surbl",
    "url_redirector",
    "whitelist",
];

struct Rspamd(Child);

impl Rspamd {
    fn start(program: &Path, site: &Site, address: SocketAddr) -> Self {
        let home = site.path("rspamd");
        let local = home.join("local.d");
        for folder in ["local.d", "db", "run", "log"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        let write = |name: &str, text: &str| std::fs::write(local.join(name), text).unwrap();
        write(
            "worker-proxy.inc",
            &format!(
                "bind_socket = \"{address}\"; milter = yes; count = 1;\n\
                 upstream \"local\" {{ default = yes; self_scan = yes; }}\n"
            ),
        );
        for worker in ["normal", "controller", "fuzzy"] {
            write(&format!("worker-{worker}.inc"), "enabled = false;\n");
        }
        for module in SILENT {
            write(&format!("{module}.conf"), "enabled = false;\n");
        }
        write("milter_headers.conf", "use = [\"x-spamd-result\"]; skip_local = false;\n");
        write("logging.inc", "type = \"console\"; level = \"info\";\n");
        // Neither the compilation of patterns nor that of all top-level domains, which take long.
        std::fs::write(home.join("tld"), "example\n").unwrap();
        let dns = site.dns.address();
        let options = format!(
            "disable_hyperscan = true; url_tld = \"{home}/tld\";\n\
             dns {{ nameserver = [\"{dns}\"]; timeout = 0.1s; retransmits = 1; }}\n",
            home = home.display()
        );
        write("options.inc", &options);
        let mut command = Command::new(program);
        command.arg("-f");
        if rustix::process::geteuid().is_root() {
            std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o755)).unwrap();
            let owner = Command::new("chown").args(["-R", "_rspamd:"]).arg(&home).status().unwrap();
            assert!(owner.success(), "there is no user named _rspamd");
            command.args(["-u", "_rspamd", "-g", "_rspamd"]);
        }
        for (name, folder) in [("LOCAL_CONFDIR", ""), ("DBDIR", "db"), ("RUNDIR", "run"), ("LOGDIR", "log")] {
            command.arg(format!("--var={name}={}", home.join(folder).display()));
        }
        let log = std::fs::File::create(site.path("rspamd.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let running = Self(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let log = || std::fs::read_to_string(site.path("rspamd.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "rspamd does not listen on {address}:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        running
    }
}

impl Drop for Rspamd {
    fn drop(&mut self) {
        // It ends its workers itself, when asked and not killed.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ended = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rspamd_refuses_spam_and_marks_what_it_lets_through() {
    let Some(program) = tool("rspamd as a milter", "rspamd") else { return };
    let site = Site::new().await;
    let address = site.network.free(EDGE);
    let _rspamd = Rspamd::start(&program, &site, address);
    let filtered = site.network.ip(7);
    let edge = site.start_edge(&format!(
        "[[milter]]\nname = \"rspamd\"\naddress = \"inet:{address}\"\n\n\
         [[receive_connector]]\nname = \"Filtered\"\nbindings = [\"{filtered}:0\"]\nmilters = [\"rspamd\"]\n"
    ));
    let at = edge.server.ready.connector("Filtered").unwrap();
    let to = format!("alice@{OURS}");
    let from = format!("anna@{STRANGER}");
    let letter = |subject: &str, body: &str| {
        format!(
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nMessage-ID: <{subject}@{STRANGER}>\r\n\
             Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\n{body}\r\n"
        )
    };
    let refused = say(at, &from, &to, &letter("spam", GTUBE));
    assert_eq!(refused, "554 5.7.1 Gtube pattern", "{}", site.log());
    let taken = say(at, &from, &to, &letter("ham", "Until tomorrow at ten."));
    assert!(taken.starts_with("250 2.6.0 "), "{taken}\n{}", site.log());
    let kept = site.arrival(&from).await;
    let result = kept.field("X-Spamd-Result").expect("a field of rspamd");
    assert!(result.contains("default: False"), "{result}");
    assert!(kept.content.ends_with("Until tomorrow at ten.\r\n"), "{}", kept.content);
    assert_eq!(site.mailbox.all().len(), 1);
}

/// Hands a message in, in clear text; the last reply.
pub fn say(at: SocketAddr, from: &str, to: &str, content: &str) -> String {
    use std::io::{BufRead, BufReader};
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut reply = || loop {
        let line = replies.next().unwrap().unwrap();
        if line.as_bytes().get(3) != Some(&b'-') {
            return line;
        }
    };
    reply();
    let lines = [
        "EHLO client.litware.example".to_owned(),
        format!("MAIL FROM:<{from}>"),
        format!("RCPT TO:<{to}>"),
        "DATA".to_owned(),
    ];
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let said = reply();
        assert!(said.starts_with(['2', '3']), "{line}: {said}");
    }
    stream.write_all(format!("{content}.\r\n").as_bytes()).unwrap();
    reply()
}
