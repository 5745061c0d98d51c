//! What a receive session reports, as events.

use std::sync::Arc;
use std::time::Duration;

use crate::mail::Domain;
use crate::observe::{AccessEvent, Event, FilterEvent, InboundChecked};
use crate::policy::Reached;
use crate::policy::milter::Denied;
use crate::session::receive::{Kept, Opening, Report};
use crate::smtp::SessionId;
use crate::trust::{Direction, TlsEvidence, TlsVersion};

/// What is told of a message once its 250 is on its way.
pub struct Accepted {
    pub sender: String,
    pub recipients: usize,
    pub size: u64,
    pub kept: Kept,
    /// From the beginning of the content until it was kept.
    pub after: Duration,
}

/// The event of one report; `accepted` is taken by the report of that message.
pub fn event(
    opening: &Opening,
    report: Report,
    accepted: &mut Option<Accepted>,
    evidence: Option<&Arc<TlsEvidence>>,
) -> Option<Event> {
    let connector = opening.connector.name.clone();
    let (session, remote) = (opening.id, opening.remote);
    Some(match report {
        Report::HandshakeDone { version, resumed: _ } => handshake(opening, Some(version), None),
        Report::HandshakeFailed { error } => handshake(opening, None, Some(error)),
        Report::Judged(verdict) => {
            Event::InboundJudged { verdict, connector, session, remote, evidence: evidence.cloned() }
        }
        Report::Checked { finding, mode } => {
            Event::InboundChecked(InboundChecked { finding, mode, connector, session, remote })
        }
        Report::Verified { recipient, verified, mode } => {
            let (result, detail) = (verified.as_str(), verified.detail().to_owned());
            let recipient = recipient.to_string();
            Event::Filter(FilterEvent::RecipientVerified {
                recipient,
                result,
                detail,
                mode,
                connector,
                session,
                remote,
            })
        }
        Report::Filtered { milter, result, detail, mode } => {
            let answered =
                FilterEvent::MilterAnswered { milter, result, detail, mode, connector, session, remote };
            Event::Filter(answered)
        }
        Report::ChangeDenied { milter, denied: Denied { change, reason } } => {
            Event::Filter(FilterEvent::MilterChangeDenied { milter, change, reason, connector, session })
        }
        Report::Discarded { queue_id, milter, sender, recipients } => {
            let by = format!("milter {milter}");
            Event::Filter(FilterEvent::MessageDiscarded {
                queue_id,
                by,
                connector,
                session,
                sender,
                recipients,
            })
        }
        Report::Accepted { queue_id, size: _, secured } => {
            received(accepted.take()?, queue_id, connector, session, secured)
        }
        Report::Refused { reply } => Event::MessageRefused { connector, session, remote, reply },
        Report::Authentication { mechanism, user, failure } => Event::Access(match failure {
            None => AccessEvent::AuthenticationSucceeded { connector, session, remote, mechanism, user },
            Some(reason) => {
                AccessEvent::AuthenticationFailed { connector, session, remote, mechanism, user, reason }
            }
        }),
        Report::LimitReached(Reached { limit, scope }) => {
            Event::Access(AccessEvent::LimitReached { limit, scope, connector, session, remote })
        }
        Report::ProtocolError { what } => Event::MessageRefused { connector, session, remote, reply: what },
    })
}

fn received(
    accepted: Accepted,
    queue_id: String,
    connector: String,
    session: SessionId,
    secured: Option<Domain>,
) -> Event {
    let Accepted { sender, recipients, size, kept, after } = accepted;
    let accept_to_durable = (kept == Kept::Durable).then_some(after);
    Event::MessageReceived {
        queue_id,
        connector,
        session,
        sender,
        size,
        recipients,
        secured,
        accept_to_durable,
    }
}

fn handshake(opening: &Opening, version: Option<TlsVersion>, error: Option<String>) -> Event {
    Event::TlsHandshake {
        direction: Direction::Inbound,
        connector: opening.connector.name.clone(),
        session: opening.id,
        remote: opening.remote,
        version,
        error,
    }
}
