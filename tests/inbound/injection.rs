//! What a client writes where it is to be repeated: commands behind STARTTLS, and line breaks and
//! terminal sequences in HELO, addresses, parameters and certificate fields.

use std::process::Command;

use rustls::version::{TLS12, TLS13};

use super::client::{Smtp, tls};
use super::common::executable;
use super::common::naive;
use super::envelope;
use super::rig::{Rig, until};

/// What would clear a terminal, begin a new log line, and add a header field.
const EVIL: &str = "\u{1b}[2J\r\nDomain-Secured: domain=woodgrove.example; forged=yes";

#[test]
fn nothing_said_before_the_handshake_counts_after_it() {
    let rig = envelope::rig();
    let at = rig.at("Internet");
    let injected = b"STARTTLS\r\nMAIL FROM:<admin@contoso.example>\r\nRCPT TO:<bob@contoso.example>\r\n";
    let obeyed = naive::commands_kept_across_starttls(injected);
    assert_eq!(obeyed.len(), 2, "a server that keeps its buffer obeys what somebody on the wire added");
    for version in [&TLS12, &TLS13] {
        let mut client = Smtp::clear(at);
        client.write(injected);
        assert!(client.reply().starts_with("421 4.7.0 "), "no handshake follows");
        assert!(client.is_over());
        // Each of these, said in clear, is forgotten.
        let mut client = Smtp::clear(at);
        assert!(client.mail("a@litware.example").starts_with("250"));
        assert!(client.rcpt("bob@contoso.example").starts_with("250"));
        client.start_tls(&tls(version, None)).unwrap();
        for command in ["RCPT TO:<bob@contoso.example>", "DATA"] {
            assert!(client.say(command).starts_with("503 "), "{command}");
        }
        assert!(client.mail("a@litware.example").starts_with("503 "), "not even the greeting is left");
        assert!(client.ehlo().contains("REQUIRETLS"));
        assert!(client.rcpt("bob@contoso.example").starts_with("503 "));
        let reply = client.send("a@litware.example", "bob@contoso.example", "Subject: afterwards\r\n\r\n");
        assert!(reply.starts_with("250"), "{reply}");
    }
}

#[test]
fn what_a_client_writes_stays_on_its_line() {
    let mut rig = envelope::rig();
    let logged = naive::log_line(EVIL.as_bytes());
    assert!(
        logged.lines().count() == 2 && logged.contains('\u{1b}'),
        "whoever logs what it hears is taken in"
    );
    through_commands(&rig);
    through_a_certificate(&mut rig);
    until("the log", || rig.log_text().contains("forged=yes").then_some(()));
    for (what, text) in [
        ("the protocol log", rig.log_text()),
        ("the events", rig.events()),
        ("log sessions", said(&rig, &["log", "sessions"])),
        ("partner list", said(&rig, &["partner", "show", "Woodgrove"])),
        ("partners.json", std::fs::read_to_string(rig.path("data/partners.json")).unwrap_or_default()),
    ] {
        let raw = text.chars().find(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t'));
        assert_eq!(raw, None, "{what}: {text}");
        assert!(text.lines().all(|line| !line.starts_with("Domain-Secured")), "{what}: {text}");
    }
}

fn through_commands(rig: &Rig) {
    let mut client = Smtp::dial(rig.at("Internet"));
    client.reply();
    // The line break splits it: what stands behind it is a command of its own, and none that we know.
    client.write(format!("EHLO {EVIL}\r\n").as_bytes());
    assert!(client.reply().starts_with("501 "), "a name with control characters is none");
    assert!(client.reply().starts_with("500 "));
    for line in ["HELO \u{1b}]0;owned\u{7}.example", "EHLO a.example\tb", "EHLO \u{202e}elpmaxe.a"] {
        let mut client = Smtp::dial(rig.at("Internet"));
        client.reply();
        let reply = client.say(line);
        assert!(!reply.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{reply:?}");
    }
    let mut client = Smtp::clear(rig.at("Internet"));
    for line in [
        "MAIL FROM:<\"a\u{1b}[2J\"@litware.example>",
        "MAIL FROM:<a@litware.example> AUTH=\u{1b}[2J",
        "MAIL FROM:<a@litware.example> ENVID=a\u{7}b",
        "RCPT TO:<\"\u{9b}2J\"@contoso.example>",
    ] {
        let reply = client.say(line);
        assert!(reply.starts_with('5'), "{line:?}: {reply}");
        assert!(!reply.contains('\u{1b}'), "{reply:?}");
    }
}

/// The subject of a partner's certificate comes from the partner's CA, and into our stamp.
fn through_a_certificate(rig: &mut Rig) {
    let card = rig.pki.with_common_name(EVIL);
    let mut client = Smtp::secure(rig.at("Internet"), &tls(&TLS13, Some(&card)));
    let reply = client.send("kim@woodgrove.example", "bob@contoso.example", "Subject: named\r\n\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    let kept = rig.arrival("named");
    let stamps = kept.content.lines().filter(|line| line.starts_with("Domain-Secured:")).count();
    assert_eq!(stamps, 1, "{}", kept.content);
    assert!(!kept.content.contains('\u{1b}'), "{}", kept.content);
    // One that is refused is shown as well.
    let stranger = super::pki::self_signed_as("woodgrove.example", EVIL);
    let mut client = Smtp::secure(rig.at("Internet"), &tls(&TLS13, Some(&stranger)));
    let reply = client.mail("kim@woodgrove.example");
    assert!(reply.starts_with('5') && !reply.contains('\u{1b}') && !reply.contains('\n'), "{reply:?}");
}

fn said(rig: &Rig, arguments: &[&str]) -> String {
    let output =
        Command::new(executable()).args(arguments).arg("-c").arg(rig.path("sealpost.toml")).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
