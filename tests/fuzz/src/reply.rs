//! Replies: no panic, bounded, one line stays one line, splits do not matter.

use sealpost::smtp::{Reply, ReplyError, ReplyParser};

fn parse(input: &[u8], piece: usize) -> Vec<Result<Reply, ReplyError>> {
    let mut parser = ReplyParser::new(512, 8);
    let mut replies = Vec::new();
    for piece in input.chunks(piece) {
        parser.push(piece);
        replies.extend(std::iter::from_fn(|| parser.next()));
    }
    replies
}

pub fn run(input: &[u8]) {
    let replies = parse(input, 512);
    assert_eq!(replies, parse(input, 1));
    for reply in replies.into_iter().flatten() {
        assert!((200..600).contains(&reply.code));
        assert!((1..=8).contains(&reply.lines.len()));
        assert!(!reply.to_string().chars().any(char::is_control));
    }
}
