use mail_parser::MimeHeaders as _;
use proptest::prelude::*;

use super::encode::quoted_printable;
use super::request::{EnvelopeId, OriginalRecipient};
use super::*;

const HEAD: &[u8] = b"From: <alice@woodgrove.example>\r\nSubject: x\r\nMessage-ID: <1@woodgrove.example>\r\n";

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// Lends a report with its parts to `check`.
fn with_report<T>(
    kind: Kind,
    to: &str,
    rcpt: &str,
    change: impl Fn(&mut Report<'_>, &mut Recipient<'_>) -> T,
) -> T {
    let mta = Domain::parse("mail1.contoso.example").unwrap();
    let (from, to, rcpt) = (address("postmaster@contoso.example"), address(to), address(rcpt));
    let at: Timestamp = "2026-11-22T01:43:01Z".parse().unwrap();
    let mut recipient = Recipient {
        address: &rcpt,
        original: None,
        status: EnhancedCode::new(4, 7, 5),
        remote_mta: Some("mx.fabrikam.example"),
        diagnostic: Some(Diagnostic::Smtp("550 5.7.5 NameMismatch")),
        last_attempt: Some(at),
        retry_until: Some(at),
        explanation: "The certificate of mx.fabrikam.example does not prove fabrikam.example.",
    };
    let original = Original {
        queue_id: "0193A5",
        arrival: at,
        envelope_id: None,
        received_from: None,
        head: HEAD,
        body: None,
        withheld: None,
        smtputf8: false,
    };
    let mut report = Report {
        kind,
        reporting_mta: &mta,
        from: &from,
        to: &to,
        at,
        message_id: "r1@mail1.contoso.example",
        boundary: "b0undary",
        original,
        recipients: &[],
        transcript: &[],
    };
    change(&mut report, &mut recipient)
}

fn content(report: &Report<'_>, recipient: Recipient<'_>) -> String {
    let recipients = [recipient];
    String::from_utf8(Report { recipients: &recipients, ..*report }.content()).unwrap()
}

/// What every report must hold to, whatever it is made of.
fn check(report: &Report<'_>) -> Result<(), TestCaseError> {
    let content = report.content();
    prop_assert!(content.ends_with(b"\r\n"));
    for line in content.strip_suffix(b"\r\n").unwrap().split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        prop_assert!(line.len() <= 998 && !line.contains(&0));
        // What a returned body holds is its sender's affair.
        let clean = !line.iter().any(|b| b.is_ascii_control() && *b != b'\t');
        prop_assert!(clean || report.original.body.is_some());
    }
    for octet in [b'\r', b'\n'] {
        let count = content.iter().filter(|b| **b == octet).count();
        prop_assert_eq!(count, memchr::memmem::find_iter(&content, b"\r\n").count());
    }
    let ascii_body = report.original.body.is_none_or(<[u8]>::is_ascii);
    if !report.needs_smtputf8() && ascii_body && report.original.head.is_ascii() {
        prop_assert!(content.is_ascii());
    }
    let text = String::from_utf8_lossy(&content);
    let boundary = text.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    prop_assert_eq!(text.matches(&format!("\r\n--{boundary}")).count(), 4);
    prop_assert_eq!(text.matches("base64").count(), 0);
    check_with_a_mime_parser(report, &content)
}

/// A parser that is none of ours finds the three parts, and in the second a block of fields for the
/// message and one for each recipient.
fn check_with_a_mime_parser(report: &Report<'_>, content: &[u8]) -> Result<(), TestCaseError> {
    let message = mail_parser::MessageParser::default().parse(content).expect("a message");
    let kind = message.content_type().expect("a type");
    prop_assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
    prop_assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
    let mail_parser::PartType::Multipart(children) = &message.parts[0].body else {
        return Err(TestCaseError::fail("no multipart"));
    };
    prop_assert_eq!(children.len(), 3);
    let part = |index: usize| &message.parts[children[index] as usize];
    prop_assert!(part(0).is_text());
    let status = String::from_utf8_lossy(part(1).contents()).into_owned();
    let blocks: Vec<&str> = status.trim_end().split("\r\n\r\n").collect();
    prop_assert_eq!(blocks.len(), 1 + report.recipients.len(), "{}", status);
    for block in &blocks[1..] {
        for name in ["Final-Recipient", "Action", "Status"] {
            let fields = block.lines().filter(|line| line.split(':').next() == Some(name));
            prop_assert_eq!(fields.count(), 1, "{} in {}", name, block);
        }
    }
    Ok(())
}

