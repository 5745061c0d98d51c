//! Clients that take more than their share, and those that speak something else altogether.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::version::TLS13;
use socket2::{Domain, Socket, Type};

use super::client::{Smtp, tls};
use super::rig::{Rig, until};

const SETTINGS: &str = r#"
[trust]
anchors = ["woodgrove-root.pem"]
crl_files = ["woodgrove.crl"]

[[partner]]
name = "Woodgrove"
domains = ["woodgrove.example"]
domain_secure = ["receive"]
message_rate_limit = 4

[[partner]]
name = "Grove"
domains = ["grove.example"]
domain_secure = ["receive"]
max_inbound_connections = 1

[[partner]]
name = "Fabrikam"
domains = ["fabrikam.example"]
remote_ip_ranges = ["127.77.0.0/16"]
domain_secure = ["receive"]

[[accepted_domain]]
name = "contoso.example"

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[receive_connector]]
name = "Small"
bindings = ["{ip}:0"]
max_inbound_connections = 6
reserved_partner_connections = 2
tarpit_interval = "0 s"

[[receive_connector]]
name = "Shares"
bindings = ["{ip}:0"]
max_inbound_connections_per_source = 3
max_inbound_connections_per_subnet = 5
recipient_rate_limit = 8
byte_rate_limit = "64 KiB"
protocol_error_rate_limit = 4
subnet_rate_factor = 1000
max_protocol_errors = 3
tarpit_interval = "0 s"

[[receive_connector]]
name = "Fast"
bindings = ["{ip}:0"]
connection_rate_limit = 5
tarpit_interval = "0 s"

[[receive_connector]]
name = "Open"
bindings = ["{ip}:0"]
tarpit_interval = "0 s"
max_message_size = "64 KiB"
"#;

#[test]
fn nobody_takes_more_than_a_share() {
    let mut rig = Rig::start(|_, _| SETTINGS.to_owned());
    other_protocols(&rig);
    partners_keep_their_places(&mut rig);
    partners_have_limits(&mut rig);
    a_subnet_has_a_share(&rig);
    rates(&rig);
    a_flood_of_connections(&rig);
    endless_content(&rig);
    let told = rig.events();
    for (limit, scope) in
        [("connections", "connector"), ("connections", "subnet"), ("message-rate", "partner")]
    {
        assert!(
            told.lines()
                .any(|line| line.contains("LimitReached") && line.contains(limit) && line.contains(scope)),
            "{limit} of {scope} is not told: {told}"
        );
    }
}

/// From this loopback address.
fn dial_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from: IpAddr = from.parse().unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn from(from: &str, to: SocketAddr) -> Smtp {
    Smtp::over(dial_from(from, to))
}

/// The first reply to a connection from there.
fn banner(source: &str, to: SocketAddr) -> (Smtp, String) {
    let mut client = from(source, to);
    let reply = client.reply();
    (client, reply)
}

fn reached(rig: &Rig, connector: &str, limit: &str, scope: &str) -> u64 {
    let labels = [("connector", connector), ("limit", limit), ("scope", scope)];
    rig.find_counter("sealpost_limits_reached_total", &labels).unwrap_or(0)
}

/// A form that a browser posts to port 25 holds what is a message to whoever reads on.
fn other_protocols(rig: &Rig) {
    let form = b"POST / HTTP/1.1\r\nHost: mx.contoso.example:25\r\nContent-Length: 99\r\n\r\n\
        HELO x.example\r\nMAIL FROM:<a@litware.example>\r\nRCPT TO:<bob@contoso.example>\r\nDATA\r\n\
        Subject: posted\r\n\r\n.\r\n";
    let lines = String::from_utf8_lossy(form);
    let obeyed = lines
        .lines()
        .filter(|line| ["HELO", "MAIL", "RCPT", "DATA"].iter().any(|verb| line.starts_with(verb)));
    assert_eq!(obeyed.count(), 4, "a server that skips what it does not know takes the message");
    for octets in [
        &form[..],
        b"GET / HTTP/1.0\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03",
    ] {
        let mut stream = dial_from("127.0.0.1", rig.at("Open"));
        stream.write_all(octets).unwrap();
        let began = Instant::now();
        let mut answer = String::new();
        // A reset is an end, too.
        let _ended = stream.read_to_string(&mut answer);
        assert!(began.elapsed() < Duration::from_secs(15), "closed at once");
        let replies: Vec<&str> = answer.lines().collect();
        assert_eq!(replies.len(), 2, "{answer}");
        assert!(
            replies[1].starts_with("421 4.7.0 ") && replies[1].contains("is not spoken here"),
            "{answer}"
        );
    }
    assert_eq!(rig.counter("sealpost_messages_received_total", &[("connector", "Open")]), 0);
}

