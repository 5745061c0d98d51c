use super::*;

fn notify(value: &str) -> RecipientRequest {
    RecipientRequest { notify: Some(Notify::parse(value).unwrap()), original: None }
}

#[test]
fn what_is_reported_follows_from_what_was_asked() {
    // Asked, then whether failure, delay and success are told (RFC 3461 4.1, 5.2).
    for (asked, told) in [
        (RecipientRequest::default(), [true, true, false]),
        (notify("NEVER"), [false, false, false]),
        (notify("FAILURE"), [true, false, false]),
        (notify("DELAY"), [false, true, false]),
        (notify("SUCCESS"), [false, false, true]),
        (notify("success,failure,delay"), [true, true, true]),
    ] {
        let found = [asked.wants_failure(), asked.takes_delay(), asked.wants_success()];
        assert_eq!(found, told, "{asked}");
    }
}

#[test]
fn an_original_recipient_goes_on_as_it_came_and_into_a_report_in_plain() {
    // As it came, what a peer without SMTPUTF8 is told, the field in ASCII, the field in UTF-8.
    let table = [
        (
            "rfc822;Bob+2Bx@b.example",
            "rfc822;Bob+2Bx@b.example",
            "rfc822; Bob+x@b.example",
            "rfc822; Bob+x@b.example",
        ),
        ("x400;/C+3Dde/+20", "x400;/C+3Dde/+20", "x400; /C=de/ ", "x400; /C=de/ "),
        ("rfc822;", "rfc822;", "rfc822; ", "rfc822; "),
        (
            "utf-8;j\u{f6}rg@b.example",
            "utf-8;j\\x{F6}rg@b.example",
            "utf-8; j\\x{F6}rg@b.example",
            "utf-8; j\u{f6}rg@b.example",
        ),
        (
            "UTF-8;j\\x{F6}rg@b.example",
            "UTF-8;j\\x{F6}rg@b.example",
            "UTF-8; j\\x{F6}rg@b.example",
            "UTF-8; j\u{f6}rg@b.example",
        ),
        // No mailbox: nothing is undone that could end a line.
        (
            "utf-8;a\\x{0D}\\x{0A}b",
            "utf-8;a\\x{0D}\\x{0A}b",
            "utf-8; a\\x{0D}\\x{0A}b",
            "utf-8; a\\x{0D}\\x{0A}b",
        ),
    ];
    for (came, to_ascii_peer, ascii, utf8) in table {
        let original = OriginalRecipient::parse(came).unwrap();
        assert_eq!(original.for_peer(true).map(String::from).as_deref(), Some(came));
        assert_eq!(original.for_peer(false).map(String::from).as_deref(), Some(to_ascii_peer));
        assert_eq!(original.field(false), ascii);
        assert_eq!(original.field(true), utf8);
    }
    let long = OriginalRecipient::parse(&format!("utf-8;{}", "\u{4e00}".repeat(400))).unwrap();
    assert!(long.for_peer(true).is_some() && long.for_peer(false).is_none());
}

#[test]
fn a_record_keeps_what_was_asked_and_an_old_one_asks_nothing() {
    let mut requests = Requests::default();
    assert!(requests.is_empty());
    requests.set(0, RecipientRequest::default());
    assert!(requests.is_empty(), "nothing asked is nothing kept");
    requests.message.envelope_id = EnvelopeId::parse("QQ314159");
    requests.message.returns = Some(Return::Headers);
    let asked = RecipientRequest {
        notify: Notify::parse("NEVER"),
        original: OriginalRecipient::parse("rfc822;\"a\\b\"@c.example"),
    };
    requests.set(7, asked.clone());
    let stored = serde_json::to_string(&requests).unwrap();
    assert_eq!(serde_json::from_str::<Requests>(&stored).unwrap(), requests, "{stored}");
    assert_eq!(requests.of(7), asked);
    assert!(requests.of(0).is_empty());
    let bad = stored.replace("NEVER", "NEVER,x");
    assert!(serde_json::from_str::<Requests>(&bad).is_err(), "{bad}");
}

#[test]
fn the_room_in_a_record_is_never_reckoned_too_small() {
    let mut requests = Requests::default();
    let mut reckoned = 0;
    for index in 0..300 {
        let original = format!("rfc822;{}@b.example", "\"\\".repeat(usize::try_from(index).unwrap() % 200));
        let asked = RecipientRequest {
            notify: Notify::parse("SUCCESS,FAILURE,DELAY"),
            original: OriginalRecipient::parse(&original),
        };
        reckoned = requests.stored_bytes_with(&asked);
        requests.set(index, asked);
    }
    let stored = serde_json::to_vec(&requests.recipients).unwrap();
    assert!(stored.len() <= reckoned, "{} of {reckoned}", stored.len());
}
