//! A document becomes settings: strings become the types of `policy`, and the files that the
//! configuration names are read. What cannot be built is reported and left out, so that the rest
//! can still be checked; settings with an error never take effect.

mod admin;
mod connectors;
mod credentials;
mod event_log;
mod files;
mod milters;
pub use files::TRUST_FILE_BYTES_MAX;
mod partners;
mod stamp;
mod trust;
mod users;

use std::path::PathBuf;
use std::sync::Arc;

use crate::mail::{Address, Domain};
use crate::policy::recipient_verification::VerificationSettings;
use crate::policy::{
    AcceptedDomain, AllowedSenders, BackPressureSettings, DnsSettings, Dnssec, HeaderFrom,
    MessageTrackingSettings, ProtocolLogSettings, QueueSettings, SendConnector, Settings,
    TlsReportingSettings, Transport,
};

use super::document::{Document, Table, Value};
use super::format;
use super::problem::Problems;

/// The settings as far as they can be built; the epoch is 0, for the caller to raise.
pub fn build(document: &Document, problems: &mut Problems) -> Settings {
    let top = document.table("");
    let mut anchors = trust::Anchors::new(document);
    let default_policy = trust::default_policy(document, &mut anchors, problems);
    let transport = transport(document);
    let users = users::users(document, &default_policy, &mut anchors, problems);
    let partners = partners::partners(document, &transport, &default_policy, &mut anchors, problems);
    let milters = milters::milters(document);
    Settings {
        epoch: 0,
        hostname: hostname(document),
        data_directory: document.resolve(top.read("data_directory", format::path).unwrap_or(".".as_ref())),
        crl_files: trust::crl_files(document, problems),
        crl_fetch: trust::crl_fetch(document.table("trust")),
        mta_sts: trust::mta_sts(document.table("mta_sts"), &default_policy),
        default_policy,
        watched_files: watched_files(document),
        partners,
        accepted_domains: accepted_domains(document, problems),
        users,
        certificates: trust::certificates(document, problems),
        receive_connectors: document
            .tables("receive_connector")
            .map(|table| connectors::receive(table, &milters))
            .map(Arc::new)
            .collect(),
        send_connectors: send_connectors(document, problems),
        queue: queue(document.table("queue")),
        dns: dns(document.table("dns")),
        recipient_verification: recipient_verification(document.table("recipient_verification")),
        tls_reporting: tls_reporting(document.table("tls_reporting"), &transport.postmaster),
        stamp_signing: stamp::signing(document, problems),
        protocol_log: protocol_log(document),
        message_tracking: message_tracking(document),
        event_log: event_log::event_log(document),
        admin: admin::admin(document, problems),
        bundle: document.bundle.as_ref().map(|joined| joined.in_force.clone()),
        transport,
    }
}

fn send_connectors(document: &Document, problems: &mut Problems) -> Vec<Arc<SendConnector>> {
    let tables = document.tables("send_connector");
    let built = tables.map(|table| {
        let smart_host_auth = credentials::smart_host_auth(document, table, problems);
        Arc::new(SendConnector { smart_host_auth, ..connectors::send(table) })
    });
    built.collect()
}

/// Files whose content is part of the settings: anchors, certificates, keys, recipients.
fn watched_files(document: &Document) -> Vec<PathBuf> {
    let anchors =
        |table: &Table, key| table.items(key).iter().map(|item| item.text.clone()).collect::<Vec<_>>();
    let mut names = anchors(document.table("trust"), "anchors");
    for partner in document.tables("partner") {
        names.extend(anchors(partner, "trust_anchors"));
    }
    names.extend(
        document.table("admin").text("token_file").filter(|name| !name.is_empty()).map(str::to_owned),
    );
    let authentication = document.table("authentication");
    names.extend(anchors(authentication, "trust_anchors"));
    names.extend(authentication.text("users_file").map(str::to_owned));
    names.extend(document.table("stamp").text("signing_key").map(str::to_owned));
    let credentials = document.tables("send_connector").filter_map(|t| t.text("authentication_credential"));
    names.extend(credentials.map(str::to_owned));
    for certificate in document.tables("certificate") {
        names.extend(["chain", "key"].iter().filter_map(|key| certificate.text(key)).map(str::to_owned));
    }
    names.extend(document.tables("accepted_domain").filter_map(|t| t.text("recipients")).map(str::to_owned));
    names.retain(|name| !matches!(name.as_str(), "system" | "mozilla"));
    names.iter().map(|name| document.resolve(name.as_ref())).collect()
}

/// `derive` has filled it in; without a name at all there is an error already.
fn hostname(document: &Document) -> Domain {
    document.table("").read("hostname", format::domain).unwrap_or_else(unnamed)
}

/// Stands where a name is missing and the error for it has been reported.
fn unnamed() -> Domain {
    Domain::parse("unnamed.invalid").expect("a well-formed domain")
}

