//! How a connection begins, and who is behind it: TLS from the first byte, balancers that say who connects,
//! users who log in.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustls::version::{TLS12, TLS13};
use sealpost::config::users_file::{self, Entry};
use sealpost::smtp::sasl::scram::{self, Binding};
use sealpost::smtp::sasl::{Secret, Verifier, plain};

use super::client::{Smtp, tls};
use super::common::executable;
use super::rig::{Rig, until};

const SETTINGS: &str = r#"
[trust]
anchors = ["contoso-root.pem"]
crl_files = ["woodgrove.crl"]

[[partner]]
name = "Woodgrove"
domains = ["woodgrove.example"]
domain_secure = ["receive"]
trust_anchors = ["woodgrove-root.pem"]

[authentication]
users_file = "users"
trust_anchors = ["woodgrove-root.pem"]

[[accepted_domain]]
name = "contoso.example"

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[receive_connector]]
name = "Implicit"
bindings = ["{ip}:0"]
implicit_tls = true

[[receive_connector]]
name = "Behind a balancer, implicit"
bindings = ["{ip2}:0"]
implicit_tls = true
proxy_protocol_from = ["127.0.0.1"]

[[receive_connector]]
name = "Strangers"
bindings = ["{ip3}:{port}"]
proxy_protocol_from = ["127.0.0.1"]
protocol_logging_level = "verbose"
tarpit_interval = "0 s"

[[receive_connector]]
name = "Branch"
bindings = ["{ip3}:{port}"]
remote_ip_ranges = ["192.0.2.0/24"]
proxy_protocol_from = ["127.0.0.1"]
permissions = ["submit", "relay"]

[[receive_connector]]
name = "Not balanced"
bindings = ["{ip3}:{port}"]
remote_ip_ranges = ["203.0.113.0/24"]
permissions = ["submit", "relay"]

[[receive_connector]]
name = "Users"
bindings = ["{ip5}:0"]
auth_mechanism = ["tls", "basic", "scram-sha-256", "external"]
permissions = ["authenticated-relay"]
protocol_logging_level = "verbose"
tarpit_interval = "0 s"
"#;

#[test]
fn connections_begin_as_their_connector_says() {
    let mut rig = Rig::start(|_, home| {
        write_users(&home.join("users"));
        SETTINGS.to_owned()
    });
    tls_comes_first(&mut rig);
    the_client_is_whom_the_balancer_names(&rig);
    no_header_no_session(&rig);
    nobody_else_is_believed(&rig);
    tls_comes_first_behind_the_header(&rig);
    who_logs_in_may_relay(&rig);
    a_proof_is_bound_to_its_session(&rig);
    a_certificate_logs_in(&mut rig);
    users_come_and_go(&rig);
    who_guesses_is_not_heard(&rig);
}

fn tls_comes_first(rig: &mut Rig) {
    let at = rig.at("Implicit");
    let card = rig.pki.woodgrove(&["woodgrove.example"]);
    for version in [&TLS12, &TLS13] {
        let mut partner = Smtp::dial(at);
        partner.handshake(&tls(version, Some(&card))).unwrap();
        assert!(partner.reply().starts_with("220 "));
        assert!(!partner.ehlo().contains("STARTTLS"));
        let sent = partner.send("kim@woodgrove.example", "bob@contoso.example", "Subject: over 465\r\n\r\n");
        assert!(sent.starts_with("250"), "{sent}");
        let mut stranger = Smtp::dial(at);
        stranger.handshake(&tls(version, None)).unwrap();
        assert!(stranger.reply().starts_with("220 "));
        stranger.ehlo();
        assert!(stranger.mail("kim@woodgrove.example").contains("NoCertificate"));
        assert!(stranger.mail("kim@litware.example").starts_with("250"));
    }
    let mut clear = Smtp::dial(at);
    clear.write(b"EHLO client.litware.example\r\n");
    let heard = clear.rest();
    // An alert, perhaps, but no word of SMTP.
    assert!(!heard.starts_with(b"220") && !heard.starts_with(b"4") && !heard.starts_with(b"5"));
    assert!(rig.arrival("over 465").content.contains("with ESMTPS"));
    assert_eq!(rig.secured("woodgrove.example"), 2);
}

/// Through the balancer at 127.0.0.1.
fn through(at: SocketAddr, header: &[u8]) -> Smtp {
    let mut client = Smtp::dial(at);
    client.write(header);
    assert!(client.reply().starts_with("220 "));
    client
}

fn header(source: &str, at: SocketAddr) -> String {
    format!("PROXY TCP4 {source} {} 40000 {}\r\n", at.ip(), at.port())
}

