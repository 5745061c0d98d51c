//! Commands and recipients: what each is answered, and who may send to whom.

use rustls::version::TLS13;

use super::client::{Smtp, tls};
use super::rig::Rig;

pub const SETTINGS: &str = r#"
[transport]
postmaster = "root@contoso.example"
tls_receive_domain_secure_list = ["Bücher.example"]

[trust]
anchors = ["contoso-root.pem"]
crl_files = ["woodgrove.crl", "fabrikam.crl"]

[[partner]]
name = "Woodgrove"
domains = ["woodgrove.example", "grove.example"]
domain_secure = ["receive"]
trust_anchors = ["woodgrove-root.pem"]

[[partner]]
name = "Fabrikam"
domains = ["fabrikam.example"]
domain_secure = ["receive"]
trust_anchors = ["fabrikam-root.pem"]

[[partner]]
name = "Twin"
domains = ["twin.example"]
domain_secure = ["receive"]
trust_anchors = ["woodgrove-root.pem"]

[[partner]]
name = "Watched"
domains = ["watched.example"]
domain_secure = ["receive"]
trust_anchors = ["woodgrove-root.pem"]
mode = "report"

[[accepted_domain]]
name = "contoso.example"

[[accepted_domain]]
name = "known.example"
recipients = "recipients.txt"

[[accepted_domain]]
name = "hub.example"
from = "partners"

[[accepted_domain]]
name = "grovehub.example"
from = ["grove.example"]

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[receive_connector]]
name = "Internet"
bindings = ["{ip}:0"]
tarpit_interval = "0 s"
max_message_size = "64 KiB"
max_recipients_per_message = 5

[[receive_connector]]
name = "Internal"
bindings = ["{ip5}:0"]
domain_secure_enabled = false
permissions = ["submit", "relay"]
accept_organization_headers = true
"#;

pub fn rig() -> Rig {
    Rig::start(|_, home| {
        std::fs::write(
            home.join("recipients.txt"),
            "# who is there\nbob@known.example\nMary@Known.example\n",
        )
        .unwrap();
        SETTINGS.to_owned()
    })
}

#[test]
fn commands_and_recipients() {
    let mut rig = rig();
    let at = rig.at("Internet");
    greetings(&rig);
    commands(&mut Smtp::clear(at));
    recipients(&mut Smtp::clear(at));
    senders(&mut Smtp::clear(at));
    let mut relay = Smtp::clear(rig.at("Internal"));
    assert_eq!(relay.mail("kim@woodgrove.example"), "250 2.1.0 Sender OK", "no verdict where none is asked");
    for to in [
        "x@anywhere.example",
        "x@hub.example",
        "x@grovehub.example",
        "<@a.example:x@b.example".trim_start_matches('<'),
    ] {
        assert_eq!(relay.rcpt(to), "250 2.1.5 Recipient OK", "{to}");
    }
    assert!(relay.rcpt("a%b@contoso.example").starts_with("550 5.7.1 "));
    hub(&mut rig);
}

fn greetings(rig: &Rig) {
    let mut client = Smtp::dial(rig.at("Internet"));
    assert_eq!(client.reply(), "220 mx.contoso.example ESMTP Sealpost");
    assert!(client.mail("a@b.example").starts_with("503 5.5.1 "), "EHLO first");
    let offers = client.ehlo();
    let mut offers: Vec<&str> = offers.lines().skip(1).map(|line| &line[4..]).collect();
    offers.sort_unstable();
    assert_eq!(
        offers,
        [
            "8BITMIME",
            "BINARYMIME",
            "CHUNKING",
            "DSN",
            "ENHANCEDSTATUSCODES",
            "LIMITS RCPTMAX=5",
            "PIPELINING",
            "SIZE 65536",
            "SMTPUTF8",
            "STARTTLS"
        ]
    );
    client.start_tls(&tls(&TLS13, None)).unwrap();
    assert!(client.mail("a@b.example").starts_with("503 5.5.1 "), "EHLO again after STARTTLS");
    assert!(!client.ehlo().contains("STARTTLS"));
    assert!(client.say("STARTTLS").starts_with("503 5.5.1 "));
    client.quit();
    let mut old = Smtp::dial(rig.at("Internet"));
    old.reply();
    assert_eq!(old.say("HELO client"), "250 mx.contoso.example");
    assert!(old.say("MAIL FROM:<a@b.example> SIZE=1").starts_with("555 5.5.4 "), "no extensions after HELO");
    old.quit();
}

