//! The receive session: a client's conversation with one of our receive connectors (RFC 5321, 2920,
//! 3030, 3207). It does no I/O: the driver hands in what happened, carries out the actions in order, and
//! hands in their answers. While an answer is awaited nothing is parsed, so pipelining is safe.

use std::sync::Arc;
use std::time::Instant;

use crate::trust::TlsEvidence;

mod admission;
mod authenticate;
mod awaiting;
mod candidate;
mod chunks;
mod clock;
mod commands;
mod content;
mod core;
mod ending;
mod filtering;
mod header_section;
mod inspection;
mod interface;
mod other_protocol;
mod recipient;
mod replies;
mod starttls;
mod state;
mod transaction;

pub use interface::{
    Action, BodyFacts, Filtered, Input, Inspection, Kept, MilterQuestion, MilterWord, Opening, Report,
    StoreFault, Submission, TurnedAway, World,
};

use self::core::{Core, Step};
use state::State;

/// One inbound connection, from its first to its last byte.
pub struct ReceiveSession {
    core: Core,
    state: State,
}

impl ReceiveSession {
    pub fn new(opening: Opening) -> Self {
        Self { core: Core::new(opening), state: State::Unopened }
    }

    /// Takes one input and appends what is to be done. Inputs behind `Action::Close` do nothing.
    pub fn handle(&mut self, input: Input<'_>, world: World<'_>, actions: &mut Vec<Action>) {
        let mut step = Step { world, actions };
        let state = std::mem::replace(&mut self.state, State::Closed);
        let state = state::take(&mut self.core, state, input, &mut step);
        self.state = state::advance(&mut self.core, state, &mut step);
        let waits = matches!(&self.state, State::Awaiting(awaiting) if awaiting.is_answered_at_once());
        if !waits {
            self.core.flush(&mut step);
        }
    }

    /// The connection's facts, its connector as a reload left it.
    pub fn opening(&self) -> &Opening {
        &self.core.opening
    }

    /// What the handshake showed, if there was one.
    pub fn evidence(&self) -> Option<&Arc<TlsEvidence>> {
        self.core.tls.as_ref()
    }

    /// When `Timeout` is due, if nothing comes before. None while the driver owes an answer.
    pub fn deadline(&self) -> Option<Instant> {
        let connector = &self.core.opening.connector;
        match &self.state {
            State::Unopened | State::Awaiting(_) | State::Closed => None,
            State::Greeted | State::Handshaking(_) | State::Ready(_) | State::Authenticating(_) => {
                self.core.clock.deadline(connector)
            }
            State::Mailing(_) => self.core.clock.transaction_deadline(connector),
            State::Receiving(content) | State::BetweenChunks(content) => {
                self.core.clock.content_deadline(connector, content.pace())
            }
            State::Skipping(skipped) => self.core.clock.content_deadline(connector, skipped.pace()),
        }
    }
}
