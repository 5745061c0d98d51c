//! The states of a send session, each owning only what exists then, and which input leads from
//! one to the next.

use std::sync::Arc;
use std::time::Duration;

use crate::session::transcript::LineKind;
use crate::smtp::{Extensions, Reply};
use crate::trust::{Permit, TlsEvidence};

use super::admission::Lists;
use super::authenticate::{self, Exchange};
use super::core::{Core, Step};
use super::delivery::{self, Delivery, Purpose};
use super::greeting::{self, Hello};
use super::starttls::{self, Secured};
use super::{Action, Failure, Input, Outcome, OwnCertificate};

/// Waits for replies, by what they answer (RFC 5321 4.5.3.2).
const REPLY_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Long enough for a polite goodbye, short enough not to hold a connection slot.
const QUIT_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) enum State {
    /// Before `Connected`.
    Unopened,
    /// Awaits the banner.
    Connected,
    /// EHLO or HELO said in clear.
    Greeting(Hello),
    /// STARTTLS said; what EHLO told, should the peer refuse it.
    StartingTls(Extensions),
    Handshaking,
    /// The verdict lacks revocation lists; awaits `RevocationRefreshed`.
    Refreshing(Arc<TlsEvidence>, OwnCertificate),
    /// TLS came first and the peer is judged; awaits the banner.
    Secured(Box<Secured>),
    /// EHLO said behind the handshake; the peer is judged but not yet heard.
    GreetingAgain(Box<Secured>),
    /// AUTH said; the peer is admitted but does not know us yet.
    Authenticating(Box<Exchange>),
    /// Awaits `Deliver` or `Finish`.
    Ready(Admitted),
    /// Envelope or final dot said; awaits replies.
    Delivering(Admitted, Box<Delivery>),
    /// 354 came; awaits `ContentSent`, and hears a peer that answers before it.
    SendingContent(Admitted, Box<Delivery>),
    /// RSET said behind a transaction that came to nothing.
    Resetting(Admitted),
    Quitting,
    Closed,
}

/// A peer to whom MAIL may be said.
pub(super) struct Admitted {
    pub permit: Permit,
    pub extensions: Extensions,
}

impl State {
    /// How long the reply that is awaited may take.
    pub fn awaits_reply_for(&self) -> Option<Duration> {
        match self {
            State::Unopened
            | State::Refreshing(..)
            | State::Ready(_)
            | State::SendingContent(..)
            | State::Closed => None,
            State::Connected
            | State::Greeting(_)
            | State::StartingTls(_)
            | State::Handshaking
            | State::Secured(_)
            | State::GreetingAgain(_)
            | State::Authenticating(_)
            | State::Resetting(_) => Some(REPLY_TIMEOUT),
            State::Delivering(_, delivery) => Some(delivery.reply_timeout()),
            State::Quitting => Some(QUIT_TIMEOUT),
        }
    }
}

/// Takes one input in one state.
pub(super) fn take(core: &mut Core, state: State, input: Input<'_>, step: &mut Step<'_>) -> State {
    match (input, state) {
        (Input::Connected, State::Unopened) => {
            core.note(step, LineKind::Connect, "", "");
            core.note_message(step, core.opening.message.clone());
            core.since = Some(step.now.mono);
            greeting::connected(core, step)
        }
        (Input::Bytes(bytes), state) => {
            core.take_input(bytes);
            state
        }
        (Input::TlsEstablished(evidence, own), State::Handshaking) => {
            starttls::established(core, evidence, own, step)
        }
        (Input::TlsFailed { error, certificate_refused }, State::Handshaking) => {
            starttls::failed(core, &error, certificate_refused, step)
        }
        (Input::RevocationRefreshed, State::Refreshing(evidence, own)) => {
            starttls::judge(core, evidence, own, Lists::AsTheyAre, step)
        }
        (Input::Deliver(transaction), State::Ready(admitted)) => {
            delivery::begin(core, admitted, transaction, Purpose::Deliver, step)
        }
        (Input::Verify(transaction), State::Ready(admitted)) => {
            delivery::begin(core, admitted, transaction, Purpose::Verify, step)
        }
        (Input::Deliver(transaction) | Input::Verify(transaction), state) => {
            let error = "the connection is not open for another message".to_owned();
            let broken = Outcome::Broken { error, in_doubt: false };
            let outcomes = vec![broken; transaction.recipients.len()];
            step.actions.push(Action::Done(outcomes));
            state
        }
        (Input::Finish, State::Ready(_) | State::Resetting(_)) => {
            core.say(step, "QUIT");
            State::Quitting
        }
        (Input::ContentSent, State::SendingContent(admitted, mut delivery)) => {
            delivery.content_sent();
            core.since = Some(step.now.mono);
            State::Delivering(admitted, delivery)
        }
        (Input::ContentFailed(error), State::SendingContent(_, delivery)) => {
            delivery.broken(core, &format!("our own content could not be read: {error}"), step)
        }
        // The driver lost our Close, such as when a last write failed.
        (Input::Timeout | Input::Closed(_), State::Closed) => {
            step.actions.push(Action::Close);
            State::Closed
        }
        (Input::Timeout, state) => {
            let what = awaited(&state);
            broken(core, state, &format!("timed out: no {what} came"), step)
        }
        (Input::Closed(how), state) => broken(core, state, &how, step),
        // An answer that nobody asked for, such as one that crossed the peer's closing.
        (
            Input::Connected
            | Input::TlsEstablished(..)
            | Input::TlsFailed { .. }
            | Input::RevocationRefreshed
            | Input::Finish
            | Input::ContentSent
            | Input::ContentFailed(_),
            state,
        ) => state,
    }
}