#[test]
fn a_bounce_in_full() {
    let text =
        with_report(Kind::Failed, "alice@woodgrove.example", "bob@fabrikam.example", |report, recipient| {
            let transcript =
                ["< 220 mx.fabrikam.example".to_owned(), "> EHLO mail1.contoso.example".to_owned()];
            content(&Report { transcript: &transcript, ..*report }, *recipient)
        });
    let expected = "\
From: Mail Delivery System <postmaster@contoso.example>
To: <alice@woodgrove.example>
Subject: Undeliverable: your message to bob@fabrikam.example
Date: Sun, 22 Nov 2026 01:43:01 +0000
Message-ID: <r1@mail1.contoso.example>
In-Reply-To: <1@woodgrove.example>
References: <1@woodgrove.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary=\"b0undary\"

This is a delivery status report in MIME format.

--b0undary
Content-Type: text/plain; charset=utf-8
Content-Description: Notification
Content-Transfer-Encoding: 7bit

This is the mail server mail1.contoso.example.

Your message of Sun, 22 Nov 2026 01:43:01 +0000 (here known as 0193A5) could
not be delivered to the recipients below. It will not be tried again.

<bob@fabrikam.example>:
  The certificate of mx.fabrikam.example does not prove fabrikam.example.
  The server mx.fabrikam.example said: 550 5.7.5 NameMismatch

The last lines of the conversation (> this server, < the other, * notes):
  < 220 mx.fabrikam.example
  > EHLO mail1.contoso.example

--b0undary
Content-Type: message/delivery-status
Content-Description: Delivery status
Content-Transfer-Encoding: 7bit

Reporting-MTA: dns; mail1.contoso.example
X-Sealpost-Queue-ID: 0193A5
Arrival-Date: Sun, 22 Nov 2026 01:43:01 +0000

Final-Recipient: rfc822; bob@fabrikam.example
Action: failed
Status: 5.7.5
Remote-MTA: dns; mx.fabrikam.example
Diagnostic-Code: smtp; 550 5.7.5 NameMismatch
Last-Attempt-Date: Sun, 22 Nov 2026 01:43:01 +0000
Final-Log-ID: 0193A5

--b0undary
Content-Type: text/rfc822-headers; charset=utf-8
Content-Description: Header section of your message
Content-Transfer-Encoding: 7bit

From: <alice@woodgrove.example>
Subject: x
Message-ID: <1@woodgrove.example>

--b0undary--
";
    assert_eq!(text, expected.replace('\n', "\r\n"));
}

#[test]
fn a_delay_notice_says_that_delivery_goes_on() {
    let text =
        with_report(Kind::Delayed, "alice@woodgrove.example", "bob@fabrikam.example", |report, recipient| {
            recipient.diagnostic = Some(Diagnostic::Own("StartTlsNotOffered"));
            content(report, *recipient)
        });
    for line in [
        "Subject: Delayed: your message to bob@fabrikam.example",
        "Action: delayed",
        "Status: 4.7.5",
        "Diagnostic-Code: x-sealpost; StartTlsNotOffered",
        "Will-Retry-Until: Sun, 22 Nov 2026 01:43:01 +0000",
        "  Found at mx.fabrikam.example: StartTlsNotOffered",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
    }
}

