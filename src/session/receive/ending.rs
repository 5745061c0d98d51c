//! How a session ends from outside: nothing is heard in time, or the peer closes; and what becomes of
//! a draft then.

use super::core::{Core, Step};
use super::state::State;
use super::{Action, replies};

pub(super) fn timed_out(core: &mut Core, state: State, step: &mut Step<'_>) -> State {
    match state {
        State::Unopened | State::Awaiting(_) | State::Closed => state,
        State::Handshaking(_) => core.close(step, "TLS handshake timed out"),
        State::Greeted
        | State::Ready(_)
        | State::Authenticating(_)
        | State::Mailing(_)
        | State::Receiving(_)
        | State::BetweenChunks(_)
        | State::Skipping(_) => {
            discard_draft(&state, step);
            let limit = core.clock.passed(&core.opening.connector, &state, step.world.now.mono);
            core.reached(step, limit.of_session());
            core.hang_up(step, &replies::timed_out())
        }
    }
}

pub(super) fn peer_closed(core: &mut Core, state: &State, step: &mut Step<'_>) -> State {
    discard_draft(state, step);
    let why = match state {
        State::Unopened | State::Greeted | State::Ready(_) => "closed by the peer",
        State::Authenticating(_) => "closed by the peer while it logged in",
        State::Handshaking(_) => "closed by the peer during the TLS handshake",
        State::Mailing(_) => "closed by the peer within a transaction",
        State::Receiving(_) | State::BetweenChunks(_) | State::Skipping(_) => {
            "closed by the peer within the content"
        }
        State::Awaiting(awaiting) => awaiting.closed_by_the_peer(),
        State::Closed => "",
    };
    core.close(step, why)
}

/// A draft that will never be committed is given back. One being committed stays: the message is
/// ours from the moment it is durable, whether or not the peer hears of it.
pub(super) fn discard_draft(state: &State, step: &mut Step<'_>) {
    let has_draft = match state {
        State::Receiving(content) | State::BetweenChunks(content) => content.has_draft(),
        State::Awaiting(awaiting) => awaiting.has_draft(),
        State::Skipping(_)
        | State::Unopened
        | State::Greeted
        | State::Handshaking(_)
        | State::Ready(_)
        | State::Authenticating(_)
        | State::Mailing(_)
        | State::Closed => false,
    };
    if has_draft {
        step.actions.push(Action::DiscardDraft);
    }
}
