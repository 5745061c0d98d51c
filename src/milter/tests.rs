//! Packets as libmilter and rspamd send them, everything a milter can get wrong, and what holds for
//! any octets at all.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { packet_bytes_max: 1 << 16, change_bytes_max: 1 << 16, packets_max: 64 };

fn packet(letter: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    super::packet::write(&mut out, letter, &[body]);
    out
}

fn negotiation(version: u32, actions: u32, steps: u32, macros: &[(u32, &str)]) -> Vec<u8> {
    let mut body: Vec<u8> = [version, actions, steps].iter().flat_map(|n| n.to_be_bytes()).collect();
    for (stage, names) in macros {
        body.extend(stage.to_be_bytes());
        body.extend(names.as_bytes());
        body.push(0);
    }
    packet(b'O', &body)
}

fn agreed_on(actions: u32, steps: u32) -> Conversation {
    let (mut conversation, offer) = Conversation::begin(LIMITS);
    assert_eq!(offer, [0, 0, 0, 13, b'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xf7, 0xff]);
    conversation.hear(&negotiation(6, actions, steps, &[]));
    assert_eq!(conversation.negotiate().unwrap().unwrap().version, 6);
    conversation
}

fn said(conversation: &mut Conversation, command: &Command<'_>, macros: &Macros) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let awaits = conversation.say(command, macros, &mut out);
    (out, awaits)
}

/// What the milter answers to the end of a message.
fn at_the_end(actions: u32, packets: &[u8]) -> Vec<Result<Option<Answer>, Fault>> {
    let mut conversation = agreed_on(actions, 0);
    assert!(said(&mut conversation, &Command::EndOfMessage, &Macros::default()).1);
    conversation.hear(packets);
    let mut heard = Vec::new();
    loop {
        let answer = conversation.answer();
        let over = !matches!(&answer, Ok(Some(answer)) if !answer.is_final());
        heard.push(answer);
        if over {
            return heard;
        }
    }
}

#[test]
fn commands_are_written_as_libmilter_reads_them() {
    let mut macros = Macros::default();
    macros.set(names::HOST, "mx.contoso.example");
    macros.set(names::QUEUE_ID, "01\nAB");
    let mut all = agreed_on(0, 0);
    let connect =
        Command::Connect { host: "[192.0.2.1]", address: "::ffff:192.0.2.1".parse().unwrap(), port: 25 };
    let (out, awaits) = said(&mut all, &connect, &macros);
    let expected =
        [packet(b'D', b"Cj\0mx.contoso.example\0"), packet(b'C', b"[192.0.2.1]\x004\0\x19192.0.2.1\0")];
    assert_eq!((out, awaits), (expected.concat(), true));
    let parameters = ["SIZE=10".to_owned(), "BODY=8BITMIME".to_owned()];
    let mail = Command::Mail { path: "<anna@contoso.example>", parameters: &parameters };
    let expected =
        [packet(b'D', b"Mi\x0001AB\0"), packet(b'M', b"<anna@contoso.example>\0SIZE=10\0BODY=8BITMIME\0")];
    assert_eq!(said(&mut all, &mail, &macros).0, expected.concat());
    let header = Command::Header { name: b"Subject", value: b" one\r\n\ttwo" };
    assert_eq!(said(&mut all, &header, &macros).0, packet(b'L', b"Subject\0one\n\ttwo\0"));
    assert_eq!(said(&mut all, &Command::Body(b"a\r\n"), &macros).0, packet(b'B', b"a\r\n"));
    assert_eq!(said(&mut all, &Command::Abort, &macros), (packet(b'A', b""), false));
    assert_eq!(said(&mut all, &Command::Quit, &macros), (packet(b'Q', b""), false));
    let mut blanks = agreed_on(0, 0x10_0000);
    assert_eq!(said(&mut blanks, &header, &macros).0, packet(b'L', b"Subject\0 one\n\ttwo\0"));
}

#[test]
fn steps_that_the_milter_does_not_want_are_left_out_and_unanswered_ones_not_awaited() {
    let header = Command::Header { name: b"A", value: b" b" };
    let none = Macros::default();
    let mut deaf = agreed_on(0, 0x27f);
    for command in [Command::Helo("x"), Command::Data, header, Command::EndOfHeader, Command::Body(b"x")] {
        assert_eq!(said(&mut deaf, &command, &none), (Vec::new(), false), "{command:?}");
    }
    assert!(said(&mut deaf, &Command::EndOfMessage, &none).1);
    let mut silent = agreed_on(0, 0x0d_f080);
    for command in [Command::Helo("x"), Command::Data, header, Command::EndOfHeader, Command::Body(b"x")] {
        let (out, awaits) = said(&mut silent, &command, &none);
        assert!(!out.is_empty() && !awaits, "{command:?}");
    }
    let (mut old, _) = Conversation::begin(LIMITS);
    old.hear(&negotiation(2, 0, 0, &[]));
    old.negotiate().unwrap().unwrap();
    assert_eq!(said(&mut old, &Command::Data, &none), (Vec::new(), false));
}

#[test]
fn the_milter_chooses_its_macros() {
    let (mut conversation, _) = Conversation::begin(LIMITS);
    conversation.hear(&negotiation(6, 0x100, 0, &[(1, "j, {tls_version} cipher unheard"), (2, "")]));
    conversation.negotiate().unwrap().unwrap();
    let mut macros = Macros::default();
    macros.set(names::HOST, "mx");
    macros.set(names::TLS_VERSION, "TLSv1.3");
    macros.set(names::CIPHER, "AES");
    macros.set(names::MAIL_ADDRESS, "anna@contoso.example");
    let expected = [packet(b'D', b"Hj\0mx\0{tls_version}\0TLSv1.3\0{cipher}\0AES\0"), packet(b'H', b"x\0")];
    assert_eq!(said(&mut conversation, &Command::Helo("x"), &macros).0, expected.concat());
    let mail = Command::Mail { path: "<>", parameters: &[] };
    assert_eq!(said(&mut conversation, &mail, &macros).0, packet(b'M', b"<>\0"));
}

#[test]
fn answers_are_read() {
    let text = |t: &str| t.as_bytes().to_vec();
    let change = |change| Ok(Some(Answer::Wish(Wish::Change(change))));
    let packets = [
        packet(b'p', b""),
        packet(b'h', b"X-Spam\0yes\0"),
        packet(b'i', b"\0\0\0\x02X-Spam\0yes\0"),
        packet(b'm', b"\0\0\0\x01Subject\0\0"),
        packet(b'b', b"new\r\n\0"),
        packet(b'+', b"<a@b.example>\0"),
        packet(b'2', b"<a@b.example>\0NOTIFY=NEVER\0"),
        packet(b'2', b"<a@b.example>\0"),
        packet(b'-', b"<c@b.example>\0"),
        packet(b'e', b"<>\0"),
        packet(b'q', b"looks\nodd\0"),
        packet(b'y', b"550-5.7.1 100%% spam\r\n550 5.7.1 go away\0"),
    ];
    let (name, value) = (text("X-Spam"), text("yes"));
    let to = |parameters: &str| Change::AddRecipient {
        path: "<a@b.example>".to_owned(),
        parameters: parameters.to_owned(),
    };
    let expected = [
        Ok(Some(Answer::Progress)),
        change(Change::AddHeader { name: name.clone(), value: value.clone() }),
        change(Change::InsertHeader { place: 2, name, value }),
        change(Change::ChangeHeader { number: 1, name: text("Subject"), value: Vec::new() }),
        change(Change::Body(b"new\r\n\0".to_vec())),
        change(to("")),
        change(to("NOTIFY=NEVER")),
        change(to("")),
        change(Change::DeleteRecipient("<c@b.example>".to_owned())),
        change(Change::Sender { path: "<>".to_owned(), parameters: String::new() }),
        Ok(Some(Answer::Wish(Wish::Quarantine("looks\\nodd".to_owned())))),
        Ok(Some(Answer::Refuse(crate::smtp::Reply {
            lines: vec!["100% spam".to_owned(), "go away".to_owned()],
            ..crate::smtp::Reply::new(550, (5, 7, 1), "")
        }))),
    ];
    assert_eq!(at_the_end(0x1ff, &packets.concat()), expected);
    for (letter, answer) in [
        (b'c', Answer::Continue),
        (b'a', Answer::Accept),
        (b'd', Answer::Discard),
        (b'r', Answer::Reject),
        (b't', Answer::TempFail),
        (b'4', Answer::Shutdown),
        (b'f', Answer::CannotWork),
    ] {
        assert_eq!(at_the_end(0, &packet(letter, b"")), [Ok(Some(answer))]);
    }
}

#[test]
fn what_does_not_belong_where_it_comes_is_a_fault() {
    for (packets, fault) in [
        (packet(b'h', b"X\0y\0"), Fault::NotAgreed('h')),
        (packet(b'q', b"x\0"), Fault::NotAgreed('q')),
        (packet(b's', b""), Fault::OutOfPlace { packet: 's', stage: Stage::EndOfMessage }),
        (packet(b'!', b""), Fault::UnknownPacket('!')),
        (packet(b'h', b"X\0y"), Fault::Malformed('h')),
        (packet(b'i', b"\0\0"), Fault::Malformed('i')),
        (packet(b'y', b""), Fault::Malformed('y')),
        (packet(b'y', b"\0"), Fault::BadReply("it is empty".to_owned())),
        (vec![0, 0, 0, 0], Fault::EmptyPacket),
        (vec![0xff, 0, 0, 0], Fault::PacketTooLarge { octets: 0xff00_0000, max: 1 << 16 }),
        (packet(b'p', b"").repeat(65), Fault::TooManyPackets { max: 64 }),
    ] {
        let heard = at_the_end(0, &packets);
        assert_eq!(heard.last(), Some(&Err(fault)));
    }
    let flood = packet(b'b', &[b'x'; 40_000]).repeat(2);
    assert_eq!(at_the_end(0x1ff, &flood).last(), Some(&Err(Fault::TooManyChanges { max: 1 << 16 })));
    let mut early = agreed_on(0x1ff, 0);
    said(&mut early, &Command::EndOfHeader, &Macros::default());
    early.hear(&packet(b'h', b"X\0y\0"));
    assert_eq!(early.answer(), Err(Fault::OutOfPlace { packet: 'h', stage: Stage::EndOfHeader }));
    let mut unasked = agreed_on(0, 0);
    unasked.hear(&packet(b'c', b""));
    assert!(!unasked.is_at_rest());
    assert_eq!(unasked.answer(), Err(Fault::Unasked('c')));
}

#[test]
fn a_negotiation_that_makes_no_sense_is_a_fault() {
    for (answer, fault) in [
        (packet(b'c', b""), Fault::NotNegotiation('c')),
        (packet(b'O', b"\0\0\0\x06"), Fault::Malformed('O')),
        (negotiation(1, 0, 0, &[]), Fault::Version(1)),
        (negotiation(7, 0, 0, &[]), Fault::Version(7)),
        (negotiation(6, 0x200, 0, &[]), Fault::NotOffered { actions: 0x200, steps: 0 }),
        (negotiation(6, 0, 0x800, &[]), Fault::NotOffered { actions: 0, steps: 0x800 }),
        (negotiation(6, 0, 0, &[(9, "j")]), Fault::Malformed('O')),
    ] {
        let (mut conversation, _) = Conversation::begin(LIMITS);
        conversation.hear(&answer);
        assert_eq!(conversation.negotiate().unwrap_err(), fault);
    }
}

#[test]
fn a_reply_of_a_milter_is_a_refusal_of_one_code_and_never_ends_a_line_early() {
    let read = |text: &str| super::reply_code::read(text.as_bytes());
    for (text, wire) in [
        ("550 5.7.1 Gtube pattern", "550 5.7.1 Gtube pattern\r\n"),
        ("451", "451 4.7.1 \r\n"),
        ("421 4.3.2 later", "421 4.3.2 later\r\n"),
        ("421 later", "421 later\r\n"),
        ("550 4.7.1 odd class", "550 5.7.1 4.7.1 odd class\r\n"),
        ("550-5.1.2 one\r\n550 5.1.2 two\r\n", "550-5.1.2 one\r\n550 5.1.2 two\r\n"),
        ("550 5.7.1 a\rb\u{1b}c", "550 5.7.1 a\\rb\\u{1b}c\r\n"),
    ] {
        assert_eq!(read(text).unwrap().to_wire(), wire);
    }
    for bad in ["", "250 ok", "650 x", "55", "550x", "550 a\r\n551 b", "550 a\r\nb", "abc"] {
        assert!(matches!(read(bad), Err(Fault::BadReply(_))), "{bad:?}");
    }
}

proptest! {
    /// However a stream is cut, it is understood the same way, and what is wrong ends it.
    #[test]
    fn pieces_do_not_matter(
        packets in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        tail in proptest::collection::vec(any::<u8>(), 0..12),
        piece in 1usize..9,
    ) {
        let mut octets: Vec<u8> = packets.iter().flat_map(|(letter, body)| packet(*letter, body)).collect();
        octets.extend(tail);
        let hear = |piece: usize| {
            let mut conversation = agreed_on(0x1ff, 0);
            said(&mut conversation, &Command::EndOfMessage, &Macros::default());
            let mut heard = Vec::new();
            for piece in octets.chunks(piece) {
                conversation.hear(piece);
                heard.extend(std::iter::from_fn(|| conversation.answer().transpose()));
            }
            heard
        };
        prop_assert_eq!(hear(octets.len().max(1)), hear(piece));
    }

    /// No text of a client or a message can forge a packet or a second string.
    #[test]
    fn a_command_is_one_packet(name in any::<Vec<u8>>(), value in any::<Vec<u8>>(), helo in any::<String>()) {
        let mut conversation = agreed_on(0, 0);
        let header = Command::Header { name: &name, value: &value };
        for (command, strings) in [(header, 2), (Command::Helo(&helo), 1)] {
            let (out, _) = said(&mut conversation, &command, &Macros::default());
            prop_assert_eq!(out.len() - 4, u32::from_be_bytes(out[..4].try_into().unwrap()) as usize);
            prop_assert_eq!(out[5..].iter().filter(|byte| **byte == 0).count(), strings);
            prop_assert!(!out[5..].contains(&b'\r'));
        }
    }
}
