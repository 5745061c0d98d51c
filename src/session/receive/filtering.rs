//! Milters: programs that are asked about a sender, each recipient and the whole message, and may
//! refuse, change, hold or drop it (`policy::milter`). The driver speaks with them; what follows is
//! decided here.

use std::sync::Arc;

use crate::mail::{ForwardPath, TlsRequired};
use crate::policy::CheckMode;
use crate::policy::milter::{self, DiscardAction, Edit, MilterResult, Milters, Rules, Ruling};
use crate::session::transcript::LineKind;
use crate::smtp::{MailParams, Reply};

use super::authenticate::Identity;
use super::awaiting::Awaiting;
use super::candidate::{self, Candidate};
use super::content::{Receiving, Refusal};
use super::core::{Core, Step, Tarpit};
use super::recipient::{self, Rights};
use super::state::State;
use super::transaction::Transaction;
use super::{Action, Filtered, MilterQuestion, MilterWord, Report, StoreFault, replies};

/// A message that is shown to one milter after the other.
pub(super) struct Filtering {
    content: Box<Receiving>,
    edit: Edit,
    /// Milters that have been asked.
    asked: usize,
    /// Fields that tell what was said, where the milters do not rule.
    marks: Vec<String>,
}

/// The sender is otherwise taken.
pub(super) fn sender(core: &mut Core, transaction: Transaction, step: &mut Step<'_>) -> State {
    if !transaction.milters.are_asked() {
        core.say(step, &replies::sender_ok());
        return State::Mailing(transaction);
    }
    core.flush(step);
    step.actions.push(Action::AskMilters(Box::new(MilterQuestion::Sender {
        milters: Arc::clone(&transaction.milters),
        helo: transaction.hello.name.clone(),
        reverse_path: transaction.envelope.reverse_path.clone(),
        parameters: parameters(&transaction),
        proved: transaction.admission.permit.secured_domain().is_some(),
        logged_in: core.identity.as_ref().map(Identity::shown),
    })));
    Awaiting::ShowingSender(transaction).into()
}

fn parameters(transaction: &Transaction) -> Vec<String> {
    let envelope = &transaction.envelope;
    let params = MailParams {
        size: transaction.declared_size,
        body: envelope.body,
        smtputf8: envelope.smtputf8,
        dsn: envelope.dsn.message.clone(),
        requiretls: envelope.tls_required == TlsRequired::Yes,
    };
    words(&params.to_string())
}

