//! Our own certificates: one for every connector that offers STARTTLS, one for every partner. The
//! choice is the one that is made for each connection (`policy::own_certificate`).

use crate::policy::NoCertificate;
use crate::policy::own_certificate::choose;

use super::super::problem::Problems;
use super::Subject;

pub fn check(subject: &Subject<'_>, problems: &mut Problems) {
    if !subject.all_certificates_loaded() {
        return;
    }
    starttls_has_a_certificate(subject, problems);
    partners_choice_exists(subject, problems);
    secured_mail_has_a_certificate(subject, problems);
    validity(subject, problems);
}

fn starttls_has_a_certificate(subject: &Subject<'_>, problems: &mut Problems) {
    let settings = subject.settings;
    let connectors = subject.document.tables("receive_connector").zip(&settings.receive_connectors);
    for (table, connector) in connectors.filter(|(_, connector)| connector.offer_starttls) {
        let chosen = choose(&settings.certificates, None, &connector.fqdn, &settings.hostname, subject.now);
        if let Err(reason) = chosen {
            let (why, _) = halves(&reason);
            problems.error(
                table.place("auth_mechanism"),
                format!("offers STARTTLS, but {why}{}", we_have(subject)),
                format!(
                    "import one for {} with `sealpost certificate import`, add a valid [[certificate]], or write \
                     auth_mechanism = []",
                    connector.fqdn
                ),
            );
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
