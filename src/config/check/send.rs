//! Send connectors, and whether every domain has a way out that does not lead back to us.

use std::net::IpAddr;

use crate::mail::Domain;
use crate::policy::{AddressSpace, AllowedSenders, SendConnector, send_connector};
use crate::trust::Mode;

use super::super::document::Table;
use super::super::format;
use super::super::problem::Problems;
use super::{Subject, item_place};

pub fn check(subject: &Subject<'_>, problems: &mut Problems) {
    for (table, connector) in subject.document.tables("send_connector").zip(&subject.settings.send_connectors)
    {
        one_kind_of_routing(table, connector, problems);
        source_addresses(table, connector, problems);
        super::authentication::send(table, connector, problems);
    }
    listed_domains_are_served(subject, problems);
    postmaster_is_reached(subject, problems);
    for table in subject.document.tables("accepted_domain") {
        let Some(domain) = table.read("name", format::domain) else { continue };
        accepted_domain_leads_on(subject, table, &domain, problems);
        allowed_senders_exist(subject, table, &domain, problems);
    }
}

fn one_kind_of_routing(table: &Table, connector: &SendConnector, problems: &mut Problems) {
    // Members that are no smart hosts have been reported; the list is still not empty.
    let has_smart_hosts = !table.items("smart_hosts").is_empty() || !connector.smart_hosts.is_empty();
    if connector.dns_routing_enabled && has_smart_hosts {
        problems.error(
            table.place("smart_hosts"),
            "stands beside dns_routing_enabled = true, and only one of them can say where mail goes",
            "write dns_routing_enabled = false, or remove the smart hosts",
        );
    }
    if !connector.dns_routing_enabled && !has_smart_hosts {
        problems.error(
            table.place("dns_routing_enabled"),
            "is false, and there is no smart host to send to",
            "add smart_hosts = [\"mail.contoso.example\"], or remove the line",
        );
    }
    if table.is_written("domain_secure_enabled") && connector.domain_secure_enabled && has_smart_hosts {
        problems.error(
            table.place("domain_secure_enabled"),
            "is true together with smart_hosts: a smart host's certificate proves the smart host and not the \
             recipient's domain, and who passes the mail on cannot be seen from here",
            "write domain_secure_enabled = false, and send listed domains through a connector with DNS routing",
        );
    }
}

fn source_addresses(table: &Table, connector: &SendConnector, problems: &mut Problems) {
    let count = |of: fn(&IpAddr) -> bool| connector.source_addresses.iter().filter(|ip| of(ip)).count();
    if count(IpAddr::is_ipv4) > 1 || count(IpAddr::is_ipv6) > 1 {
        problems.error(
            table.place("source_addresses"),
            "holds more than one address of a family",
            "keep at most one IPv4 and one IPv6 address",
        );
    }
}

fn listed_domains_are_served(subject: &Subject<'_>, problems: &mut Problems) {
    let transport = subject.document.table("transport");
    for item in transport.items("tls_send_domain_secure_list") {
        let Ok(domain) = format::secure_domain(&item.text) else { continue };
        if send_connector::select(&subject.settings.send_connectors, Some(&domain), true).is_none() {
            problems.error(
                item.place.clone(),
                format!("{domain} is on the send list, and no send connector with domain_secure_enabled can serve it"),
                "add a send connector with DNS routing whose address_spaces hold it",
            );
        }
    }
}

/// Replies to delivery status notifications, and what comes for `<postmaster>`, go there.
fn postmaster_is_reached(subject: &Subject<'_>, problems: &mut Problems) {
    let postmaster = &subject.settings.transport.postmaster;
    let domain = postmaster.domain();
    let secure = domain.is_some_and(|d| subject.settings.transport.tls_send_domain_secure_list.contains(d));
    if send_connector::select(&subject.settings.send_connectors, domain, secure).is_none() {
        problems.warning(
            subject.document.table("transport").place("postmaster"),
            format!(
                "no send connector leads to {postmaster}: mail for the postmaster is refused (451 4.4.4)"
            ),
            "add a send connector for its domain, or name a postmaster elsewhere",
        );
    }
}

/// Anyone may submit mail for an accepted domain, and its MX is most likely this server.
fn accepted_domain_leads_on(subject: &Subject<'_>, table: &Table, domain: &Domain, problems: &mut Problems) {
    let secure = subject.settings.transport.tls_send_domain_secure_list.contains(domain);
    let remedy = format!(
        "add a send connector with address_spaces = [\"{domain}\"], dns_routing_enabled = false and your mail \
         server in smart_hosts"
    );
    match send_connector::select(&subject.settings.send_connectors, Some(domain), secure) {
        None => {
            let what = format!("no send connector serves {domain}: its mail is refused (451 4.4.4)");
            problems.warning(table.place("name"), what, remedy);
        }
        Some(connector) if connector.dns_routing_enabled && only_by_wildcard(connector, domain) => {
            let what = format!(
                "{domain} leaves only through the DNS-routed \"*\" of send_connector.{}, and its MX leads back to us",
                connector.name
            );
            problems.warning(table.place("name"), what, remedy);
        }
        Some(_) => {}
    }
}

fn only_by_wildcard(connector: &SendConnector, domain: &Domain) -> bool {
    connector.address_spaces.iter().all(|space| match space {
        AddressSpace::All => true,
        AddressSpace::Exact(exact) => exact != domain,
        AddressSpace::Subdomains(parent) => parent != domain && !domain.is_below(parent),
    })
}

/// The hub rule admits only good verdicts, so a sender that is never judged is never admitted.
fn allowed_senders_exist(subject: &Subject<'_>, table: &Table, domain: &Domain, problems: &mut Problems) {
    let receive_list = &subject.settings.transport.tls_receive_domain_secure_list;
    let accepted = subject.settings.accepted_domain(domain).map(|accepted| &accepted.from);
    match accepted {
        None | Some(AllowedSenders::Anyone) => {}
        Some(AllowedSenders::Partners) if receive_list.is_empty() => problems.warning(
            table.place("from"),
            format!("the receive list is empty, so that nobody may send to {domain}"),
            "put the partners' domains on the receive list",
        ),
        Some(AllowedSenders::Partners) => {}
        Some(AllowedSenders::Domains(allowed)) => {
            for sender in allowed {
                let place = || {
                    item_place(table, "from", |item| {
                        format::domain(&item.text).is_ok_and(|read| read == *sender)
                    })
                };
                let partner = subject.settings.partner_of(sender);
                if !receive_list.contains(sender) {
                    problems.error(
                        place(),
                        format!("{sender} is not on the receive list, so that it can never prove itself"),
                        "put it on the receive list, or take it out here",
                    );
                } else if partner.is_some_and(|partner| partner.mode == Mode::Report) {
                    problems.warning(
                        place(),
                        format!("{sender} is in report mode, which never lets it send to {domain}"),
                        "write mode = \"enforce\" in its partner entry",
                    );
                }
            }
        }
    }
}