#[test]
fn a_report_takes_the_forms_of_rfc_6533_only_where_it_can_travel_in_no_other_way() {
    let original = OriginalRecipient::parse("utf-8;j\\x{F6}rg@fabrikam.example").unwrap();
    let head = "Subject: Gr\u{fc}\u{df}e\r\n";
    let to = |to: &str| {
        with_report(Kind::Failed, to, "j\u{f6}rg@fabrikam.example", |report, recipient| {
            let recipient = Recipient { original: Some(&original), ..*recipient };
            let returned = Original { head: head.as_bytes(), smtputf8: true, ..report.original };
            let headers = content(&Report { original: returned, ..*report }, recipient);
            let returned = Original { body: Some(b"Hall\xc3\xb6chen\r\n"), ..returned };
            (headers, content(&Report { original: returned, ..*report }, recipient))
        })
    };
    let (headers, whole) = to("alice@woodgrove.example");
    assert!(headers.is_ascii() && whole.is_ascii(), "any peer can take it");
    for line in [
        "Content-Type: message/delivery-status",
        "Original-Recipient: utf-8; j\\x{F6}rg@fabrikam.example",
        "Final-Recipient: utf-8; j\\x{F6}rg@fabrikam.example",
        "Content-Type: message/global-headers",
        "Content-Transfer-Encoding: quoted-printable",
        "Subject: Gr=C3=BC=C3=9Fe",
    ] {
        assert!(headers.contains(&format!("\r\n{line}\r\n")), "{line} in {headers}");
    }
    assert!(
        whole.contains("\r\nContent-Type: message/global\r\n") && whole.contains("\r\nHall=C3=B6chen\r\n")
    );
    let (headers, whole) = to("\u{e4}lice@woodgrove.example");
    for line in [
        "Content-Type: message/global-delivery-status",
        "Content-Transfer-Encoding: 8bit",
        "Original-Recipient: utf-8; j\u{f6}rg@fabrikam.example",
        "Final-Recipient: utf-8; j\u{f6}rg@fabrikam.example",
        "Content-Type: message/global-headers",
        "Subject: Gr\u{fc}\u{df}e",
    ] {
        assert!(headers.contains(&format!("\r\n{line}\r\n")), "{line} in {headers}");
    }
    assert!(
        whole.contains("\r\nContent-Type: message/global\r\n") && whole.contains("\r\nHall\u{f6}chen\r\n")
    );
}

#[test]
fn what_the_sender_said_stands_in_the_report_in_plain() {
    let original = OriginalRecipient::parse("rfc822;Bob+20the+20Builder@Fabrikam.Example").unwrap();
    let id = EnvelopeId::parse("QQ+20+20314159");
    let text =
        with_report(Kind::Failed, "alice@woodgrove.example", "bob@fabrikam.example", |report, recipient| {
            let recipient = Recipient { original: Some(&original), ..*recipient };
            let received_from =
                Some(ReceivedFrom { helo: "mail.woodgrove.example", ip: "192.0.2.1".parse().unwrap() });
            let original = Original { envelope_id: id.as_ref(), received_from, ..report.original };
            content(&Report { original, ..*report }, recipient)
        });
    for line in [
        "Original-Envelope-Id: QQ  314159",
        "Reporting-MTA: dns; mail1.contoso.example",
        "Received-From-MTA: dns; mail.woodgrove.example ([192.0.2.1])",
        "Original-Recipient: rfc822; Bob the Builder@Fabrikam.Example",
        "Final-Recipient: rfc822; bob@fabrikam.example",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
    }
}

#[test]
fn mail_handed_over_is_said_to_be_relayed_and_never_delivered() {
    let text =
        with_report(Kind::Relayed, "alice@woodgrove.example", "bob@fabrikam.example", |report, recipient| {
            recipient.diagnostic = Some(Diagnostic::Smtp("250 2.6.0 queued as 77"));
            content(report, *recipient)
        });
    for line in [
        "Subject: Relayed: your message to bob@fabrikam.example",
        "Action: relayed",
        "Status: 2.7.5",
        "Diagnostic-Code: smtp; 250 2.6.0 queued as 77",
        "  The server mx.fabrikam.example said: 250 2.6.0 queued as 77",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
    }
    assert!(!text.to_lowercase().contains("delivered"), "{text}");
}

