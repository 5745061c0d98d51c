//! Messages in chunks (RFC 3030), whatever octets are in them. An input is a row of messages: an octet
//! that says what is declared and how they end, then chunks, each with its length before it.
//!
//! Not one octet of a chunk is ever taken for a command: there is one reply to each command that was
//! sent. What is stored is what was sent, octet by octet, and nothing of another message; text that is
//! sound is stored, what is not and was not declared to be binary is refused. And none of this depends
//! on how the octets come, or on whether content is held to be checked.

use sealpost::mail::header::split;
use sealpost::policy::{Check, Finding, Outcome};
use sealpost::session::receive::{Action, Input, Inspection, Kept, Submission};

use super::lab::{LAB, assert_same, lines};
use super::receiver::Receiver;

/// Octets that may be sent ahead of replies.
const MESSAGES_MAX: usize = 16;

struct Message {
    binary: bool,
    /// Chunks that end in RSET instead of LAST.
    dropped: bool,
    chunks: Vec<Vec<u8>>,
}

pub fn run(input: &[u8]) {
    let [way, script @ ..] = input else { return };
    let messages = messages(script);
    let held = way & 1 == 0;
    let whole = play(&messages, held, usize::MAX);
    for (other, piece) in [(held, 1), (!held, 7)] {
        let again = play(&messages, other, piece);
        assert_same("what is answered", &whole.answers, &again.answers);
        let bodies = |played: &Played| played.stored.iter().map(|stored| body(stored)).collect::<Vec<_>>();
        assert_same("what is stored", &bodies(&whole), &bodies(&again));
    }
}

fn body(stored: &[u8]) -> String {
    stored[split(stored).1..].escape_ascii().to_string()
}

fn messages(mut script: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((kind, rest)) = script.split_first().filter(|_| messages.len() < MESSAGES_MAX) {
        script = rest;
        let mut chunks = Vec::new();
        for _ in 0..=(kind >> 2 & 3) {
            let Some((length, rest)) = script.split_first() else { break };
            let (chunk, rest) = rest.split_at(usize::from(*length).min(rest.len()));
            chunks.push(chunk.to_vec());
            script = rest;
        }
        messages.push(Message { binary: kind & 1 != 0, dropped: kind & 2 != 0, chunks });
    }
    messages
}

#[derive(Default)]
struct Played {
    answers: Vec<String>,
    stored: Vec<Vec<u8>>,
}

/// What the driver holds.
#[derive(Default)]
struct Desk {
    draft: Option<Vec<u8>>,
    held: Vec<u8>,
    held_head: usize,
    stored: Vec<Vec<u8>>,
}

fn play(messages: &[Message], held: bool, piece: usize) -> Played {
    let name = if held { "Internet, checked" } else { "Internet" };
    let mut receiver = Receiver::new(LAB.connector(name));
    let mut desk = Desk::default();
    receiver.input(Input::Connected(None), &mut |action| desk.perform(action));
    // The banner, and a reply to each command.
    let mut expected = 1;
    let mut say = |receiver: &mut Receiver, desk: &mut Desk, octets: &[u8], replies: usize| {
        for piece in octets.chunks(piece) {
            receiver.input(Input::Bytes(piece), &mut |action| desk.perform(action));
        }
        expected += replies;
        assert!(!receiver.closed, "nothing here ends a session");
        assert_eq!(receiver.replies().len(), expected, "a reply to each command and to nothing else");
    };
    say(&mut receiver, &mut desk, b"EHLO client.example\r\n", 1);
    for message in messages {
        let declared = if message.binary { " BODY=BINARYMIME" } else { "" };
        let envelope = format!("MAIL FROM:<a@b.example>{declared}\r\nRCPT TO:<bob@contoso.example>\r\n");
        say(&mut receiver, &mut desk, envelope.as_bytes(), 2);
        let before = desk.stored.len();
        for (number, chunk) in message.chunks.iter().enumerate() {
            let last = !message.dropped && number + 1 == message.chunks.len();
            let mut wire =
                format!("BDAT {}{}\r\n", chunk.len(), if last { " LAST" } else { "" }).into_bytes();
            wire.extend_from_slice(chunk);
            say(&mut receiver, &mut desk, &wire, 1);
        }
        say(&mut receiver, &mut desk, b"RSET\r\nNOOP\r\n", 2);
        assert!(desk.draft.is_none(), "a draft was neither committed nor given back");
        assert!(desk.held.is_empty(), "something is held of a message that is over");
        check(message, &desk.stored[before..]);
    }
    say(&mut receiver, &mut desk, b"NOOP\r\n", 1);
    Played { answers: receiver.replies(), stored: desk.stored }
}

/// What of one message was stored.
fn check(message: &Message, stored: &[Vec<u8>]) {
    let sent = message.chunks.concat();
    let (head, body) = split(&sent);
    let is_text = |octets: &[u8]| {
        let text = String::from_utf8_lossy(octets).replace("\r\n", "");
        !text.contains(['\r', '\n', '\0'])
    };
    let sound = is_text(head) && (message.binary || is_text(&sent[body..]));
    match stored {
        [] => {
            // A From: that could be read as a partner's, or a hundred hops, is a reason of its own.
            let lower = sent.to_ascii_lowercase();
            let other = ["from", "received"]
                .iter()
                .any(|name| memchr::memmem::find(&lower, name.as_bytes()).is_some());
            assert!(
                message.dropped || message.chunks.is_empty() || !sound || other,
                "a sound message is lost"
            );
        }
        [stored] => {
            assert!(!message.dropped && sound, "{}", sent.escape_ascii());
            let (stored_head, stored_body) = split(stored);
            assert!(is_text(stored_head), "{}", stored_head.escape_ascii());
            assert_eq!(lines(&stored[stored_body..]), lines(&sent[body..]));
        }
        _ => panic!("one message became {}", stored.len()),
    }
}

impl Desk {
    fn perform(&mut self, action: Action) -> Option<Input<'static>> {
        match action {
            Action::OpenDraft => {
                assert!(self.draft.replace(Vec::new()).is_none(), "two drafts at a time");
                return Some(Input::DraftOpened(Ok("0000000000000001".to_owned())));
            }
            Action::Content(bytes) => {
                self.draft.as_mut().expect("content without a draft").extend_from_slice(&bytes);
            }
            Action::Hold(bytes) => {
                assert!(self.draft.is_some(), "something to hold without a draft");
                self.held.extend_from_slice(&bytes);
            }
            Action::Inspect(Inspection::Sender { .. }) => return Some(Input::SenderInspected(Vec::new())),
            Action::Inspect(Inspection::Content { head, .. }) => {
                self.held_head = head;
                let head = self.held.get(..head).expect("the header section is held").to_vec();
                let findings = vec![Finding::new(Check::Dkim, Outcome::None, "")];
                return Some(Input::ContentInspected(Ok((head, findings))));
            }
            Action::AppendHeld => {
                let held = std::mem::take(&mut self.held);
                self.draft.as_mut().expect("a draft").extend_from_slice(&held[self.held_head..]);
            }
            Action::Commit(submission) => return Some(self.commit(&submission)),
            Action::DiscardDraft => {
                self.draft.take().expect("a draft to give back");
                self.held.clear();
            }
            other => panic!("nobody asked for {other:?}"),
        }
        None
    }

    fn commit(&mut self, submission: &Submission) -> Input<'static> {
        let draft = self.draft.take().expect("a draft to commit");
        assert_eq!(submission.size, draft.len() as u64);
        self.stored.push(draft);
        Input::Stored(Ok(Kept::Durable))
    }
}
