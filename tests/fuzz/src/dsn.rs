//! Delivery reports, made of what strangers said: no panic, clean lines that are not too long, four
//! boundaries, and no field in the part for programs that is not ours, whatever stands in replies,
//! names, addresses, the conversation or the message.

use jiff::Timestamp;
use sealpost::mail::dsn::{
    Diagnostic, Kind, MessageRequest, Original, ReceivedFrom, Recipient, RecipientRequest, Report,
};
use sealpost::mail::header::split;
use sealpost::mail::{Address, Domain, EnhancedCode};
use sealpost::smtp::{Command, Extensions};

use super::lab::EVENT;

/// The fields of RFC 3464 and ours.
const FIELDS: &[&str] = &[
    "Original-Envelope-Id",
    "Reporting-MTA",
    "Received-From-MTA",
    "X-Sealpost-Queue-ID",
    "Arrival-Date",
    "Original-Recipient",
    "Final-Recipient",
    "Action",
    "Status",
    "Remote-MTA",
    "Diagnostic-Code",
    "Last-Attempt-Date",
    "Will-Retry-Until",
    "Final-Log-ID",
];

/// The first octet chooses kind and what is returned; texts are separated by an `EVENT` octet, the
/// last one is the message.
pub fn run(input: &[u8]) {
    let Some((&way, rest)) = input.split_first() else { return };
    let mut texts = rest.splitn(7, |octet| *octet == EVENT);
    let mut text = || String::from_utf8_lossy(texts.next().unwrap_or_default()).into_owned();
    let (to, remote, diagnostic, explanation, helo, requests) =
        (text(), text(), text(), text(), text(), text());
    let message = without_stray_octets(texts.next().unwrap_or_default());
    let ours = Address::parse("postmaster@contoso.example").expect("an address");
    let to = Address::parse(&to).unwrap_or_else(|_| ours.clone());
    let (message_request, recipient_request) = requested(&requests);
    let (head, body) = split(&message);
    let transcript: Vec<String> = explanation.split('|').map(str::to_owned).collect();
    let recipients = [Recipient {
        address: &to,
        original: recipient_request.original.as_ref(),
        status: EnhancedCode { class: 5, subject: 7, detail: 1 },
        remote_mta: Some(&remote),
        diagnostic: Some(if way & 4 == 0 {
            Diagnostic::Smtp(&diagnostic)
        } else {
            Diagnostic::Own(&diagnostic)
        }),
        last_attempt: Some(Timestamp::UNIX_EPOCH),
        retry_until: Some(Timestamp::UNIX_EPOCH),
        explanation: &explanation,
    }];
    let report = Report {
        kind: [Kind::Failed, Kind::Delayed, Kind::Relayed, Kind::Failed][usize::from(way & 3)],
        reporting_mta: &Domain::parse("mx.contoso.example").expect("a domain"),
        from: &ours,
        to: &to,
        at: Timestamp::UNIX_EPOCH,
        message_id: "1@contoso.example",
        boundary: "boundary",
        original: Original {
            queue_id: "0000000000000001",
            arrival: Timestamp::UNIX_EPOCH,
            envelope_id: message_request.envelope_id.as_ref(),
            received_from: Some(ReceivedFrom { helo: &helo, ip: [192, 0, 2, 1].into() }),
            head,
            body: (way & 8 != 0).then(|| &message[body..]),
            withheld: None,
            smtputf8: way & 16 != 0,
        },
        recipients: &recipients,
        transcript: &transcript,
    };
    check(&report.content());
}

fn requested(text: &str) -> (MessageRequest, RecipientRequest) {
    let offered = Extensions { dsn: true, smtputf8: true, ..Extensions::default() };
    let parse = |line: String| Command::parse(line.as_bytes(), &offered);
    let message = match parse(format!("MAIL FROM:<> ENVID={text}")) {
        Ok(Command::Mail { params, .. }) => params.dsn,
        _ => MessageRequest::default(),
    };
    let recipient = match parse(format!("RCPT TO:<postmaster> ORCPT={text}")) {
        Ok(Command::Rcpt { dsn, .. }) => dsn,
        _ => RecipientRequest::default(),
    };
    (message, recipient)
}

/// As the decoder would have let it in.
fn without_stray_octets(message: &[u8]) -> Vec<u8> {
    let lines = message
        .split(|octet| *octet == b'\n')
        .map(|line| line.iter().copied().filter(|octet| !matches!(octet, b'\r' | 0)).collect::<Vec<u8>>());
    lines.collect::<Vec<_>>().join(&b"\r\n"[..])
}

fn check(content: &[u8]) {
    assert!(content.ends_with(b"\r\n"));
    let mut boundary = None;
    let mut boundaries = 0;
    for line in content.strip_suffix(b"\r\n").unwrap_or(content).split(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(line.len() <= 998, "{} octets", line.len());
        assert!(!line.contains(&b'\r') && !line.contains(&0), "{}", line.escape_ascii());
        if let Some(named) = line.strip_prefix(b"\tboundary=\"").and_then(|rest| rest.strip_suffix(b"\"")) {
            boundary.get_or_insert_with(|| [b"--", named].concat());
        } else if let Some(boundary) = &boundary {
            boundaries += usize::from(line.starts_with(boundary));
        }
    }
    assert_eq!(boundaries, 4, "{}", content.escape_ascii());
    let boundary = [b"\r\n", &boundary.expect("a boundary")[..]].concat();
    let parts: Vec<usize> = memchr::memmem::find_iter(content, &boundary).collect();
    let part = &content[parts[1] + boundary.len() + 2..parts[2]];
    let (_, fields) = split(part);
    let fields = std::str::from_utf8(&part[fields..]).expect("text");
    for line in fields.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with('\t')) {
        let name = line.split(':').next().unwrap_or_default();
        assert!(FIELDS.contains(&name), "{line:?}");
    }
    let recipients = fields.split("\r\n").filter(|line| line.starts_with("Final-Recipient:")).count();
    assert_eq!(recipients, 1, "{fields}");
}
