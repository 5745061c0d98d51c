//! What a receive session waits for while its driver owes it an answer. Nothing is parsed then, and no
//! time of the client's runs.

use crate::smtp::Chunk;

use super::admission::Lists;
use super::authenticate::{self, LogIn, Showing};
use super::candidate::{self, Candidate};
use super::content::Receiving;
use super::core::{Core, Step, Tarpit};
use super::filtering::{self, Filtering};
use super::state::{Hello, State, Storing};
use super::transaction::{self, Admitted, MailRequest, Transaction};
use super::{Action, Input, Kept, Report, StoreFault, inspection, replies};

pub(super) enum Awaiting {
    /// PLAIN came; `PasswordChecked`.
    CheckingPassword(LogIn),
    /// A certificate was shown to log in with and lists are lacking; `RevocationRefreshed`.
    Showing(Box<Showing>),
    /// MAIL came; `RateChecked`.
    Rating(Hello, MailRequest),
    /// The verdict is good, and the partner's entry has limits; `RateChecked`.
    RatingPartner(Box<Admitted>),
    /// The verdict lacks revocation lists; `RevocationRefreshed`.
    Refreshing(Hello, MailRequest),
    /// MAIL is permitted; `SenderInspected`.
    Vetting(Transaction),
    /// MAIL is permitted; `MiltersAsked`.
    ShowingSender(Transaction),
    /// RCPT is permitted; `RecipientVerified`.
    Verifying(Box<Candidate>),
    /// RCPT is permitted; `MiltersAsked`.
    ShowingRecipient(Box<Candidate>),
    /// DATA or the first BDAT came; `DraftOpened`.
    Drafting(Transaction, Option<Chunk>),
    /// Content complete and held; `ContentInspected`.
    Examining(Box<Receiving>),
    /// Content complete and held; `MilterAnswered`.
    Filtering(Box<Filtering>),
    /// Content complete; `Stored`.
    Storing(Box<Storing>),
}

impl From<Awaiting> for State {
    fn from(awaiting: Awaiting) -> Self {
        State::Awaiting(awaiting)
    }
}

impl Awaiting {
    /// Whether the driver answers without waiting for disk or peer, so that replies may wait for
    /// that answer and leave with what follows.
    pub fn is_answered_at_once(&self) -> bool {
        matches!(self, Self::Rating(..) | Self::RatingPartner(_) | Self::Drafting(..))
    }

    /// Why the session is over where the peer closes now, for the protocol log.
    pub fn closed_by_the_peer(&self) -> &'static str {
        match self {
            Self::CheckingPassword(_) | Self::Showing(_) => "closed by the peer while it logged in",
            Self::Rating(..)
            | Self::RatingPartner(_)
            | Self::Refreshing(..)
            | Self::Vetting(_)
            | Self::ShowingSender(_)
            | Self::Verifying(_)
            | Self::ShowingRecipient(_)
            | Self::Drafting(..) => "closed by the peer within a transaction",
            Self::Examining(_) | Self::Filtering(_) | Self::Storing(_) => {
                "closed by the peer before our answer to the content"
            }
        }
    }

    /// Whether there is a draft that will never be committed if the session ends here. One being
    /// committed is none: the message is ours from the moment it is durable.
    pub fn has_draft(&self) -> bool {
        match self {
            Self::Drafting(..) | Self::Filtering(_) => true,
            Self::Examining(content) => content.has_draft(),
            Self::CheckingPassword(_)
            | Self::Showing(_)
            | Self::Rating(..)
            | Self::RatingPartner(_)
            | Self::Refreshing(..)
            | Self::Vetting(_)
            | Self::ShowingSender(_)
            | Self::Verifying(_)
            | Self::ShowingRecipient(_)
            | Self::Storing(_) => false,
        }
    }

    /// Content could not be kept.
    pub fn store_failed(&mut self, fault: StoreFault, step: &mut Step<'_>) {
        match self {
            Self::Examining(content) => content.refuse(replies::store(fault), step),
            Self::Storing(storing) => {
                storing.fault.get_or_insert(fault);
            }
            Self::CheckingPassword(_)
            | Self::Showing(_)
            | Self::Rating(..)
            | Self::RatingPartner(_)
            | Self::Refreshing(..)
            | Self::Vetting(_)
            | Self::ShowingSender(_)
            | Self::Verifying(_)
            | Self::ShowingRecipient(_)
            | Self::Drafting(..)
            | Self::Filtering(_) => {}
        }
    }
}

