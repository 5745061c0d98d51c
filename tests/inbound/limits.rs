//! Peers that misbehave, and the limits that keep them from doing harm.

use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};

use super::client::{Smtp, tls};
use super::pki::Card;
use super::rig::Rig;

const SETTINGS: &str = r#"
[transport]
tls_receive_domain_secure_list = ["woodgrove.example"]

[trust]
anchors = ["woodgrove-root.pem"]
crl_files = ["woodgrove.crl"]

[[accepted_domain]]
name = "contoso.example"

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[receive_connector]]
name = "Internet"
bindings = ["{ip}:0"]
tarpit_interval = "0 s"

[[receive_connector]]
name = "Six"
bindings = ["[::1]:0"]
tarpit_interval = "0 s"

[[receive_connector]]
name = "Everyone"
bindings = ["{ip2}:{port}"]
remote_ip_ranges = ["0.0.0.0/0"]
fqdn = "everyone.contoso.example"
auth_mechanism = []
domain_secure_enabled = true
protocol_logging_level = "none"
tarpit_interval = "0 s"

[[receive_connector]]
name = "Nearby"
bindings = ["{ip2}:{port}"]
remote_ip_ranges = ["127.0.0.0/8", "10.0.0.0/8"]
fqdn = "nearby.contoso.example"
tarpit_interval = "0 s"

[[receive_connector]]
name = "Few"
bindings = ["{ip3}:0"]
max_inbound_connections = 3
max_inbound_connections_per_source = 2
message_rate_limit = 3
tarpit_interval = "0 s"

[[receive_connector]]
name = "Tarpit"
bindings = ["{ip3}:0"]
tarpit_interval = "1200 ms"

[[receive_connector]]
name = "Hasty"
bindings = ["{ip3}:0"]
connection_timeout = "2 s"
connection_inactivity_timeout = "1 s"
tarpit_interval = "0 s"

[[receive_connector]]
name = "Elsewhere"
bindings = ["{ip6}:0"]
remote_ip_ranges = ["192.0.2.0/24"]
"#;

#[test]
fn misbehaviour_is_answered_and_harms_nobody() {
    let mut rig = Rig::start(|_, _| SETTINGS.to_owned());
    let card = rig.pki.woodgrove(&["woodgrove.example"]);
    bindings(&rig);
    starttls(&rig, &card);
    command_lines(&rig);
    counts(&rig);
    tarpit(&rig, &card);
    timeouts(&rig);
    logging_none(&rig);
    assert!(Smtp::clear(rig.at("Internet")).mail("a@litware.example").starts_with("250"), "still there");
}

