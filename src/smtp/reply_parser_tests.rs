use proptest::prelude::*;

use super::*;

fn parser() -> ReplyParser {
    ReplyParser::new(512, 4)
}

fn all(parser: &mut ReplyParser) -> Vec<Result<Reply, ReplyError>> {
    std::iter::from_fn(|| parser.next()).collect()
}

fn parse(input: &[u8]) -> Vec<Result<Reply, ReplyError>> {
    let mut parser = parser();
    parser.push(input);
    all(&mut parser)
}

fn one(input: &[u8]) -> Reply {
    let mut replies = parse(input);
    assert_eq!(replies.len(), 1);
    replies.remove(0).unwrap()
}

fn error(input: &[u8]) -> ReplyError {
    parse(input).pop().unwrap().unwrap_err()
}

#[test]
fn replies_of_one_and_of_several_lines() {
    assert_eq!(one(b"220 mx.example ESMTP\r\n"), Reply::plain(220, vec!["mx.example ESMTP".into()]));
    assert_eq!(one(b"250\r\n"), Reply::plain(250, vec![String::new()]));
    let ehlo = one(b"250-mx.example\r\n250-\r\n250 SIZE 10\r\n");
    assert_eq!(ehlo.lines, ["mx.example", "", "SIZE 10"]);
}

#[test]
fn an_enhanced_code_of_the_same_class_is_taken_off() {
    assert_eq!(one(b"550 5.7.1 no\r\n"), Reply::new(550, (5, 7, 1), "no"));
    assert_eq!(one(b"250 2.0.0\r\n"), Reply::new(250, (2, 0, 0), ""));
    let both = one(b"450-4.2.1 busy\r\n450 4.2.1 try later\r\n");
    assert_eq!(
        (both.enhanced, both.lines.as_slice()),
        (Some(EnhancedCode::new(4, 2, 1)), &["busy".into(), "try later".into()][..])
    );
    assert_eq!(one(b"550 4.7.1 no\r\n"), Reply::plain(550, vec!["4.7.1 no".into()]));
    assert_eq!(one(b"550 5.7.1no\r\n"), Reply::plain(550, vec!["5.7.1no".into()]));
}

#[test]
fn control_characters_and_odd_octets_are_escaped() {
    assert_eq!(one(b"550 a\x1b[31m\x07 \xff\r\n").lines, ["a\\u{1b}[31m\\u{7} \\xff"]);
}

#[test]
fn a_reply_behind_a_reply_is_seen() {
    let mut parser = parser();
    parser.push(b"250 ok\r\n421 closing\r\n22");
    assert_eq!(parser.next().unwrap().unwrap().code, 250);
    assert!(!parser.is_empty());
    assert_eq!(parser.next().unwrap().unwrap().code, 421);
    assert!(!parser.is_empty());
    parser.push(b"0 x\r\n");
    assert_eq!(parser.next().unwrap().unwrap().code, 220);
    assert!(parser.is_empty());
    parser.push(b"250-first\r\n");
    assert!(parser.next().is_none());
    assert!(!parser.is_empty(), "half a reply is something");
}

#[test]
fn what_is_no_reply_ends_the_conversation() {
    assert_eq!(error(b"250-ok\r\n550 no\r\n"), ReplyError::MixedCodes { first: 250, then: 550 });
    assert_eq!(error(b"250-ok\r\n250-\r\n250-\r\n250-\r\n250 x\r\n"), ReplyError::TooManyLines(4));
    assert_eq!(error(b"250 ok\n"), ReplyError::BadLine(LineError::BareLf));
    assert_eq!(error(b"250 o\rk\r\n"), ReplyError::BadLine(LineError::BareCr));
    assert_eq!(error(&[b'2'; 600]), ReplyError::BadLine(LineError::TooLong));
    for line in ["", "25", "2x0 ok", "150 wait", "650 no", "250_ok", "250ok", "HTTP/1.1 400 Bad Request"] {
        let input = format!("{line}\r\n");
        assert_eq!(error(input.as_bytes()), ReplyError::NotAReply(line.to_owned()));
    }
}

#[test]
fn nothing_is_read_behind_an_error() {
    let mut parser = parser();
    parser.push(b"what\r\n250 ok\r\n");
    assert!(parser.next().unwrap().is_err());
    assert!(parser.next().is_none());
    parser.push(b"250 ok\r\n");
    assert!(parser.next().is_none());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_splits_do_not_matter(
        input in "(250[ -][a-z\\r]{0,5}\r?\n|\\PC{0,8}\r\n|5[0-9]{2} 5\\.[0-9]\\.1 x\r\n){0,8}",
        at: prop::sample::Index,
    ) {
        let bytes = input.as_bytes();
        let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
        let mut parser = parser();
        parser.push(first);
        let mut pieces = all(&mut parser);
        parser.push(second);
        pieces.extend(all(&mut parser));
        prop_assert_eq!(parse(bytes), pieces);
    }

    #[test]
    fn what_we_send_is_read_back(
        code in 200u16..600,
        detail in 0u16..1000,
        lines in proptest::collection::vec("[a-zA-Z][ -~]{0,60}", 1..4),
        with_code: bool,
    ) {
        let class = u8::try_from(code / 100).unwrap();
        let enhanced = (with_code && class != 3).then(|| EnhancedCode::new(class, 7, detail));
        let reply = Reply { code, enhanced, lines };
        let wire = reply.to_wire();
        prop_assert_eq!(parse(wire.as_bytes()), vec![Ok(reply)]);
    }
}
