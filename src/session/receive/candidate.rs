//! A recipient that the connector's rules allow, until everyone who is asked about it has spoken.

use crate::mail::Address;
use crate::mail::dsn::RecipientRequest;
use crate::smtp::Reply;

use super::core::{Core, Step, Tarpit};
use super::state::State;
use super::transaction::{self, Transaction};
use super::{filtering, replies};

pub(super) struct Candidate {
    pub transaction: Transaction,
    pub address: Address,
    pub dsn: RecipientRequest,
}

pub(super) fn consider(core: &mut Core, candidate: Box<Candidate>, step: &mut Step<'_>) -> State {
    filtering::recipient(core, candidate, step)
}

pub(super) fn refuse(core: &mut Core, candidate: Candidate, reply: &Reply, step: &mut Step<'_>) -> State {
    core.refuse(step, reply, Tarpit::Allowed);
    State::Mailing(candidate.transaction)
}

impl Candidate {
    /// Nobody has anything against it.
    pub fn take(self: Box<Self>, core: &mut Core, step: &mut Step<'_>) -> State {
        let Self { mut transaction, address, dsn } = *self;
        core.say(step, &replies::recipient_ok());
        transaction::add_recipient(&mut transaction.envelope, address, dsn);
        State::Mailing(transaction)
    }
}
