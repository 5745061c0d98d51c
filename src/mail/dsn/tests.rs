use proptest::prelude::*;

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
        status: EnhancedCode::new(4, 7, 5),
        remote_mta: Some("mx.fabrikam.example"),
        diagnostic: Some(Diagnostic::Smtp("550 5.7.5 NameMismatch")),
        last_attempt: Some(at),
        retry_until: Some(at),
        explanation: "The certificate of mx.fabrikam.example does not prove fabrikam.example.",
    };
    let original = Original { queue_id: "0193A5", arrival: at, head: HEAD, smtputf8: false };
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
        prop_assert!(line.len() <= 998);
        prop_assert!(!line.iter().any(|b| b.is_ascii_control() && *b != b'\t'));
    }
    let crs = content.iter().filter(|b| **b == b'\r').count();
    prop_assert_eq!(crs, memchr::memmem::find_iter(&content, b"\r\n").count());
    if !report.needs_smtputf8() {
        prop_assert!(content.is_ascii());
    }
    let text = String::from_utf8(content).unwrap();
    let boundary = text.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    prop_assert_eq!(text.matches(&format!("\r\n--{boundary}")).count(), 4);
    prop_assert_eq!(text.matches("base64").count(), 0);
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
fn an_address_beyond_ascii_is_escaped_without_smtputf8_and_stands_with_it() {
    let (plain, global) = with_report(
        Kind::Failed,
        "alice@woodgrove.example",
        "j\u{f6}rg@fabrikam.example",
        |report, recipient| {
            let plain = content(report, *recipient);
            report.original.smtputf8 = true;
            (plain, content(report, *recipient))
        },
    );
    assert!(plain.contains("\r\nFinal-Recipient: utf-8; j\\x{F6}rg@fabrikam.example\r\n"), "{plain}");
    assert!(plain.contains("\r\nContent-Type: message/delivery-status\r\n"));
    assert!(global.contains("\r\nFinal-Recipient: utf-8; j\u{f6}rg@fabrikam.example\r\n"), "{global}");
    assert!(global.contains("\r\nContent-Type: message/global-delivery-status\r\n"));
    assert!(global.contains("\r\nContent-Type: message/global-headers\r\n"));
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

proptest! {
    #[test]
    fn nothing_a_stranger_says_can_break_a_report(
        head in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n')], 0..300),
        said in "(\\PC|\r\n|\n|\u{0}|\u{202e}|--b0undary| ){0,40}",
        long in 0usize..3000,
        smtputf8: bool,
        delayed: bool,
    ) {
        let kind = if delayed { Kind::Delayed } else { Kind::Failed };
        let long = format!("{said}{}", "\u{4e00}".repeat(long));
        let transcript = [said.clone(), long.clone()];
        with_report(kind, "a@b.example", "\u{f6}@d.example", |report, recipient| {
            let recipients = [
                Recipient { remote_mta: Some(&said), diagnostic: Some(Diagnostic::Smtp(&long)), explanation: &said, ..*recipient },
                Recipient { remote_mta: None, diagnostic: Some(Diagnostic::Own(&said)), explanation: &long, ..*recipient },
            ];
            let original = Original { head: &head, smtputf8, queue_id: &said, ..report.original };
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
