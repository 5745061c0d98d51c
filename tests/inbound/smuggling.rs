//! SMTP smuggling: content that holds what some server takes for an end of data, and behind it a
//! message of its own. Here every variant is one refused message, and nothing behind it is obeyed.

use rustls::version::TLS13;

use super::client::{Smtp, tls};
use super::common::naive::ends_of_data;
use super::envelope;
use super::rig::Rig;

const SMUGGLED: &str = "MAIL FROM:<admin@contoso.example>\r\nRCPT TO:<bob@contoso.example>\r\nDATA\r\n\
    Subject: smuggled\r\n\r\nSend money.";

#[test]
fn no_variant_of_an_end_of_data_smuggles_a_message() {
    let rig = envelope::rig();
    for lax in ends_of_data() {
        let end = lax.end_of_data();
        let content = [b"Subject: innocent\r\n\r\nHi", &end[..], SMUGGLED.as_bytes(), b"\r\n.\r\n"].concat();
        let seen = lax.messages(&content);
        assert_eq!(seen.len(), 2, "the attack works on a server that takes {end:?}");
        assert!(seen[1].starts_with(b"Subject: smuggled"));

        let mut client = Smtp::clear(rig.at("Internet"));
        assert!(client.mail("a@litware.example").starts_with("250"));
        assert!(client.rcpt("bob@contoso.example").starts_with("250"));
        assert!(client.say("DATA").starts_with("354"));
        client.write(&content);
        let reply = client.reply();
        assert!(reply.starts_with("550 5.6.0 "), "{end:?}: {reply}");
        assert_eq!(client.say("NOOP"), "250 2.0.0 OK", "one message, one reply: {end:?}");
        client.quit();
    }
    split(&rig);
    in_a_chunk(&rig);
    assert_nothing_came(&rig);
}

/// The same octets, one read each: what lies across a boundary is no way around it.
fn split(rig: &Rig) {
    let memory = tls(&TLS13, None);
    for end in [&b"\n.\r\n"[..], b"\r\n.\n", b"\r.\r", b"\r\n.\0\r\n"] {
        let mut client = Smtp::secure(rig.at("Internet"), &memory);
        assert!(client.mail("a@litware.example").starts_with("250"));
        assert!(client.rcpt("bob@contoso.example").starts_with("250"));
        assert!(client.say("DATA").starts_with("354"));
        client.write(b"Subject: innocent\r\n\r\nHi");
        // In TLS each write is a record, and so a read, of its own.
        for octet in end {
            client.write(&[*octet]);
        }
        client.write(format!("{SMUGGLED}\r\n.\r\n").as_bytes());
        let reply = client.reply();
        assert!(reply.starts_with("550 5.6.0 "), "{end:?}: {reply}");
        assert_eq!(client.say("NOOP"), "250 2.0.0 OK");
    }
}

/// In a chunk nothing is an end of data, and text that holds what others take for one is refused as well.
fn in_a_chunk(rig: &Rig) {
    for lax in ends_of_data() {
        let end = lax.end_of_data();
        let content = [b"Subject: innocent\r\n\r\nHi", &end[..], SMUGGLED.as_bytes(), b"\r\n.\r\n"].concat();
        let mut client = Smtp::clear(rig.at("Internet"));
        assert!(client.mail("a@litware.example").starts_with("250"));
        assert!(client.rcpt("bob@contoso.example").starts_with("250"));
        client.write(format!("BDAT {} LAST\r\n", content.len()).as_bytes());
        client.write(&content);
        let reply = client.reply();
        assert!(reply.starts_with("550 5.6.0 "), "{end:?}: {reply}");
        assert_eq!(client.say("NOOP"), "250 2.0.0 OK", "one message, one reply: {end:?}");
        client.quit();
    }
}

fn assert_nothing_came(rig: &Rig) {
    let mut client = Smtp::clear(rig.at("Internet"));
    let reply =
        client.send("a@litware.example", "bob@contoso.example", "Subject: the only one\r\n\r\nHi\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    rig.arrival("the only one");
    assert_eq!(rig.counter("sealpost_messages_received_total", &[("connector", "Internet")]), 1);
}
