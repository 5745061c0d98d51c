//! Contoso's settings, as dialogues change them.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealpost::mail::{Address, Domain};
use sealpost::policy::recipient_verification::VerificationSettings;
use sealpost::policy::{
    AcceptedDomain, AdminSettings, AllowedSenders, AuthenticationWays, BackPressureSettings, CheckMode,
    CrlFetchSettings, DnsSettings, Dnssec, EventLogSettings, HeaderFrom, MessageTrackingSettings,
    MtaStsSettings, Partner, Permissions, Priority, ProtocolLogSettings, ProtocolLogging, QueueSettings,
    ReceiveConnector, SendConnector, Sender, Settings, TlsReportingSettings, Transport, User, Users,
    secure_domains,
};
use sealpost::smtp::sasl::Verifier;
use sealpost::trust::{
    Direction, Level, Mode, NamePattern, OnFailure, Requirement, RevocationMode, SpkiPin, TlsVersion,
    TrustPolicy, UsagePolicy,
};

use crate::pki::Pki;

pub fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// How Woodgrove's certificates are judged.
pub fn policy(pki: &Pki) -> TrustPolicy {
    TrustPolicy::of(Arc::new(pki.anchors()))
}

pub fn partner(name: &str, domains: &[&str], policy: TrustPolicy) -> Partner {
    Partner {
        name: name.to_owned(),
        domains: domains.iter().map(|name| domain(name)).collect(),
        policy: Arc::new(policy),
        on_inbound_failure: OnFailure::Reject,
        on_outbound_failure: OnFailure::Defer,
        message_expiration: None,
        delay_notification: None,
        retry_intervals: None,
        priority: Priority::Normal,
        mode: Mode::Enforce,
        certificate: None,
        remote_ip_ranges: Vec::new(),
        limits: sealpost::policy::PartnerLimits::default(),
    }
}

/// Applies a `: key value` line to the list of partners; false when the key is no matter of it.
pub fn set_partners(settings: &mut Settings, partners: &mut Vec<Partner>, key: &str, value: &str) -> bool {
    match (key, value) {
        ("partner_entries", "none") => partners.clear(),
        // Another domain of Fabrikam's, for which its one certificate speaks as well.
        ("fabrikam_also", name) => {
            settings.transport.tls_receive_domain_secure_list.insert(domain(name));
            let fabrikam = partners.iter_mut().find(|partner| partner.name == "Fabrikam").unwrap();
            fabrikam.domains.insert(0, domain(name));
            let mut policy = TrustPolicy::clone(&fabrikam.policy);
            policy.certificate_names = vec![NamePattern::Exact(domain("fabrikam.example"))];
            fabrikam.policy = Arc::new(policy);
        }
        _ => return false,
    }
    true
}

/// Applies a `: key value` line to every partner; false when the key is no matter of trust.
pub fn set_trust_of_all(partners: &mut [Partner], key: &str, value: &str) -> bool {
    let known = partners.iter_mut().map(|partner| set_trust(partner, key, value));
    known.filter(|known| *known).count() > 0
}

/// Applies a `: key value` line to a partner; false when the key is no matter of trust.
fn set_trust(partner: &mut Partner, key: &str, value: &str) -> bool {
    let mut policy = TrustPolicy::clone(&partner.policy);
    match (key, value) {
        ("on_inbound_failure", "defer") => partner.on_inbound_failure = OnFailure::Defer,
        ("mode", "report") => partner.mode = Mode::Report,
        ("partner_message_rate", messages) => partner.limits.rates.messages = messages.parse().unwrap(),
        ("minimum_tls", "1.3") => policy.minimum_tls = TlsVersion::Tls13,
        ("pin", "other") => policy.pins = vec![SpkiPin([7; 32])],
        ("revocation", "off") => policy.revocation = RevocationMode::Off,
        ("revocation", "soft-fail") => policy.revocation = RevocationMode::SoftFail,
        ("extended_key_usage", "client") => policy.usage = UsagePolicy::Client,
        ("certificate_request", "optional") => policy.require_client_certificate_request = false,
        _ => return false,
    }
    partner.policy = Arc::new(policy);
    true
}

