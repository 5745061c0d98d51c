//! Judgement at MAIL: which permit a transaction gets, and which domains it has proved (CONTRACT
//! section 3). Every transaction is judged afresh, on fresh and resumed TLS sessions alike.

use std::sync::Arc;

use crate::mail::{Domain, ReversePath};
use crate::policy::secure_domains::{self, Proved};
use crate::session::transcript::LineKind;
use crate::smtp::Reply;
use crate::trust::{Direction, Level, Mode, OnFailure, Permit, Requirement, Verdict, WantedList, judge};

use super::core::{Core, Step};
use super::{Action, Report};

/// The outcome of a good judgement.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    pub permit: Permit,
    /// Domains the session proved by mutual TLS. One for a listed reverse-path; for `<>` those of
    /// each partner that proves itself.
    pub proved: Vec<Domain>,
}

/// Whether lists that the verdict lacks may be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lists {
    MayBeFetched,
    /// They were asked for already, or fetching is off.
    AsTheyAre,
}

pub(super) enum NotAdmitted {
    Refused(Reply),
    /// Nothing is said or reported yet: with these lists the verdict may be another.
    Lacks(Vec<WantedList>),
}

/// Judges the session for a transaction with this reverse-path.
pub(super) fn admit(
    core: &mut Core,
    path: &ReversePath,
    lists: Lists,
    step: &mut Step<'_>,
) -> Result<Admission, NotAdmitted> {
    if !core.opening.connector.domain_secure_enabled {
        return ordinary(core, path, Vec::new(), step);
    }
    let settings = step.world.settings;
    match path {
        ReversePath::Null => null_sender(core, path, lists, step),
        ReversePath::Address(address) => {
            let demand = address
                .domain()
                .and_then(|domain| secure_domains::requirement(settings, Direction::Inbound, domain));
            match demand {
                Some(demand) => listed(core, path, &demand, lists, step),
                None => ordinary(core, path, Vec::new(), step),
            }
        }
    }
}

/// A domain on the receive list.
fn listed(
    core: &mut Core,
    path: &ReversePath,
    demand: &Requirement,
    lists: Lists,
    step: &mut Step<'_>,
) -> Result<Admission, NotAdmitted> {
    let verdict = judge_now(core, demand, step);
    if lists == Lists::MayBeFetched && !verdict.missing_lists.is_empty() {
        return Err(NotAdmitted::Lacks(verdict.missing_lists));
    }
    note_verdict(core, &verdict, step);
    step.actions.push(Action::Report(Report::Judged(Arc::new(verdict.clone()))));
    match (verdict.admit(), demand.mode) {
        (Ok(permit), _) => {
            core.proved = true;
            Ok(Admission { permit, proved: vec![demand.domain.clone()] })
        }
        (Err(verdict), Mode::Enforce) => {
            Err(NotAdmitted::Refused(refusal(core, &verdict, demand.on_failure)))
        }
        // Reported, and then as if the domain were not listed.
        (Err(_), Mode::Report) => ordinary(core, path, Vec::new(), step),
    }
}

/// `<>` needs no verdict. It counts as domain-secured when exactly one partner is proved.
fn null_sender(
    core: &mut Core,
    path: &ReversePath,
    lists: Lists,
    step: &mut Step<'_>,
) -> Result<Admission, NotAdmitted> {
    let world = step.world;
    let Proved { mut partners, missing_lists } =
        secure_domains::proved_partners(world.settings, &core.connection(), world.revocation, world.now);
    if lists == Lists::MayBeFetched && !missing_lists.is_empty() {
        return Err(NotAdmitted::Lacks(missing_lists));
    }
    let proved: Vec<Domain> = partners.iter().flat_map(|partner| partner.domains.clone()).collect();
    core.proved |= !proved.is_empty();
    match partners.pop() {
        Some(partner) if partners.is_empty() => {
            note_verdict(core, partner.permit.verdict(), step);
            Ok(Admission { permit: partner.permit, proved })
        }
        Some(_) | None => ordinary(core, path, proved, step),
    }
}

/// Everyone else, under the connector's `require_tls`.
fn ordinary(
    core: &mut Core,
    path: &ReversePath,
    proved: Vec<Domain>,
    step: &mut Step<'_>,
) -> Result<Admission, NotAdmitted> {
    let settings = step.world.settings;
    let connector = &core.opening.connector;
    // Also a session that began in clear, before the connector became one of implicit TLS.
    let level = match connector.require_tls || connector.implicit_tls {
        true => Level::EncryptionOnly,
        false => Level::None,
    };
    // An address literal or `<>` has no domain; at these levels none is proved.
    let domain = path.domain().unwrap_or(&settings.hostname);
    let demand = secure_domains::ordinary(settings, Direction::Inbound, domain, level);
    match judge_now(core, &demand, step).admit() {
        Ok(permit) => Ok(Admission { permit, proved }),
        Err(verdict) => {
            note_verdict(core, &verdict, step);
            Err(NotAdmitted::Refused(refusal(core, &verdict, demand.on_failure)))
        }
    }
}

fn judge_now(core: &Core, demand: &Requirement, step: &Step<'_>) -> Verdict {
    judge(demand, &core.connection(), step.world.revocation, step.world.now.wall)
}

fn note_verdict(core: &mut Core, verdict: &Verdict, step: &mut Step<'_>) {
    for (data, context) in crate::session::tls_facts::verdict_lines(verdict) {
        core.note(step, LineKind::Information, &data, &context);
    }
}

fn refusal(core: &Core, verdict: &Verdict, on_failure: OnFailure) -> Reply {
    // No reply belongs to a failed handshake, but none gets here: such a connection is closed.
    verdict.reply(on_failure, core.opening.id).unwrap_or_else(|| {
        Reply::new(454, (4, 7, 5), format!("TLS is not usable (session {})", core.opening.id))
    })
}
