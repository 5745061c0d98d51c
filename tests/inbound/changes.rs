//! What changes while sessions are open: revocation lists, settings, and our own certificate.

use std::time::{Duration, Instant};

use rcgen::RevocationReason;
use rustls::version::{TLS12, TLS13};
use sealpost::cli::demo::pki::Validity;

use super::client::{Smtp, tls};
use super::pki::{Card, ends_in, write_list};
use super::rig::{Rig, until};

const SETTINGS: &str = r#"
[trust]
anchors = ["contoso-root.pem"]
crl_files = ["woodgrove.crl", "fabrikam.crl"]

[[partner]]
name = "Fabrikam"
domains = ["fabrikam.example"]
domain_secure = ["receive"]
trust_anchors = ["fabrikam-root.pem"]

# more

[[accepted_domain]]
name = "contoso.example"

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[receive_connector]]
name = "Internet"
bindings = ["{ip}:0"]
tarpit_interval = "0 s"
"#;

const WOODGROVE: &str = r#"
[[partner]]
name = "Woodgrove"
domains = ["woodgrove.example"]
domain_secure = ["receive"]
trust_anchors = ["woodgrove-root.pem"]
"#;

#[test]
fn what_changes_counts_from_the_next_mail() {
    let mut rig = Rig::start(|_, _| SETTINGS.to_owned());
    let at = rig.at("Internet");
    let good = rig.pki.woodgrove(&["woodgrove.example"]);
    let doomed = rig.pki.woodgrove.issue(&["woodgrove.example"], Validity::Current).unwrap();
    let card = Card { chain: doomed.chain.clone(), key: doomed.key() };
    let mut clear = Smtp::clear(at);
    let memories = [&TLS12, &TLS13].map(|version| tls(version, Some(&card)));
    let mut sessions: Vec<Smtp> = memories.iter().map(|memory| Smtp::secure(at, memory)).collect();
    listing_a_domain(&rig, &mut clear, &mut sessions);
    revoking(&mut rig, &doomed, &mut sessions);
    for memory in &memories {
        let mut again = Smtp::secure(at, memory);
        assert!(again.is_resumed(), "the reload kept the certificate, and so the sessions");
        assert!(again.mail("kim@woodgrove.example").contains("Revoked"));
    }
    let mut partner = Smtp::secure(at, &tls(&TLS13, Some(&good)));
    assert!(partner.mail("kim@woodgrove.example").starts_with("250"));
    options_of_a_connector(&rig, &mut clear, &mut partner);
    refused_settings(&rig, &mut partner);
    draining(&rig, partner);
}

/// A domain that is listed while sessions are open is judged from their next MAIL on.
fn listing_a_domain(rig: &Rig, clear: &mut Smtp, sessions: &mut [Smtp]) {
    assert!(clear.mail("kim@woodgrove.example").starts_with("250"));
    rig.reload_well("# more", WOODGROVE);
    // The transaction that was begun goes on; the next is judged by the new settings.
    assert!(clear.rcpt("bob@contoso.example").starts_with("250"));
    assert!(clear.data(b"Subject: begun before\r\n\r\n").starts_with("250"));
    assert!(clear.mail("kim@woodgrove.example").starts_with("530 5.7.0"));
    assert_eq!(rig.failures("woodgrove.example", "TlsNotStarted", "enforce"), 1);
    for session in sessions {
        assert!(session.mail("kim@woodgrove.example").starts_with("250"));
        assert!(session.say("RSET").starts_with("250"));
    }
}

fn revoking(rig: &mut Rig, doomed: &sealpost::cli::demo::pki::Identity, sessions: &mut [Smtp]) {
    rig.pki.woodgrove.revoke(doomed, RevocationReason::KeyCompromise);
    write_list(&rig.path("."), "woodgrove", &mut rig.pki.woodgrove);
    let changed = Instant::now();
    for session in sessions {
        let reply = until("the refusal", || {
            let reply = session.mail("kim@woodgrove.example");
            session.say("RSET");
            reply.starts_with("550").then_some(reply)
        });
        assert!(reply.starts_with("550 5.7.5 ") && reply.contains("Revoked"), "{reply}");
    }
    assert!(changed.elapsed() < Duration::from_secs(5), "{:?}", changed.elapsed());
}

