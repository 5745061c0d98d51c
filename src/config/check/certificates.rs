//! Our own certificates: one for every connector that offers STARTTLS, one for every partner. The
//! choice is the one that is made for each connection (`policy::own_certificate`).

use std::sync::Arc;

use jiff::Timestamp;

use crate::mail::Domain;
use crate::policy::own_certificate::choose;
use crate::policy::{NoCertificate, OwnCertificate, Settings, send_connector};
use crate::trust::{NamePattern, proves_name};

use super::super::format;
use super::super::problem::Problems;
use super::Subject;

pub fn check(subject: &Subject<'_>, problems: &mut Problems) {
    if !subject.all_certificates_loaded() {
        return;
    }
    starttls_has_a_certificate(subject, problems);
    partners_choice_exists(subject, problems);
    secured_mail_has_a_certificate(subject, problems);
    accepted_domains_are_named(subject, None, problems);
    validity(subject, problems);
}

fn starttls_has_a_certificate(subject: &Subject<'_>, problems: &mut Problems) {
    let settings = subject.settings;
    let connectors = subject.document.tables("receive_connector").zip(&settings.receive_connectors);
    for (table, connector) in connectors.filter(|(_, connector)| connector.offer_starttls) {
        let chosen = choose(&settings.certificates, None, &connector.fqdn, &settings.hostname, subject.now);
        if let Err(reason) = chosen {
            let (why, remedy) = halves(&reason);
            let remedy = match reason {
                NoCertificate::NoneNamed { .. } => format!(
                    "import one for {} with `sealpost certificate import`, add a valid [[certificate]], or write \
                     auth_mechanism = []",
                    connector.fqdn
                ),
                // A connector that has had one is not meant to go on in clear.
                NoCertificate::Expired { .. } | NoCertificate::NotYetValid { .. } => remedy,
            };
            let what = format!("offers STARTTLS, but {why}{}", we_have(subject));
            problems.error(table.place("auth_mechanism"), what, remedy);
        }
    }
}

/// The reason, and what its own sentence says to do.
fn halves(reason: &NoCertificate) -> (String, String) {
    let sentence = reason.to_string();
    match sentence.split_once("; ") {
        Some((what, remedy)) => (what.to_owned(), remedy.to_owned()),
        None => (sentence, "import a certificate".to_owned()),
    }
}

/// What there is instead: the names that were perhaps meant to fit.
fn we_have(subject: &Subject<'_>) -> String {
    let all = subject.settings.certificates.iter();
    let all: Vec<_> = all.map(|own| format!("{}: {}", own.source, own.names.join(", "))).collect();
    if all.is_empty() { String::new() } else { format!(" (there are {})", all.join(" and ")) }
}

fn partners_choice_exists(subject: &Subject<'_>, problems: &mut Problems) {
    let settings = subject.settings;
    for table in subject.document.tables("partner") {
        let Some(wanted) = table.text("certificate") else { continue };
        let hostname = &settings.hostname;
        match choose(&settings.certificates, Some(wanted), hostname, hostname, subject.now) {
            Ok(_) => {}
            Err(reason @ NoCertificate::NoneNamed { .. }) => problems.error(
                table.place("certificate"),
                format!("{}{}", halves(&reason).0, we_have(subject)),
                "name the thumbprint or a SAN name of one of our certificates, or remove the line",
            ),
            Err(reason @ (NoCertificate::Expired { .. } | NoCertificate::NotYetValid { .. })) => {
                let (what, remedy) = halves(&reason);
                problems.warning(table.place("certificate"), format!("{what}, so that mail waits"), remedy);
            }
        }
    }
}