#[test]
fn a_message_returns_octet_by_octet_or_not_at_all_and_then_the_text_says_why() {
    let long = [vec![b'x'; 999], b"\r\n".to_vec()].concat();
    // The body, how it is returned, whether the report needs 8BITMIME.
    for (body, kind, eight_bit) in [
        (&b"Hello\r\n.dot\r\n\x1b$B\r\n"[..], "message/rfc822\r\n", false),
        (&b"no line end"[..], "message/rfc822\r\n", false),
        ("Gr\u{fc}\u{df}e\r\n".as_bytes(), "message/rfc822\r\n", true),
        (&long[..], "text/rfc822-headers", false),
    ] {
        let text = with_report(Kind::Failed, "alice@b.example", "bob@d.example", |report, recipient| {
            let original = Original { body: Some(body), ..report.original };
            content(&Report { original, ..*report }, *recipient)
        });
        assert!(text.contains(&format!("\r\nContent-Type: {kind}")), "{text}");
        assert_eq!(!text.is_ascii(), eight_bit);
        assert_eq!(text.contains("\r\nMIME-Version: 1.0\r\n") && eight_bit, text.contains(": 8bit\r\n"));
        let returned = format!("{}\r\n{}", String::from_utf8_lossy(HEAD), String::from_utf8_lossy(body));
        let is_whole = kind.starts_with("message");
        assert_eq!(text.contains(&returned), is_whole);
        assert_eq!(text.contains("its lines are too long"), !is_whole);
    }
    for (withheld, words) in [
        (Withheld::Secured, "authenticated TLS connections only"),
        (Withheld::TooLarge(262_144), "it has more than 262144 octets"),
        (Withheld::Unreadable, "can no longer be read here"),
    ] {
        let text = with_report(Kind::Failed, "alice@b.example", "bob@d.example", |report, recipient| {
            let original = Original { withheld: Some(withheld), ..report.original };
            content(&Report { original, ..*report }, *recipient)
        });
        assert!(text.replace("\r\n", " ").contains(words), "{text}");
        assert!(text.contains("\r\nContent-Type: text/rfc822-headers"));
    }
}

#[test]
fn a_sender_beyond_ascii_makes_the_report_need_smtputf8() {
    let (to, rcpt) = ("\u{e4}@woodgrove.example", "bob@fabrikam.example");
    assert!(with_report(Kind::Failed, to, rcpt, |report, _| report.needs_smtputf8()));
    assert!(!with_report(Kind::Failed, rcpt, rcpt, |report, _| report.needs_smtputf8()));
}

