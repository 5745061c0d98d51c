//! MAIL, RCPT, DATA and the first BDAT up to the first octet of content (RFC 5321 3.3).

use std::sync::Arc;

use crate::mail::dsn::RecipientRequest;
use crate::mail::{Address, BodyType, Domain, Envelope, ForwardPath, ReversePath, TlsRequired};
use crate::policy::milter::Milters;
use crate::policy::{Finding, InboundChecks, Limit, Reached, Settings, limits};
use crate::smtp::{Chunk, MailParams, Reply};

use super::admission::{self, Admission, Lists, NotAdmitted};
use super::awaiting::Awaiting;
use super::candidate::{self, Candidate};
use super::content::Receiving;
use super::core::{Core, Step, Tarpit};
use super::recipient::{self, Refusal, Rights};
use super::state::{Hello, State};
use super::{Action, StoreFault, authenticate, chunks, filtering, inspection, replies};

/// A MAIL command whose rate is being checked.
pub(super) struct MailRequest {
    pub path: ReversePath,
    pub params: MailParams,
}

/// A MAIL command that was judged and found good.
pub(super) struct Admitted {
    hello: Hello,
    request: MailRequest,
    admission: Admission,
}

/// A MAIL command that was permitted, and the recipients so far.
pub(super) struct Transaction {
    pub hello: Hello,
    pub admission: Admission,
    pub envelope: Envelope,
    pub checks: Arc<InboundChecks>,
    pub milters: Arc<Milters>,
    /// `SIZE` of MAIL.
    pub declared_size: Option<u64>,
    /// A milter that wants nobody to get the message.
    pub discarded_by: Option<String>,
    /// What the checks have found so far.
    pub findings: Vec<Finding>,
}

pub(super) fn mail(
    core: &mut Core,
    state: State,
    path: ReversePath,
    params: MailParams,
    step: &mut Step<'_>,
) -> State {
    let hello = match state {
        State::Ready(hello) => hello,
        State::Mailing(_) | State::BetweenChunks(_) => {
            core.answer(step, &replies::nested_mail(), Tarpit::Allowed);
            return state;
        }
        other => {
            core.answer(step, &replies::hello_first(), Tarpit::Allowed);
            return other;
        }
    };
    if !core.follow_settings(step.world.settings) {
        return core.hang_up(step, &replies::connector_gone());
    }
    if !authenticate::still_holds(core, step) {
        return core.hang_up(step, &replies::no_longer_authenticated());
    }
    let checked = authenticate::may_send(core, &path).and_then(|()| check_parameters(core, &path, &params));
    if let Err(reply) = checked {
        core.refuse(step, &reply, Tarpit::Allowed);
        return State::Ready(hello);
    }
    step.actions.push(Action::AskRate);
    Awaiting::Rating(hello, MailRequest { path, params }).into()
}

fn check_parameters(core: &Core, path: &ReversePath, params: &MailParams) -> Result<(), Reply> {
    let size_max = core.opening.connector.max_message_size;
    if params.size.is_some_and(|size| size > size_max) {
        return Err(replies::too_large(size_max));
    }
    match path {
        ReversePath::Address(address) if address.needs_smtputf8() && !params.smtputf8 => {
            Err(replies::needs_smtputf8())
        }
        ReversePath::Address(_) | ReversePath::Null => Ok(()),
    }
}

/// The rate is known: judgement, and with its permit a transaction.
pub(super) fn rate_checked(
    core: &mut Core,
    hello: Hello,
    request: MailRequest,
    answer: Result<(), Reached>,
    step: &mut Step<'_>,
) -> State {
    if let Err(reached) = answer {
        return exceeded(core, reached, step);
    }
    if step.world.pressure.refuses(true) {
        core.refuse(step, &replies::back_pressure(), Tarpit::Never);
        return State::Ready(hello);
    }
    let lists = if step.world.settings.crl_fetch.enabled { Lists::MayBeFetched } else { Lists::AsTheyAre };
    judge(core, hello, request, lists, step)
}

/// Judges; where nothing but lists is missing they are asked for once, and then it is judged again.
pub(super) fn judge(
    core: &mut Core,
    hello: Hello,
    request: MailRequest,
    lists: Lists,
    step: &mut Step<'_>,
) -> State {
    match admission::admit(core, &request.path, lists, step) {
        Ok(admission) if step.world.pressure.refuses(is_known(core, &admission)) => {
            core.refuse(step, &replies::back_pressure(), Tarpit::Never);
            State::Ready(hello)
        }
        Ok(admission) => {
            let admitted = Admitted { hello, request, admission };
            match limited_partner(&admitted.admission, step.world.settings) {
                Some(domain) => {
                    step.actions.push(Action::AskPartnerRate(domain));
                    Awaiting::RatingPartner(Box::new(admitted)).into()
                }
                None => begin(core, admitted, step),
            }
        }
        Err(NotAdmitted::Refused(reply)) => {
            core.refuse(step, &reply, Tarpit::Never);
            State::Ready(hello)
        }
        Err(NotAdmitted::Lacks(wanted)) => {
            core.note_fetch(step, &wanted);
            core.flush(step);
            step.actions.push(Action::FetchRevocation(wanted));
            Awaiting::Refreshing(hello, request).into()
        }
    }
}

/// The domain of the partner that was proved, if its entry says how much it may take.
fn limited_partner(admission: &Admission, settings: &Settings) -> Option<Domain> {
    let limited =
        |domain: &&Domain| settings.partner_of(domain).is_some_and(|partner| !partner.limits.is_unlimited());
    admission.proved.iter().find(limited).cloned()
}

