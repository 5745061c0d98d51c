//! One message over an admitted connection: MAIL, RCPT, DATA and the final dot, or one chunk by BDAT,
//! and one outcome for each recipient (RFC 5321 3.3, RFC 2920 3.1, RFC 3030 2).

use std::collections::VecDeque;
use std::time::Duration;

use crate::mail::ReversePath;
use crate::session::transcript::LineKind;
use crate::smtp::{Chunk, Command, Reply};
use crate::trust::is_of_us;

use super::admission;
use super::core::{Core, Step};
use super::envelope::{is_binary, mail_command, rcpt_command};
use super::state::{Admitted, State};
use super::{Action, Framing, Outcome, Report, Transaction};

/// Commands in flight to a peer that pipelines; RFC 2920 3.1 has the client keep the window from
/// closing on both sides at once.
const PIPELINE_COMMANDS_MAX: usize = 100;

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Deliver,
    /// It ends behind the replies to RCPT.
    Verify,
}

pub(super) struct Delivery {
    transaction: Box<Transaction>,
    /// In the order of the recipients; none while undecided.
    outcomes: Vec<Option<Outcome>>,
    /// Not yet said.
    ahead: VecDeque<Part>,
    /// Said and not yet answered.
    awaited: VecDeque<Part>,
    window: usize,
    mail_refused: bool,
    purpose: Purpose,
    /// The final dot is out, or the last octet of the chunk.
    content_sent: bool,
}

/// A part of the transaction that gets one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Mail,
    /// The recipient with this index.
    Rcpt(usize),
    Data,
    FinalDot,
    /// The whole message as one chunk.
    Bdat,
    /// A final dot behind a 354 that nobody was left to want.
    EmptyDot,
}

/// Takes a message on a connection that is ready.
pub(super) fn begin(
    core: &mut Core,
    admitted: Admitted,
    transaction: Box<Transaction>,
    purpose: Purpose,
    step: &mut Step<'_>,
) -> State {
    core.note_message(step, transaction.message.clone());
    if let Err(reply) = mail_command(&transaction, &admitted) {
        core.note(step, LineKind::Information, &reply.to_string(), "Not sent");
        let refused = Outcome::Refused { reply, command: "MAIL", from_peer: false, verdict: None };
        step.actions.push(Action::Done(vec![refused; transaction.recipients.len()]));
        step.actions.push(Action::Ready);
        return State::Ready(admitted);
    }
    let recipients = transaction.recipients.len();
    let content = if is_binary(&transaction, &admitted.extensions) { Part::Bdat } else { Part::Data };
    let mut delivery = Box::new(Delivery {
        outcomes: vec![None; recipients],
        ahead: std::iter::once(Part::Mail)
            .chain((0..recipients).map(Part::Rcpt))
            .chain((purpose == Purpose::Deliver).then_some(content))
            .collect(),
        awaited: VecDeque::new(),
        window: if admitted.extensions.pipelining { PIPELINE_COMMANDS_MAX } else { 1 },
        mail_refused: false,
        purpose,
        content_sent: false,
        transaction,
    });
    delivery.say_next(core, &admitted, step);
    State::Delivering(admitted, delivery)
}

/// The next reply of the peer.
pub(super) fn replied(
    core: &mut Core,
    admitted: Admitted,
    mut delivery: Box<Delivery>,
    reply: Reply,
    step: &mut Step<'_>,
) -> State {
    let Some(part) = delivery.awaited.pop_front() else {
        return delivery.broken(core, "the peer answered what was not asked", step);
    };
    if reply.code == 421 {
        return delivery.hung_up(core, part, &reply, step);
    }
    if !part.expects(reply.code) {
        let error = format!("the peer's answer to {} makes no sense: {reply}", part.command());
        return delivery.broken(core, &error, step);
    }
    match part {
        Part::Mail if reply.is_permanent() || reply.is_transient() => {
            delivery.mail_refused = true;
            delivery.ahead.clear();
            delivery.refuse_open("MAIL", &reply);
        }
        Part::Mail | Part::EmptyDot => {}
        Part::Rcpt(index) => delivery.recipient_answered(index, reply),
        Part::Data if reply.code == 354 => return delivery.start_content(core, admitted, step),
        Part::Data => delivery.refuse_open("DATA", &reply),
        Part::FinalDot | Part::Bdat => return delivery.content_answered(core, admitted, part, &reply, step),
    }
    delivery.go_on(core, admitted, step)
}

