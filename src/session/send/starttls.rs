//! TLS on our side, by STARTTLS (RFC 3207) wherever it is offered, or from the first byte (RFC 8314 3):
//! what the peer said before it is forgotten; the peer is judged behind it, fresh or resumed.

use std::sync::Arc;

use crate::session::tls_facts;
use crate::session::transcript::LineKind;
use crate::smtp::{Extensions, Reply};
use crate::trust::{OwnCertificateState, TlsEvidence, TlsState, TlsVersion};

use super::admission::{self, Judged, Lists};
use super::authenticate;
use super::core::{Core, Step};
use super::state::{Admitted, State};
use super::{Action, Failure, OwnCertificate, Report, greeting};

/// A peer judged good that has not yet spoken behind the handshake.
pub(super) struct Secured {
    evidence: Arc<TlsEvidence>,
    own: OwnCertificate,
    judged: Judged,
}

/// The reply to STARTTLS.
pub(super) fn answered(core: &mut Core, extensions: Extensions, reply: Reply, step: &mut Step<'_>) -> State {
    match reply.code {
        220 if core.is_silent() => {
            core.flush(step);
            step.actions.push(Action::StartTls);
            State::Handshaking
        }
        // Bytes behind the 220 would be taken for the peer's words inside TLS.
        220 => unusable(core, "the peer sent clear text behind its reply to STARTTLS", step),
        _ if admission::needs_tls(&core.opening) => {
            unusable(core, &format!("STARTTLS was refused: {reply}"), step)
        }
        421 => greeting::refused(core, reply, "STARTTLS", step),
        _ => greeting::in_clear(core, extensions, step),
    }
}

pub(super) fn established(
    core: &mut Core,
    evidence: Arc<TlsEvidence>,
    own: OwnCertificate,
    step: &mut Step<'_>,
) -> State {
    step.actions
        .push(Action::Report(Report::HandshakeDone { version: evidence.version, resumed: evidence.resumed }));
    if core.transcript.is_logged() {
        let presented = core.opening.certificate.clone().filter(|_| own == OwnCertificate::Sent);
        for (data, context) in tls_facts::lines(presented.as_deref(), &evidence) {
            core.note(step, LineKind::Information, &data, &context);
        }
    }
    core.forget_input();
    core.in_tls = true;
    let lists = if core.opening.fetch_revocation { Lists::MayBeFetched } else { Lists::AsTheyAre };
    judge(core, evidence, own, lists, step)
}

/// Judges the peer; where nothing but lists is missing they are asked for once, and then it is
/// judged again. The server waits for our EHLO meanwhile.
pub(super) fn judge(
    core: &mut Core,
    evidence: Arc<TlsEvidence>,
    own: OwnCertificate,
    lists: Lists,
    step: &mut Step<'_>,
) -> State {
    let state = match own {
        OwnCertificate::Sent => OwnCertificateState::Sent,
        OwnCertificate::NotRequested => OwnCertificateState::NotRequested,
    };
    let found = admission::look(core, TlsState::Established(&evidence), Some(state), step);
    if lists == Lists::MayBeFetched && !found.missing_lists().is_empty() {
        let wanted = found.missing_lists().to_vec();
        for (data, context) in tls_facts::fetch_lines(&wanted) {
            core.note(step, LineKind::Information, &data, &context);
        }
        step.actions.push(Action::FetchRevocation(wanted));
        return State::Refreshing(evidence, own);
    }
    match admission::conclude(core, found, step) {
        Ok(judged) => {
            let secured = Box::new(Secured { evidence, own, judged });
            if core.opening.connector.implicit_tls {
                // A banner that came while lists were fetched is read at once.
                return State::Secured(secured);
            }
            greeting::say_hello(core, "EHLO", step);
            State::GreetingAgain(secured)
        }
        // A server is not spoken to before its banner.
        Err(refused) if core.opening.connector.implicit_tls => {
            admission::turn_away_silently(core, refused, "the peer was not admitted", step)
        }
        Err(refused) => admission::turn_away(core, refused, step),
    }
}

/// The banner of a server with which TLS came first.
pub(super) fn banner(core: &mut Core, secured: Box<Secured>, reply: Reply, step: &mut Step<'_>) -> State {
    if reply.code != 220 {
        secured.judged.announce(step);
        return greeting::refused(core, reply, "connect", step);
    }
    greeting::say_hello(core, "EHLO", step);
    State::GreetingAgain(secured)
}

/// The reply to the EHLO behind the handshake.
pub(super) fn greeted(core: &mut Core, secured: Secured, reply: Reply, step: &mut Step<'_>) -> State {
    secured.judged.announce(step);
    if reply.code != 250 {
        return greeting::refused(core, reply, "EHLO", step);
    }
    let extensions = Extensions::parse_ehlo(&reply);
    let admitted = Admitted { permit: secured.judged.permit, extensions };
    authenticate::begin(core, admitted, &secured.evidence, step)
}

/// The connection ended before the peer's first word inside TLS. In TLS 1.3 this is how a server
/// shows that it does not take our certificate: for us the handshake was complete before it looked.
pub(super) fn cut_off(core: &mut Core, secured: Secured, error: &str, step: &mut Step<'_>) -> State {
    let Secured { evidence, own, judged } = secured;
    let presented = own == OwnCertificate::Sent && !evidence.resumed;
    if presented && evidence.version == TlsVersion::Tls13 {
        let refused = OwnCertificateState::Refused(error);
        let tls = TlsState::Established(&evidence);
        if let Err(refused) = admission::judge_connection(core, tls, Some(refused), step) {
            return admission::turn_away_silently(core, refused, error, step);
        }
    }
    judged.announce(step);
    let retry_in_clear = presented && !admission::needs_tls(&core.opening);
    core.fail(Failure::Broken { error: error.to_owned(), retry_in_clear }, error, step)
}

/// The handshake failed: `error` is the library's or the peer's word.
pub(super) fn failed(core: &mut Core, error: &str, certificate_refused: bool, step: &mut Step<'_>) -> State {
    core.note(step, LineKind::Information, error, "TLS handshake failed");
    step.actions.push(Action::Report(Report::HandshakeFailed { error: error.to_owned() }));
    let own = certificate_refused.then_some(OwnCertificateState::Refused(error));
    let needs_tls = admission::needs_tls(&core.opening);
    match admission::judge_connection(core, TlsState::Failed { error }, own, step) {
        Err(refused) if needs_tls => admission::turn_away_silently(core, refused, error, step),
        judged => {
            if let Ok(judged) = &judged {
                judged.announce(step);
            }
            core.fail(Failure::Broken { error: error.to_owned(), retry_in_clear: !needs_tls }, error, step)
        }
    }
}

/// TLS cannot be begun on this connection.
pub(super) fn unusable(core: &mut Core, error: &str, step: &mut Step<'_>) -> State {
    core.note(step, LineKind::Information, error, "TLS not started");
    match admission::judge_connection(core, TlsState::Failed { error }, None, step) {
        Err(refused) => admission::turn_away_silently(core, refused, error, step),
        Ok(judged) => {
            judged.announce(step);
            core.fail(Failure::broken(error.to_owned()), error, step)
        }
    }
}
