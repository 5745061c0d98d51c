//! Content between 354 and the reply to the final dot, or in the chunks of `BDAT`: decoded, its header
//! section held until it is complete and checked, the rest handed on as it comes. What is wrong with
//! it is answered behind the final dot (RFC 5321 4.2.5) or behind the chunk (RFC 3030 2), so the
//! octets that follow a fault are read and dropped.
//!
//! Where checks concern content, it is held as it came, header section first, and goes on after them.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::mail::Envelope;
use crate::mail::header::{self, CollectedHead, HeadCollector, HeadStatus};
use crate::policy::{Finding, InboundChecks, Limit, limits};
use crate::smtp::{Chunk, ContentRules, DataDecoder, Reply};

use super::awaiting::Awaiting;
use super::clock::Pace;
use super::core::{Core, Step, Tarpit};
use super::header_section::{self, Rewritten};
use super::state::{State, Storing};
use super::transaction::Transaction;
use super::{Action, BodyFacts, Inspection, Report, Submission, replies};

pub(super) struct Receiving {
    pub(super) transaction: Transaction,
    queue_id: String,
    pub(super) framing: Framing,
    pub(super) part: Part,
    /// The first reason to refuse; the draft is given back with it.
    pub(super) refused: Option<Refusal>,
    started: Instant,
    /// Octets of content as the client sent it, dots taken off.
    pub(super) received: u64,
    /// Octets handed on for the draft.
    stored: u64,
    /// Octets of the header section that is held, empty line included.
    held_head: usize,
    empty_line: bool,
    eight_bit: bool,
    pub(super) binary: bool,
    message_id: String,
    subject: String,
    /// Who wants the message held for an operator, and why.
    held_by: Option<String>,
}

/// How the end of the content is told.
pub(super) enum Framing {
    /// `DATA`
    Dot(DataDecoder),
    /// `BDAT`: the octets of the chunk in hand still to come, and whether it is the last.
    Chunks { left: u64, last: bool, rules: ContentRules },
}

/// Where in the message the content stands.
pub(super) enum Part {
    Head(HeadCollector),
    Body,
}

/// A refusal of the whole message.
pub(super) struct Refusal {
    pub reply: Reply,
    pub tarpit: Tarpit,
}

impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Self {
        Self { reply, tarpit: Tarpit::Allowed }
    }
}

impl Receiving {
    /// The first chunk, if it is not `DATA`, has not begun yet: see `begin_chunk`.
    pub fn new(transaction: Transaction, queue_id: String, chunk: Option<Chunk>, started: Instant) -> Self {
        Self {
            transaction,
            queue_id,
            framing: match chunk {
                None => Framing::Dot(DataDecoder::new(limits::CONTENT_LINE_BYTES_MAX)),
                Some(_) => Framing::Chunks {
                    left: 0,
                    last: false,
                    rules: ContentRules::new(limits::CONTENT_LINE_BYTES_MAX),
                },
            },
            part: Part::Head(HeadCollector::new(limits::HEADER_SECTION_BYTES_MAX)),
            refused: None,
            started,
            received: 0,
            stored: 0,
            held_head: 0,
            empty_line: false,
            eight_bit: false,
            binary: false,
            message_id: String::new(),
            subject: String::new(),
            held_by: None,
        }
    }

    pub fn pace(&self) -> Pace {
        // Content that is refused already earns its client no more time.
        let octets = if self.refused.is_none() { self.received } else { 0 };
        Pace { started: self.started, octets }
    }

    pub fn has_draft(&self) -> bool {
        self.refused.is_none()
    }