impl Part {
    fn command(self) -> &'static str {
        match self {
            Part::Mail => "MAIL",
            Part::Rcpt(_) => "RCPT",
            Part::Data => "DATA",
            Part::Bdat => "BDAT",
            Part::FinalDot | Part::EmptyDot => "end of DATA",
        }
    }

    /// Whether a reply with this code can answer it at all.
    fn expects(self, code: u16) -> bool {
        match (self, code / 100) {
            (_, 4 | 5) => true,
            (Part::Data, _) => code == 354,
            (Part::Mail | Part::Rcpt(_) | Part::FinalDot | Part::EmptyDot | Part::Bdat, class) => class == 2,
        }
    }
}

impl Delivery {
    /// RFC 5321 4.5.3.2.
    pub fn reply_timeout(&self) -> Duration {
        let minutes = match self.awaited.front() {
            Some(Part::Mail | Part::Rcpt(_)) | None => 5,
            Some(Part::Data) => 2,
            Some(Part::FinalDot | Part::EmptyDot | Part::Bdat) => 10,
        };
        Duration::from_secs(minutes * 60)
    }

    /// What the next reply answers.
    pub fn awaits(&self) -> &'static str {
        match self.awaited.front() {
            Some(Part::Mail) => "reply to MAIL",
            Some(Part::Rcpt(_)) => "reply to RCPT",
            Some(Part::Data) => "reply to DATA",
            Some(Part::FinalDot | Part::EmptyDot | Part::Bdat) | None => "reply to the end of the message",
        }
    }

    /// Says as much as the peer's window allows.
    fn say_next(&mut self, core: &mut Core, admitted: &Admitted, step: &mut Step<'_>) {
        while self.awaited.len() < self.window {
            let Some(part) = self.ahead.pop_front_if(|part| *part != Part::Bdat) else { return };
            if part == Part::Data && self.awaited.is_empty() && !self.has_open_recipient() {
                return;
            }
            core.say(step, &self.command(part, admitted));
            match part {
                Part::Mail => core.spent.mail(),
                Part::Rcpt(index) => {
                    let address = &self.transaction.recipients[index];
                    core.spent.recipient(&admitted.extensions.limits, address);
                }
                Part::Data | Part::FinalDot | Part::Bdat | Part::EmptyDot => {}
            }
            self.awaited.push_back(part);
        }
    }

    fn command(&self, part: Part, admitted: &Admitted) -> String {
        match part {
            Part::Mail => match mail_command(&self.transaction, admitted) {
                Ok(command) => command.to_string(),
                // Refused in `begin`, so never said.
                Err(_) => Command::Rset.to_string(),
            },
            Part::Rcpt(index) => rcpt_command(&self.transaction, index, &admitted.extensions).to_string(),
            Part::Data => Command::Data.to_string(),
            Part::Bdat => Command::Bdat(Chunk { octets: self.transaction.octets, last: true }).to_string(),
            Part::FinalDot | Part::EmptyDot => ".".to_owned(),
        }
    }

    fn has_open_recipient(&self) -> bool {
        self.outcomes.iter().any(Option::is_none)
    }

    fn refuse_open(&mut self, command: &'static str, reply: &Reply) {
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            let reply = reply.clone();
            *outcome = Some(Outcome::Refused { reply, command, from_peer: true, verdict: None });
        }
    }

    fn recipient_answered(&mut self, index: usize, reply: Reply) {
        if self.mail_refused {
            return;
        }
        if reply.code / 100 == 2 {
            if self.purpose == Purpose::Verify {
                self.outcomes[index] = Some(Outcome::Taken { reply });
            }
            return;
        }
        let reply = if index > 0 { as_too_many_recipients(reply) } else { reply };
        self.outcomes[index] =
            Some(Outcome::Refused { reply, command: "RCPT", from_peer: true, verdict: None });
    }

    /// 354: content goes out if anybody is left to get it. If not, RFC 2920 3.1 has us send the
    /// final dot alone.
    fn start_content(mut self: Box<Self>, core: &mut Core, admitted: Admitted, step: &mut Step<'_>) -> State {
        if self.has_open_recipient() {
            self.awaited.push_back(Part::FinalDot);
            step.actions.push(Action::SendContent(Framing::Dot));
            return State::SendingContent(admitted, self);
        }
        self.awaited.push_back(Part::EmptyDot);
        core.say(step, ".");
        State::Delivering(admitted, self)
    }

    /// BDAT and its octets, once it is known who is left to get them: a chunk cannot be called back.
    fn start_chunk(mut self: Box<Self>, core: &mut Core, admitted: Admitted, step: &mut Step<'_>) -> State {
        self.ahead.clear();
        core.say(step, &self.command(Part::Bdat, &admitted));
        core.flush(step);
        self.awaited.push_back(Part::Bdat);
        step.actions.push(Action::SendContent(Framing::Counted(self.transaction.octets)));
        State::SendingContent(admitted, self)
    }

    /// The reply behind the final dot or the chunk speaks for all recipients that were taken.
    fn content_answered(
        mut self,
        core: &mut Core,
        admitted: Admitted,
        part: Part,
        reply: &Reply,
        step: &mut Step<'_>,
    ) -> State {
        if reply.is_positive() {
            for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
                let takes_dsn = admitted.extensions.dsn;
                *outcome = Some(Outcome::Delivered { reply: reply.clone(), takes_dsn });
            }
            let secured = admitted.permit.secured_domain().cloned();
            step.actions.push(Action::Report(Report::Sent { secured }));
        } else {
            self.refuse_open(part.command(), reply);
        }
        core.since = Some(step.now.mono);
        self.done(core, step);
        step.actions.push(Action::Ready);
        State::Ready(admitted)
    }

    /// After a reply that ends nothing by itself.
    fn go_on(mut self: Box<Self>, core: &mut Core, admitted: Admitted, step: &mut Step<'_>) -> State {
        self.say_next(core, &admitted, step);
        if !self.awaited.is_empty() {
            return State::Delivering(admitted, self);
        }
        if self.ahead.front() == Some(&Part::Bdat) && self.has_open_recipient() {
            return self.start_chunk(core, admitted, step);
        }
        // Nobody is left: whatever the peer still holds of the transaction is dropped.
        self.done(core, step);
        core.say(step, "RSET");
        State::Resetting(admitted)
    }

    /// All content is written, with its end.
    pub fn content_sent(&mut self) {
        self.content_sent = true;
    }

    /// The peer answered in the midst of the content. A refusal stands for what it says, but the
    /// rest cannot be unsaid: without its end the connection is closed, and nothing was taken
    /// (RFC 5321 4.1.1.10).
    pub fn answered_early(mut self, core: &mut Core, reply: &Reply, step: &mut Step<'_>) -> State {
        const EARLY: &str = "the peer answered before the end of the message";
        if !(reply.is_permanent() || reply.is_transient()) {
            return self.broken(core, EARLY, step);
        }
        self.refuse_open("the content", reply);
        self.done(core, step);
        core.close(EARLY, step)
    }

    /// 421: the peer ends the session (RFC 5321 3.8).
    fn hung_up(mut self, core: &mut Core, part: Part, reply: &Reply, step: &mut Step<'_>) -> State {
        self.refuse_open(part.command(), reply);
        self.done(core, step);
        core.close("the peer closes the session", step)
    }

    /// The connection is of no more use; whoever has no answer yet is tried again.
    pub fn broken(mut self, core: &mut Core, error: &str, step: &mut Step<'_>) -> State {
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            let in_doubt = self.content_sent;
            *outcome = Some(Outcome::Broken { error: error.to_owned(), in_doubt });
        }
        self.done(core, step);
        core.close(error, step)
    }

    fn done(&mut self, core: &mut Core, step: &mut Step<'_>) {
        let mut outcomes: Vec<Outcome> = std::mem::take(&mut self.outcomes).into_iter().flatten().collect();
        // Who refuses reports, or a question without a sender, says nothing of us.
        if self.transaction.reverse_path != ReversePath::Null {
            find_refusal(core, &mut outcomes, step);
        }
        step.actions.push(Action::Done(outcomes));
    }
}

