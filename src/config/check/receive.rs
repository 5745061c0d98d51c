//! Receive connectors: nothing hides behind one (DESIGN section 5), and none is an open relay.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::policy::ReceiveConnector;

use super::super::document::Table;
use super::super::format;
use super::super::problem::Problems;
use super::{Subject, item_place, reference};

/// Widest network that may relay through a connector that others can reach, in prefix bits.
const RELAY_PREFIX_MIN_V4: u8 = 8;
const RELAY_PREFIX_MIN_V6: u8 = 32;

pub fn check(subject: &Subject<'_>, problems: &mut Problems) {
    let connectors: Vec<_> =
        subject.document.tables("receive_connector").zip(&subject.settings.receive_connectors).collect();
    for (index, (table, connector)) in connectors.iter().enumerate() {
        listed_domains_are_judged(subject, table, connector, problems);
        relay_is_internal(table, connector, problems);
        balancers_are_few(table, connector, problems);
        headers_need_relay(table, connector, problems);
        binary_content_needs_chunks(table, connector, problems);
        super::authentication::receive(subject, table, connector, problems);
        tls_is_offered_where_it_is_needed(subject, table, connector, problems);
        for (other_table, other) in &connectors[..index] {
            bindings_do_not_collide(table, connector, other_table, other, problems);
            ranges_are_told_apart(table, connector, other_table, other, problems);
        }
    }
}

fn listed_domains_are_judged(
    subject: &Subject<'_>,
    table: &Table,
    connector: &ReceiveConnector,
    problems: &mut Problems,
) {
    let list = &subject.settings.transport.tls_receive_domain_secure_list;
    if let (false, false, Some(domain)) =
        (connector.domain_secure_enabled, connector.permissions.relay, list.first())
    {
        problems.error(
            table.place("domain_secure_enabled"),
            format!("is false, so that anyone could send here as {domain}, which is on the receive list"),
            "write domain_secure_enabled = true; only connectors with the permission \"relay\" may do without",
        );
    }
}

fn relay_is_internal(table: &Table, connector: &ReceiveConnector, problems: &mut Problems) {
    let reachable = connector.bindings.iter().find(|binding| !binding.ip().to_canonical().is_loopback());
    let (true, Some(binding)) = (connector.permissions.relay, reachable) else { return };
    let remedy =
        "list the internal networks in remote_ip_ranges, none wider than /8 (IPv6: /32), or bind to loopback";
    if !table.is_written("remote_ip_ranges") {
        let what = format!("grants \"relay\" to everyone who reaches {binding}");
        problems.error(table.place("permissions"), what, remedy);
        return;
    }
    for item in table.items("remote_ip_ranges") {
        if format::range(&item.text).is_ok_and(|range| is_too_wide(&range)) {
            let what = format!("{} is too wide for a connector with the permission \"relay\"", item.text);
            problems.error(item.place.clone(), what, remedy);
        }
    }
}

fn is_too_wide(range: &IpNet) -> bool {
    match range {
        IpNet::V4(range) => range.prefix_len() < RELAY_PREFIX_MIN_V4,
        IpNet::V6(range) => range.prefix_len() < RELAY_PREFIX_MIN_V6,
    }
}

/// Whoever connects from such an address says himself where he comes from.
fn balancers_are_few(table: &Table, connector: &ReceiveConnector, problems: &mut Problems) {
    for item in table.items("proxy_protocol_from") {
        let Ok(balancers) = format::range(&item.text) else { continue };
        if is_too_wide(&balancers) {
            let what = format!("{} is too wide: everyone there could name any address as his own", item.text);
            problems.error(item.place.clone(), what, "list the addresses of the balancers alone");
            continue;
        }
        let overlaps = |range: &&IpNet| range.contains(&balancers) || balancers.contains(*range);
        let own = connector.remote_ip_ranges.iter().find(overlaps);
        if let (true, Some(range)) = (connector.permissions.relay, own) {
            problems.warning(
                item.place.clone(),
                format!("{} lies in {range}, so that connections for which the balancer names no client may relay", item.text),
                "leave the balancers out of remote_ip_ranges",
            );
        }
    }
}