fn commands(client: &mut Smtp) {
    for (line, expected) in [
        ("NOOP", "250 2.0.0 "),
        ("NOOP with words", "250 2.0.0 "),
        ("noop", "250 2.0.0 "),
        ("RSET", "250 2.0.0 "),
        ("VRFY bob@contoso.example", "252 2."),
        ("HELP", "214 2.0.0 "),
        ("HELP MAIL", "214 2.0.0 "),
        ("RCPT TO:<bob@contoso.example>", "503 5.5.1 "),
        ("DATA", "503 5.5.1 "),
        ("EXPN staff", "502 5.5.1 "),
        ("MAIL FROM:<a@b.example>", "250 2.1.0 "),
        ("DATA", "503 5.5.1 "),
        ("MAIL FROM:<a@b.example>", "503 5.5.1 "),
        ("RSET", "250 2.0.0 "),
        ("MAIL FROM:<a@b.example> SIZE=65536 BODY=8BITMIME SMTPUTF8", "250 2.1.0 "),
        ("EHLO again.example", "250-"),
        ("RCPT TO:<bob@contoso.example>", "503 5.5.1 "),
        ("MAIL FROM:<a@b.example> SIZE=65537", "552 5.3.4 "),
        ("MAIL FROM:<a@b.example> MT-PRIORITY=3", "555 5.5.4 "),
    ] {
        let reply = client.say(line);
        assert!(reply.starts_with(expected), "{line}: {reply}");
    }
    client.write(
        b"MAIL FROM:<a@b.example>\r\nRCPT TO:<bob@contoso.example>\r\nRCPT TO:<x@y.example>\r\nDATA\r\n",
    );
    let replies: Vec<String> = (0..4).map(|_| client.reply()[..9].to_owned()).collect();
    assert_eq!(replies, ["250 2.1.0", "250 2.1.5", "550 5.7.1", "354 Start"]);
    client.write(b"Subject: piped\r\n\r\n.\r\nQUIT\r\n");
    assert!(client.reply().starts_with("250 2.6.0 "));
    assert!(client.reply().starts_with("221 "));
    assert!(client.is_over());
}

fn recipients(client: &mut Smtp) {
    for (to, expected) in [
        ("bob@contoso.example", "250 2.1.5 "),
        ("bob@CONTOSO.Example", "250 2.1.5 "),
        ("@relay.example,@other.example:bob@contoso.example", "250 2.1.5 "),
        ("postmaster", "250 2.1.5 "),
        ("Postmaster@known.example", "250 2.1.5 "),
        ("abuse@known.example", "250 2.1.5 "),
        ("BOB@known.example", "250 2.1.5 "),
        ("mary@known.example", "250 2.1.5 "),
        ("eve@known.example", "550 5.1.1 "),
        ("bob@sub.contoso.example", "550 5.7.1 "),
        ("bob@elsewhere.example", "550 5.7.1 "),
        ("bob@[192.0.2.1]", "550 5.7.1 "),
        ("@contoso.example:bob@elsewhere.example", "550 5.7.1 "),
        ("bob%elsewhere.example@contoso.example", "550 5.7.1 "),
        ("elsewhere.example!bob@contoso.example", "550 5.7.1 "),
        ("\"bob@elsewhere.example\"@contoso.example", "550 5.7.1 "),
        ("\"b\\@e\"@contoso.example", "550 5.7.1 "),
        ("bob@hub.example", "550 5.7.1 "),
        ("bob@contoso.example.", "501 5.1.7 "),
        ("bob@-contoso-.example", "501 5.1.7 "),
        ("bob", "501 5.1.3 "),
    ] {
        // Transactions of their own: the syntax errors stay below the limit of a session's errors.
        assert!(client.say("RSET").starts_with("250"));
        assert!(client.mail("a@b.example").starts_with("250"));
        let reply = client.rcpt(to);
        assert!(reply.starts_with(expected), "{to}: {reply}");
    }
    client.say("RSET");
    client.mail("a@b.example");
    for number in 1..=1000 {
        let reply = client.rcpt(&format!("bob{number}@contoso.example"));
        let expected = if number <= 5 { "250 2.1.5 " } else { "452 4.5.3 " };
        assert!(reply.starts_with(expected), "{number}: {reply}");
    }
    assert!(client.data(b"Subject: thousand\r\n\r\n").starts_with("250 "), "the first five get it");
}

