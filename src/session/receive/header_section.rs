//! What becomes of the header section of an incoming message: loops and unproved From: domains are
//! refused, foreign stamps are removed, ours, `Received:` and what checks found are put first
//! (CONTRACT section 4, RFC 8601).

use crate::mail::authentication_results::{AuthenticationResults, MethodResult};
use crate::mail::header::{FromDomains, HeaderSection};
use crate::mail::received::{Greeting, Received, TlsFacts};
use crate::mail::{Domain, Envelope, TlsRequired};
use crate::policy::{CheckMode, Finding, HeaderFrom, InboundChecks, Settings, header_firewall, limits};
use crate::trust::Mode;

use super::admission::Admission;
use super::content::Refusal;
use super::core::{Core, Tarpit};
use super::state::Hello;
use super::{World, replies};

/// The transaction a header section belongs to.
pub(super) struct Site<'a> {
    pub core: &'a Core,
    pub hello: &'a Hello,
    pub admission: &'a Admission,
    pub envelope: &'a Envelope,
    pub queue_id: &'a str,
    pub checks: &'a InboundChecks,
    pub findings: &'a [Finding],
}

/// Whether a message with this header section is taken; if so, the domains in From: that it has not
/// proved.
pub(super) fn examine<'a>(
    site: &Site<'_>,
    head: &[u8],
    world: World<'a>,
) -> Result<Vec<&'a Domain>, Refusal> {
    let section = HeaderSection::new(head);
    if section.received_count() > limits::RECEIVED_FIELDS_MAX {
        return Err(replies::loops().into());
    }
    let unproved = unproved_from(site, section, world.settings);
    match refused_from(&unproved, world.settings) {
        None => Ok(unproved),
        Some(domain) => {
            let reply = replies::unproved_from(domain, site.core.opening.id);
            Err(Refusal { reply, tarpit: Tarpit::Never })
        }
    }
}

/// A header section as it is stored, without the empty line.
pub(super) struct Rewritten {
    pub head: Vec<u8>,
    /// How many of its fields are ours; they come first.
    pub own: usize,
}

pub(super) fn rewrite(site: &Site<'_>, head: &[u8], world: World<'_>) -> Result<Rewritten, Refusal> {
    let unproved = examine(site, head, world)?;
    let keeps = keeps_organization_headers(site, world.settings);
    let kept = header_firewall::incoming(head, keeps, world.settings.ours());
    let mut fields = received(site, world).to_string().into_bytes();
    for stamp in stamps(site, &unproved, world.settings) {
        fields.extend_from_slice(format!("Domain-Secured: {stamp}\r\n").as_bytes());
    }
    if let Some(results) = results(site, world.settings) {
        fields.extend_from_slice(results.to_string().as_bytes());
    }
    let own = HeaderSection::new(&fields).fields().count();
    fields.extend_from_slice(&kept);
    Ok(Rewritten { head: fields, own })
}

/// What the checks of this connector found; a check that is on says at least `none`.
fn results<'a>(site: &'a Site<'_>, settings: &'a Settings) -> Option<AuthenticationResults<'a>> {
    if !site.checks.concern_sender() && !site.checks.concern_content() {
        return None;
    }
    let told = site.findings.iter().filter(|finding| site.checks.mode(finding.check) != CheckMode::Off);
    let results = told.map(|finding| MethodResult {
        method: finding.check.name(),
        result: finding.outcome.as_str(),
        reason: &finding.reason,
        properties: &finding.properties,
    });
    Some(AuthenticationResults { authserv_id: &settings.hostname, results: results.collect() })
}

/// The header field counts only where `MAIL` has not said `REQUIRETLS` (RFC 8689 4.1).
pub(super) fn note_wish(envelope: &mut Envelope, head: &[u8]) {
    if envelope.tls_required == TlsRequired::Unstated && HeaderSection::new(head).waives_tls() {
        envelope.tls_required = TlsRequired::No;
    }
}

fn received<'a>(site: &'a Site<'a>, world: World<'a>) -> Received<'a> {
    let tls = site.core.tls.as_deref();
    Received {
        helo: site.hello.name.as_str(),
        remote: site.core.opening.remote.ip(),
        by: &world.settings.hostname,
        greeting: if site.hello.extended { Greeting::Ehlo } else { Greeting::Helo },
        smtputf8: site.envelope.smtputf8,
        tls: tls.map(|evidence| TlsFacts {
            version: evidence.version.as_str(),
            cipher_suite: &evidence.cipher_suite,
        }),
        authenticated: site.core.identity.is_some(),
        id: site.queue_id,
        recipients: &site.envelope.recipients,
        at: world.now.wall,
    }
}

/// Stamps that an inner edge of ours has set stay, but never on mail that claims to be a
/// partner's: only a verdict speaks for that.
fn keeps_organization_headers(site: &Site<'_>, settings: &Settings) -> bool {
    let claims_partner = site
        .envelope
        .reverse_path
        .domain()
        .is_some_and(|domain| settings.transport.tls_receive_domain_secure_list.contains(domain));
    site.core.opening.connector.accept_organization_headers && !claims_partner
}

fn stamps(site: &Site<'_>, unproved: &[&Domain], settings: &Settings) -> Vec<String> {
    let permit = &site.admission.permit;
    let good = permit
        .secured_domain()
        .and(site.core.tls.as_deref())
        .map(|evidence| permit.stamp(&settings.hostname, site.core.opening.id, evidence, site.core.peer()));
    let bad = unproved.iter().map(|domain| format!("none; from={domain}"));
    good.into_iter().chain(bad).collect()
}

/// Domains in From: that are on the receive list and that this transaction has not proved.
fn unproved_from<'a>(site: &Site<'_>, section: HeaderSection<'_>, settings: &'a Settings) -> Vec<&'a Domain> {
    let listed = &settings.transport.tls_receive_domain_secure_list;
    if settings.transport.header_from == HeaderFrom::Off || listed.is_empty() {
        return Vec::new();
    }
    let from = section.from_domains();
    listed
        .iter()
        .filter(|domain| !site.admission.proved.contains(domain))
        .filter(|domain| from.domains.contains(domain) || is_hidden_in(&from, section, domain))
        .collect()
}

/// A From: that cannot be read may still be shown to people by a more lenient program.
fn is_hidden_in(from: &FromDomains, section: HeaderSection<'_>, domain: &Domain) -> bool {
    from.unparsable
        && section.fields().filter(|field| field.is_named("from")).any(|field| {
            let value = String::from_utf8_lossy(&field.value()).to_lowercase();
            value.contains(&format!("@{domain}"))
        })
}

/// The domain for which the message is refused. A partner in report mode refuses nothing.
fn refused_from<'a>(unproved: &[&'a Domain], settings: &Settings) -> Option<&'a Domain> {
    match settings.transport.header_from {
        HeaderFrom::Off | HeaderFrom::Mark => None,
        HeaderFrom::Reject => unproved
            .iter()
            .copied()
            .find(|domain| settings.partner_of(domain).is_none_or(|partner| partner.mode == Mode::Enforce)),
    }
}
