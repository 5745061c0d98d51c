//! A recipient that the connector's rules allow, until everyone who is asked about it has spoken:
//! the next hop of its domain, where that is to verify it, then the milters.

use crate::mail::Address;
use crate::mail::dsn::RecipientRequest;
use crate::policy::recipient_verification::Verified;
use crate::policy::{CheckMode, Settings};
use crate::session::transcript::LineKind;
use crate::smtp::Reply;

use super::awaiting::Awaiting;
use super::core::{Core, Step, Tarpit};
use super::state::State;
use super::transaction::{self, Transaction};
use super::{Action, Report, filtering, replies};

pub(super) struct Candidate {
    pub transaction: Transaction,
    pub address: Address,
    pub dsn: RecipientRequest,
}

pub(super) fn consider(core: &mut Core, candidate: Box<Candidate>, step: &mut Step<'_>) -> State {
    if mode(step.world.settings, &candidate.address) == CheckMode::Off {
        return filtering::recipient(core, candidate, step);
    }
    core.flush(step);
    step.actions.push(Action::VerifyRecipient(candidate.address.clone()));
    Awaiting::Verifying(candidate).into()
}

/// Our postmaster is taken whatever a next hop says (RFC 5321 4.5.1).
fn mode(settings: &Settings, address: &Address) -> CheckMode {
    let accepted = address.domain().and_then(|domain| settings.accepted_domain(domain));
    match accepted {
        Some(accepted) if *address != settings.transport.postmaster => accepted.verification,
        Some(_) | None => CheckMode::Off,
    }
}

/// What the next hop says of it.
pub(super) fn verified(
    core: &mut Core,
    candidate: Box<Candidate>,
    verified: Verified,
    step: &mut Step<'_>,
) -> State {
    let mode = mode(step.world.settings, &candidate.address);
    let recipient = candidate.address.clone();
    let data = match verified.detail() {
        "" => format!("{recipient}={}", verified.as_str()),
        detail => format!("{recipient}={} ({detail})", verified.as_str()),
    };
    core.note(step, LineKind::Information, &data, "Recipient verification");
    let refusal = match (&verified, mode) {
        (_, CheckMode::Off | CheckMode::Mark) | (Verified::Exists | Verified::AnyIsTaken, _) => None,
        (Verified::Missing(_), CheckMode::Enforce) => Some(replies::unknown_recipient()),
        (Verified::Unknown(_), CheckMode::Enforce) => Some(replies::unverified_recipient()),
    };
    step.actions.push(Action::Report(Report::Verified { recipient, verified, mode }));
    match refusal {
        Some(reply) => refuse(core, *candidate, &reply, step),
        None => filtering::recipient(core, candidate, step),
    }
}

pub(super) fn refuse(core: &mut Core, candidate: Candidate, reply: &Reply, step: &mut Step<'_>) -> State {
    core.turn_down(step, reply, Tarpit::Allowed, State::Mailing(candidate.transaction))
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
