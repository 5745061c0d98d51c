//! A resumed session shows no certificate and verifies none: what it once proved must not be worth more
//! than the same certificate shown again now.

use rustls::version::{TLS12, TLS13};

use super::client::{Smtp, tls};
use super::rig::Rig;

const SETTINGS: &str = r#"
[trust]
anchors = ["woodgrove-root.pem"]
crl_files = ["woodgrove.crl"]

[[partner]]
name = "Woodgrove"
domains = ["woodgrove.example"]
domain_secure = ["receive"]
# here

[[partner]]
name = "Grove"
domains = ["grove.example"]
domain_secure = ["receive"]

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
name = "Another"
bindings = ["{ip2}:0"]
tarpit_interval = "0 s"
"#;

#[test]
fn a_ticket_buys_nothing_that_its_certificate_would_not() {
    let mut rig = Rig::start(|_, _| SETTINGS.to_owned());
    let card = rig.pki.woodgrove(&["woodgrove.example"]);
    let (at, other) = (rig.at("Internet"), rig.at("Another"));
    let memories = [&TLS12, &TLS13].map(|version| tls(version, Some(&card)));
    for memory in &memories {
        let mut fresh = Smtp::secure(at, memory);
        assert!(!fresh.is_resumed());
        assert!(fresh.mail("kim@woodgrove.example").starts_with("250"));
        fresh.quit();
        let mut resumed = Smtp::secure(at, memory);
        assert!(resumed.is_resumed(), "a server that judged only in the handshake would judge nothing now");
        assert!(resumed.mail("kim@grove.example").starts_with("550 5.7.1 "), "another partner's hat");
        assert!(resumed.mail("kim@woodgrove.example").starts_with("250"));
        resumed.quit();
        let elsewhere = Smtp::secure(other, memory);
        assert!(!elsewhere.is_resumed(), "a connector has tickets of its own");
        elsewhere.quit();
    }
    // The policy changed: nothing that was proved under the old one is left.
    let pin = format!("sha256/{}=", "A".repeat(43));
    rig.reload_well("# here", &format!("spki_pins = [\"{pin}\"]"));
    for memory in &memories {
        let mut client = Smtp::secure(at, memory);
        let reply = client.mail("kim@woodgrove.example");
        assert!(reply.starts_with("550 5.7.1 ") && reply.contains("key"), "{reply}");
    }
}
