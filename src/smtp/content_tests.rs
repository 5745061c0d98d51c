use proptest::prelude::*;

use super::*;

const LINE_MAX: usize = 40;

fn decode(wire: &[u8]) -> (Vec<u8>, DecodeStatus) {
    let mut content = Vec::new();
    let status = DataDecoder::new(LINE_MAX).decode(wire, &mut content);
    (content, status)
}

fn encode(content: &[u8]) -> Vec<u8> {
    let mut encoder = DataEncoder::new();
    let mut wire = Vec::new();
    encoder.encode(content, &mut wire);
    encoder.finish(&mut wire);
    wire
}

#[test]
fn clean_data_and_what_stands_behind_it() {
    for (wire, content) in [
        (".\r\n", ""),
        ("\r\n.\r\n", "\r\n"),
        ("a\r\n.\r\n", "a\r\n"),
        ("a\r\n..\r\n.\r\n", "a\r\n.\r\n"),
        ("..a\r\n.b\r\n...\r\n.\r\n", ".a\r\nb\r\n..\r\n"),
        ("a.\r\n.\r\n", "a.\r\n"),
    ] {
        let (got, status) = decode(format!("{wire}QUIT\r\n").as_bytes());
        assert_eq!(String::from_utf8_lossy(&got), content, "{wire:?}");
        assert_eq!(status, DecodeStatus { consumed: wire.len(), finished: true, fault: None }, "{wire:?}");
    }
}

/// Every ending that some server took for the end of data, and none of which is.
#[test]
fn nothing_but_crlf_dot_crlf_ends_data() {
    for ending in [
        "\n.\n",
        "\n.\r\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\n.\r",
        "\r.\n",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\n\n.\r\n",
        "\r\r\n.\r\r\n",
        "\n\r.\r\n",
        ".\n",
    ] {
        let wire = format!("a{ending}MAIL FROM:<x@y>\r\n");
        let (_, status) = decode(wire.as_bytes());
        assert!(!status.finished, "{ending:?}");
        assert!(status.fault.is_some(), "{ending:?}");
        let (_, status) = decode(format!("{wire}.\r\n").as_bytes());
        assert!(status.finished, "{ending:?}: the true end is still found");
    }
}

#[test]
fn the_first_fault_is_remembered() {
    for (wire, fault) in [
        ("a\nb\r\n.\r\n", ContentFault::BareLf),
        ("a\rb\r\n.\r\n", ContentFault::BareCr),
        (".\n\r\n.\r\n", ContentFault::BareLf),
        (".\rx\r\n.\r\n", ContentFault::BareCr),
        ("a\0\nb\r\n.\r\n", ContentFault::Nul),
        ("a\r\r\n.\r\n", ContentFault::BareCr),
    ] {
        assert_eq!(decode(wire.as_bytes()).1.fault, Some(fault), "{wire:?}");
        assert_eq!(fault.reply().to_wire()[..9], *"550 5.6.0");
    }
    let long = format!("{}\r\n.\r\n", "x".repeat(LINE_MAX + 1));
    assert_eq!(decode(long.as_bytes()).1.fault, Some(ContentFault::LineTooLong));
    let fits = format!("{}\r\n", "x".repeat(LINE_MAX)).repeat(3) + ".\r\n";
    assert_eq!(decode(fits.as_bytes()).1.fault, None);
}

#[test]
fn content_goes_out_stuffed_and_otherwise_as_it_is() {
    for (content, wire) in [
        ("", ".\r\n"),
        (".", "..\r\n.\r\n"),
        (".\r\n", "..\r\n.\r\n"),
        (".\r\nMAIL FROM:<x@y>\r\n", "..\r\nMAIL FROM:<x@y>\r\n.\r\n"),
        ("a\r\n", "a\r\n.\r\n"),
        ("a\r\n\r\n", "a\r\n\r\n.\r\n"),
        ("a", "a\r\n.\r\n"),
        ("a\r", "a\r\n.\r\n"),
        ("a\n.\nb\r.\r", "a\r\n..\r\nb\r\n..\r\n.\r\n"),
        ("a\r\r\n", "a\r\n\r\n.\r\n"),
        ("a\r\n\0.\r\n.\0\r\n", "a\r\n..\r\n..\r\n.\r\n"),
    ] {
        assert_eq!(String::from_utf8_lossy(&encode(content.as_bytes())), wire, "{content:?}");
    }
}

/// Wherever it stands in what is looked at together.
#[test]
fn no_dot_goes_out_unstuffed_at_the_start_of_a_line() {
    for odd in [
        "\r\n.",
        "\r\n\0.",
        "\r\n\0\0.",
        "\n.",
        "\r.",
        "\r\r\n.",
        "\r\n\r\n.",
        "\r\n\n.",
        "\0\r\n.",
        "\r\0\n.",
    ] {
        for before in 0..1_100 {
            let content = ["x".repeat(before).as_str(), odd, "\r\n", &"y".repeat(600)].concat();
            let wire = encode(content.as_bytes());
            let (mut encoder, mut single) = (DataEncoder::new(), Vec::new());
            content.as_bytes().chunks(1).for_each(|octet| encoder.encode(octet, &mut single));
            encoder.finish(&mut single);
            assert_eq!(wire, single, "{odd:?} behind {before}");
            assert!(wire.windows(4).any(|four| four == b"\r\n.."), "{odd:?} behind {before}");
        }
    }
}