fn headers_need_relay(table: &Table, connector: &ReceiveConnector, problems: &mut Problems) {
    if connector.accept_organization_headers && !connector.permissions.relay {
        problems.error(
            table.place("accept_organization_headers"),
            "keeps stamps of strangers, for the connector lacks the permission \"relay\"",
            "remove the line, or make it an internal connector with permissions = [\"submit\", \"relay\"]",
        );
    }
}

fn binary_content_needs_chunks(table: &Table, connector: &ReceiveConnector, problems: &mut Problems) {
    if connector.offer_binary_mime && !connector.offer_chunking {
        problems.error(
            table.place("binary_mime_enabled"),
            "offers BINARYMIME, which only BDAT can carry, while chunking_enabled = false",
            "write binary_mime_enabled = false, or chunking_enabled = true",
        );
    }
}

fn tls_is_offered_where_it_is_needed(
    subject: &Subject<'_>,
    table: &Table,
    connector: &ReceiveConnector,
    problems: &mut Problems,
) {
    if connector.offer_starttls {
        return;
    }
    let remedy = "write auth_mechanism = [\"tls\"]";
    if connector.implicit_tls {
        problems.error(
            table.place("auth_mechanism"),
            "lacks \"tls\", while implicit_tls = true begins every connection with TLS",
            format!("{remedy}, or implicit_tls = false"),
        );
    }
    if connector.require_tls {
        problems.error(
            table.place("auth_mechanism"),
            "offers no STARTTLS, while require_tls = true refuses all mail without it",
            format!("{remedy}, or require_tls = false"),
        );
    }
    let listed = subject.settings.transport.tls_receive_domain_secure_list.first();
    if let (true, false, Some(domain)) =
        (connector.domain_secure_enabled, connector.permissions.relay, listed)
    {
        let what =
            format!("offers no STARTTLS, so that {domain} and other listed domains are always refused here");
        problems.warning(table.place("auth_mechanism"), what, remedy);
    }
}

/// Connectors share a binding by writing it alike; a wildcard beside one of its addresses cannot
/// be bound.
fn bindings_do_not_collide(
    table: &Table,
    connector: &ReceiveConnector,
    other_table: &Table,
    other: &ReceiveConnector,
    problems: &mut Problems,
) {
    let covers = |a: &SocketAddr, b: &SocketAddr| {
        a != b
            && a.port() == b.port()
            && a.port() != 0
            && a.is_ipv4() == b.is_ipv4()
            && a.ip().is_unspecified()
    };
    for mine in &connector.bindings {
        if let Some(theirs) =
            other.bindings.iter().find(|theirs| covers(mine, theirs) || covers(theirs, mine))
        {
            problems.error(
                item_place(table, "bindings", |item| {
                    format::binding(&item.text).is_ok_and(|read| read == *mine)
                }),
                format!("{mine} cannot be bound beside {theirs} of {}", reference(other_table)),
                "write the same binding in both, and tell the connectors apart by remote_ip_ranges",
            );
        }
    }
}

fn ranges_are_told_apart(
    table: &Table,
    connector: &ReceiveConnector,
    other_table: &Table,
    other: &ReceiveConnector,
    problems: &mut Problems,
) {
    let shared_binding = connector.bindings.iter().any(|binding| other.bindings.contains(binding));
    let shadowed = connector.remote_ip_ranges.iter().find(|range| other.remote_ip_ranges.contains(range));
    if let (true, Some(range)) = (shared_binding, shadowed) {
        problems.warning(
            item_place(table, "remote_ip_ranges", |item| {
                format::range(&item.text).is_ok_and(|read| read == *range)
            }),
            format!(
                "{range} is also a range of {}, which comes first and takes all its connections",
                reference(other_table)
            ),
            "give each connector on one binding its own ranges",
        );
    }
}