pub fn settings(pki: &Pki) -> Settings {
    let woodgrove = partner("Woodgrove Bank", &["woodgrovebank.example"], policy(pki));
    let fabrikam_policy = TrustPolicy { anchors: Arc::new(pki.fabrikam_anchors()), ..policy(pki) };
    let fabrikam = partner("Fabrikam", &["fabrikam.example"], fabrikam_policy);
    let listed: BTreeSet<Domain> =
        [domain("woodgrovebank.example"), domain("fabrikam.example")].into_iter().collect();
    Settings {
        epoch: 1,
        bundle: None,
        hostname: domain("mail1.contoso.example"),
        data_directory: PathBuf::from("/var/lib/sealpost"),
        transport: Transport {
            tls_send_domain_secure_list: listed.clone(),
            tls_receive_domain_secure_list: listed,
            header_from: HeaderFrom::Mark,
            postmaster: Address::parse("postmaster@contoso.example").unwrap(),
        },
        default_policy: Arc::new(policy(pki)),
        crl_files: Vec::new(),
        crl_fetch: CrlFetchSettings {
            enabled: false,
            timeout: Duration::from_secs(15),
            allow_private_addresses: false,
            proxy: None,
            max_age: None,
        },
        mta_sts: MtaStsSettings { port: 443, allow_private_addresses: false, trust: Arc::new(policy(pki)) },
        watched_files: Vec::new(),
        partners: vec![Arc::new(woodgrove), Arc::new(fabrikam)],
        accepted_domains: vec![
            AcceptedDomain {
                name: domain("contoso.example"),
                recipients: None,
                from: AllowedSenders::Anyone,
                verification: CheckMode::Off,
            },
            AcceptedDomain {
                name: domain("listed.contoso.example"),
                recipients: Some(Arc::new(HashSet::from(["adam@listed.contoso.example".to_owned()]))),
                from: AllowedSenders::Anyone,
                verification: CheckMode::Off,
            },
            AcceptedDomain {
                name: domain("hub.contoso.example"),
                recipients: None,
                from: AllowedSenders::Partners,
                verification: CheckMode::Off,
            },
            AcceptedDomain {
                name: domain("fabrikam-only.contoso.example"),
                recipients: None,
                from: AllowedSenders::Domains(vec![domain("fabrikam.example")]),
                verification: CheckMode::Off,
            },
        ],
        users: Arc::default(),
        certificates: Vec::new(),
        receive_connectors: Vec::new(),
        send_connectors: Vec::new(),
        queue: QueueSettings {
            cut_through: false,
            message_expiration: Duration::from_secs(2 * 86_400),
            delay_notification: Duration::from_secs(4 * 3600),
            retry_intervals: vec![Duration::from_secs(60)],
            back_pressure: BackPressureSettings { max_messages: 0, min_free_disk: 0, max_memory: 0 },
        },
        dns: DnsSettings { servers: Vec::new(), dnssec: Dnssec::Off },
        message_tracking: MessageTrackingSettings {
            enabled: false,
            directory: "/nonexistent".into(),
            max_file_size: 0,
            max_directory_size: 0,
            max_age: Duration::from_secs(1),
            subject: false,
        },
        recipient_verification: VerificationSettings {
            positive_expire_time: Duration::from_secs(3600),
            positive_refresh_time: Duration::from_secs(60),
            negative_expire_time: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
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
        protocol_log: ProtocolLogSettings {
            directory: PathBuf::from("/var/lib/sealpost/protocol-log"),
            max_file_size: 10 << 20,
            max_directory_size: 1 << 30,
            max_age: Duration::from_secs(30 * 86_400),
            stop_mail_on_error: false,
        },
        event_log: EventLogSettings::default(),
        admin: AdminSettings { listen: None, token: None, allow_steering: false },
    }
}

pub fn receive_connector() -> ReceiveConnector {
    ReceiveConnector {
        name: "Internet".to_owned(),
        bindings: vec!["192.0.2.25:25".parse().unwrap()],
        remote_ip_ranges: vec!["0.0.0.0/0".parse().unwrap()],
        proxy_protocol_from: Vec::new(),
        fqdn: domain("mail.contoso.example"),
        offer_starttls: true,
        authentication: AuthenticationWays::default(),
        implicit_tls: false,
        post_quantum_key_exchange: true,
        domain_secure_enabled: true,
        require_tls: false,
        permissions: Permissions { submit: true, relay: false, authenticated_relay: false },
        offer_dsn: true,
        offer_chunking: true,
        offer_binary_mime: true,
        accept_organization_headers: false,
        protocol_logging: ProtocolLogging::Verbose,
        max_message_size: 10_000,
        max_recipients_per_message: 3,
        max_inbound_connections: 5000,
        max_inbound_connections_per_source: 20,
        limits: sealpost::policy::InboundLimits::default(),
        connection_timeout: Duration::from_secs(300),
        connection_inactivity_timeout: Duration::from_secs(60),
        checks: Arc::default(),
        milters: Arc::default(),
        tarpit_interval: Duration::ZERO,
    }
}

/// Everybody's password is `s3cret pw`; scanner has none and comes with the certificate of
/// woodgrovebank.example.
pub fn let_users_in(settings: &mut Settings, connector: &mut ReceiveConnector) {
    connector.authentication = AuthenticationWays { basic: true, scram_sha_256: true, external: true };
    let verifier = || Some(Verifier::of_password("s3cret pw", b"0123456789abcdef", 4096));
    let user =
        |name: &str| User { name: name.to_owned(), verifier: None, certificate: None, senders: Vec::new() };
    let alice = User {
        verifier: verifier(),
        senders: vec![Sender::Address(Address::parse("alice@contoso.example").unwrap())],
        ..user("alice")
    };
    let scanner = User {
        certificate: Some(Requirement {
            level: Level::DomainSecure,
            ..secure_domains::ordinary(
                settings,
                Direction::Inbound,
                &domain("woodgrovebank.example"),
                Level::None,
            )
        }),
        ..user("scanner")
    };
    let bob = User { verifier: verifier(), ..user("bob") };
    settings.users = Arc::new(Users::new([alice, bob, scanner], b"secret".to_vec()));
}

pub fn send_connector() -> SendConnector {
    SendConnector {
        name: "Internet".to_owned(),
        address_spaces: Vec::new(),
        cost: 1,
        dns_routing_enabled: true,
        smart_hosts: Vec::new(),
        port: 25,
        smart_host_auth: None,
        source_addresses: Vec::new(),
        fqdn: domain("mail.contoso.example"),
        domain_secure_enabled: true,
        require_tls: false,
        implicit_tls: false,
        tls_auth_level: Level::None,
        dane: true,
        mta_sts: true,
        post_quantum_key_exchange: true,
        send_organization_headers: None,
        stamp_exchange_headers: false,
        protocol_logging: ProtocolLogging::Verbose,
        max_messages_per_connection: 100,
        max_connections_per_destination: 20,
    }
}
