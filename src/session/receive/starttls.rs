//! TLS on our side, by STARTTLS (RFC 3207) or from the first byte (RFC 8314 3): nothing said before it
//! counts after it, and not one byte may stand between the command and the handshake.

use std::sync::Arc;

use crate::session::tls_facts;
use crate::session::transcript::LineKind;
use crate::trust::TlsEvidence;

use super::core::{Core, Step, Tarpit};
use super::ending::discard_draft;
use super::state::{self, Begun, State};
use super::{Action, Report, replies};

pub(super) fn command(core: &mut Core, state: State, step: &mut Step<'_>) -> State {
    if core.tls.is_some() {
        core.answer(step, &replies::tls_active(), Tarpit::Allowed);
        return state;
    }
    if !core.opening.tls_available {
        let reply = replies::tls_not_offered(&core.opening.connector);
        core.answer(step, &reply, Tarpit::Allowed);
        return state;
    }
    if !core.input.is_empty() {
        discard_draft(&state, step);
        return core.hang_up(step, &replies::bytes_behind_starttls());
    }
    discard_draft(&state, step);
    core.say(step, &replies::start_tls());
    begin(core, Begun::ByCommand, step)
}

pub(super) fn begin(core: &mut Core, begun: Begun, step: &mut Step<'_>) -> State {
    core.flush(step);
    step.actions.push(Action::StartTls);
    State::Handshaking(begun)
}

/// The client starts over: it is unknown until its next EHLO (RFC 3207 4.2).
pub(super) fn established(
    core: &mut Core,
    begun: Begun,
    evidence: Arc<TlsEvidence>,
    step: &mut Step<'_>,
) -> State {
    step.actions
        .push(Action::Report(Report::HandshakeDone { version: evidence.version, resumed: evidence.resumed }));
    if core.transcript.is_logged() {
        let own = core.opening.certificate.clone();
        for (data, context) in tls_facts::lines(own.as_deref(), &evidence) {
            core.note(step, LineKind::Information, &data, &context);
        }
    }
    core.tls = Some(evidence);
    match begun {
        Begun::AtOnce => state::greet(core, step),
        Begun::ByCommand => State::Greeted,
    }
}

/// A connection whose handshake failed is of no use: there is no way back to clear text.
pub(super) fn failed(core: &mut Core, error: String, step: &mut Step<'_>) -> State {
    core.note(step, LineKind::Information, &error, "TLS handshake failed");
    step.actions.push(Action::Report(Report::HandshakeFailed { error }));
    core.close(step, "TLS handshake failed")
}
