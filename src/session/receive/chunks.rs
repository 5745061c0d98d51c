//! `BDAT` (RFC 3030): a chunk that fits begins or continues the content. One that does not is refused
//! behind its octets, which go by unread: no octet of a chunk is ever taken for a command.

use std::time::Instant;

use crate::mail::BodyType;
use crate::mail::header::HeadStatus;
use crate::policy::limits;
use crate::smtp::{Chunk, ContentFault, Extensions, Reply};

use super::awaiting::Awaiting;
use super::clock::Pace;
use super::content::{Framing, Part, Receiving};
use super::core::{Core, Step, Tarpit};
use super::ending::discard_draft;
use super::state::{Hello, State};
use super::{Action, Report, replies};

/// A chunk that is not taken.
pub(super) struct Skipped {
    left: u64,
    octets: u64,
    started: Instant,
    /// Said behind the chunk.
    reply: Reply,
    then: State,
}

pub(super) fn command(core: &mut Core, state: State, chunk: Chunk, step: &mut Step<'_>) -> State {
    match state {
        State::BetweenChunks(content) => content.begin_chunk(core, chunk, step),
        State::Mailing(transaction) if !transaction.hello.announced.chunking => {
            refuse(core, State::Mailing(transaction), chunk, replies::chunking_not_offered(), step)
        }
        State::Mailing(transaction) if transaction.envelope.recipients.is_empty() => {
            refuse(core, State::Mailing(transaction), chunk, replies::no_recipients(), step)
        }
        State::Mailing(transaction) => {
            step.actions.push(Action::OpenDraft);
            Awaiting::Drafting(transaction, Some(chunk)).into()
        }
        other => refuse(core, other, chunk, replies::mail_first(), step),
    }
}

/// Refuses a chunk once its octets have gone by; then it is as `then` has it.
pub(super) fn refuse(core: &mut Core, then: State, chunk: Chunk, reply: Reply, step: &mut Step<'_>) -> State {
    if chunk.octets > limits::SKIPPED_CHUNK_OCTETS_MAX {
        discard_draft(&then, step);
        return core.hang_up(step, &replies::chunk_too_large());
    }
    let skipped = Skipped { left: chunk.octets, octets: 0, started: step.world.now.mono, reply, then };
    skipped.go_on(core, step)
}

/// How many octets follow is not known, so that nothing behind the command can be read.
pub(super) fn uncounted(core: &mut Core, state: &State, reply: &Reply, step: &mut Step<'_>) -> State {
    discard_draft(state, step);
    step.actions.push(Action::Report(Report::ProtocolError { what: reply.to_string() }));
    core.hang_up(step, reply)
}

impl Receiving {
    pub fn hello(self) -> Hello {
        self.transaction.hello
    }

    pub fn announced(&self) -> &Extensions {
        &self.transaction.hello.announced
    }

    /// How many octets of the input may be content, at most.
    pub fn wants(&self) -> usize {
        match self.framing {
            Framing::Dot(_) => usize::MAX,
            Framing::Chunks { left, .. } => usize::try_from(left).unwrap_or(usize::MAX),
        }
    }

    /// `BDAT` was said. Of a message that its chunks make too large nothing more is kept.
    pub fn begin_chunk(mut self: Box<Self>, core: &mut Core, chunk: Chunk, step: &mut Step<'_>) -> State {
        if let Framing::Chunks { left, last, .. } = &mut self.framing {
            (*left, *last) = (chunk.octets, chunk.last);
        }
        let size_max = core.opening.connector.max_message_size;
        if self.received.saturating_add(chunk.octets) > size_max {
            self.refuse_size(core, step);
        }
        match chunk.octets {
            0 => self.end_chunk(core, chunk.last, step),
            _ => State::Receiving(self),
        }
    }

    /// All octets of a chunk are there. A message that is refused is over, whatever follows.
    pub(super) fn end_chunk(self: Box<Self>, core: &mut Core, last: bool, step: &mut Step<'_>) -> State {
        if last {
            return self.finish(core, step);
        }
        match self.refused {
            Some(refusal) => {
                core.refuse(step, &refusal.reply, refusal.tarpit);
                State::Ready(self.transaction.hello)
            }
            None => {
                core.say(step, &replies::chunk_ok());
                State::BetweenChunks(self)
            }
        }
    }

    /// Looks at octets that came in a chunk; `DATA` has its decoder for it.
    pub(super) fn check(&mut self, content: &[u8], step: &mut Step<'_>) {
        if let Framing::Chunks { rules, .. } = &mut self.framing {
            let fault = rules.check(content);
            self.note_fault(fault, step);
        }
    }

    /// The end of a chunk is where it is, in the midst of a line or not. A field is not left open, lest
    /// what comes to stand behind it be read as a part of it; a body stays as it came.
    pub(super) fn check_end(&mut self, core: &mut Core, step: &mut Step<'_>) {
        let Framing::Chunks { rules, .. } = &mut self.framing else { return };
        let (fault, is_open) = (rules.finish(), !rules.is_at_line_start());
        match &mut self.part {
            Part::Head(collector) if is_open => {
                // What a collector holds of a section that is too long is of no use.
                if self.refused.is_none() && collector.push(b"\r\n") == HeadStatus::TooLong {
                    self.refuse_header_size(core, step);
                }
            }
            Part::Body if is_open => self.binary |= self.is_declared_binary(),
            Part::Head(_) | Part::Body => {}
        }
        self.note_fault(fault, step);
    }

    /// The body alone may be binary: a header section is lines, or two programs will read two of it.
    fn note_fault(&mut self, fault: Option<ContentFault>, step: &mut Step<'_>) {
        match (fault, &self.part) {
            (None, _) => {}
            (Some(_), Part::Body) if self.is_declared_binary() => self.binary = true,
            (Some(fault), Part::Head(_) | Part::Body) => self.refuse(fault.reply(), step),
        }
    }

    pub(super) fn is_declared_binary(&self) -> bool {
        self.transaction.envelope.body == BodyType::BinaryMime
    }
}

impl Skipped {
    pub fn pace(&self) -> Pace {
        Pace { started: self.started, octets: self.octets }
    }

    /// Drops what is buffered of the chunk.
    pub fn skip_input(mut self: Box<Self>, core: &mut Core, step: &mut Step<'_>) -> State {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let dropped = core.input.skip(wanted) as u64;
        self.left -= dropped;
        self.octets += dropped;
        self.go_on(core, step)
    }

    fn go_on(self, core: &mut Core, step: &mut Step<'_>) -> State {
        if self.left > 0 {
            return State::Skipping(Box::new(self));
        }
        core.refuse(step, &self.reply, Tarpit::Allowed);
        self.then
    }
}
