//! Logging in: foreign clients (swaks, Python's smtplib) at our connector, and our edge at a smart host, which
//! is a second server of ours.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sealpost::cli::demo::client::{Disguise, Letter, send};
use sealpost::cli::demo::server::Server;
use sealpost::config::users_file::{self, Entry};
use sealpost::smtp::sasl::Verifier;

use crate::common::{EDGE, OURS, PATIENCE, Site, executable, tool};

const PASSWORD: &str = "correct horse battery";
const FAR: &str = "lee@far.example";

/// A connector for users, and the file that names Alice.
fn for_users(site: &Site) -> String {
    let verifier = Verifier::of_password(PASSWORD, b"0123456789abcdef", 4096);
    let alice = Entry {
        name: "alice".to_owned(),
        verifier: Some(verifier),
        certificate: Vec::new(),
        from: Vec::new(),
    };
    write_secret(&site.path("users"), &format!("{}{alice}\n", users_file::beginning(b"secret")));
    format!(
        r#"
[authentication]
users_file = "users"

[[receive_connector]]
name = "Users"
bindings = ["{}:0"]
auth_mechanism = ["tls", "basic", "scram-sha-256"]
permissions = ["authenticated-relay"]
protocol_logging_level = "verbose"
"#,
        site.network.ip(EDGE)
    )
}

fn write_secret(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Mail for far.example ends in the mailbox as well.
fn to_the_mailbox(site: &Site) -> String {
    let mailbox = site.mailbox.address();
    format!(
        "\n[[send_connector]]\nname = \"Far\"\naddress_spaces = [\"far.example\"]\ndns_routing_enabled = false\n\
         smart_hosts = [\"[{}]:{}\"]\n",
        mailbox.ip(),
        mailbox.port()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_and_smtplib_log_in_and_relay() {
    let Some(swaks) = tool("swaks with a password", "swaks") else { return };
    let Some(python) = tool("smtplib with a password", "python3") else { return };
    let site = Site::new().await;
    let edge = site.start_edge(&(for_users(&site) + &to_the_mailbox(&site)));
    let users = edge.server.ready.connector("Users").unwrap();
    let (ip, port) = (users.ip().to_string(), users.port().to_string());
    let mut asked = Command::new(swaks);
    asked.args([
        "--server",
        &ip,
        "--port",
        &port,
        "--tls",
        "--auth",
        "PLAIN",
        "--to",
        FAR,
        "--timeout",
        "20",
    ]);
    asked.args(["--from", "swaks@litware.example", "--auth-user", "alice"]);
    for (password, sent) in [("a wrong one", false), (PASSWORD, true)] {
        let output = asked.args(["--auth-password", password]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.success(), sent, "{said}");
        assert_eq!(said.contains("535 5.7.8"), !sent, "{said}");
    }
    let script = "import smtplib, ssl, sys\n\
        host, port, password, to = sys.argv[1:]\n\
        anyone = ssl.create_default_context()\n\
        anyone.check_hostname = False\n\
        anyone.verify_mode = ssl.CERT_NONE\n\
        with smtplib.SMTP(host, int(port), timeout=20) as client:\n\
        \x20   client.starttls(context=anyone)\n\
        \x20   client.login('alice', password)\n\
        \x20   client.sendmail('smtplib@litware.example', [to], 'Subject: hello\\r\\n\\r\\nhello\\r\\n')\n";
    let output = Command::new(python).args(["-c", script, &ip, &port, PASSWORD, FAR]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for sender in ["swaks@litware.example", "smtplib@litware.example"] {
        let kept = site.arrival(sender).await;
        assert!(kept.content.contains("with ESMTPSA"), "{}", kept.content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_logs_in_at_a_smart_host_over_implicit_tls() {
    let site = Site::new().await;
    let smart_host = start_smart_host(&site);
    let port = smart_host.ready.connector("Users").unwrap().port();
    write_secret(&site.path("smart.secret"), &format!("alice\n{PASSWORD}\n"));
    let edge = site.start_edge_trusting(
        "crl_files = [\"woodgrove.crl\", \"contoso.crl\"]",
        &format!(
            r#"
[[send_connector]]
name = "Smart host"
address_spaces = ["far.example"]
dns_routing_enabled = false
smart_hosts = ["mx.{OURS}"]
port = {port}
implicit_tls = true
tls_auth_level = "domain-validation"
smart_host_auth_mechanism = "scram-sha-256"
authentication_credential = "smart.secret"
protocol_logging_level = "verbose"
"#
        ),
    );
    let sender = "adam@litware.example";
    let letter = Letter::new(sender, FAR, "by way of the smart host");
    assert_eq!(send(edge.internal, Disguise::Clear, &letter).await.unwrap().code, 250);
    let content = site.arrival(sender).await.content;
    assert!(content.contains("with ESMTPSA"), "{content}");
    assert!(said(&site, "AUTH SCRAM-SHA-256-PLUS <authentication data>"), "bound to TLS 1.3, and not logged");
    // What the smart host no longer takes makes the mail wait, and says why.
    write_secret(&site.path("smart.secret"), "alice\nanother password\n");
    assert_eq!(edge.command(&["config", "reload"]).0, 0);
    let letter = Letter::new("eve@litware.example", FAR, "waits");
    assert_eq!(send(edge.internal, Disguise::Clear, &letter).await.unwrap().code, 250);
    let deadline = Instant::now() + PATIENCE;
    while !site.log().lines().any(|line| line.contains("MessageDeferred") && line.contains("535 5.7.8")) {
        assert!(Instant::now() < deadline, "nothing was deferred:\n{}", site.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// It has the same name and certificate as the edge, on a port of its own.
fn start_smart_host(site: &Site) -> Server {
    let users = for_users(site).replace("[\"tls\", \"basic\"", "[\"tls\"");
    let settings = format!(
        "hostname = \"mx.{OURS}\"\ndata_directory = \"smart-data\"\n\n[trust]\nanchors = [\"contoso-root.pem\"]\n\
         \n[[certificate]]\nchain = \"contoso.pem\"\nkey = \"contoso.key\"\n{users}implicit_tls = true\n{}\
         \n[admin]\nlisten = \"127.0.0.1:0\"\n",
        to_the_mailbox(site)
    );
    let config = site.path("smart.toml");
    std::fs::write(&config, settings).unwrap();
    Server::start(executable(), &config, &site.path("smart.log")).unwrap()
}

/// Whether the send log of the edge holds this.
fn said(site: &Site, text: &str) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let files =
            std::fs::read_dir(site.path("data/protocol-log/SmtpSend")).into_iter().flatten().flatten();
        if files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).any(|log| log.contains(text)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}