fn transport(document: &Document) -> Transport {
    let table = document.table("transport");
    let list = |key| table.read_all(key, format::secure_domain).into_iter().collect();
    let fallback = || Address::new("postmaster", unnamed()).expect("a well-formed local part");
    Transport {
        tls_send_domain_secure_list: list("tls_send_domain_secure_list"),
        tls_receive_domain_secure_list: list("tls_receive_domain_secure_list"),
        header_from: match table.text("header_from") {
            Some("off") => HeaderFrom::Off,
            Some("reject") => HeaderFrom::Reject,
            _ => HeaderFrom::Mark,
        },
        postmaster: table.read("postmaster", format::address).unwrap_or_else(fallback),
    }
}

fn accepted_domains(document: &Document, problems: &mut Problems) -> Vec<AcceptedDomain> {
    let mut accepted = Vec::new();
    for table in document.tables("accepted_domain") {
        let Some(name) = table.read("name", format::domain) else { continue };
        let recipients = table.read("recipients", format::path);
        let recipients =
            recipients.map(|path| Arc::new(files::recipients(document, table, path, &name, problems)));
        accepted.push(AcceptedDomain {
            recipients,
            from: allowed_senders(table),
            verification: connectors::check_mode(table.text("recipient_verification")),
            name,
        });
    }
    accepted
}

fn allowed_senders(table: &Table) -> AllowedSenders {
    match &table.entry("from").value {
        Value::Text(word) if word == "partners" => AllowedSenders::Partners,
        Value::List(_) => AllowedSenders::Domains(table.read_all("from", format::secure_domain)),
        Value::Text(_) | Value::Nothing | Value::Bool(_) | Value::Integer(_) => AllowedSenders::Anyone,
    }
}

fn queue(table: &Table) -> QueueSettings {
    QueueSettings {
        cut_through: table.bool("cut_through"),
        message_expiration: table.read("message_expiration", format::duration).unwrap_or_default(),
        delay_notification: table.read("delay_notification", format::duration).unwrap_or_default(),
        retry_intervals: table.read_all("retry_intervals", format::positive_duration),
        back_pressure: BackPressureSettings {
            max_messages: table.integer("max_messages"),
            min_free_disk: table.read("min_free_disk", format::size).unwrap_or_default(),
            max_memory: table.read("max_memory", format::size).unwrap_or_default(),
        },
    }
}

fn message_tracking(document: &Document) -> MessageTrackingSettings {
    let table = document.table("message_tracking");
    let data_directory = document.table("").read("data_directory", format::path).unwrap_or(".".as_ref());
    let below = table.read("directory", format::path).unwrap_or("protocol-log".as_ref());
    MessageTrackingSettings {
        enabled: table.bool("enabled"),
        directory: document.resolve(&data_directory.join(below)),
        max_file_size: table.read("max_file_size", format::size).unwrap_or_default(),
        max_directory_size: table.read("max_directory_size", format::size).unwrap_or_default(),
        max_age: table.read("max_age", format::duration).unwrap_or_default(),
        subject: table.bool("subject"),
    }
}

fn dns(table: &Table) -> DnsSettings {
    let dnssec = match table.text("dnssec") {
        Some("off") => Dnssec::Off,
        Some("trusted-resolver") => Dnssec::TrustedResolver,
        _ => Dnssec::Auto,
    };
    DnsSettings { servers: table.read_all("servers", format::dns_server), dnssec }
}

fn recipient_verification(table: &Table) -> VerificationSettings {
    let duration = |key| table.read(key, format::duration).unwrap_or_default();
    VerificationSettings {
        positive_expire_time: duration("positive_expire_time"),
        positive_refresh_time: duration("positive_refresh_time"),
        negative_expire_time: duration("negative_expire_time"),
        timeout: duration("timeout"),
        cache_size: table.integer::<u32>("cache_size") as usize,
        rate_limit: table.integer("rate_limit"),
    }
}

fn tls_reporting(table: &Table, postmaster: &Address) -> TlsReportingSettings {
    let text = |key| table.text(key).unwrap_or_default().to_owned();
    TlsReportingSettings {
        enabled: table.bool("enabled"),
        organization_name: text("organization_name"),
        contact_info: text("contact_info"),
        from: table.read("from", format::address).unwrap_or_else(|| postmaster.clone()),
        max_delay: table.read("max_delay", format::duration).unwrap_or_default(),
        allow_private_addresses: table.bool("allow_private_addresses"),
    }
}

fn protocol_log(document: &Document) -> ProtocolLogSettings {
    let table = document.table("protocol_log");
    let data_directory = document.table("").read("data_directory", format::path).unwrap_or(".".as_ref());
    let below = table.read("directory", format::path).unwrap_or("protocol-log".as_ref());
    ProtocolLogSettings {
        directory: document.resolve(&data_directory.join(below)),
        max_file_size: table.read("max_file_size", format::size).unwrap_or_default(),
        max_directory_size: table.read("max_directory_size", format::size).unwrap_or_default(),
        max_age: table.read("max_age", format::duration).unwrap_or_default(),
        stop_mail_on_error: table.bool("stop_mail_on_error"),
    }
}
