//! Checks that need the world: the session asks its driver at MAIL and at the final dot, tells what
//! was found, and refuses where the connector enforces (`policy::InboundChecks`).

use std::sync::Arc;

use crate::policy::{CheckMode, Finding, InboundChecks};
use crate::session::transcript::LineKind;

use super::admission::Admission;
use super::awaiting::Awaiting;
use super::content::{Receiving, Refusal};
use super::core::{Core, Step, Tarpit};
use super::state::State;
use super::transaction::Transaction;
use super::{Action, Inspection, Report, StoreFault, filtering, replies};

/// Which checks a transaction gets. One with a good verdict gets them as far as the rule for
/// partners goes, and the protocol log says so.
pub(super) fn checks_of(core: &mut Core, admission: &Admission, step: &mut Step<'_>) -> Arc<InboundChecks> {
    let checks = Arc::clone(&core.opening.connector.checks);
    let Some(domain) = admission.permit.secured_domain() else { return checks };
    if !checks.concern_sender() && !checks.concern_content() {
        return checks;
    }
    let consequence = match checks.of_partners {
        CheckMode::Off => "inbound checks are not made",
        CheckMode::Mark => "inbound checks are made and refuse nothing",
        CheckMode::Enforce => "inbound checks are made as for everyone",
    };
    core.note(step, LineKind::Information, &format!("{domain} is proved: {consequence}"), "Partner checks");
    Arc::new(checks.of_partner())
}

/// MAIL is permitted; the sender is looked at where something is asked of it.
pub(super) fn sender(core: &mut Core, transaction: Transaction, step: &mut Step<'_>) -> State {
    if !transaction.checks.concern_sender() {
        return filtering::sender(core, transaction, step);
    }
    core.flush(step);
    step.actions.push(Action::Inspect(Inspection::Sender {
        checks: Arc::clone(&transaction.checks),
        helo: transaction.hello.name.clone(),
        reverse_path: transaction.envelope.reverse_path.clone(),
    }));
    Awaiting::Vetting(transaction).into()
}

pub(super) fn sender_inspected(
    core: &mut Core,
    mut transaction: Transaction,
    findings: Vec<Finding>,
    step: &mut Step<'_>,
) -> State {
    tell(core, &transaction.checks, &findings, step);
    if let Some(reply) = transaction.checks.refusal(&findings) {
        core.refuse(step, &reply, Tarpit::Allowed);
        return State::Ready(transaction.hello);
    }
    transaction.findings = findings;
    filtering::sender(core, transaction, step)
}

/// The held content was looked at; with `head`, its header section, it goes on.
pub(super) fn content_inspected(
    core: &mut Core,
    mut content: Box<Receiving>,
    answer: Result<(Vec<u8>, Vec<Finding>), StoreFault>,
    step: &mut Step<'_>,
) -> State {
    match answer {
        Err(fault) => content.refuse(replies::store(fault), step),
        Ok((head, findings)) => {
            tell(core, content.checks(), &findings, step);
            match content.checks().refusal(&findings) {
                Some(reply) => content.refuse(Refusal::from(reply), step),
                None => {
                    content.found(findings);
                    if content.transaction().milters.are_asked() {
                        return filtering::content(core, content, &head, step);
                    }
                    content.release(core, &head, step);
                }
            }
        }
    }
    content.conclude(core, step)
}

/// One line of the protocol log and one event of each.
fn tell(core: &mut Core, checks: &InboundChecks, findings: &[Finding], step: &mut Step<'_>) {
    for finding in findings {
        core.note(step, LineKind::Information, &finding.line(), "Inbound check");
        let mode = checks.mode(finding.check);
        step.actions.push(Action::Report(Report::Checked { finding: finding.clone(), mode }));
    }
}
