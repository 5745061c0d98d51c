//! A milter's side of the conversation: no panic, bounded, splits do not matter, nothing behind a
//! fault, and a dictated reply is a refusal of whole lines.

use sealpost::milter::{Answer, Command, Conversation, Fault, Limits, Macros};

const LIMITS: Limits = Limits { packet_bytes_max: 4096, change_bytes_max: 8192, packets_max: 32 };

/// The first octet chooses the command that is answered; before it the milter agrees to everything.
fn hear(input: &[u8], piece: usize) -> Vec<Result<Answer, Fault>> {
    let (mut conversation, _) = Conversation::begin(LIMITS);
    conversation.hear(&[0, 0, 0, 13, b'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0, 4, 0]);
    assert!(conversation.negotiate().is_ok_and(|agreed| agreed.is_some()));
    let (choice, octets) = input.split_first().map_or((0, input), |(first, rest)| (*first, rest));
    let command = match choice % 4 {
        0 => Command::EndOfMessage,
        1 => Command::Helo("client.example"),
        2 => Command::Body(b"x\r\n"),
        _ => Command::Rcpt { path: "<a@b.example>", parameters: &[] },
    };
    conversation.say(&command, &Macros::default(), &mut Vec::new());
    let mut heard = Vec::new();
    for piece in octets.chunks(piece) {
        conversation.hear(piece);
        heard.extend(std::iter::from_fn(|| conversation.answer().transpose()));
    }
    heard
}

pub fn run(input: &[u8]) {
    let heard = hear(input, 4096);
    assert_eq!(heard, hear(input, 1));
    for answer in heard.into_iter().flatten() {
        if let Answer::Refuse(reply) = answer {
            assert!((400..600).contains(&reply.code) && !reply.lines.is_empty());
            assert!(!reply.to_string().chars().any(char::is_control));
        }
    }
    // The negotiation itself, from the first octet.
    let (mut conversation, _) = Conversation::begin(LIMITS);
    conversation.hear(input);
    let _ = conversation.negotiate();
}
