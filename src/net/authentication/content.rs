//! DKIM (RFC 6376, 8301, 8463), ARC (RFC 8617) and DMARC (RFC 9989) of a whole message.

use std::net::IpAddr;

use base64ct::{Base64, Encoding};
use mail_auth::common::crypto::Algorithm;
use mail_auth::dmarc::Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult};
use tokio::time::{Instant, timeout_at};

use crate::mail::Domain;
use crate::mail::header::HeaderSection;
use crate::policy::limits::DKIM_SIGNATURES_MAX;
use crate::policy::{Check, CheckMode, Consequence, Finding, InboundChecks, Outcome};

use super::{Authenticator, SpfEvidence};

/// What is asked, and by when.
pub struct Question<'a> {
    pub checks: &'a InboundChecks,
    pub client: IpAddr,
    /// Of the same transaction; DMARC without it has only DKIM to go by.
    pub spf: Option<&'a SpfEvidence>,
    /// The whole message as it came, and where its body begins.
    pub message: &'a [u8],
    pub head: usize,
    pub deadline: Instant,
}

const TOO_LATE: &str = "not known in time";

/// The findings of all content checks that are on. Hashes the body: for a thread that may block.
pub async fn check(authenticator: &Authenticator, question: &Question<'_>) -> Vec<Finding> {
    let checks = question.checks;
    let parsed = tokio::task::block_in_place(|| AuthenticatedMessage::parse(question.message));
    let Some(mut message) = parsed else {
        return without_header(checks);
    };
    // Each costs a question and a signature check; what is above the limit counts as not there.
    message.dkim_headers.truncate(DKIM_SIGNATURES_MAX);
    let on = |mode: CheckMode| mode != CheckMode::Off;
    let mut findings = Vec::new();
    let outputs = match on(checks.dkim) || on(checks.dmarc) {
        true => timeout_at(question.deadline, authenticator.inner.verify_dkim(&message)).await.ok(),
        false => Some(Vec::new()),
    };
    if on(checks.dkim) {
        findings.extend(dkim(outputs.as_deref()));
    }
    if on(checks.arc) {
        let answer = timeout_at(question.deadline, authenticator.inner.verify_arc(&message)).await;
        let found = answer.map_or_else(
            |_| Finding::new(Check::Arc, Outcome::TempError, TOO_LATE),
            |output| arc(output.result()),
        );
        findings.push(found.with("smtp.remote-ip", question.client.to_canonical().to_string()));
    }
    if on(checks.dmarc) {
        findings.push(dmarc(authenticator, question, &message, outputs).await);
    }
    findings
}

/// Without a header section nothing is signed and nobody is named.
fn without_header(checks: &InboundChecks) -> Vec<Finding> {
    let on = [Check::Dkim, Check::Arc, Check::Dmarc];
    let on = on.into_iter().filter(|check| checks.mode(*check) != CheckMode::Off);
    on.map(|check| Finding::new(check, Outcome::None, "there is no header section")).collect()
}