/// Parameters of a command, one by one.
pub(super) fn words(parameters: &str) -> Vec<String> {
    parameters.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

pub(super) fn sender_shown(
    core: &mut Core,
    mut transaction: Transaction,
    said: Vec<MilterWord>,
    step: &mut Step<'_>,
) -> State {
    match judge(core, &mut transaction, said, step) {
        Some(reply) => core.turn_down(step, &reply, Tarpit::Allowed, State::Ready(transaction.hello)),
        None => {
            core.say(step, &replies::sender_ok());
            State::Mailing(transaction)
        }
    }
}

/// The milters are asked about a recipient that is otherwise taken.
pub(super) fn recipient(core: &mut Core, candidate: Box<Candidate>, step: &mut Step<'_>) -> State {
    if !candidate.transaction.milters.are_asked() {
        return candidate.take(core, step);
    }
    core.flush(step);
    step.actions.push(Action::AskMilters(Box::new(MilterQuestion::Recipient {
        recipient: candidate.address.clone(),
        parameters: words(&candidate.dsn.to_string()),
    })));
    Awaiting::ShowingRecipient(candidate).into()
}

pub(super) fn recipient_shown(
    core: &mut Core,
    mut candidate: Box<Candidate>,
    said: Vec<MilterWord>,
    step: &mut Step<'_>,
) -> State {
    match judge(core, &mut candidate.transaction, said, step) {
        Some(reply) => candidate::refuse(core, *candidate, &reply, step),
        None => candidate.take(core, step),
    }
}

/// What was said before there is content; the reply, where it refuses.
fn judge(
    core: &mut Core,
    transaction: &mut Transaction,
    said: Vec<MilterWord>,
    step: &mut Step<'_>,
) -> Option<Reply> {
    let mut refusal = None;
    for word in said {
        let result = if word.failure.is_some() { MilterResult::Failed } else { word.ruling.result() };
        tell(core, &transaction.milters, &word, result, "", step);
        if !transaction.milters.rule() {
            continue;
        }
        match word.ruling {
            Ruling::Refuse(reply) => refusal = refusal.or(Some(reply)),
            Ruling::Discard => {
                if transaction.milters.discard_action(&word.milter) == DiscardAction::Reject {
                    refusal = refusal.or_else(|| Some(milter::rejected()));
                }
                transaction.discarded_by = Some(word.milter);
            }
            Ruling::GoOn | Ruling::Content => {}
        }
    }
    refusal
}

/// One line of the protocol log and one event.
fn tell(
    core: &mut Core,
    milters: &Milters,
    word: &MilterWord,
    result: MilterResult,
    more: &str,
    step: &mut Step<'_>,
) {
    let detail = detail(word, more);
    let data = match detail.as_str() {
        "" => format!("{}={}", word.milter, result.as_str()),
        detail => format!("{}={} ({detail})", word.milter, result.as_str()),
    };
    core.note(step, LineKind::Information, &data, "Milter");
    let milter = word.milter.clone();
    step.actions.push(Action::Report(Report::Filtered { milter, result, detail, mode: milters.mode }));
}

fn detail(word: &MilterWord, more: &str) -> String {
    match (&word.failure, &word.ruling) {
        (Some(failure), _) => failure.clone(),
        (None, Ruling::Refuse(reply)) => reply.to_string(),
        (None, Ruling::GoOn | Ruling::Content | Ruling::Discard) => more.to_owned(),
    }
}

/// The content is otherwise taken: `head` is its header section as it came.
pub(super) fn content(
    core: &mut Core,
    mut content: Box<Receiving>,
    head: &[u8],
    step: &mut Step<'_>,
) -> State {
    match content.rewrite(core, head, step) {
        Err(refusal) => {
            content.refuse(refusal, step);
            content.conclude(core, step)
        }
        Ok(rewritten) => {
            let envelope = content.transaction().envelope.clone();
            let edit = Edit::new(&rewritten.head, rewritten.own, envelope);
            ask_next(core, Box::new(Filtering { content, edit, asked: 0, marks: Vec::new() }), step)
        }
    }
}

fn ask_next(core: &mut Core, filtering: Box<Filtering>, step: &mut Step<'_>) -> State {
    let milters = &filtering.content.transaction().milters;
    let discarded = filtering.content.transaction().discarded_by.clone();
    match discarded {
        Some(milter) => drop_message(core, filtering, milter, step),
        None if filtering.asked < milters.all.len() => {
            step.actions.push(Action::AskMilters(Box::new(MilterQuestion::Content {
                milter: filtering.asked,
                head: filtering.edit.head(),
                queue_id: filtering.content.queue_id().to_owned(),
            })));
            Awaiting::Filtering(filtering).into()
        }
        None => filtering.finish(core, step),
    }
}

/// One milter has had its last word on the message.
pub(super) fn content_shown(
    core: &mut Core,
    mut filtering: Box<Filtering>,
    answer: Result<Box<Filtered>, StoreFault>,
    step: &mut Step<'_>,
) -> State {
    let filtered = match answer {
        Ok(filtered) => *filtered,
        Err(fault) => {
            filtering.content.refuse(replies::store(fault), step);
            return filtering.content.conclude(core, step);
        }
    };
    filtering.asked += 1;
    let result = filtered.result();
    let more = filtered.quarantine.clone().unwrap_or_default();
    if !filtered.word.is_repeated {
        tell(core, &filtering.content.transaction().milters, &filtered.word, result, &more, step);
    }
    if !filtering.content.transaction().milters.rule() {
        filtering.marks.push(mark(&filtered));
        return ask_next(core, filtering, step);
    }
    match &filtered.word.ruling {
        Ruling::Refuse(reply) => {
            filtering.content.refuse(Refusal::from(reply.clone()), step);
            filtering.content.conclude(core, step)
        }
        Ruling::Discard => drop_message(core, filtering, filtered.word.milter, step),
        Ruling::GoOn | Ruling::Content => {
            filtering.change(core, &filtered, step);
            if filtering.edit.envelope.recipients.is_empty() {
                return drop_message(core, filtering, filtered.word.milter, step);
            }
            ask_next(core, filtering, step)
        }
    }
}

/// A milter wants nobody to get the message, or has left nobody who could: what its entry says. No other
/// milter is asked about it any more.
fn drop_message(
    core: &mut Core,
    mut filtering: Box<Filtering>,
    milter: String,
    step: &mut Step<'_>,
) -> State {
    match filtering.content.transaction().milters.discard_action(&milter) {
        DiscardAction::Discard => filtering.content.discard(core, milter, step),
        DiscardAction::Reject => {
            filtering.content.refuse(Refusal::from(milter::rejected()), step);
            filtering.content.conclude(core, step)
        }
        DiscardAction::Quarantine => {
            if filtering.edit.envelope.recipients.is_empty() {
                filtering.edit.envelope = filtering.content.transaction().envelope.clone();
            }
            filtering.content.hold_for(&milter, "it would have the message discarded");
            filtering.finish(core, step)
        }
    }
}

impl Filtered {
    fn result(&self) -> MilterResult {
        match (&self.word.failure, &self.quarantine, &self.word.ruling) {
            (Some(_), _, _) => MilterResult::Failed,
            (None, Some(_), Ruling::GoOn | Ruling::Content) => MilterResult::Quarantine,
            (None, _, ruling) => ruling.result(),
        }
    }
}

/// The field by which a milter that does not rule is heard.
fn mark(filtered: &Filtered) -> String {
    let text = |text: &str| crate::mail::text::ascii(text).replace('\\', "\\\\").replace('"', "\\\"");
    let mut field =
        format!("X-Sealpost-Milter: {}; result={}", text(&filtered.word.milter), filtered.result().as_str());
    let detail = detail(&filtered.word, filtered.quarantine.as_deref().unwrap_or_default());
    if !detail.is_empty() {
        let shown: String = text(&detail).chars().take(400).collect();
        field.push_str(&format!(";\r\n\tdetail=\"{}\"", shown.trim_end_matches('\\')));
    }
    if !filtered.changes.is_empty() || filtered.body.is_some() {
        let count = filtered.changes.len() + usize::from(filtered.body.is_some());
        field.push_str(&format!("; changes={count}"));
    }
    field.push_str("\r\n");
    field
}

impl Filtering {
    /// Makes the changes that may be made, and tells of the others.
    fn change(&mut self, core: &mut Core, filtered: &Filtered, step: &mut Step<'_>) {
        let settings = Arc::clone(step.world.settings);
        let transaction = self.content.transaction();
        let rights = Rights {
            relays: core.relays(),
            settings: &settings,
            connector: &core.opening.connector,
            session: core.opening.id,
            proved: &transaction.admission.proved,
            smtputf8: transaction.envelope.smtputf8,
        };
        let rules = Rules {
            settings: &settings,
            proved: &transaction.admission.proved,
            recipient: &|address| {
                let path = ForwardPath::Address(address.clone());
                recipient::resolve(&rights, &path).map_err(|refusal| refusal.reply().to_string())
            },
            recipients_max: core.opening.connector.max_recipients_per_message,
            keeps_blank: filtered.keeps_blank,
        };
        let denied: Vec<_> =
            filtered.changes.iter().filter_map(|change| self.edit.apply(change, &rules).err()).collect();
        for denied in denied {
            let milter = filtered.word.milter.clone();
            let data = format!("{milter} may not {}: {}", denied.change, denied.reason);
            core.note(step, LineKind::Information, &data, "Milter");
            step.actions.push(Action::Report(Report::ChangeDenied { milter, denied }));
        }
        if let Some(body) = filtered.body {
            self.content.body_replaced(body);
        }
        if let Some(reason) = &filtered.quarantine {
            self.content.hold_for(&filtered.word.milter, reason);
        }
    }

    fn finish(mut self: Box<Self>, core: &mut Core, step: &mut Step<'_>) -> State {
        for mark in &self.marks {
            self.edit.put_first(mark.as_bytes());
        }
        let head = self.edit.head();
        self.content.release_edited(head, self.edit.envelope, step);
        self.content.conclude(core, step)
    }
}

/// What a transaction's milters are, by the connector as it is now.
pub(super) fn milters_of(core: &Core) -> Arc<Milters> {
    match core.opening.connector.milters.mode {
        CheckMode::Off => Arc::default(),
        CheckMode::Mark | CheckMode::Enforce => Arc::clone(&core.opening.connector.milters),
    }
}
