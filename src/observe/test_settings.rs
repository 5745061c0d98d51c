//! Settings for tests of counters: two lists and a connector each way, nothing else.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::mail::{Address, Domain};
use crate::policy::{
    AdminSettings, BundleInForce, CrlFetchSettings, DnsSettings, Dnssec, HeaderFrom, MessageTrackingSettings,
    MtaStsSettings, ProtocolLogSettings, QueueSettings, Settings, TlsReportingSettings, Transport,
};
use crate::trust::{AnchorSet, TrustPolicy};

/// Settings with these domains on the receive and the send list.
pub(crate) fn with_lists(receive: &[&str], send: &[&str]) -> Settings {
    let hour = Duration::from_secs(3600);
    Settings {
        epoch: 1,
        hostname: domain("mail1.contoso.example"),
        data_directory: PathBuf::from("/nonexistent"),
        transport: Transport {
            tls_send_domain_secure_list: domains(send),
            tls_receive_domain_secure_list: domains(receive),
            header_from: HeaderFrom::Mark,
            postmaster: Address::parse("postmaster@contoso.example").unwrap(),
        },
        default_policy: Arc::new(policy()),
        crl_files: Vec::new(),
        crl_fetch: CrlFetchSettings {
            enabled: false,
            timeout: hour,
            allow_private_addresses: false,
            proxy: None,
            max_age: None,
        },
        mta_sts: MtaStsSettings { port: 443, allow_private_addresses: false, trust: Arc::new(policy()) },
        watched_files: Vec::new(),
        partners: Vec::new(),
        accepted_domains: Vec::new(),
        users: std::sync::Arc::default(),
        certificates: Vec::new(),
        receive_connectors: Vec::new(),
        send_connectors: Vec::new(),
        queue: QueueSettings {
            cut_through: false,
            message_expiration: hour,
            delay_notification: hour,
            back_pressure: crate::policy::BackPressureSettings {
                max_messages: 0,
                min_free_disk: 0,
                max_memory: 0,
            },
            retry_intervals: vec![hour],
        },
        dns: DnsSettings { servers: Vec::new(), dnssec: Dnssec::Off },
        recipient_verification: crate::policy::recipient_verification::VerificationSettings {
            positive_expire_time: hour,
            positive_refresh_time: hour,
            negative_expire_time: hour,
            timeout: hour,
            cache_size: 10,
            rate_limit: 10,
        },
        stamp_signing: None,
        tls_reporting: TlsReportingSettings {
            enabled: false,
            organization_name: String::new(),
            contact_info: String::new(),
            from: Address::parse("postmaster@contoso.example").unwrap(),
            max_delay: Duration::from_secs(4 * 3600),
            allow_private_addresses: false,
        },
        protocol_log: protocol_log(PathBuf::from("/nonexistent")),
        message_tracking: message_tracking(PathBuf::from("/nonexistent")),
        event_log: crate::policy::EventLogSettings::default(),
        admin: AdminSettings { listen: None, token: None, allow_steering: false },
        bundle: Some(BundleInForce { serial: 5, digest: "00ff".to_owned() }),
    }
}

/// The same of message tracking.
pub(crate) fn message_tracking(directory: PathBuf) -> MessageTrackingSettings {
    MessageTrackingSettings {
        enabled: true,
        directory,
        max_file_size: 10 << 20,
        max_directory_size: 1 << 30,
        max_age: Duration::ZERO,
        subject: false,
    }
}

/// Limits so wide that no test meets them by accident.
pub(crate) fn protocol_log(directory: PathBuf) -> ProtocolLogSettings {
    ProtocolLogSettings {
        directory,
        max_file_size: 10 << 20,
        max_directory_size: 1 << 30,
        max_age: Duration::ZERO,
        stop_mail_on_error: false,
    }
}

fn policy() -> TrustPolicy {
    TrustPolicy::of(Arc::new(AnchorSet::new("none", Vec::new())))
}

fn domains(names: &[&str]) -> BTreeSet<Domain> {
    names.iter().map(|name| domain(name)).collect()
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}