/// Where the session has taken nobody and each reply is about us, it is a verdict.
fn find_refusal(core: &mut Core, outcomes: &mut [Outcome], step: &mut Step<'_>) {
    let taken = |outcome: &Outcome| matches!(outcome, Outcome::Delivered { .. } | Outcome::Taken { .. });
    core.has_taken |= outcomes.iter().any(taken);
    let of_us = |outcome: &Outcome| matches!(outcome, Outcome::Refused { reply, command, from_peer: true, .. } if is_of_us(command, reply));
    if core.has_taken || !outcomes.iter().all(of_us) {
        return;
    }
    let Some(Outcome::Refused { reply, command, .. }) = outcomes.first() else { return };
    let found = admission::refused_by_partner(core, command, reply, step);
    for outcome in outcomes {
        if let Outcome::Refused { verdict, .. } = outcome {
            verdict.clone_from(&found);
        }
    }
}

/// Some servers say 552 where they mean 452 (RFC 5321 4.5.3.1.10); with an enhanced code of its
/// own it means what it says.
fn as_too_many_recipients(reply: Reply) -> Reply {
    match reply.enhanced {
        None if reply.code == 552 => Reply { code: 452, ..reply },
        Some(enhanced) if reply.code == 552 && (enhanced.subject, enhanced.detail) == (5, 3) => {
            Reply { code: 452, enhanced: Some(enhanced.with_class(4)), ..reply }
        }
        Some(_) | None => reply,
    }
}