fn the_client_is_whom_the_balancer_names(rig: &Rig) {
    let at = rig.at("Strangers");
    // The address, and whether its connector may relay.
    for (source, relays) in [("198.51.100.9", false), ("192.0.2.7", true), ("203.0.113.5", false)] {
        let mut client = through(at, header(source, at).as_bytes());
        assert!(client.ehlo().contains(&format!("Hello [{source}]")));
        assert!(client.mail("kim@litware.example").starts_with("250"));
        let reply = client.rcpt("kim@elsewhere.example");
        assert_eq!(reply.starts_with("250"), relays, "{source}: {reply}");
        client.quit();
    }
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    assert!(through(at, local).ehlo().contains("Hello [127.0.0.1]"));
    let logged = until("both addresses in the protocol log", || {
        let sessions = rig.log();
        let of_client = |line: &super::rig::LogLine| line.remote == "198.51.100.9:40000";
        sessions.into_values().find(|lines| lines.iter().any(of_client))
    });
    let balancer = logged.iter().find(|line| line.context == "Balancer").expect("the balancer's line");
    assert!(balancer.data.starts_with("127.0.0.1:"), "{}", balancer.data);
    assert_eq!(balancer.local, at.to_string());
}

fn no_header_no_session(rig: &Rig) {
    let at = rig.at("Strangers");
    for octets in [
        &b"EHLO client.litware.example\r\n"[..],
        b"PROXY TCP4 nowhere\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\0\0\0",
    ] {
        let mut client = Smtp::dial(at);
        client.write(octets);
        assert!(client.rest().is_empty(), "a session without a header");
    }
    until("the event", || rig.events().contains("ProxyHeaderRefused").then_some(()));
}

fn nobody_else_is_believed(rig: &Rig) {
    let at = rig.at("Strangers");
    let own: IpAddr = rig.at("Implicit").ip();
    let mut client = Smtp::dial_from(own, at);
    assert!(client.reply().starts_with("220 "), "who is no balancer is greeted at once");
    assert!(client.say(header("192.0.2.7", at).trim_end()).starts_with("500 5.5.1"));
    assert!(client.ehlo().contains(&format!("Hello [{own}]")));
}

fn tls_comes_first_behind_the_header(rig: &Rig) {
    let at = rig.at("Behind a balancer, implicit");
    let mut client = Smtp::dial(at);
    client.write(header("198.51.100.9", at).as_bytes());
    client.handshake(&tls(&TLS13, None)).unwrap();
    assert!(client.reply().starts_with("220 "));
    assert!(client.ehlo().contains("Hello [198.51.100.9]"));
    client.quit();
}

pub(super) const PASSWORD: &str = "a password";

/// Alice with a password, and whoever shows the certificate of scanner.example.
pub(super) fn write_users(path: &Path) {
    let verifier = Verifier::of_password(PASSWORD, b"0123456789abcdef", 4096);
    let nobody =
        Entry { name: "alice".to_owned(), verifier: None, certificate: Vec::new(), from: Vec::new() };
    let alice = Entry { verifier: Some(verifier), ..nobody.clone() };
    let scanner = Entry {
        name: "scanner".to_owned(),
        certificate: vec![sealpost::mail::Domain::parse("scanner.example").unwrap()],
        ..nobody
    };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    write!(file, "{}{alice}\n{scanner}\n", users_file::beginning(b"secret")).unwrap();
}

pub(super) fn log_in(client: &mut Smtp, user: &str, password: &str) -> String {
    client.say(&format!("AUTH PLAIN {}", *plain::message(user, password).encode()))
}

fn who_logs_in_may_relay(rig: &Rig) {
    let at = rig.at("Users");
    let mut clear = Smtp::clear(at);
    assert!(log_in(&mut clear, "alice", PASSWORD).starts_with("538 5.7.11"));
    let mut client = Smtp::secure(at, &tls(&TLS12, None));
    let offer = client.ehlo();
    assert!(offer.contains("AUTH SCRAM-SHA-256 PLAIN"), "nothing to bind to in TLS 1.2: {offer}");
    assert!(client.mail("kim@litware.example").starts_with("530 5.7.0"));
    assert!(log_in(&mut client, "alice", "wrong one").starts_with("535 5.7.8"));
    assert!(log_in(&mut client, "Alice", PASSWORD).starts_with("235 2.7.0"));
    let sent = client.send("kim@litware.example", "lee@far.example", "Subject: by a user\r\n\r\n");
    assert!(sent.starts_with("250"), "{sent}");
    assert!(client.mail("kim@woodgrove.example").contains("NoCertificate"), "a password is no certificate");
    client.quit();
    assert!(rig.arrival("by a user").content.contains("with ESMTPSA"));
    let count = |result| {
        rig.find_counter("sealpost_authentications_total", &[("result", result), ("mechanism", "PLAIN")])
    };
    assert_eq!((count("ok"), count("failed")), (Some(1), Some(1)));
    let log = until("the user in the log", || {
        let log = rig.log_text();
        log.contains("alice,Authenticated user").then_some(log)
    });
    assert!(log.contains("AUTH PLAIN <authentication data>"));
    for secret in [PASSWORD, plain::message("alice", PASSWORD).encode().as_str()] {
        assert!(!log.contains(secret) && !rig.events().contains(secret));
    }
}

