//! The states of a receive session, each owning only what exists then, and which input leads from
//! one to the next.

use crate::mail::Domain;
use crate::policy::Limit;
use crate::session::transcript::LineKind;
use crate::smtp::{Extensions, HeloName};

use super::authenticate::{self, Exchange};
use super::awaiting::{self, Awaiting};
use super::chunks::Skipped;
use super::content::Receiving;
use super::core::{Core, Step};
use super::ending::{discard_draft, peer_closed, timed_out};
use super::transaction::Transaction;
use super::{Action, Input, StoreFault, TurnedAway};
use super::{commands, other_protocol, replies, starttls};

pub(super) enum State {
    /// Before `Connected`.
    Unopened,
    /// Banner sent, or TLS just begun: the client has not said who it is.
    Greeted,
    /// TLS begins.
    Handshaking(Begun),
    /// EHLO or HELO taken, no transaction.
    Ready(Hello),
    /// AUTH came; awaits the next line of the exchange.
    Authenticating(Box<Exchange>),
    /// MAIL accepted; collects recipients.
    Mailing(Transaction),
    /// 354 sent, or BDAT came; content comes in.
    Receiving(Box<Receiving>),
    /// A chunk is in and was not the last.
    BetweenChunks(Box<Receiving>),
    /// The octets of a chunk that is not taken go by.
    Skipping(Box<Skipped>),
    /// The driver owes an answer.
    Awaiting(Awaiting),
    Closed,
}

/// What a handshake began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// The connection: not a word was said before (RFC 8314 3).
    AtOnce,
    /// 220 to STARTTLS.
    ByCommand,
}

/// Who the client says it is.
#[derive(Clone, Debug)]
pub(super) struct Hello {
    pub name: HeloName,
    /// EHLO, not HELO.
    pub extended: bool,
    /// What was announced to it, whatever a reload has made of it since; nothing after HELO.
    pub announced: Extensions,
}

/// A message that is being made durable.
pub(super) struct Storing {
    pub hello: Hello,
    pub queue_id: String,
    pub size: u64,
    pub secured: Option<Domain>,
    /// Content that could not be kept, found only after we asked for the commit.
    pub fault: Option<StoreFault>,
}

/// Takes one input in one state.
pub(super) fn take(core: &mut Core, state: State, input: Input<'_>, step: &mut Step<'_>) -> State {
    if let State::Closed = state {
        // The driver lost our Close, such as when a last write failed.
        if matches!(input, Input::Closed | Input::Timeout) {
            step.actions.push(Action::Close);
        }
        return State::Closed;
    }
    if is_heard(core, &state, &input) {
        core.clock.heard(step.world.now.mono);
    }
    match (input, state) {
        (Input::Connected(refusal), State::Unopened) => connected(core, refusal, step),
        (Input::Bytes(bytes), state) => bytes_came(core, state, bytes, step),
        (Input::TlsEstablished(evidence), State::Handshaking(begun)) => {
            starttls::established(core, begun, evidence, step)
        }
        (Input::TlsFailed(error), State::Handshaking(_)) => starttls::failed(core, error, step),
        (Input::StoreFailed(fault), state) => store_failed(state, fault, step),
        (Input::Timeout, state) => timed_out(core, state, step),
        (Input::Closed, state) => peer_closed(core, &state, step),
        (Input::Shutdown, state) => {
            core.draining = true;
            state
        }
        (answer, State::Awaiting(awaiting)) => awaiting::answered(core, awaiting, answer, step),
        // An answer that nobody asked for, such as one that crossed the peer's closing.
        (
            Input::Connected(_)
            | Input::TlsEstablished(_)
            | Input::TlsFailed(_)
            | Input::RateChecked(_)
            | Input::RevocationRefreshed
            | Input::PasswordChecked(_)
            | Input::SenderInspected(_)
            | Input::ContentInspected(_)
            | Input::RecipientVerified(_)
            | Input::MiltersAsked(_)
            | Input::MilterAnswered(_)
            | Input::DraftOpened(_)
            | Input::Stored(_),
            state,
        ) => state,
    }
}

/// Octets that complete no line are not heard: a command has one deadline, however slowly it comes.
fn is_heard(core: &Core, state: &State, input: &Input<'_>) -> bool {
    match input {
        Input::Bytes(_) => matches!(state, State::Receiving(_) | State::Skipping(_)) || core.input.is_empty(),
        Input::Timeout => false,
        _ => true,
    }
}