/// Mail for a listed domain waits for as long as we cannot prove ourselves.
fn secured_mail_has_a_certificate(subject: &Subject<'_>, problems: &mut Problems) {
    let settings = subject.settings;
    if settings.transport.tls_send_domain_secure_list.is_empty() {
        return;
    }
    let connectors = subject.document.tables("send_connector").zip(&settings.send_connectors);
    for (table, connector) in connectors.filter(|(_, connector)| connector.domain_secure_enabled) {
        let chosen = choose(&settings.certificates, None, &connector.fqdn, &settings.hostname, subject.now);
        if let Err(reason) = chosen {
            let (what, remedy) = halves(&reason);
            let what = format!("{what}, so that mail for domains on the send list waits{}", we_have(subject));
            problems.warning(table.place("fqdn"), what, remedy);
        }
    }
}

/// Partners look for our mail domain in our certificate: outbound for the reverse-path's, inbound for
/// the recipient's. A partner's own domain, as a hub accepts it, is named by the partner. With a
/// thumbprint only that certificate is looked at.
pub fn accepted_domains_are_named(subject: &Subject<'_>, thumbprint: Option<&str>, problems: &mut Problems) {
    let settings = subject.settings;
    let transport = &settings.transport;
    let lists = [&transport.tls_send_domain_secure_list, &transport.tls_receive_domain_secure_list];
    let mut shown = shown_to_partners(settings, subject.now);
    shown.retain(|(own, _)| thumbprint.is_none_or(|thumbprint| own.thumbprint == thumbprint));
    for table in subject.document.tables("accepted_domain") {
        let Some(accepted) = table.read("name", format::domain) else { continue };
        if lists.iter().any(|list| list.contains(&accepted)) {
            continue;
        }
        let wanted = [NamePattern::Exact(accepted.clone())];
        let lacking = shown.iter().find(|(own, _)| !proves_name(&wanted, &own.names));
        let Some((own, to)) = lacking else { continue };
        problems.warning(
            table.place("name"),
            format!(
                "our certificate {} (for {}) does not name {name}: {to} that ask for it refuse our mail, and \
                 send us none, with NameMismatch",
                own.source,
                own.names.join(", "),
                name = accepted,
            ),
            format!(
                "request one that names it (`sealpost certificate request` puts the accepted domains in), or have \
                 partners write certificate_names = [\"{}\"]",
                own.names.first().map_or_else(|| settings.hostname.to_string(), Clone::clone)
            ),
        );
    }
}

/// Every certificate that a partner gets to see, and which partners.
fn shown_to_partners(settings: &Settings, now: Timestamp) -> Vec<(&Arc<OwnCertificate>, String)> {
    let (transport, all, hostname) = (&settings.transport, &settings.certificates, &settings.hostname);
    let mut shown = Vec::new();
    let mut show = |wanted: Option<&str>, fqdn: &Domain, to: String| {
        shown.extend(choose(all, wanted, fqdn, hostname, now).ok().map(|own| (own, to)));
    };
    if !transport.tls_receive_domain_secure_list.is_empty() {
        for connector in settings.receive_connectors.iter().filter(|c| c.domain_secure_enabled) {
            show(None, &connector.fqdn, "partners".to_owned());
        }
    }
    let is_sent_to = |domain: &&Domain| transport.tls_send_domain_secure_list.contains(*domain);
    for partner in &settings.partners {
        let Some(domain) = partner.domains.iter().find(is_sent_to) else { continue };
        let Some(connector) = send_connector::select(&settings.send_connectors, Some(domain), true) else {
            continue;
        };
        let to = match &partner.certificate {
            Some(_) => format!("servers of {}", partner.name),
            None => "partners".to_owned(),
        };
        show(partner.certificate.as_deref(), &connector.fqdn, to);
    }
    shown
}

fn validity(subject: &Subject<'_>, problems: &mut Problems) {
    for (table, own) in subject.document.tables("certificate").zip(&subject.settings.certificates) {
        let what = if subject.now < own.not_before {
            format!("{} is not valid before {}", own.subject, own.not_before)
        } else if subject.now > own.not_after {
            format!("{} expired at {}", own.subject, own.not_after)
        } else {
            continue;
        };
        problems.warning(table.place("chain"), what, "install its successor, or remove the entry");
    }
}