fn partners_keep_their_places(rig: &mut Rig) {
    let at = rig.at("Small");
    let card = rig.pki.woodgrove(&["woodgrove.example"]);
    let memory = tls(&TLS13, Some(&card));
    let mut partner = from("127.50.0.9", at);
    partner.greet();
    partner.start_tls(&memory).unwrap();
    partner.ehlo();
    assert!(partner.mail("kim@woodgrove.example").starts_with("250"));
    partner.quit();
    until("its place is free", || {
        let labels = [("direction", "inbound"), ("connector", "Small")];
        (rig.counter("sealpost_connections", &labels) == 0).then_some(())
    });
    let mut flood: Vec<(Smtp, String)> = (0..12).map(|n| banner(&format!("127.50.{n}.1"), at)).collect();
    flood.retain(|(_, reply)| reply.starts_with("220"));
    assert_eq!(flood.len(), 6, "strangers take all that strangers may");
    let (mut stranger, reply) = banner("127.50.99.1", at);
    assert_eq!(reply, "421 4.7.0 too many connections to this server; try again later");
    assert!(stranger.is_over());
    let (_proved, reply) = banner("127.50.0.9", at);
    assert!(reply.starts_with("220"), "a partner proved itself from there: {reply}");
    let (_named, reply) = banner("127.77.1.1", at);
    assert!(reply.starts_with("220"), "its entry names the range: {reply}");
    assert!(banner("127.77.1.2", at).1.starts_with("421"), "and that was all");
    assert!(reached(rig, "Small", "connections", "connector") >= 7);
    until("the protocol log", || rig.log_text().contains("connections of the connector").then_some(()));
}

fn partners_have_limits(rig: &mut Rig) {
    let card = rig.pki.woodgrove(&["woodgrove.example", "grove.example"]);
    let memory = tls(&TLS13, Some(&card));
    // One of the four went above, from another address and through another connector.
    for (number, source) in ["127.51.0.1", "127.51.1.1", "127.51.2.1", "127.51.3.1"].iter().enumerate() {
        let mut client = from(source, rig.at("Open"));
        client.greet();
        client.start_tls(&memory).unwrap();
        client.ehlo();
        let reply = client.mail("kim@woodgrove.example");
        match number {
            0..3 => assert!(reply.starts_with("250"), "{reply}"),
            _ => assert_eq!(reply, "421 4.7.0 Message rate limit of this partner exceeded, try again later"),
        }
    }
    let mut first = Smtp::secure(rig.at("Open"), &memory);
    let mut second = Smtp::secure(rig.at("Open"), &memory);
    assert!(first.mail("kim@grove.example").starts_with("250"));
    assert_eq!(
        second.mail("kim@grove.example"),
        "421 4.7.0 too many connections of this partner; try again later"
    );
    first.quit();
    until("its place", || {
        let mut third = Smtp::secure(rig.at("Open"), &memory);
        third.mail("kim@grove.example").starts_with("250").then_some(())
    });
    assert!(reached(rig, "Open", "message-rate", "partner") >= 1);
    assert!(reached(rig, "Open", "connections", "partner") >= 1);
}

