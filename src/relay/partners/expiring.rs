//! What ends soon: certificates of ours and of partners as last seen, trust anchors in use,
//! revocation lists.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::observe::CertificateRole;
use crate::observe::partners::{DomainRecord, SeenCertificate};
use crate::policy::{Partner, expiry, own_certificate, send_connector};
use crate::trust::certificate::distinguished_name;
use crate::trust::{CertificateFacts, Direction};

use super::view::ExpiringView;
use super::{Site, is_listed, records};

/// Anchors looked at of one partner; an operator names a handful.
const ANCHORS_MAX: usize = 64;

/// A certificate with its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub role: CertificateRole,
    pub subject: String,
    /// The connector, or the partner.
    pub of: String,
    pub begins: Timestamp,
    pub ends: Timestamp,
}

/// Partners' certificates as last seen, and the anchors they are judged by.
pub fn of_partners(site: Site<'_>) -> Vec<Ending> {
    let mut seen = HashSet::new();
    let all = site.settings.partners.iter().flat_map(|partner| {
        let shown = shown(site, partner);
        let theirs = shown.iter().map(|certificate| ending(CertificateRole::Partner, certificate, partner));
        theirs.chain(anchors(partner, &shown)).collect::<Vec<_>>()
    });
    // Partners may share an anchor; it is told of once.
    all.filter(|ending| {
        ending.role == CertificateRole::Partner || seen.insert((ending.subject.clone(), ending.ends))
    })
    .collect()
}

/// What of one partner ends within 30 days or has ended, the first first. The own certificate that
/// is presented to it and the lists of its issuers are among it.
pub fn of_partner(site: Site<'_>, partner: &Partner) -> Vec<ExpiringView> {
    let shown = shown(site, partner);
    let mut found = Vec::new();
    let mut add = |what: &str, subject: &str, begins: Timestamp, ends: Timestamp| {
        if expiry::mark(begins, ends, site.now).is_some() {
            found.push(ExpiringView {
                what: what.to_owned(),
                subject: subject.to_owned(),
                ends: ends.to_string(),
                days_left: expiry::days_left(ends, site.now),
            });
        }
    };
    for certificate in &shown {
        add("their certificate", &certificate.subject, certificate.not_before, certificate.not_after);
    }
    for anchor in anchors(partner, &shown) {
        add("trust anchor", &anchor.subject, anchor.begins, anchor.ends);
    }
    for domain in partner.domains.iter().filter(|d| is_listed(site.settings, d, Direction::Outbound)) {
        let connector = send_connector::select(&site.settings.send_connectors, Some(domain), true);
        let own = connector.and_then(|connector| {
            let (wanted, hostname) = (partner.certificate.as_deref(), &site.settings.hostname);
            let certificates = &site.settings.certificates;
            own_certificate::choose(certificates, wanted, &connector.fqdn, hostname, site.now).ok()
        });
        if let Some(own) = own {
            add("our certificate", &own.subject, own.not_before, own.not_after);
        }
    }
    for list in &site.lists.lists {
        let issuer = distinguished_name(&list.issuer);
        if let Some(next) = list.next_update.filter(|_| shown.iter().any(|c| c.issuer == issuer)) {
            add("revocation list", &issuer, list.this_update, next);
        }
    }
    found.sort_by(|a, b| (&a.ends, &a.what).cmp(&(&b.ends, &b.what)));
    found.dedup();
    found
}

/// Certificates of the good sessions seen last, each once.
fn shown<'a>(site: Site<'a>, partner: &Partner) -> Vec<&'a SeenCertificate> {
    let mut thumbprints = HashSet::new();
    let certificates = records(site, partner).into_iter().flat_map(DomainRecord::proved_certificates);
    certificates.filter(|certificate| thumbprints.insert(certificate.thumbprint.as_str())).collect()
}

fn ending(role: CertificateRole, certificate: &SeenCertificate, partner: &Partner) -> Ending {
    Ending {
        role,
        subject: certificate.subject.clone(),
        of: partner.name.clone(),
        begins: certificate.not_before,
        ends: certificate.not_after,
    }
}

/// Anchors that the operator named, and of the public ones those that issued what was seen.
fn anchors(partner: &Partner, shown: &[&SeenCertificate]) -> Vec<Ending> {
    let anchors = &partner.policy.anchors;
    let facts = anchors.certificates().filter_map(|anchor| CertificateFacts::read(anchor).ok());
    let in_use = facts.filter(|anchor| {
        !anchors.is_public() || shown.iter().any(|certificate| certificate.issuer == anchor.subject)
    });
    in_use
        .take(ANCHORS_MAX)
        .map(|anchor| Ending {
            role: CertificateRole::Anchor,
            subject: anchor.subject,
            of: partner.name.clone(),
            begins: anchor.not_before,
            ends: anchor.not_after,
        })
        .collect()
}
