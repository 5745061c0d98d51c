//! What the OCSP response that a server stapled says of its certificate, if the issuer or a
//! responder that the issuer appointed signed it (RFC 6960 3.2, 4.2.2.2).

use rustls::pki_types::CertificateDer;

use super::ChainDemand;
use super::marks;
use super::pool::Certificate;
use super::revocation::{Issuer, known_good};
use crate::trust::der;
use crate::trust::memory::Span;
use crate::trust::ocsp::{Answer, BasicResponse, Question, Staple, StapleProblem, Status};
use crate::trust::signature;

/// id-pkix-ocsp-nocheck (RFC 6960 4.2.2.2.1): for its short life the responder needs no list.
const NO_CHECK: &str = "1.3.6.1.5.5.7.48.1.5";

/// Enclosed certificates tried: each costs a signature check on each path.
const RESPONDERS_MAX: usize = 4;

/// What became of the staple, and while that stays so.
pub(super) struct Heard {
    pub staple: Staple,
    pub span: Span,
}

/// Judges the response by the key that issued `certificate`; `None` where none was stapled.
pub(super) fn hear(
    certificate: &Certificate<'_>,
    issuer: &Issuer<'_>,
    demand: &ChainDemand<'_>,
) -> Option<Heard> {
    let heard = demand.staple.map(|staple| judge(staple, certificate, issuer, demand))?;
    Some(heard.unwrap_or_else(|problem| {
        // What is too early or too late today may be neither at another time: kept for no time.
        let span = Span { from: i64::MAX, until: i64::MIN };
        Heard { staple: Staple::Ignored(problem), span }
    }))
}

fn judge(
    staple: &[u8],
    certificate: &Certificate<'_>,
    issuer: &Issuer<'_>,
    demand: &ChainDemand<'_>,
) -> Result<Heard, StapleProblem> {
    let response = BasicResponse::read(staple)?;
    let key = der::public_key(issuer.key_content).ok_or(StapleProblem::OtherCertificate)?;
    let answer = response.answer(&Question {
        issuer: certificate.parsed.issuer().as_raw(),
        issuer_key: key.key,
        serial: certificate.parsed.raw_serial(),
    })?;
    let signer = signed_by(&response, certificate, issuer, demand)?;
    let span = span(&answer, demand)?.and(signer);
    let staple = match answer.status {
        Status::Good => Staple::Good { until: answer.next_update.unwrap_or(answer.this_update) },
        Status::Revoked(entry) => Staple::Revoked(entry),
        Status::Unknown => return Err(StapleProblem::Unknown),
    };
    Ok(Heard { staple, span })
}

/// The whole seconds at which the answer is current; an error when now is none of them.
fn span(answer: &Answer, demand: &ChainDemand<'_>) -> Result<Span, StapleProblem> {
    let next = answer.next_update.ok_or(StapleProblem::NoNextUpdate)?;
    let now = demand.now.as_second();
    if now < answer.this_update.as_second() {
        Err(StapleProblem::NotYetCurrent(answer.this_update))
    } else if now > next.as_second() {
        Err(StapleProblem::OutOfDate(next))
    } else {
        Ok(Span { from: answer.this_update.as_second(), until: next.as_second() })
    }
}

/// Who signed the response, and when that is to be believed: the issuer itself, or the first of the
/// enclosed certificates that made the signature.
fn signed_by(
    response: &BasicResponse<'_>,
    certificate: &Certificate<'_>,
    issuer: &Issuer<'_>,
    demand: &ChainDemand<'_>,
) -> Result<Span, StapleProblem> {
    if signature::verify(response.der, issuer.key_content).is_ok() {
        return Ok(Span::ALWAYS);
    }
    for enclosed in response.certificates.iter().take(RESPONDERS_MAX) {
        let enclosed = CertificateDer::from(enclosed.as_slice());
        let Ok(responder) = Certificate::read(&enclosed) else { continue };
        if signature::verify(response.der, responder.key_content()).is_ok() {
            let listed = appointed(&responder, certificate, issuer, demand)?;
            return Ok(Span::of(&responder.parsed).and(listed));
        }
    }
    Err(StapleProblem::NotTheIssuers)
}

/// Whether the issuer of `certificate` itself appointed the responder, and while lists say that it
/// still stands.
fn appointed(
    responder: &Certificate<'_>,
    certificate: &Certificate<'_>,
    issuer: &Issuer<'_>,
    demand: &ChainDemand<'_>,
) -> Result<Span, StapleProblem> {
    let by_issuer = responder.issuer_content() == certificate.issuer_content()
        && signature::verify(responder.der.as_ref(), issuer.key_content).is_ok();
    if !by_issuer {
        return Err(StapleProblem::NotTheIssuers);
    }
    let refuse = |why: &str| -> Result<Span, StapleProblem> { Err(StapleProblem::Responder(why.to_owned())) };
    // Named, and not only covered by anyExtendedKeyUsage.
    if !responder.extended_key_usage().is_some_and(|usage| usage.ocsp_signing) {
        return refuse("is not for signing responses (OCSPSigning)");
    }
    if responder.key_usage().is_some_and(|usage| !usage.digital_signature()) {
        return refuse("is not for signatures (digitalSignature)");
    }
    let mut facts = Vec::new();
    marks::critical_extensions(responder, &mut facts);
    marks::algorithms(&[responder], demand.algorithms, &mut facts);
    marks::validity(&[responder], demand.now, &mut facts);
    if let Some(fact) = facts.first() {
        return refuse(&format!("cannot be used: {}", fact.got));
    }
    if responder.has_extension(NO_CHECK) {
        return Ok(Span::ALWAYS);
    }
    let listed = known_good(responder, issuer, demand);
    listed.map_or_else(|| refuse("is revoked, or it cannot be told whether it is"), Ok)
}