/// Reads replies as far as the state awaits them.
pub(super) fn advance(core: &mut Core, mut state: State, step: &mut Step<'_>) -> State {
    loop {
        match state {
            State::Unopened | State::Handshaking | State::Refreshing(..) | State::Closed => return state,
            State::Connected
            | State::Greeting(_)
            | State::StartingTls(_)
            | State::Secured(_)
            | State::GreetingAgain(_)
            | State::Authenticating(_)
            | State::Ready(_)
            | State::Delivering(..)
            | State::SendingContent(..)
            | State::Resetting(_)
            | State::Quitting => {}
        }
        state = match core.next_reply(step) {
            None => return state,
            Some(Ok(reply)) => replied(core, state, reply, step),
            Some(Err(error)) => broken(core, state, &error.to_string(), step),
        };
    }
}

fn replied(core: &mut Core, state: State, reply: Reply, step: &mut Step<'_>) -> State {
    match state {
        State::Connected => greeting::banner(core, reply, step),
        State::Greeting(hello) => greeting::answered(core, hello, reply, step),
        State::StartingTls(extensions) => starttls::answered(core, extensions, reply, step),
        State::Secured(secured) => starttls::banner(core, secured, reply, step),
        State::GreetingAgain(secured) => starttls::greeted(core, *secured, reply, step),
        State::Authenticating(exchange) => authenticate::replied(core, *exchange, reply, step),
        State::Delivering(admitted, delivery) => delivery::replied(core, admitted, delivery, reply, step),
        State::SendingContent(_, delivery) => delivery.answered_early(core, &reply, step),
        State::Resetting(admitted) if reply.code / 100 == 2 => {
            step.actions.push(Action::Ready);
            State::Ready(admitted)
        }
        State::Resetting(_) => core.close("the peer did not take RSET", step),
        State::Ready(_) => core.close("the peer spoke unasked", step),
        State::Quitting => core.close("", step),
        State::Unopened | State::Handshaking | State::Refreshing(..) | State::Closed => state,
    }
}

/// The connection broke off, or no longer speaks SMTP.
pub(super) fn broken(core: &mut Core, state: State, error: &str, step: &mut Step<'_>) -> State {
    match state {
        State::Unopened | State::Connected | State::Greeting(_) | State::Authenticating(_) => {
            core.fail(Failure::broken(error.to_owned()), error, step)
        }
        State::StartingTls(_) => starttls::unusable(core, error, step),
        State::Handshaking => starttls::failed(core, error, false, step),
        State::Refreshing(..) => core.fail(Failure::broken(error.to_owned()), error, step),
        State::Secured(secured) | State::GreetingAgain(secured) => {
            starttls::cut_off(core, *secured, error, step)
        }
        State::Delivering(_, delivery) | State::SendingContent(_, delivery) => {
            delivery.broken(core, error, step)
        }
        State::Ready(_) | State::Resetting(_) => core.close(error, step),
        State::Quitting => core.close("", step),
        State::Closed => State::Closed,
    }
}

fn awaited(state: &State) -> &'static str {
    match state {
        State::Connected | State::Secured(_) => "banner",
        State::Greeting(_) | State::GreetingAgain(_) => "reply to EHLO",
        State::StartingTls(_) => "reply to STARTTLS",
        State::Authenticating(_) => "reply to AUTH",
        State::Handshaking => "end of the TLS handshake",
        State::Delivering(_, delivery) => delivery.awaits(),
        State::Resetting(_) => "reply to RSET",
        State::Quitting => "reply to QUIT",
        State::Unopened
        | State::Refreshing(..)
        | State::Ready(_)
        | State::SendingContent(..)
        | State::Closed => "answer",
    }
}