fn risky() -> impl Strategy<Value = u8> {
    prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(0), Just(b'x'), any::<u8>()]
}

/// Lines without CR, LF and NUL, each with its CRLF.
fn clean() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![Just(b'.'), Just(b'x'), 14u8..=255];
    let line = proptest::collection::vec(octet, 0..8);
    proptest::collection::vec(line, 0..8)
        .prop_map(|lines| lines.into_iter().flat_map(|line| line.into_iter().chain(*b"\r\n")).collect())
}

/// Text of some length with a few octets in it that need a closer look.
fn long() -> impl Strategy<Value = Vec<u8>> {
    let line = (0usize..90).prop_map(|octets| [vec![b'x'; octets], b"\r\n".to_vec()].concat());
    let lines = proptest::collection::vec(line, 0..25).prop_map(|lines| lines.concat());
    let odd = proptest::collection::vec(risky(), 0..4);
    proptest::collection::vec((lines, odd), 0..4)
        .prop_map(|parts| parts.into_iter().flat_map(|(lines, odd)| [lines, odd].concat()).collect())
}

proptest! {
    /// Many octets are looked at together, but what is found is what one finds in each.
    #[test]
    fn much_at_once_is_as_octet_by_octet(content in long(), line_max in 500usize..2_000) {
        let mut whole = (DataDecoder::new(line_max), Vec::new());
        let status = whole.0.decode(&content, &mut whole.1);
        let mut single = (DataDecoder::new(line_max), Vec::new());
        let mut consumed = 0;
        for octet in content.chunks(1) {
            consumed += single.0.decode(octet, &mut single.1).consumed;
        }
        prop_assert_eq!(status, DecodeStatus { consumed, ..single.0.decode(b"", &mut Vec::new()) });
        prop_assert_eq!(whole.1, single.1);

        let (mut encoder, mut wire) = (DataEncoder::new(), Vec::new());
        content.chunks(1).for_each(|octet| encoder.encode(octet, &mut wire));
        encoder.finish(&mut wire);
        prop_assert_eq!(encode(&content), wire);
    }

    #[test]
    fn decoding_undoes_encoding(content in clean(), rest in proptest::collection::vec(risky(), 0..8)) {
        let mut wire = encode(&content);
        let length = wire.len();
        wire.extend(rest);
        let (got, status) = decode(&wire);
        prop_assert_eq!(got, content);
        prop_assert_eq!(status, DecodeStatus { consumed: length, finished: true, fault: None });
    }

    #[test]
    fn decoding_does_not_depend_on_splits(
        wire in proptest::collection::vec(risky(), 0..120),
        cuts in proptest::collection::vec(1usize..6, 0..120),
    ) {
        let whole = decode(&wire);
        let mut decoder = DataDecoder::new(LINE_MAX);
        let (mut content, mut consumed, mut rest) = (Vec::new(), 0, &wire[..]);
        let mut status = decoder.decode(b"", &mut content);
        for cut in cuts.into_iter().chain([wire.len()]) {
            let (piece, tail) = rest.split_at(cut.min(rest.len()));
            status = decoder.decode(piece, &mut content);
            consumed += status.consumed;
            rest = tail;
            if status.finished {
                break;
            }
        }
        prop_assert_eq!(whole, (content, DecodeStatus { consumed, ..status }));
    }

    #[test]
    fn encoding_does_not_depend_on_splits(
        content in proptest::collection::vec(risky(), 0..120),
        cuts in proptest::collection::vec(1usize..6, 0..120),
    ) {
        let mut encoder = DataEncoder::new();
        let (mut wire, mut rest) = (Vec::new(), &content[..]);
        for cut in cuts.into_iter().chain([content.len()]) {
            let (piece, tail) = rest.split_at(cut.min(rest.len()));
            encoder.encode(piece, &mut wire);
            rest = tail;
        }
        encoder.finish(&mut wire);
        prop_assert_eq!(encode(&content), wire);
    }

    /// Whatever the content, a strict reader and every lax one find the same end of it.
    #[test]
    fn no_bare_cr_or_lf_leaves_and_only_the_end_looks_like_one(content in proptest::collection::vec(risky(), 0..120)) {
        let wire = encode(&content);
        for (at, byte) in wire.iter().enumerate() {
            match byte {
                b'\r' => prop_assert_eq!(wire.get(at + 1), Some(&b'\n')),
                b'\n' => prop_assert_eq!(at.checked_sub(1).map(|before| wire[before]), Some(b'\r')),
                _ => {}
            }
        }
        let dots = wire.split(|b| *b == b'\n').filter(|line| *line == b".\r").count();
        prop_assert_eq!(dots, 1);
    }

    /// Another implementation reads the same content from what we send (it misses a `.CRLF` at
    /// the very start, so content begins with a letter here).
    #[test]
    fn an_independent_receiver_agrees(mut content in clean()) {
        content.splice(0..0, *b"x\r\n");
        let mut theirs = Vec::new();
        let wire = encode(&content);
        let ended = smtp_proto::request::receiver::DataReceiver::new().ingest(&mut wire.iter(), &mut theirs);
        prop_assert!(ended);
        prop_assert_eq!(theirs, content);
    }
}