fn senders(client: &mut Smtp) {
    for (from, expected) in [
        ("a@b.example.", "501 5.1.7 "),
        ("a@xn--zzzzzzzzzzz--.example", "501 5.1.7 "),
        ("", "250 2.1.0 "),
        ("kim@woodgrove.example", "530 5.7.0 "),
        ("kim@WOODGROVE.EXAMPLE", "530 5.7.0 "),
        ("@relay.example:kim@woodgrove.example", "530 5.7.0 "),
        ("\"a@litware.example\"@woodgrove.example", "530 5.7.0 "),
        ("kim@xn--bcher-kva.example", "530 5.7.0 "),
        ("kim@XN--BCHER-KVA.example", "530 5.7.0 "),
        ("kim@BÜCHER.example", "530 5.7.0 "),
    ] {
        client.say("RSET");
        let reply = client.mail(from);
        assert!(reply.starts_with(expected), "{from}: {reply}");
    }
    assert!(client.say("MAIL FROM:<kim@b\u{fc}cher\u{3002}example> SMTPUTF8").starts_with("530 5.7.0 "));
    // Bad addresses are the mail's fault: they do not end a session as bad commands do.
    client.mail("a@b.example");
    for _ in 0..10 {
        assert!(client.rcpt("bob@contoso.example.").starts_with("501 5.1.7 "));
    }
    assert!(client.rcpt("bob@contoso.example").starts_with("250 2.1.5 "));
}

/// `from` of an accepted domain: partners, a list, and what `<>` and report mode make of it.
fn hub(rig: &mut Rig) {
    let both = rig.pki.woodgrove(&["woodgrove.example", "grove.example"]);
    let one = rig.pki.woodgrove(&["woodgrove.example"]);
    let twins = rig.pki.woodgrove(&["grove.example", "twin.example"]);
    let watched = rig.pki.woodgrove(&["watched.example"]);
    let at = rig.at("Internet");
    for (card, from, hub, listed) in [
        (None, "a@litware.example", false, false),
        (None, "", false, false),
        (Some(&both), "kim@woodgrove.example", true, false),
        (Some(&both), "kim@grove.example", true, true),
        (Some(&both), "", true, true),
        (Some(&both), "a@litware.example", false, false),
        (Some(&one), "", true, false),
        (Some(&twins), "", true, true),
        (Some(&twins), "kim@twin.example", true, false),
        (None, "kim@watched.example", false, false),
        (Some(&watched), "kim@watched.example", true, false),
        (Some(&watched), "", true, false),
    ] {
        let mut client = Smtp::secure(at, &tls(&TLS13, card));
        assert!(client.mail(from).starts_with("250"), "{from}");
        for (to, allowed) in [("x@hub.example", hub), ("x@grovehub.example", listed)] {
            let reply = client.rcpt(to);
            let expected = if allowed { "250 2.1.5 " } else { "550 5.7.1 " };
            assert!(reply.starts_with(expected), "{from} to {to}: {reply}");
        }
    }
    // Two partners are proved, so `<>` stands for neither.
    let mut client = Smtp::secure(at, &tls(&TLS13, Some(&twins)));
    assert!(client.send("", "x@hub.example", "Subject: whose\r\n\r\n").starts_with("250"));
    assert!(!rig.arrival("whose").content.contains("Domain-Secured"));
    assert_eq!((rig.secured("twin.example"), rig.secured("grove.example")), (0, 0));
}