#[test]
fn an_original_that_is_not_ascii_or_has_long_lines_is_quoted_printable_never_base64() {
    for (head, expected) in [
        ("Subject: J\u{f6}rg = 1 \r\n".as_bytes().to_vec(), "\r\nSubject: J=C3=B6rg =3D 1=20\r\n"),
        (b"Subject: \xff\x00\r\n".to_vec(), "\r\nSubject: =FF=00\r\n"),
        ([b"Subject: ".to_vec(), vec![b'x'; 2000], b"\r\n".to_vec()].concat(), "xxxx=\r\nxxxx"),
    ] {
        let text = with_report(Kind::Failed, "a@b.example", "c@d.example", |report, recipient| {
            report.original.head = &[];
            content(&Report { original: Original { head: &head, ..report.original }, ..*report }, *recipient)
        });
        assert!(text.contains("\r\nContent-Transfer-Encoding: quoted-printable\r\n"));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_boundary_that_stands_in_a_part_is_not_used() {
    let text = with_report(Kind::Failed, "a@b.example", "c@d.example", |report, recipient| {
        recipient.explanation = "--b0undary--";
        content(report, *recipient)
    });
    assert!(text.contains("boundary=\"b0undaryx\"") && text.ends_with("\r\n--b0undaryx--\r\n"));
}

#[test]
fn a_report_that_is_too_much_for_the_way_home_goes_without_the_message() {
    let report = |body: Option<&[u8]>| {
        with_report(Kind::Failed, "alice@b.example", "bob@d.example", |report, recipient| {
            let head = "Subject: Gr\u{fc}\u{df}e\r\nTo: x\r\n".as_bytes();
            let original = Original { head, body, ..report.original };
            content(&Report { original, ..*report }, *recipient)
        })
    };
    let whole = report(Some("Gr\u{fc}\u{df}e, \r\n\r\nAnn\r\n".as_bytes()));
    assert!(whole.contains("\r\nContent-Transfer-Encoding: 8bit\r\n"));
    let short = shorten(whole.as_bytes()).unwrap();
    let parsed = mail_parser::MessageParser::default().parse(&short).unwrap();
    assert_eq!(parsed.parts.len(), 4);
    let short = String::from_utf8(short).unwrap();
    assert!(short.is_ascii() && !short.contains("8bit") && !short.contains("Ann"), "{short}");
    assert!(short.contains("\r\nSubject: Gr=C3=BC=C3=9Fe\r\nTo: x\r\n\r\n--b0undary--\r\n"), "{short}");
    let (start, _) = whole.split_once("--b0undary\r\nContent-Type: message/rfc822").unwrap();
    assert!(short.contains(start.split_once("\r\n\r\n").unwrap().1), "the rest stays as it was");
    assert_eq!(shorten(short.as_bytes()), None, "it becomes less once at most");
    assert_eq!(shorten(report(None).as_bytes()), None);
}

proptest! {
    #[test]
    fn nothing_a_stranger_says_can_break_a_report(
        head in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n')], 0..300),
        body in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
        said in "(\\PC|\r\n|\n|\u{0}|\u{202e}|--b0undary| ){0,40}",
        long in 0usize..3000,
        smtputf8: bool,
        to_utf8: bool,
        kind in prop_oneof![Just(Kind::Failed), Just(Kind::Delayed), Just(Kind::Relayed)],
        asked in "utf-8;(\\PC|\\\\x\\{0[AD]\\}){1,20}|[a-z]{1,9};([!-~]|[+](0A|0D|00|20)){0,20}",
        id in "([!-~]|[+](0A|0D|00|20)){1,20}",
    ) {
        let long = format!("{said}{}", "\u{4e00}".repeat(long));
        let transcript = [said.clone(), long.clone()];
        let to = if to_utf8 { "\u{e4}@b.example" } else { "a@b.example" };
        let (asked, id) = (OriginalRecipient::parse(&asked), EnvelopeId::parse(&id));
        with_report(kind, to, "\u{f6}@d.example", |report, recipient| {
            let first = Recipient { original: asked.as_ref(), explanation: &said, ..*recipient };
            let recipients = [
                Recipient { remote_mta: Some(&said), diagnostic: Some(Diagnostic::Smtp(&long)), ..first },
                Recipient { remote_mta: None, diagnostic: Some(Diagnostic::Own(&said)), explanation: &long, ..first },
            ];
            let received_from = Some(ReceivedFrom { helo: &said, ip: "2001:db8::1".parse().unwrap() });
            let (head, body) = (&head[..], body.as_deref());
            let original = Original { head, body, smtputf8, queue_id: &said, received_from, envelope_id: id.as_ref(), ..report.original };
            check(&Report { original, recipients: &recipients, transcript: &transcript, message_id: &said, boundary: &said, ..*report })
        })?;
    }

    #[test]
    fn quoted_printable_is_undone_by_a_reader(bytes: Vec<u8>, tail in "[a-z= \t\r\n]{0,200}") {
        let bytes = [bytes, tail.into_bytes()].concat();
        let encoded = quoted_printable(&bytes);
        prop_assert!(encoded.is_ascii());
        let mut decoded = Vec::new();
        let mut rest = &encoded[..];
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            if byte != b'=' {
                decoded.push(byte);
                continue;
            }
            let (hex, tail) = rest.split_at(2);
            rest = tail;
            if hex != b"\r\n" {
                decoded.push(u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
            }
        }
        prop_assert_eq!(decoded, bytes);
        prop_assert!(encoded.split(|b| *b == b'\n').all(|line| line.len() <= 77));
    }
}

#[test]
fn an_original_recipient_that_is_longer_than_a_line_is_left_out() {
    let named = |local: &str| {
        let original = OriginalRecipient::parse(&format!("utf-8;{local}@fabrikam.example")).unwrap();
        with_report(Kind::Failed, "alice@woodgrove.example", "bob@fabrikam.example", |report, recipient| {
            content(report, Recipient { original: Some(&original), ..*recipient })
        })
    };
    assert!(named(&"\u{f6}".repeat(100)).contains("\r\nOriginal-Recipient: utf-8; \\x{F6}"));
    // 2,400 octets in the only form a peer without SMTPUTF8 takes.
    let long = named(&"\u{f6}".repeat(400));
    assert!(!long.contains("Original-Recipient"));
    assert!(long.lines().all(|line| line.len() <= 998));
}