/// The session's connector changes under it: what it demands is what counts now.
fn options_of_a_connector(rig: &Rig, clear: &mut Smtp, partner: &mut Smtp) {
    rig.reload_well(
        "name = \"Internet\"",
        "name = \"Internet\"\nrequire_tls = true\nmax_message_size = \"1 KiB\"",
    );
    let reply = clear.mail("a@litware.example");
    assert!(reply.starts_with("530 5.7.0 "), "require_tls is in force: {reply}");
    assert!(partner.say("RSET").starts_with("250"));
    assert!(partner.say("MAIL FROM:<kim@woodgrove.example> SIZE=2000").starts_with("552 5.3.4"));
    assert!(partner.mail("a@litware.example").starts_with("250"));
    partner.say("RSET");
}

fn refused_settings(rig: &Rig, partner: &mut Smtp) {
    let (right, wrong) = ("domain_secure = [\"receive\"]", "domain_secure = [\"recieve\"]");
    let (status, said) = rig.reload(right, wrong);
    assert_eq!(status, 2);
    assert!(said.contains("domain_secure"), "{said}");
    rig.server.signal(rustix::process::Signal::HUP).unwrap();
    until("the second refusal", || (rig.events().matches("SettingsRefused").count() >= 2).then_some(()));
    assert!(partner.mail("kim@woodgrove.example").starts_with("250"), "the old settings are in force");
}

/// SIGTERM: what is in hand is finished, nothing new is begun.
fn draining(rig: &Rig, mut partner: Smtp) {
    assert!(partner.rcpt("bob@contoso.example").starts_with("250"));
    assert!(partner.say("DATA").starts_with("354"));
    rig.server.signal(rustix::process::Signal::TERM).unwrap();
    until("the end of listening", || std::net::TcpStream::connect(rig.at("Internet")).is_err().then_some(()));
    partner.write(b"Subject: last\r\n\r\nThe last one.\r\n.\r\n");
    assert!(partner.reply().starts_with("250 2.6.0 "));
    assert!(partner.reply().starts_with("421 4.3.2 "));
    assert!(partner.is_over());
}

/// A connector that judged nothing, because nothing was listed, judges when something is.
#[test]
fn a_session_does_not_outlive_the_rules_of_its_connector() {
    let rig = Rig::start(|_, _| {
        let lax = SETTINGS.replace("tarpit_interval", "domain_secure_enabled = false\ntarpit_interval");
        lax.replace("domain_secure = [\"receive\"]", "domain_secure = [\"send\"]\n")
            .replace("[[accepted_domain]]", "[[send_connector]]\nname = \"Direct\"\naddress_spaces = [\"fabrikam.example\"]\nport = 9\n\n[[accepted_domain]]")
    });
    let mut client = Smtp::clear(rig.at("Internet"));
    assert!(client.mail("kim@fabrikam.example").starts_with("250"), "nothing is on the receive list");
    client.say("RSET");
    let config = rig.path("sealpost.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let strict = text
        .replace("domain_secure_enabled = false\n", "")
        .replace("domain_secure = [\"send\"]", "domain_secure = [\"send\", \"receive\"]");
    rig.reload_well(&text, &strict);
    let reply = client.mail("kim@fabrikam.example");
    assert!(reply.starts_with("530 5.7.0 "), "{reply}");
    // A connector that is no more takes nothing more.
    rig.reload_well("name = \"Internet\"", "name = \"Renamed\"");
    let reply = client.mail("a@litware.example");
    assert!(reply.starts_with("421 4.3.2 "), "{reply}");
    assert!(client.is_over());
}

/// Our certificate runs out: STARTTLS goes on with it, and the event log says so.
#[test]
fn our_certificate_may_expire_while_running() {
    let rig = Rig::start(|_, home| {
        let (chain, key) = ends_in(4, "mx.contoso.example");
        std::fs::write(home.join("contoso.pem"), chain).unwrap();
        std::fs::write(home.join("contoso.key"), key).unwrap();
        SETTINGS.to_owned()
    });
    std::thread::sleep(Duration::from_secs(5));
    let mut client = Smtp::secure(rig.at("Internet"), &tls(&TLS13, None));
    assert!(client.mail("a@litware.example").starts_with("250"));
    let (status, said) = rig.reload("# more", "# changed");
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("expired") || said.contains("certificate"), "{said}");
    assert!(Smtp::clear(rig.at("Internet")).ehlo().contains("STARTTLS"), "the old settings are in force");
}