fn a_proof_is_bound_to_its_session(rig: &Rig) {
    let at = rig.at("Users");
    let memory = tls(&TLS13, None);
    for (own_session, reply) in [(true, "235 2.7.0"), (false, "535 5.7.8")] {
        let mut client = Smtp::secure(at, &memory);
        let binding = match own_session {
            true => client.channel_binding(),
            false => Smtp::secure(at, &memory).channel_binding(),
        };
        let (exchange, first) = scram::begin("alice", PASSWORD, "abcdef", Binding::Bound(binding));
        let challenge = client.say(&format!("AUTH SCRAM-SHA-256-PLUS {}", *first.encode()));
        let said = |reply: &str| Secret::decode(reply.strip_prefix("334 ").unwrap().as_bytes()).unwrap();
        let (proved, proof) = exchange.prove(&said(&challenge)).unwrap();
        let mut answer = client.say(&proof.encode());
        if own_session {
            proved.verify(&said(&answer)).unwrap();
            answer = client.say("");
        }
        assert!(answer.starts_with(reply), "{answer}");
    }
}

fn a_certificate_logs_in(rig: &mut Rig) {
    let at = rig.at("Users");
    for (name, reply) in [("scanner.example", "235 2.7.0"), ("printer.example", "535 5.7.8")] {
        let card = rig.pki.woodgrove(&[name]);
        let mut client = Smtp::secure(at, &tls(&TLS13, Some(&card)));
        let answer = client.say("AUTH EXTERNAL =");
        assert!(answer.starts_with(reply), "{name}: {answer}");
    }
}

/// Runs `sealpost user` with this on its standard input.
fn user(rig: &Rig, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(executable())
        .arg("user")
        .args(arguments)
        .arg("-c")
        .arg(rig.path("sealpost.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that asks for nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn users_come_and_go(rig: &Rig) {
    let at = rig.at("Users");
    let memory = tls(&TLS13, None);
    let (added, said) = user(rig, &["add", "carol", "--from", "@litware.example"], "brand new one\n");
    assert!(added, "{said}");
    assert!(!user(rig, &["add", "carol"], "brand new one\n").0, "she is there already");
    assert!(!user(rig, &["add", "dave"], "short\n").0);
    let listed = user(rig, &["list", "--json"], "").1;
    assert!(listed.contains("@litware.example") && !listed.contains("SCRAM"), "{listed}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&rig.path("users").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // The server takes the file by itself; that is no failed attempt of ours.
    until("the reload", || rig.events().contains("SettingsReloaded").then_some(()));
    let mut client = Smtp::secure(at, &memory);
    assert!(log_in(&mut client, "carol", "brand new one").starts_with("235"));
    assert!(client.mail("kim@contoso.example").starts_with("550 5.7.1"));
    assert!(client.mail("kim@litware.example").starts_with("250"));
    assert!(client.say("RSET").starts_with("250"));
    assert!(user(rig, &["remove", "carol"], "").0);
    until("the second reload", || (rig.events().matches("SettingsReloaded").count() > 1).then_some(()));
    assert!(client.mail("kim@litware.example").starts_with("421 4.7.0"), "a user who is none any more");
    let audit = std::fs::read_to_string(rig.path("data/audit.log")).unwrap();
    assert!(
        audit.contains("user add") && audit.contains("user remove") && !audit.contains("SCRAM"),
        "{audit}"
    );
}

fn who_guesses_is_not_heard(rig: &Rig) {
    let at = rig.at("Users");
    let memory = tls(&TLS13, None);
    let blocked = (0..5).any(|_| {
        let mut client = Smtp::secure(at, &memory);
        (0..3).any(|_| log_in(&mut client, "alice", "wrong one").starts_with("421"))
    });
    assert!(blocked);
    let mut client = Smtp::secure(at, &memory);
    assert!(log_in(&mut client, "alice", PASSWORD).starts_with("421 4.7.0"), "not even with the password");
    let mut elsewhere = Smtp::dial_from(rig.at("Implicit").ip(), at);
    assert!(elsewhere.reply().starts_with("220 "));
    elsewhere.ehlo();
    elsewhere.start_tls(&memory).unwrap();
    elsewhere.ehlo();
    assert!(log_in(&mut elsewhere, "alice", PASSWORD).starts_with("235"));
}
