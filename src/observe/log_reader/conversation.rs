//! Commands and their replies in the lines of a session. Clients pipeline (RFC 2920), so that a
//! reply belongs to the oldest command that has none.

use std::collections::VecDeque;

use super::LineView;
use crate::session::transcript::LineKind;
use crate::trust::Direction;

/// Commands that wait for their replies; a client that pipelines more is not told apart.
const WAITING_MAX: usize = 20_000;

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The reverse-path without its brackets; empty is the null one.
    Mail(String),
    /// A forward-path likewise.
    Recipient(String),
    /// Leave to send content.
    Data,
    /// The content itself: its final dot or its last chunk.
    Content,
    /// A chunk that is not the last (RFC 3030).
    Chunk,
    Reset,
    StartTls,
    Hello(String),
    Authenticate,
    Quit,
    Other,
    /// None: the banner, or a farewell out of turn.
    Nothing,
}

/// The last line of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyLine<'a> {
    pub code: u16,
    pub text: &'a str,
}

/// What a line is in the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn<'a> {
    Command(Asked),
    /// A complete reply, and what it answers.
    Reply(Asked, ReplyLine<'a>),
    /// A fact, a connection, a line of a reply that goes on.
    None,
}

/// Where a walk through the lines of one session stands.
#[derive(Debug)]
pub struct Conversation {
    direction: Direction,
    waiting: VecDeque<Asked>,
}

impl Conversation {
    pub fn new(direction: Direction) -> Self {
        Self { direction, waiting: VecDeque::new() }
    }

    /// The next line.
    pub fn turn<'a>(&mut self, line: &LineView<'a>) -> Turn<'a> {
        match (line.kind, self.direction) {
            (LineKind::Received, Direction::Inbound) | (LineKind::Sent, Direction::Outbound) => {
                let asked = asked(line.data);
                if self.waiting.len() < WAITING_MAX {
                    self.waiting.push_back(asked.clone());
                }
                Turn::Command(asked)
            }
            (LineKind::Sent, Direction::Inbound) | (LineKind::Received, Direction::Outbound) => {
                match ReplyLine::parse(line.data) {
                    Some(reply) => Turn::Reply(self.answered(reply), reply),
                    None => Turn::None,
                }
            }
            (LineKind::Information | LineKind::Connect | LineKind::Disconnect, _) => Turn::None,
        }
    }

    /// What this reply answers.
    fn answered(&mut self, reply: ReplyLine<'_>) -> Asked {
        match (self.waiting.front(), reply.code) {
            (_, 220) if !matches!(self.waiting.front(), Some(Asked::StartTls)) => Asked::Nothing,
            // The exchange of AUTH goes on; what the client says in it may not be logged.
            (Some(Asked::Authenticate), 334) => Asked::Nothing,
            (Some(Asked::Data), 354) => {
                self.waiting.pop_front();
                self.waiting.push_front(Asked::Content);
                Asked::Data
            }
            (_, 354) => {
                self.waiting.push_front(Asked::Content);
                Asked::Data
            }
            (Some(_), _) => self.waiting.pop_front().unwrap_or(Asked::Nothing),
            (None, _) => Asked::Nothing,
        }
    }
}

impl<'a> ReplyLine<'a> {
    /// `None` where the line is no reply, or not the last of one (`250-…`).
    fn parse(data: &'a str) -> Option<Self> {
        let digits = data.get(..3).filter(|code| code.bytes().all(|b| b.is_ascii_digit()))?;
        match data.as_bytes().get(3) {
            None | Some(b' ') => Some(Self { code: digits.parse().ok()?, text: data[3..].trim_start() }),
            Some(_) => None,
        }
    }

