//! One session explained to whoever is on duty: its story in sentences, the line that decided, what
//! that line means, what to do about it and who must. Of our logs and of Exchange's.

mod alerts;
mod codes;
mod deciding;
mod story;
mod transactions;

use serde::Serialize;

use super::Session;
use crate::trust::Direction;

pub use deciding::Deciding;
pub use transactions::{Fate, RecipientFate, Transaction};

/// What a session comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub session: String,
    pub direction: Direction,
    pub connector: String,
    pub remote: String,
    /// Sentences, in the order of events. Peers' words in them are not escaped.
    pub story: Vec<String>,
    pub transactions: Vec<Transaction>,
    /// `None`: nothing went wrong.
    pub deciding: Option<Deciding>,
}

/// Explains a session that has its lines.
pub fn explain(session: &Session) -> Explanation {
    let (transactions, left_out) = transactions::of(session);
    Explanation {
        session: session.id.clone(),
        direction: session.direction,
        connector: session.connector.clone(),
        remote: session.remote.clone(),
        story: story::tell(session, &transactions, left_out),
        transactions,
        deciding: deciding::of(session),
    }
}

#[cfg(test)]
mod tests;