pub(super) fn partner_rate_checked(
    core: &mut Core,
    admitted: Admitted,
    answer: Result<(), Reached>,
    step: &mut Step<'_>,
) -> State {
    match answer {
        Ok(()) => begin(core, admitted, step),
        Err(reached) => exceeded(core, reached, step),
    }
}

/// Too fast: the client is sent away, and does better to come back later.
fn exceeded(core: &mut Core, reached: Reached, step: &mut Step<'_>) -> State {
    let reply = replies::exceeded(reached);
    core.reached(step, reached);
    step.actions.push(Action::Report(super::Report::Refused { reply: reply.to_string() }));
    core.hang_up(step, &reply)
}

fn begin(core: &mut Core, admitted: Admitted, step: &mut Step<'_>) -> State {
    let Admitted { hello, request: MailRequest { path, params }, admission } = admitted;
    let declared_size = params.size;
    let envelope = Envelope {
        reverse_path: path,
        recipients: Vec::new(),
        body: params.body,
        smtputf8: params.smtputf8,
        tls_required: match params.requiretls {
            true => TlsRequired::Yes,
            false => TlsRequired::Unstated,
        },
        dsn: params.dsn.into(),
    };
    let checks = inspection::checks_of(core, &admission, step);
    let transaction = Transaction {
        milters: filtering::milters_of(core),
        declared_size,
        discarded_by: None,
        hello,
        admission,
        envelope,
        checks,
        findings: Vec::new(),
    };
    inspection::sender(core, transaction, step)
}

/// A partner that has proved itself, or a client of a connector that may relay: those that back
/// pressure spares as long as it can.
fn is_known(core: &Core, admission: &Admission) -> bool {
    core.relays() || !admission.proved.is_empty()
}

pub(super) fn rcpt(
    core: &mut Core,
    state: State,
    path: &ForwardPath,
    dsn: RecipientRequest,
    step: &mut Step<'_>,
) -> State {
    let transaction = match state {
        State::Mailing(transaction) => transaction,
        other => {
            core.answer(step, &out_of_place(&other), Tarpit::Allowed);
            return other;
        }
    };
    step.actions.push(Action::CountRecipient);
    match take_recipient(core, &transaction, path, &dsn, step) {
        Ok(address) => {
            return candidate::consider(core, Box::new(Candidate { transaction, address, dsn }), step);
        }
        Err(Refusal::Plain(reply)) => core.refuse(step, &reply, Tarpit::Allowed),
        Err(Refusal::NotAllowed(reply)) => core.refuse(step, &reply, Tarpit::Never),
    }
    State::Mailing(transaction)
}

fn take_recipient(
    core: &mut Core,
    transaction: &Transaction,
    path: &ForwardPath,
    dsn: &RecipientRequest,
    step: &mut Step<'_>,
) -> Result<Address, Refusal> {
    let envelope = &transaction.envelope;
    if envelope.recipients.len() >= core.opening.connector.max_recipients_per_message
        || envelope.dsn.stored_bytes_with(dsn) > limits::DSN_REQUEST_BYTES_MAX
    {
        core.reached(step, Limit::RecipientsPerMessage.of_session());
        return Err(Refusal::Plain(replies::too_many_recipients()));
    }
    let rights = Rights {
        settings: step.world.settings,
        connector: &core.opening.connector,
        session: core.opening.id,
        proved: &transaction.admission.proved,
        relays: core.relays(),
        smtputf8: envelope.smtputf8,
    };
    recipient::resolve(&rights, path)
}

/// Named twice, it is delivered once, and what was asked first counts.
pub(super) fn add_recipient(envelope: &mut Envelope, address: Address, dsn: RecipientRequest) {
    if !envelope.recipients.contains(&address) {
        let index = u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX);
        envelope.dsn.set(index, dsn);
        envelope.recipients.push(address);
    }
}

pub(super) fn data(core: &mut Core, state: State, step: &mut Step<'_>) -> State {
    let transaction = match state {
        State::Mailing(transaction) => transaction,
        other => {
            core.answer(step, &out_of_place(&other), Tarpit::Allowed);
            return other;
        }
    };
    let refusal = match &transaction.envelope {
        envelope if envelope.recipients.is_empty() => Some(replies::no_recipients()),
        envelope if envelope.body == BodyType::BinaryMime => Some(replies::binary_by_data()),
        _ => None,
    };
    if let Some(reply) = refusal {
        core.answer(step, &reply, Tarpit::Allowed);
        return State::Mailing(transaction);
    }
    step.actions.push(Action::OpenDraft);
    Awaiting::Drafting(transaction, None).into()
}

/// 503 to a command that needs an envelope whose content has not begun.
fn out_of_place(state: &State) -> Reply {
    match state {
        State::BetweenChunks(_) => replies::content_has_begun(),
        _ => replies::mail_first(),
    }
}

pub(super) fn draft_opened(
    core: &mut Core,
    transaction: Transaction,
    chunk: Option<Chunk>,
    answer: Result<String, StoreFault>,
    step: &mut Step<'_>,
) -> State {
    match answer {
        Ok(queue_id) => {
            let content = Receiving::new(transaction, queue_id, chunk, step.world.now.mono);
            match chunk {
                Some(chunk) => Box::new(content).begin_chunk(core, chunk, step),
                None => {
                    core.say(step, &replies::start_content());
                    State::Receiving(Box::new(content))
                }
            }
        }
        Err(fault) => {
            let ready = State::Ready(transaction.hello);
            match chunk {
                Some(chunk) => chunks::refuse(core, ready, chunk, replies::store(fault), step),
                None => {
                    core.refuse(step, &replies::store(fault), Tarpit::Never);
                    ready
                }
            }
        }
    }
}
