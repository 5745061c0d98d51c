//! Receive and send connectors.

use std::sync::Arc;

use crate::policy::milter::Milter;
use crate::policy::quota::Rates;
use crate::policy::{
    AuthenticationWays, CheckMode, InboundChecks, InboundLimits, Permissions, ProtocolLogging,
    ReceiveConnector, SendConnector,
};
use crate::trust::Level;

use super::super::document::Table;
use super::super::format;
use super::unnamed;

pub fn receive(table: &Table, milters: &[Arc<Milter>]) -> ReceiveConnector {
    let duration = |key| table.read(key, format::duration).unwrap_or_default();
    ReceiveConnector {
        name: table.name().unwrap_or_default().to_owned(),
        bindings: table.read_all("bindings", format::binding),
        remote_ip_ranges: table.read_all("remote_ip_ranges", format::range),
        proxy_protocol_from: table.read_all("proxy_protocol_from", format::range),
        fqdn: table.read("fqdn", format::domain).unwrap_or_else(unnamed),
        offer_starttls: table.holds("auth_mechanism", "tls"),
        authentication: AuthenticationWays {
            basic: table.holds("auth_mechanism", "basic"),
            scram_sha_256: table.holds("auth_mechanism", "scram-sha-256"),
            external: table.holds("auth_mechanism", "external"),
        },
        implicit_tls: table.bool("implicit_tls"),
        post_quantum_key_exchange: table.bool("post_quantum_key_exchange"),
        domain_secure_enabled: table.bool("domain_secure_enabled"),
        require_tls: table.bool("require_tls"),
        permissions: Permissions {
            submit: table.holds("permissions", "submit"),
            relay: table.holds("permissions", "relay"),
            authenticated_relay: table.holds("permissions", "authenticated-relay"),
        },
        offer_dsn: table.bool("delivery_status_notification_enabled"),
        offer_chunking: table.bool("chunking_enabled"),
        offer_binary_mime: table.bool("binary_mime_enabled"),
        accept_organization_headers: table.bool("accept_organization_headers"),
        protocol_logging: protocol_logging(table),
        max_message_size: table.read("max_message_size", format::size).unwrap_or_default(),
        max_recipients_per_message: table.integer("max_recipients_per_message"),
        max_inbound_connections: table.integer("max_inbound_connections"),
        max_inbound_connections_per_source: table.integer("max_inbound_connections_per_source"),
        limits: limits(table),
        connection_timeout: duration("connection_timeout"),
        connection_inactivity_timeout: duration("connection_inactivity_timeout"),
        tarpit_interval: duration("tarpit_interval"),
        checks: Arc::new(inbound_checks(table)),
        milters: Arc::new(super::milters::of_connector(table, milters)),
    }
}

fn inbound_checks(table: &Table) -> InboundChecks {
    let mode = |key| check_mode(table.text(key));
    let dns_block_lists = table.read_all("dns_block_lists", format::domain);
    let listed = if dns_block_lists.is_empty() { CheckMode::Off } else { mode("dns_block_list_action") };
    InboundChecks {
        spf: mode("spf"),
        dkim: mode("dkim"),
        dmarc: mode("dmarc"),
        arc: mode("arc"),
        dns_block_lists,
        dns_block_list: listed,
        of_partners: mode("partner_checks"),
        timeout: table.read("check_timeout", format::duration).unwrap_or_default(),
    }
}

pub fn check_mode(word: Option<&str>) -> CheckMode {
    match word {
        Some("mark") => CheckMode::Mark,
        Some("enforce") => CheckMode::Enforce,
        _ => CheckMode::Off,
    }
}

fn limits(table: &Table) -> InboundLimits {
    InboundLimits {
        max_connections_per_subnet: table.integer("max_inbound_connections_per_subnet"),
        reserved_partner_connections: table.integer("reserved_partner_connections"),
        rates: Rates {
            connections: table.integer("connection_rate_limit"),
            protocol_errors: table.integer("protocol_error_rate_limit"),
            ..message_rates(table)
        },
        subnet_rate_factor: table.integer("subnet_rate_factor"),
        max_protocol_errors: table.integer("max_protocol_errors"),
        minimum_data_rate: table.integer("minimum_data_rate"),
        session_timeout: table.read("session_timeout", format::duration).unwrap_or_default(),
    }
}

/// The rates that connectors and partner entries have in common.
pub fn message_rates(table: &Table) -> Rates {
    Rates {
        messages: table.integer("message_rate_limit"),
        recipients: table.integer("recipient_rate_limit"),
        bytes: table.read("byte_rate_limit", format::size).unwrap_or_default(),
        ..Rates::default()
    }
}

pub fn send(table: &Table) -> SendConnector {
    SendConnector {
        name: table.name().unwrap_or_default().to_owned(),
        address_spaces: table.read_all("address_spaces", format::address_space),
        cost: table.integer("cost"),
        dns_routing_enabled: table.bool("dns_routing_enabled"),
        smart_hosts: table.read_all("smart_hosts", format::smart_host),
        port: table.integer("port"),
        // From a file, which the caller reads.
        smart_host_auth: None,
        source_addresses: table.read_all("source_addresses", format::ip),
        fqdn: table.read("fqdn", format::domain).unwrap_or_else(unnamed),
        domain_secure_enabled: table.bool("domain_secure_enabled"),
        require_tls: table.bool("require_tls"),
        implicit_tls: table.bool("implicit_tls"),
        tls_auth_level: tls_auth_level(table),
        dane: table.bool("dane"),
        mta_sts: table.bool("mta_sts"),
        post_quantum_key_exchange: table.bool("post_quantum_key_exchange"),
        send_organization_headers: table.optional_bool("send_organization_headers"),
        stamp_exchange_headers: table.bool("stamp_exchange_headers"),
        protocol_logging: protocol_logging(table),
        max_messages_per_connection: table.integer("max_messages_per_connection"),
        max_connections_per_destination: table.integer("max_connections_per_destination"),
    }
}

fn protocol_logging(table: &Table) -> ProtocolLogging {
    match table.text("protocol_logging_level") {
        Some("verbose") => ProtocolLogging::Verbose,
        _ => ProtocolLogging::None,
    }
}

fn tls_auth_level(table: &Table) -> Level {
    match table.text("tls_auth_level") {
        Some("encryption-only") => Level::EncryptionOnly,
        Some("certificate-validation") => Level::CertificateValidation,
        Some("domain-validation") => Level::DomainValidation,
        _ => Level::None,
    }
}