/// A finding for each signature. They are refused when all are bad, and put off when a good one may
/// be among them.
fn dkim(outputs: Option<&[DkimOutput<'_>]>) -> Vec<Finding> {
    let Some(outputs) = outputs else {
        return vec![Finding::new(Check::Dkim, Outcome::TempError, TOO_LATE)];
    };
    if outputs.is_empty() {
        return vec![Finding::new(Check::Dkim, Outcome::None, "")];
    }
    let mut findings: Vec<Finding> = outputs.iter().map(signature).collect();
    let has = |outcome| findings.iter().any(|finding: &Finding| finding.outcome == outcome);
    let consequence = match (has(Outcome::Pass), has(Outcome::TempError)) {
        (true, _) => Consequence::Take,
        (false, true) => Consequence::Defer,
        (false, false) => Consequence::Refuse,
    };
    for finding in &mut findings {
        finding.consequence = consequence;
    }
    findings
}

fn signature(output: &DkimOutput<'_>) -> Finding {
    let new = |outcome, reason: String| Finding::new(Check::Dkim, outcome, reason);
    let mut finding = match (output.result(), flaw(output)) {
        (DkimResult::Pass, None) => new(Outcome::Pass, String::new()),
        (DkimResult::Pass, Some(flaw)) => new(Outcome::Policy, flaw.to_owned()),
        (DkimResult::Neutral(error) | DkimResult::Fail(error), _) => new(Outcome::Fail, error.to_string()),
        (DkimResult::PermError(error), _) => new(Outcome::PermError, error.to_string()),
        (DkimResult::TempError(error), _) => new(Outcome::TempError, error.to_string()),
        (DkimResult::None, _) => new(Outcome::None, String::new()),
    };
    if let Some(signature) = output.signature() {
        finding = finding.with("header.d", signature.d.as_str()).with("header.s", signature.s.as_str());
        if !signature.i.is_empty() {
            finding = finding.with("header.i", signature.i.as_str());
        }
        // Enough to tell one signature from another (RFC 6008).
        if let Some(start) = signature.b.get(..6) {
            finding = finding.with("header.b", Base64::encode_string(start));
        }
    }
    finding
}

/// Why a signature that is right proves nothing: SHA-1 (RFC 8301 3.1), or From: is not signed
/// (RFC 6376 5.4, 6.1.1).
fn flaw(output: &DkimOutput<'_>) -> Option<&'static str> {
    let signature = output.signature()?;
    if signature.a == Algorithm::RsaSha1 {
        return Some("rsa-sha1 proves nothing any more");
    }
    let signs_from = signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"));
    (!signs_from).then_some("From: is not signed")
}

fn arc(result: &DkimResult) -> Finding {
    let new = |outcome, reason: String| Finding::new(Check::Arc, outcome, reason);
    match result {
        DkimResult::None => new(Outcome::None, String::new()),
        DkimResult::Pass => new(Outcome::Pass, String::new()),
        DkimResult::TempError(error) => new(Outcome::TempError, error.to_string()),
        DkimResult::Neutral(error) | DkimResult::Fail(error) | DkimResult::PermError(error) => {
            new(Outcome::Fail, error.to_string()).refused()
        }
    }
}

async fn dmarc(
    authenticator: &Authenticator,
    question: &Question<'_>,
    message: &AuthenticatedMessage<'_>,
    signatures: Option<Vec<DkimOutput<'_>>>,
) -> Finding {
    let new = |outcome, reason: &str| Finding::new(Check::Dmarc, outcome, reason);
    let author = match author(question, message) {
        Author::One(domain) => domain,
        Author::None => return new(Outcome::PermError, "From: names no domain"),
        Author::Unclear => {
            return new(Outcome::PermError, "From: names several domains, or cannot be read").refused();
        }
    };
    let Some(signatures) = signatures else {
        return new(Outcome::TempError, TOO_LATE).with("header.from", author.to_string());
    };
    let sound: Vec<DkimOutput<'_>> = signatures.into_iter().filter(|output| flaw(output).is_none()).collect();
    let nothing = SpfEvidence { domain: String::new(), output: mail_auth::SpfOutput::new(String::new()) };
    let spf = question.spf.unwrap_or(&nothing);
    let parameters = DmarcParameters::new(message, &sound, &spf.domain, &spf.output);
    let answer = timeout_at(question.deadline, authenticator.inner.verify_dmarc(parameters)).await;
    let finding = match answer {
        Ok(output) => judged(&output),
        Err(_) => new(Outcome::TempError, TOO_LATE),
    };
    finding.with("header.from", author.to_string())
}

/// Whose policy counts.
#[derive(Debug, PartialEq, Eq)]
enum Author {
    One(Domain),
    None,
    /// A message that can be read as from one or the other must not choose whose policy it meets.
    Unclear,
}

fn author(question: &Question<'_>, message: &AuthenticatedMessage<'_>) -> Author {
    let head = question.message.get(..question.head).unwrap_or(question.message);
    let ours = HeaderSection::new(head).from_domains();
    let theirs = message.from.iter().filter_map(|address| address.rsplit_once('@'));
    let theirs: Vec<_> = theirs.map(|(_, domain)| Domain::parse(domain)).collect();
    let mut domains = ours.domains.iter();
    match (domains.next(), domains.next()) {
        (Some(one), None) => {
            let agreed = !theirs.is_empty() && theirs.iter().all(|domain| domain.as_ref() == Ok(one));
            if agreed && !ours.unparsable { Author::One(one.clone()) } else { Author::Unclear }
        }
        (None, _) if theirs.is_empty() => Author::None,
        (None, _) | (Some(_), Some(_)) => Author::Unclear,
    }
}

fn judged(output: &DmarcOutput) -> Finding {
    let new = |outcome, reason: String| Finding::new(Check::Dmarc, outcome, reason);
    let policy = match output.policy() {
        Policy::Reject => "reject",
        Policy::Quarantine => "quarantine",
        Policy::None | Policy::Unspecified => "none",
    };
    let domain = output.domain();
    let known = output.dmarc_record().is_some();
    let finding = match output.result() {
        DmarcResult::Pass => new(Outcome::Pass, String::new()),
        DmarcResult::None => return new(Outcome::None, String::new()),
        DmarcResult::PermError(error) => return new(Outcome::PermError, error.to_string()),
        DmarcResult::Fail(_) => {
            let failed =
                new(Outcome::Fail, format!("neither SPF nor DKIM proves {domain}, whose policy is {policy}"));
            if output.policy() == Policy::Reject { failed.refused() } else { failed }
        }
        DmarcResult::TempError(error) => {
            let mut unknown = new(Outcome::TempError, error.to_string());
            // Whatever came of it, nothing would be refused.
            if known && output.policy() != Policy::Reject {
                unknown.consequence = Consequence::Take;
            }
            unknown
        }
    };
    if known { finding.with("policy.dmarc", policy) } else { finding }
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
