//! Which delivery queue a recipient belongs to: next hop × connector × TLS domain.

use std::time::Duration;

use jiff::Timestamp;
use sealpost_queue::{Destination, NewRecipient};

use crate::config::parse_smart_host;
use crate::mail::{Address, Domain, Host};
use crate::policy::{Settings, SmartHost, limits, send_connector};

/// Before the next hop of a recipient that an operator has redirected. No host name has a colon
/// there, so that it cannot be mistaken for one.
const REDIRECTED: &str = "redirect:";

const _: () = assert!(limits::RECIPIENTS_MAX as usize <= sealpost_queue::RECIPIENTS_MAX);

/// The delivery queue of `address` under the present settings. Without a connector that serves the
/// domain the name is empty, and the message waits until one does (Exchange's Unreachable queue).
pub fn destination(settings: &Settings, address: &Address) -> Destination {
    let domain = address.domain();
    let secure = domain.is_some_and(|domain| is_send_secure(settings, domain));
    let connector = send_connector::select(&settings.send_connectors, domain, secure);
    let tls_domain = domain.filter(|_| secure).map(Domain::to_string).unwrap_or_default();
    let next_hop = match connector {
        Some(connector) if !connector.dns_routing_enabled => smart_host_set(&connector.smart_hosts),
        _ => host_name(address.host()),
    };
    let connector = connector.map(|connector| connector.name.clone()).unwrap_or_default();
    Destination { next_hop, connector, tls_domain }
}

/// The delivery queue of a recipient that waits in `here`, under the present settings: a redirected
/// one keeps its next hop, and nothing else. Connector and TLS domain are those that the settings
/// give its domain, so that no redirection is a way around them.
pub fn present(settings: &Settings, address: &Address, here: &Destination) -> Destination {
    let routed = destination(settings, address);
    if redirected_to(here).is_some() && !routed.connector.is_empty() {
        return Destination { next_hop: here.next_hop.clone(), ..routed };
    }
    routed
}

/// The delivery queue of `address` when an operator sends it to `host`; `None` where no connector
/// serves the domain, so that nothing would say how to speak to the host.
pub fn redirected(settings: &Settings, address: &Address, host: &SmartHost) -> Option<Destination> {
    let routed = destination(settings, address);
    let next_hop = format!("{REDIRECTED}{host}");
    (!routed.connector.is_empty()).then_some(Destination { next_hop, ..routed })
}

/// The host that an operator has put in the place of the routed next hop.
pub fn redirected_to(destination: &Destination) -> Option<SmartHost> {
    parse_smart_host(destination.next_hop.strip_prefix(REDIRECTED)?).ok()
}

/// The next hop as people read it.
pub fn shown_next_hop(destination: &Destination) -> &str {
    destination.next_hop.strip_prefix(REDIRECTED).unwrap_or(&destination.next_hop)
}

pub fn is_send_secure(settings: &Settings, domain: &Domain) -> bool {
    settings.transport.tls_send_domain_secure_list.contains(domain)
}

/// A recipient as it enters the queue at `received`, due at once. `takes_delay`: the sender is to
/// hear of a delay.
pub fn new_recipient(
    settings: &Settings,
    address: &Address,
    received: Timestamp,
    takes_delay: bool,
) -> NewRecipient {
    let (expiration, notification) = patience(settings, address.domain());
    NewRecipient {
        address: address.to_string(),
        destination: destination(settings, address),
        due: received.as_millisecond(),
        expires: after(received, expiration),
        notify_delay_at: takes_delay.then(|| after(received, notification)),
    }
}

/// How long we try, and when the sender hears of a delay. Only secured recipients follow their
/// partner entry.
fn patience(settings: &Settings, domain: Option<&Domain>) -> (Duration, Duration) {
    let queue = &settings.queue;
    let secure = domain.filter(|domain| is_send_secure(settings, domain));
    match secure.and_then(|domain| settings.partner_of(domain)) {
        Some(partner) => (
            partner.message_expiration.unwrap_or(queue.message_expiration),
            partner.delay_notification.unwrap_or(queue.delay_notification),
        ),
        None => (queue.message_expiration, queue.delay_notification),
    }
}

/// `start` and a duration as the queue's milliseconds, saturating.
pub fn after(start: Timestamp, wait: Duration) -> i64 {
    start.as_millisecond().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

fn host_name(host: &Host) -> String {
    host.to_string()
}

fn smart_host_set(hosts: &[SmartHost]) -> String {
    hosts.iter().map(SmartHost::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirected_next_hop_is_read_as_it_was_written() {
        for text in ["backup.example", "backup.example:2525", "[192.0.2.1]:25", "[2001:db8::1]"] {
            let host = parse_smart_host(text).ok().unwrap();
            let next_hop = format!("{REDIRECTED}{host}");
            let destination =
                Destination { next_hop, connector: "Internet".to_owned(), tls_domain: String::new() };
            assert_eq!(redirected_to(&destination), Some(host), "{text}");
            assert_eq!(shown_next_hop(&destination), text);
        }
    }

    #[test]
    fn a_routed_next_hop_is_no_redirection() {
        for next_hop in ["partner.example", "[192.0.2.1]", "a.example:25,[192.0.2.1]:26", "redirect:"] {
            let next_hop = next_hop.to_owned();
            let destination =
                Destination { next_hop, connector: "Internet".to_owned(), tls_domain: String::new() };
            assert_eq!(redirected_to(&destination), None, "{}", destination.next_hop);
        }
    }
}