    /// Takes bytes from the wire; those behind the final dot or the chunk go back to the input.
    pub fn feed(mut self: Box<Self>, core: &mut Core, bytes: &[u8], step: &mut Step<'_>) -> State {
        match &mut self.framing {
            Framing::Dot(decoder) => {
                let mut content = Vec::with_capacity(bytes.len());
                let status = decoder.decode(bytes, &mut content);
                self.received += content.len() as u64;
                if let Some(fault) = status.fault {
                    self.refuse(fault.reply(), step);
                }
                if self.is_endless(core, step) {
                    return core.hang_up(step, &replies::too_large(core.opening.connector.max_message_size));
                }
                self.take(core, content, step);
                if !status.finished {
                    return State::Receiving(self);
                }
                core.input.push(&bytes[status.consumed..]);
                self.finish(core, step)
            }
            Framing::Chunks { left, last, .. } => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= count as u64;
                let (left, last) = (*left, *last);
                self.received += count as u64;
                if self.is_endless(core, step) {
                    return core.hang_up(step, &replies::too_large(core.opening.connector.max_message_size));
                }
                self.take(core, bytes[..count].to_vec(), step);
                if left > 0 {
                    return State::Receiving(self);
                }
                core.input.push(&bytes[count..]);
                self.end_chunk(core, last, step)
            }
        }
    }

    /// Refuses what is too large. To go on reading what nobody wants is a courtesy, and courtesies have
    /// an end: true when there was enough of it, whether or not its own end came with it.
    fn is_endless(&mut self, core: &mut Core, step: &mut Step<'_>) -> bool {
        let size_max = core.opening.connector.max_message_size;
        if self.received > size_max {
            self.refuse_size(core, step);
        }
        self.received > size_max.saturating_mul(limits::OVERSIZE_FACTOR)
    }

    pub(super) fn refuse_size(&mut self, core: &mut Core, step: &mut Step<'_>) {
        if self.refused.is_none() {
            core.reached(step, Limit::MessageSize.of_session());
        }
        self.refuse(replies::too_large(core.opening.connector.max_message_size), step);
    }

    /// Notes the first refusal and gives the draft back; later ones change nothing.
    pub fn refuse(&mut self, refusal: impl Into<Refusal>, step: &mut Step<'_>) {
        if self.refused.is_none() {
            self.refused = Some(refusal.into());
            step.actions.push(Action::DiscardDraft);
        }
    }

    fn take(&mut self, core: &mut Core, mut content: Vec<u8>, step: &mut Step<'_>) {
        if self.refused.is_some() {
            return;
        }
        let Part::Head(collector) = &mut self.part else {
            return self.take_body(content, step);
        };
        match collector.push(&content) {
            HeadStatus::More => self.check(&content, step),
            HeadStatus::Complete { consumed } => {
                let body = content.split_off(consumed);
                self.check(&content, step);
                // Of what was refused nothing may be kept: the next message would begin with it.
                if self.refused.is_none() {
                    self.take_head(core, step);
                    self.take_body(body, step);
                }
            }
            HeadStatus::TooLong => self.refuse_header_size(core, step),
        }
    }

    pub(super) fn refuse_header_size(&mut self, core: &mut Core, step: &mut Step<'_>) {
        core.reached(step, Limit::HeaderSize.of_session());
        self.refuse(replies::header_too_large(limits::HEADER_SECTION_BYTES_MAX), step);
    }

    /// The header section is complete, or all there is: checked, stripped and stamped.
    fn take_head(&mut self, core: &Core, step: &mut Step<'_>) {
        let Part::Head(collector) = std::mem::replace(&mut self.part, Part::Body) else { return };
        let CollectedHead { fields, empty_line } = collector.finish();
        self.message_id = header::text_of(&fields, "Message-ID", limits::TRACKED_BYTES_MAX);
        self.subject = header::text_of(&fields, "Subject", limits::TRACKED_BYTES_MAX);
        header_section::note_wish(&mut self.transaction.envelope, &fields);
        self.empty_line = empty_line;
        if self.is_held() {
            self.hold_head(core, fields, step);
        } else {
            self.store_head(core, &fields, step);
        }
    }

    /// What will be refused anyway need not be held.
    fn hold_head(&mut self, core: &Core, mut head: Vec<u8>, step: &mut Step<'_>) {
        if let Err(refusal) = header_section::examine(&self.site(core), &head, step.world) {
            return self.refuse(refusal, step);
        }
        if self.empty_line {
            head.extend_from_slice(b"\r\n");
        }
        self.held_head = head.len();
        if !head.is_empty() {
            step.actions.push(Action::Hold(Bytes::from(head)));
        }
    }

    fn store_head(&mut self, core: &Core, fields: &[u8], step: &mut Step<'_>) {
        match header_section::rewrite(&self.site(core), fields, step.world) {
            Ok(rewritten) => self.put_head(rewritten.head, step),
            Err(refusal) => self.refuse(refusal, step),
        }
    }

    fn put_head(&mut self, mut head: Vec<u8>, step: &mut Step<'_>) {
        if self.empty_line {
            head.extend_from_slice(b"\r\n");
        }
        self.stored += head.len() as u64;
        step.actions.push(Action::Content(Bytes::from(head)));
    }

    fn site<'a>(&'a self, core: &'a Core) -> header_section::Site<'a> {
        header_section::Site {
            core,
            hello: &self.transaction.hello,
            admission: &self.transaction.admission,
            envelope: &self.transaction.envelope,
            queue_id: &self.queue_id,
            checks: &self.transaction.checks,
            findings: &self.transaction.findings,
        }
    }

    fn take_body(&mut self, content: Vec<u8>, step: &mut Step<'_>) {
        self.eight_bit = self.eight_bit || !content.is_ascii();
        self.check(&content, step);
        self.store(content, step);
    }

    fn store(&mut self, content: Vec<u8>, step: &mut Step<'_>) {
        if self.refused.is_none() && !content.is_empty() {
            self.stored += content.len() as u64;
            let content = Bytes::from(content);
            let held = self.is_held();
            step.actions.push(if held { Action::Hold(content) } else { Action::Content(content) });
        }
    }

    pub fn checks(&self) -> &InboundChecks {
        &self.transaction.checks
    }

    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    pub fn queue_id(&self) -> &str {
        &self.queue_id
    }

    fn is_held(&self) -> bool {
        self.checks().concern_content() || self.transaction.milters.are_asked()
    }

    /// The final dot came, or the end of the last chunk.
    pub(super) fn finish(mut self: Box<Self>, core: &mut Core, step: &mut Step<'_>) -> State {
        self.check_end(core, step);
        if self.refused.is_none() {
            self.take_head(core, step);
        }
        if self.refused.is_some() || !self.is_held() {
            return self.conclude(core, step);
        }
        core.flush(step);
        step.actions.push(Action::Inspect(Inspection::Content {
            checks: Arc::clone(&self.transaction.checks),
            head: self.held_head,
        }));
        Awaiting::Examining(self).into()
    }

    pub fn found(&mut self, findings: Vec<Finding>) {
        self.transaction.findings.extend(findings);
    }

    /// The header section of what was held as it is to be stored; `head` is as it came.
    pub fn rewrite(&self, core: &Core, head: &[u8], step: &Step<'_>) -> Result<Rewritten, Refusal> {
        header_section::rewrite(&self.site(core), self.fields_of(head), step.world)
    }

    fn fields_of<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        if self.empty_line { head.strip_suffix(b"\r\n").unwrap_or(head) } else { head }
    }

    /// A milter's new body has taken the place of the one that is held.
    pub fn body_replaced(&mut self, body: BodyFacts) {
        self.stored = body.octets;
        self.eight_bit = body.eight_bit;
        self.binary = !body.text && self.is_declared_binary();
        self.empty_line |= body.octets > 0;
    }

    pub fn hold_for(&mut self, milter: &str, reason: &str) {
        self.held_by.get_or_insert_with(|| format!("milter {milter}: {reason}"));
    }

    /// What was held goes on with another header section and envelope.
    pub fn release_edited(&mut self, head: Vec<u8>, envelope: Envelope, step: &mut Step<'_>) {
        self.transaction.envelope = envelope;
        self.put_head(head, step);
        step.actions.push(Action::AppendHeld);
    }

    /// 250, and nobody gets it.
    pub fn discard(self: Box<Self>, core: &mut Core, milter: String, step: &mut Step<'_>) -> State {
        step.actions.push(Action::DiscardDraft);
        core.clock.completed();
        core.say(step, &replies::queued(&self.queue_id));
        let envelope = &self.transaction.envelope;
        step.actions.push(Action::Report(Report::Discarded {
            queue_id: self.queue_id,
            milter,
            sender: envelope.reverse_path.to_string(),
            recipients: envelope.recipients.len(),
        }));
        State::Ready(self.transaction.hello)
    }

    /// What was held may go on: `head` is its header section, empty line included.
    pub fn release(&mut self, core: &Core, head: &[u8], step: &mut Step<'_>) {
        if self.refused.is_some() {
            return;
        }
        self.store_head(core, self.fields_of(head), step);
        if self.refused.is_none() {
            step.actions.push(Action::AppendHeld);
        }
    }

    /// Refuses the message, or has it made durable.
    pub fn conclude(self: Box<Self>, core: &mut Core, step: &mut Step<'_>) -> State {
        if let Some(refusal) = self.refused {
            let then = State::Ready(self.transaction.hello);
            return core.turn_down(step, &refusal.reply, refusal.tarpit, then);
        }
        let Transaction { hello, admission, envelope, .. } = self.transaction;
        let secured = admission.permit.secured_domain().cloned();
        step.actions.push(Action::Commit(Box::new(Submission {
            envelope,
            permit: admission.permit,
            eight_bit: self.eight_bit,
            binary: self.binary,
            size: self.stored,
            helo: hello.name.clone(),
            message_id: self.message_id,
            subject: self.subject,
            held_by: self.held_by,
        })));
        Awaiting::Storing(Box::new(Storing {
            hello,
            queue_id: self.queue_id,
            size: self.stored,
            secured,
            fault: None,
        }))
        .into()
    }
}