    /// `5.7.1` of `550 5.7.1 no` (RFC 2034), and the text behind it.
    pub fn enhanced(&self) -> Option<(&'a str, &'a str)> {
        let (code, text) = self.text.split_once(' ').unwrap_or((self.text, ""));
        let mut parts = code.split('.');
        let number = |part: Option<&str>| {
            part.is_some_and(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
        };
        let first = parts.next();
        let is_one = matches!(first, Some("2" | "4" | "5")) && number(parts.next()) && number(parts.next());
        (is_one && parts.next().is_none()).then_some((code, text))
    }
}

fn asked(data: &str) -> Asked {
    if let Some(path) = path(data, "MAIL FROM:") {
        return Asked::Mail(path.to_owned());
    }
    if let Some(path) = path(data, "RCPT TO:") {
        return Asked::Recipient(path.to_owned());
    }
    let (verb, rest) = data.split_once(' ').unwrap_or((data, ""));
    let is = |name: &str| verb.trim_end().eq_ignore_ascii_case(name);
    if is("BDAT") {
        let last = rest.split_whitespace().any(|word| word.eq_ignore_ascii_case("LAST"));
        return if last { Asked::Content } else { Asked::Chunk };
    }
    match () {
        () if is("DATA") => Asked::Data,
        () if is("RSET") => Asked::Reset,
        () if is("STARTTLS") || is("X-ANONYMOUSTLS") => Asked::StartTls,
        () if is("EHLO") || is("HELO") => Asked::Hello(rest.trim().to_owned()),
        () if is("AUTH") || is("X-EXPS") => Asked::Authenticate,
        () if is("QUIT") => Asked::Quit,
        () => Asked::Other,
    }
}

/// The path of `MAIL FROM:<…>`, without its brackets and parameters.
fn path<'a>(data: &'a str, verb: &str) -> Option<&'a str> {
    if !data.get(..verb.len())?.eq_ignore_ascii_case(verb) {
        return None;
    }
    let rest = data[verb.len()..].trim_start();
    Some(match rest.strip_prefix('<') {
        Some(path) => path.rsplit_once('>').map_or(path, |(path, _)| path),
        None => rest.split_whitespace().next().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(lines: &[(LineKind, &str)]) -> Vec<(u16, Asked)> {
        let mut conversation = Conversation::new(Direction::Inbound);
        lines
            .iter()
            .filter_map(|(kind, data)| {
                match conversation.turn(&LineView { kind: *kind, data, context: "" }) {
                    Turn::Reply(asked, reply) => Some((reply.code, asked)),
                    Turn::Command(_) | Turn::None => None,
                }
            })
            .collect()
    }

    #[test]
    fn replies_belong_to_the_oldest_command_without_one() {
        use LineKind::{Received, Sent};
        let lines = [
            (Sent, "220 mail.contoso.example"),
            (Received, "EHLO client"),
            (Sent, "250-mail.contoso.example"),
            (Sent, "250 PIPELINING"),
            (Received, "MAIL FROM:<a@b.example> SIZE=10"),
            (Received, "rcpt to: <\"x>y\"@b.example>"),
            (Received, "DATA"),
            (Sent, "250 2.1.0 ok"),
            (Sent, "550 5.1.1 who?"),
            (Sent, "354 go on"),
            (Received, "QUIT"),
            (Sent, "250 2.6.0 queued"),
            (Sent, "221 bye"),
            (Sent, "421 again?"),
        ];
        assert_eq!(
            answers(&lines),
            [
                (220, Asked::Nothing),
                (250, Asked::Hello("client".to_owned())),
                (250, Asked::Mail("a@b.example".to_owned())),
                (550, Asked::Recipient("\"x>y\"@b.example".to_owned())),
                (354, Asked::Data),
                (250, Asked::Content),
                (221, Asked::Quit),
                (421, Asked::Nothing),
            ]
        );
    }

    #[test]
    fn chunks_and_the_exchange_of_auth_are_understood() {
        use LineKind::{Received, Sent};
        let lines = [
            (Received, "STARTTLS"),
            (Sent, "220 2.0.0 ready"),
            (Received, "AUTH LOGIN"),
            (Sent, "334 <authentication response>"),
            (Sent, "334 <authentication response>"),
            (Sent, "235 2.7.0 ok"),
            (Received, "BDAT 10"),
            (Sent, "250 2.6.0 chunk"),
            (Received, "bdat 10 last"),
            (Sent, "250 2.6.0 queued"),
        ];
        assert_eq!(
            answers(&lines),
            [
                (220, Asked::StartTls),
                (334, Asked::Nothing),
                (334, Asked::Nothing),
                (235, Asked::Authenticate),
                (250, Asked::Chunk),
                (250, Asked::Content),
            ]
        );
    }

    #[test]
    fn enhanced_codes_are_told_from_words() {
        let enhanced = |text| ReplyLine { code: 550, text }.enhanced();
        assert_eq!(enhanced("5.7.1 no"), Some(("5.7.1", "no")));
        assert_eq!(enhanced("5.7.705"), Some(("5.7.705", "")));
        for text in ["no", "5.7 no", "192.0.2.1 is bad", "5.7.1.2 x", "3.1.1 x", ""] {
            assert_eq!(enhanced(text), None, "{text}");
        }
    }
}
