//! Which delivery queue a recipient belongs to: next hop × connector × TLS domain.

use std::time::Duration;

use jiff::Timestamp;
use sealpost_queue::{Destination, NewRecipient};

use crate::mail::{Address, Domain, Host};
use crate::policy::{Settings, SmartHost, limits, send_connector};

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

pub fn is_send_secure(settings: &Settings, domain: &Domain) -> bool {
    settings.transport.tls_send_domain_secure_list.contains(domain)
}

/// A recipient as it enters the queue at `received`, due at once.
pub fn new_recipient(settings: &Settings, address: &Address, received: Timestamp) -> NewRecipient {
    let (expiration, notification) = patience(settings, address.domain());
    NewRecipient {
        address: address.to_string(),
        destination: destination(settings, address),
        due: received.as_millisecond(),
        expires: after(received, expiration),
        notify_delay_at: Some(after(received, notification)),
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