fn a_subnet_has_a_share(rig: &Rig) {
    let at = rig.at("Shares");
    let open: Vec<(Smtp, String)> = (1..=5).map(|n| banner(&format!("127.60.0.{n}"), at)).collect();
    assert!(open.iter().all(|(_, reply)| reply.starts_with("220")));
    assert_eq!(
        banner("127.60.0.6", at).1,
        "421 4.7.0 too many connections from your network; try again later"
    );
    assert!(banner("127.60.1.1", at).1.starts_with("220"), "another network");
    assert!(reached(rig, "Shares", "connections", "subnet") == 1);
}

fn rates(rig: &Rig) {
    let at = rig.at("Shares");
    let exceeded = |source: &str, what: &str| {
        let mut client = from(source, at);
        client.greet();
        let expected = format!("421 4.7.0 {what} rate limit of this source exceeded, try again later");
        assert_eq!(client.mail("a@litware.example"), expected);
    };
    // Recipients: refused ones count, whatever session they are named in.
    let mut harvest = from("127.61.0.1", at);
    harvest.greet();
    harvest.mail("a@litware.example");
    for number in 0..8 {
        harvest.rcpt(&format!("guess{number}@elsewhere.example"));
    }
    exceeded("127.61.0.1", "Recipient");
    let mut large = from("127.61.1.1", at);
    large.greet();
    let letter = format!("Subject: large\r\n\r\n{}", "0123456789abcdef0123456789abc\r\n".repeat(2500));
    assert!(large.send("a@litware.example", "bob@contoso.example", &letter).starts_with("250"));
    assert!(large.mail("a@litware.example").starts_with("421 4.7.0 Byte rate"), "in the same session too");
    exceeded("127.61.1.1", "Byte");
    let mut wrong = from("127.61.2.1", at);
    wrong.greet();
    for expected in ["500", "500", "421 4.7.0 Too many errors"] {
        assert!(wrong.say("XYZZY").starts_with(expected));
    }
    let mut wrong = from("127.61.2.1", at);
    wrong.greet();
    wrong.say("XYZZY");
    until("it is turned away", || {
        let reply = banner("127.61.2.1", at).1;
        (reply == "421 4.7.0 Protocol error rate limit of this source exceeded, try again later")
            .then_some(())
    });
    for limit in ["recipient-rate", "byte-rate", "protocol-error-rate"] {
        assert!(reached(rig, "Shares", limit, "source") >= 1, "{limit}");
    }
    assert_eq!(reached(rig, "Shares", "protocol-errors", "session"), 1);
}

/// Most of a flood gets a reply and nothing more; all of it is counted, and none of it stays.
fn a_flood_of_connections(rig: &Rig) {
    let at = rig.at("Fast");
    let answers: Vec<String> = (0..200).map(|_| banner("127.62.0.1", at).1).collect();
    let taken = answers.iter().filter(|reply| reply.starts_with("220")).count();
    // A busy machine may need more than the minute that a rate is of.
    assert!((5..=15).contains(&taken), "{taken}");
    let refused = answers.iter().filter(|reply| reply.starts_with("421 4.7.0 Connection rate")).count();
    assert_eq!(taken + refused, 200, "{answers:?}");
    assert_eq!(reached(rig, "Fast", "connection-rate", "source"), refused as u64);
    until("all are gone", || {
        let labels = [("direction", "inbound"), ("connector", "Fast")];
        (rig.counter("sealpost_connections", &labels) == 0).then_some(())
    });
}

/// A message without an end: the courtesy of reading on has one.
fn endless_content(rig: &Rig) {
    let mut client = from("127.63.0.1", rig.at("Open"));
    client.greet();
    client.mail("a@litware.example");
    client.rcpt("bob@contoso.example");
    assert!(client.say("DATA").starts_with("354"));
    let mut written = 0;
    while written < 64 << 20 && client.try_write(&[b'x'; 1 << 10]).is_ok() {
        written += 1 << 10;
    }
    assert!(written < 64 << 20, "it was never cut off");
    let reply = client.reply();
    assert!(reply.is_empty() || reply.starts_with("552 5.3.4 "), "{reply}");
    assert!(reached(rig, "Open", "message-size", "session") >= 1);
}
