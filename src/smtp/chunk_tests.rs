use proptest::prelude::*;

use super::*;
use crate::smtp::{DataDecoder, DataEncoder};

const LINE_MAX: usize = 40;

/// The fault of content cut into pieces of this length, and whether it ends a line.
fn checked(content: &[u8], piece: usize) -> (Option<ContentFault>, bool) {
    let mut rules = ContentRules::new(LINE_MAX);
    for piece in content.chunks(piece) {
        rules.check(piece);
    }
    (rules.finish(), rules.is_at_line_start())
}

#[test]
fn what_is_no_text_is_found_wherever_it_stands() {
    let long = format!("{}\r\n", "x".repeat(LINE_MAX + 1));
    let fits = format!("{}\r\n", "x".repeat(LINE_MAX)).repeat(3);
    for (content, fault, ends_a_line) in [
        ("", None, true),
        ("a\r\n.\r\nb\r\n", None, true),
        ("a", None, false),
        ("a\r\nb", None, false),
        (&fits, None, true),
        ("a\nb\r\n", Some(ContentFault::BareLf), true),
        ("a\rb\r\n", Some(ContentFault::BareCr), true),
        ("a\r\r\n", Some(ContentFault::BareCr), true),
        ("a\r", Some(ContentFault::BareCr), false),
        ("\n", Some(ContentFault::BareLf), false),
        ("a\0\nb\r\n", Some(ContentFault::Nul), true),
        (&long, Some(ContentFault::LineTooLong), true),
    ] {
        for piece in 1..=content.len().max(1) {
            assert_eq!(checked(content.as_bytes(), piece), (fault, ends_a_line), "{content:?} by {piece}");
        }
    }
}

proptest! {
    /// DATA and BDAT have one idea of what text is: what the one takes the other takes.
    #[test]
    fn data_and_chunks_find_the_same(
        content in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(0), Just(b'.'), Just(b'a'), any::<u8>()], 0..120),
        piece in 1usize..20,
    ) {
        let mut content = content;
        content.extend_from_slice(b"\r\n");
        let mut wire = Vec::new();
        // Dots as a client adds them, which knows no better than to look for CRLF.
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            let at_line_start = wire.is_empty() || wire.ends_with(b"\r\n");
            if at_line_start && line.first() == Some(&b'.') {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        wire.extend_from_slice(b".\r\n");
        let mut decoded = Vec::new();
        let status = DataDecoder::new(LINE_MAX).decode(&wire, &mut decoded);
        prop_assert!(status.finished);
        prop_assert_eq!(&decoded, &content);
        prop_assert_eq!(checked(&content, piece).0, status.fault);
    }

    /// Many octets are looked at together, but what is found is what one finds in each.
    #[test]
    fn much_at_once_is_as_octet_by_octet(
        lines in proptest::collection::vec((0usize..200, prop_oneof![9 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\0")]), 0..40),
        line_max in 150usize..2_000,
    ) {
        let content: Vec<u8> =
            lines.iter().flat_map(|(octets, end)| [vec![b'x'; *octets], end.as_bytes().to_vec()].concat()).collect();
        let [whole, single] = [content.len().max(1), 1].map(|piece| {
            let mut rules = ContentRules::new(line_max);
            for piece in content.chunks(piece) {
 rules.check(piece);
}
            (rules.finish(), rules.is_at_line_start())
        });
        prop_assert_eq!(whole, single);
    }

    /// What passes as text goes out by DATA as it came in by BDAT.
    #[test]
    fn what_passes_as_text_survives_data(
        content in proptest::collection::vec(prop_oneof![Just(b"\r\n".to_vec()), Just(b".".to_vec()), Just(b"a".to_vec())], 0..60),
    ) {
        let content = content.concat();
        let (fault, ends_a_line) = checked(&content, 7);
        prop_assume!(fault.is_none());
        let (mut encoder, mut wire, mut back) = (DataEncoder::new(), Vec::new(), Vec::new());
        encoder.encode(&content, &mut wire);
        encoder.finish(&mut wire);
        let status = DataDecoder::new(LINE_MAX).decode(&wire, &mut back);
        prop_assert!(status.finished && status.fault.is_none());
        let expected = if ends_a_line { content } else { [&content[..], b"\r\n"].concat() };
        prop_assert_eq!(back, expected);
    }
}
