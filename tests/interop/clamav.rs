//! ClamAV as a milter, with one signature of our own: the test file of all virus scanners (EICAR), as an
//! attachment, is refused or held, as its configuration says; an ordinary message goes on.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};

use crate::common::{EDGE, OURS, PATIENCE, STRANGER, Site};
use crate::peers::unpacked;
use crate::rspamd::say;

/// In two parts, lest this file be taken for it (https://www.eicar.org).
const EICAR: [&str; 2] = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"];

/// A daemon or a milter, ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

fn start(program: &Path, home: &Path, name: &str, settings: &str) -> Running {
    let file = home.join(format!("{name}.conf"));
    std::fs::write(&file, format!("Foreground yes\nLogFile {}/{name}.log\n{settings}", home.display()))
        .unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

fn until(what: &str, home: &Path, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        let logs = ["clamd", "reject", "quarantine"]
            .map(|name| std::fs::read_to_string(home.join(format!("{name}.log"))).unwrap_or_default());
        assert!(Instant::now() < deadline, "{what}: {}", logs.concat());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// clamd with one signature, and two milters that differ in what they do.
fn scanner(programs: &Path, site: &Site, milters: &[(&str, SocketAddr, &str)]) -> Vec<Running> {
    let home = site.path("clamav");
    std::fs::create_dir_all(home.join("db")).unwrap();
    let hex: String = EICAR.concat().bytes().map(|octet| format!("{octet:02x}")).collect();
    std::fs::write(home.join("db/test.ndb"), format!("Eicar-Test:0:*:{hex}\n")).unwrap();
    let socket = home.join("clamd.sock");
    let settings = format!("DatabaseDirectory {}/db\nLocalSocket {}\n", home.display(), socket.display());
    let mut running = vec![start(&programs.join("clamd"), &home, "clamd", &settings)];
    until("clamd", &home, || socket.exists());
    for (name, address, action) in milters {
        let settings = format!(
            "MilterSocket inet:{}@{}\nClamdSocket unix:{}\n{action}\n",
            address.port(),
            address.ip(),
            socket.display()
        );
        running.push(start(&programs.join("clamav-milter"), &home, name, &settings));
        until(name, &home, || TcpStream::connect(address).is_ok());
    }
    running
}

fn letter(subject: &str, attached: &[u8]) -> String {
    format!(
        "From: <anna@{STRANGER}>\r\nTo: <alice@{OURS}>\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=part\r\n\r\n--part\r\nContent-Type: text/plain\r\n\r\n\
         see attached\r\n--part\r\nContent-Type: application/octet-stream; name=\"a.com\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--part--\r\n",
        Base64::encode_string(attached)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn clamav_keeps_a_virus_out() {
    let Some(daemon) = unpacked("ClamAV as a milter", "clamav/usr/sbin/clamd") else { return };
    let site = Site::new().await;
    let (first, second) = (site.network.free(EDGE), site.network.free(7));
    let milters = [
        ("reject", first, "OnInfected Reject\nRejectMsg virus found: %v"),
        ("quarantine", second, "OnInfected Quarantine"),
    ];
    let _scanner = scanner(daemon.parent().unwrap(), &site, &milters);
    let (refusing, holding) = (site.network.ip(8), site.network.ip(9));
    let edge = site.start_edge(&format!(
        "[[milter]]\nname = \"reject\"\naddress = \"inet:{first}\"\n\n\
         [[milter]]\nname = \"quarantine\"\naddress = \"inet:{second}\"\n\n\
         [[receive_connector]]\nname = \"Refusing\"\nbindings = [\"{refusing}:0\"]\nmilters = [\"reject\"]\n\n\
         [[receive_connector]]\nname = \"Holding\"\nbindings = [\"{holding}:0\"]\nmilters = [\"quarantine\"]\n"
    ));
    let at = |connector: &str| edge.server.ready.connector(connector).unwrap();
    let (from, to) = (format!("anna@{STRANGER}"), format!("alice@{OURS}"));
    let virus = letter("virus", EICAR.concat().as_bytes());
    let refused = say(at("Refusing"), &from, &to, &virus);
    assert!(refused.starts_with("550 5.7.1 virus found: Eicar-Test"), "{refused}\n{}", site.log());
    let held = say(at("Holding"), &from, &to, &virus);
    assert!(held.starts_with("250 2.6.0 "), "{held}\n{}", site.log());
    let taken = say(at("Refusing"), &from, &to, &letter("ham", b"until tomorrow at ten"));
    assert!(taken.starts_with("250 2.6.0 "), "{taken}\n{}", site.log());
    let kept = site.arrival(&from).await;
    assert_eq!(kept.field("Subject").as_deref(), Some("ham"));
    assert_eq!(site.mailbox.all().len(), 1, "the other one waits for an operator");
}
