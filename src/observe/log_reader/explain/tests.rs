use super::super::all_sessions;
use super::*;

const HEAD: &str = "#Fields: date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context\r\n";

/// One session of lines such as `< EHLO x` or `* value|context`.
fn explained(file: &str, lines: &[&str]) -> Explanation {
    let directory = tempfile::tempdir().unwrap();
    let mut text = HEAD.to_owned();
    for (number, line) in lines.iter().enumerate() {
        let (event, rest) = line.split_at(1);
        let (data, context) = rest.trim_start().split_once('|').unwrap_or((rest.trim_start(), ""));
        let quote = |field: &str| format!("\"{}\"", field.replace('"', "\"\""));
        text += &format!(
            "2026-11-22T01:00:{number:02}.000Z,Internet,08D6A8D416004F77,{number},192.0.2.1:25,192.0.2.9:61061,{event},{},{}\r\n",
            quote(data),
            quote(context)
        );
    }
    std::fs::write(directory.path().join(file), text).unwrap();
    let sessions = all_sessions(directory.path()).unwrap();
    assert_eq!(sessions.len(), 1);
    explain(&sessions[0])
}

fn inbound(lines: &[&str]) -> Explanation {
    explained("RECV2026112201-1.LOG", lines)
}

fn outbound(lines: &[&str]) -> Explanation {
    explained("SEND2026112201-1.LOG", lines)
}

fn says(explanation: &Explanation, sentences: &[&str]) {
    for sentence in sentences {
        assert!(
            explanation.story.iter().any(|told| told == sentence),
            "{sentence}\nin\n{:#?}",
            explanation.story
        );
    }
}

#[test]
fn a_bad_certificate_name_is_told_with_verdict_remedy_and_who_acts() {
    let explanation = inbound(&[
        "+",
        "> 220 mail.contoso.example",
        "< EHLO mx.woodgrove.example",
        "> 250 STARTTLS",
        "< STARTTLS",
        "> 220 2.0.0 ready",
        "* |Received certificate",
        "* CN=mx.woodgrove.example,O=Woodgrove|Certificate subject",
        "* CN=Woodgrove Root|Certificate issuer name",
        "* mx.woodgrove.example;mx2.woodgrove.example|Certificate alternate names",
        "* TLSv1.3|TLS protocol",
        "* TLS13_AES_256_GCM_SHA384|TLS cipher suite",
        "< EHLO mx.woodgrove.example",
        "> 250 ok",
        "< MAIL FROM:<a@woodgrove.example>",
        "* Valid|Certificate chain validation status",
        "* NameMismatch domain=woodgrove.example wanted=woodgrove.example got=mx.woodgrove.example mx2.woodgrove.example|Domain security verdict",
        "> 550 5.7.1 Domain security: NameMismatch: no name (domain woodgrove.example, session 08D6A8D416004F77)",
        "< QUIT",
        "> 221 2.0.0 bye",
        "- |Local",
    ]);
    says(
        &explanation,
        &[
            "At 2026-11-22 01:00:00 UTC 192.0.2.9:61061 connected to 192.0.2.1:25, receive connector Internet.",
            "It called itself mx.woodgrove.example.",
            "TLSv1.3 was agreed, cipher suite TLS13_AES_256_GCM_SHA384.",
            "The other side showed the certificate CN=mx.woodgrove.example,O=Woodgrove, issued by CN=Woodgrove Root, for the names mx.woodgrove.example, mx2.woodgrove.example.",
            "Its certificate chain is good.",
            "After 20.000 s the session ended (Local).",
        ],
    );
    assert_eq!(explanation.transactions[0].fate, Fate::Refused);
    let deciding = explanation.deciding.unwrap();
    assert_eq!((deciding.sequence, deciding.fault), (16, Some("NameMismatch")));
    assert!(deciding.meaning.contains("wanted: woodgrove.example; got: mx.woodgrove.example mx2"));
    assert!(deciding.remedy.contains("certificate_names"), "{}", deciding.remedy);
    assert!(deciding.who.contains("the sending side"), "{}", deciding.who);
}

#[test]
fn a_message_that_went_well_needs_nobody() {
    let explanation = inbound(&[
        "+",
        "< EHLO mx.fabrikam.example",
        "> 250 ok",
        "< MAIL FROM:<>",
        "< RCPT TO:<b@contoso.example>",
        "< RCPT TO:<c@contoso.example>",
        "< DATA",
        "> 250 2.1.0 ok",
        "> 250 2.1.5 ok",
        "> 250 2.1.5 ok",
        "> 354 go on",
        "> 250 2.6.0 00000000000000AB Queued mail for delivery",
        "- ",
    ]);
    says(
        &explanation,
        &[
            "There was no TLS: STARTTLS was not asked for.",
            "Message 1, from nobody (<>) to b@contoso.example and 1 more, was accepted with \"250 2.6.0 00000000000000AB Queued mail for delivery\".",
        ],
    );
    assert_eq!(explanation.deciding, None);
}