/// Content could not be kept; of a message that asks for no more of it the fault changes nothing.
fn store_failed(mut state: State, fault: StoreFault, step: &mut Step<'_>) -> State {
    match &mut state {
        State::Receiving(content) | State::BetweenChunks(content) => {
            content.refuse(replies::store(fault), step);
        }
        State::Awaiting(awaiting) => awaiting.store_failed(fault, step),
        State::Unopened
        | State::Greeted
        | State::Handshaking(_)
        | State::Ready(_)
        | State::Authenticating(_)
        | State::Mailing(_)
        | State::Skipping(_)
        | State::Closed => {}
    }
    state
}

/// Parses what is buffered as far as the state allows.
pub(super) fn advance(core: &mut Core, mut state: State, step: &mut Step<'_>) -> State {
    loop {
        state = match state {
            State::Greeted | State::Ready(_) if core.draining => {
                return core.hang_up(step, &replies::shutting_down());
            }
            State::Greeted | State::Ready(_) | State::Mailing(_) => {
                if let Some(limit) = core.clock.over(&core.opening.connector, &state) {
                    core.reached(step, limit.of_session());
                    return core.hang_up(step, &replies::timed_out());
                }
                match core.input.next_line() {
                    Some(line) => {
                        core.clock.heard(step.world.now.mono);
                        commands::take(core, state, line, step)
                    }
                    None => return state,
                }
            }
            State::BetweenChunks(content) => {
                if core.clock.is_over_within(&core.opening.connector, content.pace()) {
                    let state = State::BetweenChunks(content);
                    return timed_out(core, state, step);
                }
                match core.input.next_line() {
                    Some(line) => {
                        core.clock.heard(step.world.now.mono);
                        commands::take(core, State::BetweenChunks(content), line, step)
                    }
                    None => return State::BetweenChunks(content),
                }
            }
            State::Authenticating(exchange) => match core.input.next_line() {
                Some(line) => {
                    core.clock.heard(step.world.now.mono);
                    authenticate::line(core, *exchange, line, step)
                }
                None => return State::Authenticating(exchange),
            },
            State::Receiving(content) => {
                if core.input.is_empty() {
                    return State::Receiving(content);
                }
                let bytes = core.input.take(content.wants());
                content.feed(core, &bytes, step)
            }
            State::Skipping(skipped) => {
                if core.input.is_empty() {
                    return State::Skipping(skipped);
                }
                skipped.skip_input(core, step)
            }
            State::Unopened | State::Handshaking(_) | State::Awaiting(_) | State::Closed => return state,
        }
    }
}

fn connected(core: &mut Core, refusal: Option<TurnedAway>, step: &mut Step<'_>) -> State {
    core.clock.start(step.world.now.mono);
    core.note(step, LineKind::Connect, "", "");
    if let Some(balancer) = core.opening.balancer {
        core.note(step, LineKind::Information, &balancer.to_string(), "Balancer");
    }
    if let Some(reached) = refusal.as_ref().and_then(|refusal| refusal.reached) {
        core.reached(step, reached);
    }
    match refusal {
        // Who awaits a handshake could not read the reply.
        Some(TurnedAway { text, .. }) if core.opening.connector.implicit_tls => core.close(step, &text),
        Some(TurnedAway { text, .. }) => core.hang_up(step, &replies::refused_connection(&text)),
        None if core.opening.connector.implicit_tls => starttls::begin(core, Begun::AtOnce, step),
        None => greet(core, step),
    }
}

pub(super) fn greet(core: &mut Core, step: &mut Step<'_>) -> State {
    let banner = replies::banner(&core.opening.connector.fqdn);
    core.say(step, &banner);
    State::Greeted
}

fn bytes_came(core: &mut Core, state: State, bytes: &[u8], step: &mut Step<'_>) -> State {
    match state {
        // Clear text behind STARTTLS: an injection, or a client that cannot wait (RFC 3207 6).
        State::Handshaking(_) => core.close(step, "clear text behind STARTTLS"),
        State::Receiving(content) if core.input.is_empty() => content.feed(core, bytes, step),
        state => {
            if core.take_input(bytes) {
                let is_tls = other_protocol::is_tls_record(core.input.first_octets());
                return match state {
                    State::Greeted if is_tls => commands::other_protocol(core, "TLS without STARTTLS", step),
                    state => state,
                };
            }
            discard_draft(&state, step);
            core.reached(step, Limit::InputAhead.of_session());
            core.hang_up(step, &replies::too_much_input())
        }
    }
}
