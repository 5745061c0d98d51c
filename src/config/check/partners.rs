//! Partners: their domains, their anchors, and who could speak for whom.

use crate::mail::Domain;
use crate::policy::Partner;
use crate::trust::{Mode, NamePattern};

use super::super::document::{Item, Table};
use super::super::format;
use super::super::problem::Problems;
use super::{Subject, item_place, reference};

pub fn check(subject: &Subject<'_>, problems: &mut Problems) {
    let written: Vec<_> = subject.document.tables("partner").zip(&subject.settings.partners).collect();
    for (index, (table, partner)) in written.iter().enumerate() {
        domains_are_its_own(table, partner, &written[..index], problems);
        some_domain_is_secure(subject, table, partner, problems);
        empty_anchors_need_a_pin(table, partner, problems);
        names_outside(table, partner, problems);
        names_shared(table, partner, &written[..index], problems);
        report_mode(table, partner, problems);
        delay_before_expiration(subject, table, partner, problems);
    }
    listed_domains_have_anchors(subject, problems);
}

type Written<'a, 'p> = &'a [(&'p Table, &'p std::sync::Arc<Partner>)];

fn domains_are_its_own(table: &Table, partner: &Partner, before: Written<'_, '_>, problems: &mut Problems) {
    for domain in &partner.domains {
        if let Some((other, _)) = before.iter().find(|(_, other)| other.domains.contains(domain)) {
            problems.error(
                item_place(table, "domains", |item| is_domain(item, domain)),
                format!("{domain} is also a domain of {}", reference(other)),
                "keep it in one entry, for only one can say how it is judged",
            );
        }
    }
}

fn is_domain(item: &Item, domain: &Domain) -> bool {
    format::domain(&item.text).is_ok_and(|read| read == *domain)
}

fn some_domain_is_secure(subject: &Subject<'_>, table: &Table, partner: &Partner, problems: &mut Problems) {
    let transport = &subject.settings.transport;
    let secure = |domain: &Domain| {
        transport.tls_send_domain_secure_list.contains(domain)
            || transport.tls_receive_domain_secure_list.contains(domain)
    };
    if !partner.domains.is_empty() && !partner.domains.iter().any(secure) {
        problems.error(
            table.place("domain_secure"),
            "none of the partner's domains is secure in any direction, so that the entry does nothing",
            "write domain_secure = [\"send\", \"receive\"], or remove the entry",
        );
    }
}

fn empty_anchors_need_a_pin(table: &Table, partner: &Partner, problems: &mut Problems) {
    let empty = table.is_written("trust_anchors") && table.items("trust_anchors").is_empty();
    if empty && partner.policy.pins.is_empty() {
        problems.error(
            table.place("trust_anchors"),
            "is empty, and there is no pin to stand in for the chain, so that nobody could be admitted",
            "name the partner's root, or add its key to spki_pins, or remove the line to use [trust].anchors",
        );
    }
}

/// Partners without anchors of their own, and listed domains without an entry, need the global ones.
fn listed_domains_have_anchors(subject: &Subject<'_>, problems: &mut Problems) {
    let trust = subject.document.table("trust");
    if !trust.items("anchors").is_empty() {
        return;
    }
    let written = subject.document.tables("partner").map(Some).chain(std::iter::repeat(None));
    let without = subject.settings.partners.iter().zip(written).find(|(partner, table)| {
        partner.policy.pins.is_empty() && !table.is_some_and(|table| table.is_written("trust_anchors"))
    });
    if let Some((partner, _)) = without {
        problems.error(
            trust.place("anchors"),
            format!("is empty, so that nobody could be admitted for {}", partner.name),
            "write anchors = [\"system\"], or name trust_anchors in a partner entry for it",
        );
    }
}

/// A name that is not the partner's own, vouched for by every CA in the world.
fn names_outside(table: &Table, partner: &Partner, problems: &mut Problems) {
    let public = |item: &Item| matches!(item.text.as_str(), "system" | "mozilla");
    let global = !table.is_written("trust_anchors") || table.items("trust_anchors").iter().any(public);
    if !global || !partner.policy.pins.is_empty() {
        return;
    }
    for item in table.items("certificate_names") {
        let Ok(NamePattern::Exact(name) | NamePattern::Below(name)) = format::certificate_name(&item.text)
        else {
            continue;
        };
        if !partner.domains.iter().any(|domain| name == *domain || name.is_below(domain)) {
            problems.warning(
                item.place.clone(),
                format!(
                    "{:?} lies outside the partner's domains: whoever gets a certificate for it from any of the \
                     global anchors can speak for {}",
                    item.text,
                    list(&partner.domains)
                ),
                "name the partner's own trust_anchors or spki_pins as well",
            );
        }
    }
}

fn names_shared(table: &Table, partner: &Partner, before: Written<'_, '_>, problems: &mut Problems) {
    for (other_table, other) in before {
        if partner.domains.iter().any(|domain| other.domains.contains(domain)) {
            continue;
        }
        let ours = proofs(partner);
        let Some((mine, _)) = ours.iter().find_map(|mine| {
            let shared = |theirs: &&NamePattern| overlap(mine, theirs);
            proofs(other).iter().find(shared).map(|theirs| (mine.clone(), theirs.clone()))
        }) else {
            continue;
        };
        let (NamePattern::Exact(name) | NamePattern::Below(name)) = &mine;
        problems.warning(
            item_place(table, "certificate_names", |item| {
                format::certificate_name(&item.text).is_ok_and(|read| read == mine)
            }),
            format!(
                "certificates for {name} prove this partner and {} alike: who holds one can speak for {} and for {}",
                reference(other_table),
                list(&partner.domains),
                list(&other.domains)
            ),
            "keep it only if that host judges mail for both, as a hub does",
        );
    }
}

/// Every name that proves this partner.
fn proofs(partner: &Partner) -> Vec<NamePattern> {
    let domains = partner.domains.iter().cloned().map(NamePattern::Exact);
    partner.policy.certificate_names.iter().cloned().chain(domains).collect()
}

/// Whether one certificate name can match both; a domain in two entries is an error of its own.
fn overlap(a: &NamePattern, b: &NamePattern) -> bool {
    match (a, b) {
        (NamePattern::Exact(a), NamePattern::Exact(b)) => a == b,
        (NamePattern::Exact(name), NamePattern::Below(parent))
        | (NamePattern::Below(parent), NamePattern::Exact(name)) => name.is_below(parent),
        (NamePattern::Below(a), NamePattern::Below(b)) => a == b || a.is_below(b) || b.is_below(a),
    }
}

fn report_mode(table: &Table, partner: &Partner, problems: &mut Problems) {
    if partner.mode == Mode::Report {
        problems.warning(
            table.place("mode"),
            format!(
                "mail of {} passes without a good verdict, which is only logged and counted",
                partner.name
            ),
            "write mode = \"enforce\" when the reports are clean",
        );
    }
}

fn delay_before_expiration(subject: &Subject<'_>, table: &Table, partner: &Partner, problems: &mut Problems) {
    let expiration = partner.message_expiration.unwrap_or(subject.settings.queue.message_expiration);
    if partner.delay_notification.is_some_and(|delay| delay >= expiration) {
        problems.warning(
            table.place("delay_notification"),
            "mail expires before the sender would be told of the delay",
            "write a delay_notification shorter than message_expiration",
        );
    }
}

fn list(domains: &[Domain]) -> String {
    domains.iter().map(Domain::as_str).collect::<Vec<_>>().join(", ")
}