/// An input that may be the answer.
pub(super) fn answered(core: &mut Core, awaiting: Awaiting, input: Input<'_>, step: &mut Step<'_>) -> State {
    match (input, awaiting) {
        (Input::PasswordChecked(answer), Awaiting::CheckingPassword(log_in)) => {
            authenticate::password_checked(core, log_in, answer, step)
        }
        (Input::RateChecked(answer), Awaiting::Rating(hello, request)) => {
            transaction::rate_checked(core, hello, request, answer, step)
        }
        (Input::RateChecked(answer), Awaiting::RatingPartner(admitted)) => {
            transaction::partner_rate_checked(core, *admitted, answer, step)
        }
        (Input::RevocationRefreshed, Awaiting::Refreshing(hello, request)) => {
            transaction::judge(core, hello, request, Lists::AsTheyAre, step)
        }
        (Input::RevocationRefreshed, Awaiting::Showing(showing)) => {
            authenticate::show(core, *showing, Lists::AsTheyAre, step)
        }
        (Input::SenderInspected(findings), Awaiting::Vetting(transaction)) => {
            inspection::sender_inspected(core, transaction, findings, step)
        }
        (Input::MiltersAsked(said), Awaiting::ShowingSender(transaction)) => {
            filtering::sender_shown(core, transaction, said, step)
        }
        (Input::RecipientVerified(known), Awaiting::Verifying(candidate)) => {
            candidate::verified(core, candidate, known, step)
        }
        (Input::MiltersAsked(said), Awaiting::ShowingRecipient(candidate)) => {
            filtering::recipient_shown(core, candidate, said, step)
        }
        (Input::DraftOpened(answer), Awaiting::Drafting(transaction, chunk)) => {
            transaction::draft_opened(core, transaction, chunk, answer, step)
        }
        (Input::ContentInspected(answer), Awaiting::Examining(content)) => {
            inspection::content_inspected(core, content, answer, step)
        }
        (Input::MilterAnswered(answer), Awaiting::Filtering(filtering)) => {
            filtering::content_shown(core, filtering, answer, step)
        }
        (Input::Stored(answer), Awaiting::Storing(storing)) => stored(core, *storing, answer, step),
        // One that nobody asked for, such as one that crossed the peer's closing.
        (
            Input::Connected(_)
            | Input::Bytes(_)
            | Input::TlsEstablished(_)
            | Input::TlsFailed(_)
            | Input::DraftOpened(_)
            | Input::Stored(_)
            | Input::StoreFailed(_)
            | Input::RateChecked(_)
            | Input::RevocationRefreshed
            | Input::PasswordChecked(_)
            | Input::SenderInspected(_)
            | Input::ContentInspected(_)
            | Input::RecipientVerified(_)
            | Input::MiltersAsked(_)
            | Input::MilterAnswered(_)
            | Input::Timeout
            | Input::Closed
            | Input::Shutdown,
            awaiting,
        ) => awaiting.into(),
    }
}

fn stored(core: &mut Core, storing: Storing, answer: Result<Kept, StoreFault>, step: &mut Step<'_>) -> State {
    match answer {
        Ok(kept) => {
            core.clock.completed();
            core.say(step, &replies::kept(kept, &storing.queue_id));
            step.actions.push(Action::Report(Report::Accepted {
                queue_id: storing.queue_id,
                size: storing.size,
                secured: storing.secured,
            }));
        }
        Err(fault) => {
            let fault = storing.fault.unwrap_or(fault);
            core.refuse(step, &replies::store(fault), Tarpit::Never);
        }
    }
    State::Ready(storing.hello)
}