fn bindings(rig: &Rig) {
    let (of_range, few, tarpit) = (rig.at("Nearby"), rig.at("Few"), rig.at("Tarpit"));
    assert_eq!(rig.at("Everyone"), of_range);
    assert_ne!(few, tarpit, "port 0 is a port for each");
    let mut client = Smtp::dial(of_range);
    assert!(client.reply().starts_with("220 nearby.contoso.example "), "the most specific range wins");
    let six = rig.at("Six");
    let mut client = Smtp::clear(six);
    assert!(client.ehlo().contains("Hello [::1]"));
    let reply = client.send("a@litware.example", "bob@contoso.example", "Subject: six\r\n\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    assert!(rig.arrival("six").content.contains("client.litware.example ([IPv6:::1])"));
    let reply = client.mail("kim@woodgrove.example");
    let lines = rig.session(&super::rig::session_of(&reply), |line| line.data == reply);
    assert_eq!(lines[0].local, six.to_string());
    assert!(lines[0].remote.starts_with("[::1]:"));
    assert!(Smtp::dial(rig.at("Elsewhere")).is_over(), "nobody there for this address");
}

fn starttls(rig: &Rig, card: &Card) {
    let at = rig.at("Internet");
    let failed = || {
        let labels = [("direction", "inbound"), ("result", "failed")];
        rig.find_counter("sealpost_tls_handshakes_total", &labels).unwrap_or(0)
    };
    // A handshake that stalls blocks nobody.
    let mut stalled = Smtp::clear(at);
    assert!(stalled.say("STARTTLS").starts_with("220"));
    stalled.write(b"\x16\x03\x01");
    let before = failed();
    let mut garbage = Smtp::clear(at);
    assert!(garbage.say("STARTTLS").starts_with("220"));
    garbage.write(b"MAIL FROM:<kim@woodgrove.example>\r\n");
    // An alert may come first; no reply does.
    assert!(!garbage.rest().windows(3).any(|octets| octets == b"250"));
    super::rig::until("the failed handshake", || (failed() > before).then_some(()));
    let mut injected = Smtp::clear(at);
    injected.write(b"STARTTLS\r\nMAIL FROM:<kim@woodgrove.example>\r\n");
    let reply = injected.reply();
    assert!(reply.is_empty() || reply.starts_with("421 ") || reply.starts_with("220 "), "{reply}");
    assert!(!injected.reply().starts_with('2'));
    let broken = Card { chain: vec![b"0\x03\x02\x01\x05".to_vec().into()], key: card.key.clone_key() };
    let mut huge = Card { chain: card.chain.clone(), key: card.key.clone_key() };
    huge.chain.extend(std::iter::repeat_n(card.chain[0].clone(), (70 << 10) / card.chain[0].len()));
    let other_key = Card { chain: card.chain.clone(), key: super::pki::self_signed("x.example", -1..9).key };
    for (what, bad) in [("malformed", &broken), ("over 64 KB", &huge), ("another key", &other_key)] {
        for version in [&TLS12, &TLS13] {
            let mut client = Smtp::clear(at);
            let shaken = client.start_tls(&tls(version, Some(bad)));
            let over = shaken.is_err() || {
                let _broken = client.try_write(b"EHLO x\r\n");
                client.is_over()
            };
            assert!(over, "{what}");
        }
    }
    assert!(failed() >= before + 7, "{}", failed());
    super::rig::until("its log line", || rig.log_text().contains("TLS handshake failed").then_some(()));
    let mut partner = Smtp::secure(at, &tls(&TLS12, Some(card)));
    assert!(partner.mail("kim@woodgrove.example").starts_with("250"));
    drop(stalled);
}

fn command_lines(rig: &Rig) {
    let at = rig.at("Internet");
    let mut client = Smtp::clear(at);
    for (line, expected) in [
        (&b"NOOP\nNOOP\r\n"[..], "500 5.5.2"),
        (b"NO\rOP\r\n", "500 5.5.2"),
        (b"NO\0OP\r\n", "500 5.5.2"),
        (b"XYZZY plugh\r\n", "500 5.5.1"),
        (b"AUTH PLAIN c2VjcmV0\r\n", "421 4.7.0"),
    ] {
        client.write(line);
        let reply = client.reply();
        assert!(reply.starts_with(expected), "{line:?}: {reply}");
    }
    assert!(client.is_over());
    let mut endless = Smtp::clear(at);
    let mut written = 0;
    while written < 8 << 20 && endless.try_write(&[b'x'; 64 << 10]).is_ok() {
        written += 64 << 10;
    }
    assert!(endless.reply().starts_with("500 5.5.6"));
    assert_eq!(endless.say("\r\nNOOP").get(..3), Some("250"), "the line had an end after all");
    super::rig::until("the log", || {
        rig.log_text().contains("AUTH PLAIN <authentication data>").then_some(())
    });
    assert!(!rig.log_text().contains("c2VjcmV0"), "credentials in the log");
    assert!(!rig.log_text().contains("plugh"));
}

fn counts(rig: &Rig) {
    let at = rig.at("Few");
    let (mut one, mut two) = (Smtp::clear(at), Smtp::clear(at));
    let mut three = Smtp::dial(at);
    assert!(three.reply().starts_with("421 4.7.0 "));
    assert!(three.is_over());
    assert_eq!(rig.counter("sealpost_connections", &[("direction", "inbound"), ("connector", "Few")]), 2);
    for _ in 0..3 {
        assert!(one.mail("a@litware.example").starts_with("250"));
        one.say("RSET");
    }
    assert!(two.mail("a@litware.example").starts_with("421 4.7.0"), "per source, not per session");
    assert!(two.is_over());
    one.quit();
    super::rig::until("the place", || Smtp::dial(at).reply().starts_with("220").then_some(()));
}

/// Before the second and later 5xx of a session that proved nothing; never before a refusal for
/// domain security.
fn tarpit(rig: &Rig, card: &Card) {
    let timed = |client: &mut Smtp, line: &str, code: &str| {
        let began = Instant::now();
        let reply = client.say(line);
        assert!(reply.starts_with(code), "{line}: {reply}");
        began.elapsed() >= Duration::from_secs(1)
    };
    let mut client = Smtp::secure(rig.at("Tarpit"), &tls(&TLS13, Some(card)));
    assert!(!timed(&mut client, "MAIL FROM:<a@litware.example>", "250"));
    assert!(!timed(&mut client, "RCPT TO:<x@elsewhere.example>", "550"), "the first");
    assert!(timed(&mut client, "RCPT TO:<y@elsewhere.example>", "550"), "the second");
    assert!(!timed(&mut client, "RCPT TO:<bob@contoso.example>", "250"));
    assert!(!timed(&mut client, "RSET", "250"));
    assert!(!timed(&mut client, "MAIL FROM:<kim@woodgrove.example>", "250"));
    assert!(!timed(&mut client, "RCPT TO:<x@elsewhere.example>", "550"), "a partner waits for nothing");
    let mut stranger = Smtp::clear(rig.at("Tarpit"));
    for _ in 0..3 {
        assert!(!timed(&mut stranger, "MAIL FROM:<kim@woodgrove.example>", "530"));
    }
}

fn timeouts(rig: &Rig) {
    let at = rig.at("Hasty");
    let began = Instant::now();
    let mut silent = Smtp::clear(at);
    assert!(silent.reply().starts_with("421 4.4.2 "));
    assert!(silent.is_over());
    assert!(began.elapsed() < Duration::from_millis(1900), "{:?}", began.elapsed());
    let began = Instant::now();
    let (mut busy, mut said) = (Smtp::clear(at), String::new());
    while began.elapsed() < Duration::from_secs(10) && !said.starts_with("421") {
        std::thread::sleep(Duration::from_millis(100));
        said = busy.say("NOOP");
    }
    assert!(said.starts_with("421 4.4.2 "), "{said}");
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
}

fn logging_none(rig: &Rig) {
    let log = rig.log();
    assert!(log.values().flatten().all(|line| line.connector != "Everyone"));
    assert!(log.values().flatten().any(|line| line.connector == "Nearby"));
}
