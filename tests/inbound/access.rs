//! How a connection begins: TLS from the first byte, and balancers that say who connects.

use std::net::{IpAddr, SocketAddr};

use rustls::version::{TLS12, TLS13};

use super::client::{Smtp, tls};
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
"#;

#[test]
fn connections_begin_as_their_connector_says() {
    let mut rig = Rig::start(|_, _| SETTINGS.to_owned());
    tls_comes_first(&mut rig);
    the_client_is_whom_the_balancer_names(&rig);
    no_header_no_session(&rig);
    nobody_else_is_believed(&rig);
    tls_comes_first_behind_the_header(&rig);
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
