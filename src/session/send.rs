//! The send session: our conversation with a next hop (RFC 5321, 2920, 3030, 3207, 9422). It does no I/O: the
//! driver hands in what happened, carries out the actions in order, and hands in their answers.
//! `Ready` is said only on a connection that was judged and permitted (DESIGN rule 5).

use std::time::{Duration, Instant};

use crate::mail::{Address, Now};
use crate::trust::RevocationSet;

mod admission;
mod allowance;
mod authenticate;
mod core;
mod delivery;
mod envelope;
mod greeting;
mod interface;
mod starttls;
mod state;

pub use interface::{Action, Failure, Framing, Input, Opening, Outcome, OwnCertificate, Report, Transaction};

use self::core::{Core, Step};
use state::State;

/// How long one write of content may take (RFC 5321 4.5.3.2.5); kept by the driver.
pub const DATA_BLOCK_TIMEOUT: Duration = Duration::from_secs(180);

/// One outbound connection, from its first to its last byte.
pub struct SendSession {
    core: Core,
    state: State,
}

impl SendSession {
    pub fn new(opening: Opening) -> Self {
        Self { core: Core::new(opening), state: State::Unopened }
    }

    /// Takes one input and appends what is to be done. Behind `Action::Close` a `Deliver` is
    /// answered with broken outcomes, and other inputs do nothing.
    pub fn handle(
        &mut self,
        input: Input<'_>,
        revocation: &RevocationSet,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let mut step = Step { revocation, now, actions };
        let state = std::mem::replace(&mut self.state, State::Closed);
        let state = state::take(&mut self.core, state, input, &mut step);
        self.state = state::advance(&mut self.core, state, &mut step);
        self.core.flush(&mut step);
    }

    /// Which of these recipients the next `Deliver` may name by the peer's LIMITS (RFC 9422), each in its
    /// place: none when it takes no more messages on this connection, or the connection is not ready.
    pub fn admits<'a>(&self, recipients: impl IntoIterator<Item = &'a Address>) -> Vec<bool> {
        match &self.state {
            State::Ready(admitted) => self.core.spent.admits(&admitted.extensions.limits, recipients),
            _ => recipients.into_iter().map(|_| false).collect(),
        }
    }

    /// When `Timeout` is due (RFC 5321 4.5.3.2); none while the driver owes an answer.
    pub fn deadline(&self) -> Option<Instant> {
        let waited = self.state.awaits_reply_for()?;
        self.core.since.map(|since| since + waited)
    }

    /// The last lines of the conversation, for `queue why` and delivery reports.
    pub fn transcript_tail(&self) -> Vec<String> {
        self.core.transcript.tail()
    }
}
