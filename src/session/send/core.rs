//! What every state of a send session shares: the connection's facts, the transcript, replies not
//! yet read and commands not yet sent.

use std::time::Instant;

use bytes::Bytes;

use crate::mail::Now;
use crate::policy::limits;
use crate::session::transcript::{LineKind, QUEUE_ID, Transcript};
use crate::smtp::sasl::HIDDEN;
use crate::smtp::{Reply, ReplyError, ReplyParser};
use crate::trust::RevocationSet;

use super::allowance::Spent;
use super::state::State;
use super::{Action, Failure, Opening};

pub(super) struct Core {
    pub opening: Opening,
    pub transcript: Transcript,
    replies: ReplyParser,
    /// When the reply that is awaited began to be awaited.
    pub since: Option<Instant>,
    pub spent: Spent,
    output: Vec<u8>,
    /// The peer's challenges are nothing for a log.
    pub hides_replies: bool,
    /// What is said from here on is said inside TLS.
    pub in_tls: bool,
    /// The peer has taken mail, so it does take us.
    pub has_taken: bool,
    /// The peer's refusal of us was reported.
    pub refusal_reported: bool,
    /// The message that the protocol log knows the session to be about.
    message: Option<String>,
}

/// One call of `handle`.
pub(super) struct Step<'a> {
    pub revocation: &'a RevocationSet,
    pub now: Now,
    pub actions: &'a mut Vec<Action>,
}

impl Core {
    pub fn new(opening: Opening) -> Self {
        Self {
            transcript: Transcript::new(opening.connector.protocol_logging),
            replies: fresh_parser(),
            since: None,
            spent: Spent::default(),
            output: Vec::new(),
            hides_replies: false,
            in_tls: false,
            has_taken: false,
            refusal_reported: false,
            message: None,
            opening,
        }
    }

    /// Notes a line of the protocol log.
    pub fn note(&mut self, step: &mut Step<'_>, kind: LineKind, data: &str, context: &str) {
        let line = self.transcript.note(step.now.wall, kind, data, context);
        step.actions.extend(line.map(Action::Log));
    }

    /// Notes whose session it is from here on, so that it is found by the queue id.
    pub fn note_message(&mut self, step: &mut Step<'_>, message: Option<String>) {
        if let Some(id) = message.as_deref().filter(|_| message != self.message) {
            self.note(step, LineKind::Information, id, QUEUE_ID);
            self.message = message;
        }
    }

    pub fn say(&mut self, step: &mut Step<'_>, command: &str) {
        self.note(step, LineKind::Sent, command, "");
        self.output.extend_from_slice(command.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.since = Some(step.now.mono);
    }

    /// Says a line of which the log gets another.
    pub fn say_hidden(&mut self, step: &mut Step<'_>, line: &str, shown: &str) {
        self.note(step, LineKind::Sent, shown, "");
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.since = Some(step.now.mono);
    }

    /// Hands out what waits to be sent.
    pub fn flush(&mut self, step: &mut Step<'_>) {
        if !self.output.is_empty() {
            step.actions.push(Action::Send(Bytes::from(std::mem::take(&mut self.output))));
        }
    }

    pub fn take_input(&mut self, bytes: &[u8]) {
        self.replies.push(bytes);
    }

    /// The next whole reply, noted.
    pub fn next_reply(&mut self, step: &mut Step<'_>) -> Option<Result<Reply, ReplyError>> {
        let reply = self.replies.next()?;
        match &reply {
            Ok(reply) if reply.code == 334 && self.hides_replies => {
                self.note(step, LineKind::Received, &format!("334 {HIDDEN}"), "");
            }
            Ok(reply) => {
                for line in reply.wire_lines() {
                    self.note(step, LineKind::Received, &line, "");
                }
            }
            Err(error) => self.note(step, LineKind::Information, &error.to_string(), "Protocol error"),
        }
        self.since = Some(step.now.mono);
        Some(reply)
    }

    /// Whether the peer has said nothing beyond the last reply.
    pub fn is_silent(&self) -> bool {
        self.replies.is_empty()
    }

    /// Nothing said in clear counts behind the handshake (RFC 3207 4.2).
    pub fn forget_input(&mut self) {
        self.replies = fresh_parser();
    }

    /// The connection is of no use; says so and closes.
    pub fn fail(&mut self, failure: Failure, why: &str, step: &mut Step<'_>) -> State {
        // Before a last QUIT, whose writing may fail.
        step.actions.push(Action::Failed(Box::new(failure)));
        self.close(why, step)
    }

    pub fn close(&mut self, why: &str, step: &mut Step<'_>) -> State {
        self.flush(step);
        self.note(step, LineKind::Disconnect, "", why);
        step.actions.push(Action::Close);
        State::Closed
    }
}

fn fresh_parser() -> ReplyParser {
    ReplyParser::new(limits::REPLY_LINE_BYTES_MAX, limits::REPLY_LINES_MAX)
}