#[test]
fn a_recipient_that_is_not_known_is_told_of_by_its_code() {
    let explanation = outbound(&[
        "* |attempting to connect",
        "+",
        "< 220 mx.woodgrove.example",
        "> EHLO mail.contoso.example",
        "< 250 ok",
        "> MAIL FROM:<a@contoso.example>",
        "> RCPT TO:<b@woodgrove.example>",
        "> RCPT TO:<c@woodgrove.example>",
        "> BDAT 100 LAST",
        "< 250 2.1.0 ok",
        "< 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found",
        "< 250 2.1.5 ok",
        "< 250 2.6.0 queued",
        "- |Local",
    ]);
    assert_eq!(explanation.transactions[0].fate, Fate::Accepted);
    let recipients: Vec<bool> =
        explanation.transactions[0].recipients.iter().map(|recipient| recipient.refused.is_some()).collect();
    assert_eq!(recipients, [true, false]);
    let deciding = explanation.deciding.unwrap();
    assert_eq!((deciding.sequence, deciding.fault), (10, None));
    assert!(deciding.meaning.starts_with(
        "the other side refused the recipient b@woodgrove.example; 550 5.1.10 means: there is no such mailbox"
    ));
    assert_eq!(deciding.who, "the sender, on our side");
}

#[test]
fn what_was_sent_along_with_a_refused_command_decides_nothing() {
    for refusal in
        ["550 5.7.1 NameMismatch for contoso.example", "454 4.7.5 RevocationUnknown for contoso.example"]
    {
        let explanation = outbound(&[
            "* |attempting to connect",
            "+",
            "< 220 mx.woodgrove.example",
            "> EHLO mail.contoso.example",
            "< 250 PIPELINING",
            "> MAIL FROM:<a@contoso.example>",
            "> RCPT TO:<b@woodgrove.example>",
            "> DATA",
            &format!("< {refusal}"),
            "< 503 5.5.1 Send MAIL first",
            "< 503 5.5.1 Send MAIL first",
            "- |Local",
        ]);
        let deciding = explanation.deciding.unwrap();
        assert_eq!(deciding.sequence, 8, "{deciding:?}");
        assert!(deciding.line.contains(refusal), "{deciding:?}");
    }
}

#[test]
fn alerts_and_the_words_of_windows_are_decoded() {
    let failed = "* the peer broke off with the TLS alert UnknownCA|TLS handshake failed";
    let explanation = outbound(&["+", "> EHLO a", "> STARTTLS", "< 220 go", failed, "- "]);
    let deciding = explanation.deciding.unwrap();
    assert_eq!((deciding.sequence, deciding.fault), (4, Some("HandshakeFailed")));
    assert!(deciding.meaning.contains("unknown_ca: it does not trust the issuer"), "{}", deciding.meaning);
    assert_eq!(deciding.who, "we");

    let failed = "* |TLS negotiation failed with error UnknownCredentials";
    let explanation = outbound(&["+", "> EHLO a", "> STARTTLS", "< 220 go", failed, "- |Local"]);
    let deciding = explanation.deciding.unwrap();
    assert!(deciding.meaning.contains("Windows could not use the certificate"), "{}", deciding.meaning);
    assert!(deciding.remedy.contains("Enable-ExchangeCertificate"));
}

#[test]
fn an_exchange_session_of_2016_is_told_as_ours_are() {
    let explanation = inbound(&[
        "+",
        "< EHLO client",
        "< STARTTLS",
        "> 220 2.0.0 SMTP server ready",
        "*  CN=SRV CN=SRV 12DE 12DE 2020-01-17T15:15:33.000Z 2025-01-17T15:15:33.000Z SRV|Sending certificate Subject Issuer name Serial number Thumbprint Not before Not after Subject alternate names",
        "* |TLS protocol SP_PROT_TLS1_2_SERVER negotiation succeeded using bulk encryption algorithm CALG_AES_128 with strength 128 bits, MAC hash algorithm CALG_SHA_256 with strength 0 bits and key exchange algorithm CALG_ECDH_EPHEM with strength 256 bits",
        "* |Client certificate chain validation status: 'EmptyCertificate'",
        "* |TlsDomainCapabilities='None'; Status='NoRemoteCertificate'",
        "< MAIL FROM:<a@woodgrove.example>",
        "> 454 4.7.5 The certificate was not taken",
        "- |Remote(SocketError)",
    ]);
    says(
        &explanation,
        &[
            "TLSv1.2 was agreed, cipher CALG_AES_128, MAC CALG_SHA_256, key exchange CALG_ECDH_EPHEM.",
            "Of its certificate was found: the peer sent no certificate.",
            "After 10.000 s the session broke off (Remote(SocketError)).",
        ],
    );
    let deciding = explanation.deciding.unwrap();
    assert_eq!(deciding.fault, Some("NoCertificate"));
}

#[test]
fn what_never_connected_and_what_broke_off_is_told() {
    let explanation = outbound(&["* |attempting to connect"]);
    says(
        &explanation,
        &["At 2026-11-22 01:00:00 UTC send connector Internet tried to connect to 192.0.2.9:61061."],
    );
    assert_eq!(explanation.deciding.unwrap().meaning, "no connection came about");

    let explanation = inbound(&["+", "< EHLO a", "> 250 ok", "- |closed by the peer within the content"]);
    assert_eq!(explanation.deciding.unwrap().sequence, 3);
    let explanation = inbound(&["+", "< EHLO a", "> 250 ok", "- |closed by the peer"]);
    assert_eq!(explanation.deciding, None);
}
