//! Judgement of a next hop: the permit without which no MAIL is said (CONTRACT section 3).

use std::sync::Arc;

use crate::session::tls_facts;
use crate::session::transcript::LineKind;
use crate::smtp::Reply;
use crate::trust::{
    Connection, Level, Mode, OwnCertificateState, Permit, Refusal, Requirement, RuledBy, TlsState, Verdict,
    WantedList, is_of_us, judge, printable,
};

use super::core::{Core, Step};
use super::state::State;
use super::{Action, Failure, Opening, Report};

/// A peer that may be sent to.
pub(super) struct Judged {
    pub permit: Permit,
    /// The verdict under the policy that ruled, to be reported once it is final.
    reported: Arc<Verdict>,
}

/// A peer that may not.
pub(super) struct Refused {
    verdict: Arc<Verdict>,
    reported: Arc<Verdict>,
}

/// Whether mail may go only over TLS. A partner's report mode asks for it too, and where TLS begins with
/// the connection there is no other way.
pub(super) fn needs_tls(opening: &Opening) -> bool {
    opening.connector.implicit_tls
        || fallback(opening).map_or(opening.requirement.level, |fallback| fallback.level) > Level::None
}

/// Whether lists that the verdict lacks may be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lists {
    MayBeFetched,
    /// They were asked for already, or fetching is off.
    AsTheyAre,
}

/// What judgement found, before anything is said or reported of it.
pub(super) struct Found {
    verdict: Verdict,
    /// The verdict that counts: in report mode another than `verdict`.
    decisive: Verdict,
}

impl Found {
    /// Lists with which it may be another.
    pub fn missing_lists(&self) -> &[WantedList] {
        let lists = &self.verdict.missing_lists;
        if lists.is_empty() { &self.decisive.missing_lists } else { lists }
    }
}

/// Judges the connection against the requirement, in report mode then against the fallback. `own`
/// says what became of our certificate, where there was an occasion.
pub(super) fn look(
    core: &Core,
    tls: TlsState<'_>,
    own: Option<OwnCertificateState<'_>>,
    step: &Step<'_>,
) -> Found {
    let opening = &core.opening;
    let invalid = opening.own_certificate_fault.as_deref().map(OwnCertificateState::Invalid);
    let own_certificate = invalid.or(own).unwrap_or(OwnCertificateState::NotApplicable);
    let connection = Connection { tls, own_certificate };
    let verdict = match (tls, own) {
        // A server that wants a certificate breaks off when we have none to show: our fault, not
        // the handshake's.
        (TlsState::Failed { .. }, Some(OwnCertificateState::Refused(_)))
            if invalid.is_some() && opening.requirement.level == Level::DomainSecure =>
        {
            let begun = Connection { tls: TlsState::Clear { offered: true }, own_certificate };
            judge(&opening.requirement, &begun, step.revocation, step.now.wall)
        }
        _ => judge(&opening.requirement, &connection, step.revocation, step.now.wall),
    };
    let decisive = match fallback(opening) {
        Some(fallback) if !verdict.is_good() => judge(&fallback, &connection, step.revocation, step.now.wall),
        Some(_) | None => verdict.clone(),
    };
    Found { verdict, decisive }
}

/// Notes the verdict and makes the permit.
pub(super) fn conclude(core: &mut Core, found: Found, step: &mut Step<'_>) -> Result<Judged, Refused> {
    let Found { verdict, decisive } = found;
    if core.opening.requirement.level > Level::None {
        for (data, context) in tls_facts::verdict_lines(&verdict) {
            core.note(step, LineKind::Information, &data, &context);
        }
    }
    let reported = Arc::new(verdict);
    match decisive.admit() {
        Ok(permit) => Ok(Judged { permit, reported }),
        Err(verdict) => Err(Refused { verdict: Arc::new(verdict), reported }),
    }
}

/// Judges with the lists as they are.
pub(super) fn judge_connection(
    core: &mut Core,
    tls: TlsState<'_>,
    own: Option<OwnCertificateState<'_>>,
    step: &mut Step<'_>,
) -> Result<Judged, Refused> {
    let found = look(core, tls, own, step);
    conclude(core, found, step)
}

/// What holds in report mode when the verdict is bad: what would hold without it, and for a partner
/// STARTTLS. An MTA-STS policy in testing holds nothing back (RFC 8461 5).
fn fallback(opening: &Opening) -> Option<Requirement> {
    match opening.requirement.mode {
        Mode::Enforce => None,
        Mode::Report => {
            let base = opening.fallback.as_ref().unwrap_or(&opening.requirement);
            let floor = match opening.requirement.ruled_by {
                RuledBy::MtaSts => Level::None,
                RuledBy::Partner | RuledBy::Dane | RuledBy::Connector => Level::EncryptionOnly,
            };
            let level = opening.fallback.as_ref().map_or(floor, |fallback| fallback.level.max(floor));
            Some(Requirement { level, mode: Mode::Enforce, ..base.clone() })
        }
    }
}

impl Judged {
    /// Reports the verdict: nothing that follows changes it.
    pub fn announce(&self, step: &mut Step<'_>) {
        step.actions.push(Action::Report(report(&self.reported)));
    }
}

fn report(verdict: &Arc<Verdict>) -> Report {
    let verdict = Arc::clone(verdict);
    if verdict.required == Level::DomainSecure { Report::Judged(verdict) } else { Report::Ruled(verdict) }
}

/// The verdict on a partner's server that refuses us, noted like any other and reported once a session.
/// `None` where the reply is about something else, or the next hop is no partner's.
pub(super) fn refused_by_partner(
    core: &mut Core,
    command: &str,
    reply: &Reply,
    step: &mut Step<'_>,
) -> Option<Arc<Verdict>> {
    let opening = &core.opening;
    if opening.requirement.level != Level::DomainSecure || !is_of_us(command, reply) {
        return None;
    }
    let own = opening.certificate.as_ref().map(|own| {
        format!("{} (until {}, SHA-256 {})", printable(&own.subject), own.not_after, own.thumbprint)
    });
    let refusal =
        Refusal { host: &opening.host, command, reply, own_certificate: own.as_deref(), in_tls: core.in_tls };
    let verdict = Arc::new(Verdict::refused_by_partner(&opening.requirement, &refusal));
    let (data, context) = verdict.log_line();
    core.note(step, LineKind::Information, &data, &context);
    if !std::mem::replace(&mut core.refusal_reported, true) {
        step.actions.push(Action::Report(report(&verdict)));
    }
    Some(verdict)
}

/// Says goodbye to a peer that is not admitted.
pub(super) fn turn_away(core: &mut Core, refused: Refused, step: &mut Step<'_>) -> State {
    core.say(step, "QUIT");
    turn_away_silently(core, refused, "the peer was not admitted", step)
}

/// The same where nobody listens any more.
pub(super) fn turn_away_silently(core: &mut Core, refused: Refused, why: &str, step: &mut Step<'_>) -> State {
    step.actions.push(Action::Report(report(&refused.reported)));
    core.fail(Failure::NotAdmitted(refused.verdict), why, step)
}
