//! The checked settings: one immutable snapshot, replaced as a whole by a reload.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::mail::{Address, Domain};
use crate::trust::TrustPolicy;

use super::header_firewall::Ours;
use super::recipient_verification::VerificationSettings;
use super::{
    AcceptedDomain, AdminToken, EventLogSettings, OwnCertificate, Partner, ReceiveConnector, SendConnector,
    SmartHostName, StampSigning, Users,
};

/// Everything the program knows of its configuration file, anchors, certificates and recipient
/// lists read in. `config::load` makes it.
#[derive(Debug)]
pub struct Settings {
    /// Rises with each reload that took effect.
    pub epoch: u64,
    pub hostname: Domain,
    pub data_directory: PathBuf,
    pub transport: Transport,
    /// How a listed domain without a partner entry, and any unlisted one, is judged.
    pub default_policy: Arc<TrustPolicy>,
    /// PEM or DER; read again on reload and within 5 s of a change.
    pub crl_files: Vec<PathBuf>,
    pub crl_fetch: CrlFetchSettings,
    pub mta_sts: MtaStsSettings,
    /// Certificates, keys, anchors and recipient lists that were read: a change of one is a reload.
    pub watched_files: Vec<PathBuf>,
    pub partners: Vec<Arc<Partner>>,
    pub accepted_domains: Vec<AcceptedDomain>,
    /// Who may log in at receive connectors.
    pub users: Arc<Users>,
    pub certificates: Vec<Arc<OwnCertificate>>,
    pub receive_connectors: Vec<Arc<ReceiveConnector>>,
    pub send_connectors: Vec<Arc<SendConnector>>,
    pub queue: QueueSettings,
    pub dns: DnsSettings,
    pub recipient_verification: VerificationSettings,
    pub tls_reporting: TlsReportingSettings,
    /// What stamps that leave are signed with, if they are.
    pub stamp_signing: Option<StampSigning>,
    pub protocol_log: ProtocolLogSettings,
    pub message_tracking: MessageTrackingSettings,
    pub event_log: EventLogSettings,
    pub admin: AdminSettings,
    /// The bundle of shared settings that these were made with.
    pub bundle: Option<BundleInForce>,
}

/// Which bundle of shared settings an edge runs with.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BundleInForce {
    /// Rises with every bundle that is made.
    pub serial: u64,
    /// SHA-256 of its content, lower-case hexadecimal.
    pub digest: String,
}

/// `[transport]`. The lists hold the partners' domains too.
#[derive(Debug)]
pub struct Transport {
    pub tls_send_domain_secure_list: BTreeSet<Domain>,
    pub tls_receive_domain_secure_list: BTreeSet<Domain>,
    pub header_from: HeaderFrom,
    pub postmaster: Address,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFrom {
    Off,
    Mark,
    Reject,
}

/// `[trust] crl_fetch` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlFetchSettings {
    pub enabled: bool,
    /// For all lists that one verdict lacks.
    pub timeout: Duration,
    /// Also to private and loopback addresses, and to any port.
    pub allow_private_addresses: bool,
    pub proxy: Option<HttpProxy>,
    /// A list that was fetched longer ago is not current; `None`: as long as the list says.
    pub max_age: Option<Duration>,
}

/// A proxy for plain http requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProxy {
    pub host: SmartHostName,
    pub port: u16,
}

/// `[queue]`.
#[derive(Debug)]
pub struct QueueSettings {
    /// 250 also when next hops have taken a message before it is durable.
    pub cut_through: bool,
    pub message_expiration: Duration,
    /// For everyone but partners, whose default is 30 minutes.
    pub delay_notification: Duration,
    /// Never empty; the last repeats.
    pub retry_intervals: Vec<Duration>,
    pub back_pressure: BackPressureSettings,
}

/// Where back pressure becomes high; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackPressureSettings {
    pub max_messages: u64,
    /// Octets; on a small disk an eighth of it is enough.
    pub min_free_disk: u64,
    /// Octets, resident.
    pub max_memory: u64,
}

/// `[dns]`.
#[derive(Debug)]
pub struct DnsSettings {
    /// Empty: the system's resolvers.
    pub servers: Vec<SocketAddr>,
    pub dnssec: Dnssec,
}

/// `[dns] dnssec`: whose word it is that an answer is authentic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dnssec {
    /// The resolver's, where all of them are on this host; else nobody's.
    Auto,
    /// Nobody's: no answer counts as secure, and DANE is not used.
    Off,
    /// The resolver's, wherever it is.
    TrustedResolver,
}

/// `[mta_sts]`.
#[derive(Clone, Debug)]
pub struct MtaStsSettings {
    /// Of the https servers that hold policies.
    pub port: u16,
    /// Also from private and loopback addresses.
    pub allow_private_addresses: bool,
    /// Anchors of `[trust]`, for policies and the hosts they name. Revocation is looked at but never
    /// hard-fails: RFC 8461 asks for none, and a list that cannot be had must not stop all mail.
    pub trust: Arc<TrustPolicy>,
}

/// `[tls_reporting]`: telling domains how TLS with their mail hosts went (RFC 8460).
#[derive(Clone, Debug)]
pub struct TlsReportingSettings {
    pub enabled: bool,
    pub organization_name: String,
    pub contact_info: String,
    /// `From:` of reports by mail.
    pub from: Address,
    /// A day's reports leave within this, once it is over.
    pub max_delay: Duration,
    /// Also to https servers at private and loopback addresses, and at any port.
    pub allow_private_addresses: bool,
}

/// `[protocol_log]`.
#[derive(Clone, Debug)]
pub struct ProtocolLogSettings {
    /// Absolute.
    pub directory: PathBuf,
    pub max_file_size: u64,
    pub max_directory_size: u64,
    pub max_age: Duration,
    pub stop_mail_on_error: bool,
}

/// `[message_tracking]`.
#[derive(Clone, Debug)]
pub struct MessageTrackingSettings {
    pub enabled: bool,
    /// Absolute; holds the folder `MessageTracking`.
    pub directory: PathBuf,
    pub max_file_size: u64,
    pub max_directory_size: u64,
    /// Zero: for ever.
    pub max_age: Duration,
    /// Whether subjects are written.
    pub subject: bool,
}

/// `[admin]`.
#[derive(Debug)]
pub struct AdminSettings {
    /// `None`: off.
    pub listen: Option<SocketAddr>,
    /// `None`: neither status page nor `/api`.
    pub token: Option<AdminToken>,
    pub allow_steering: bool,
}

impl Settings {
    /// By what fields of ours are known.
    pub fn ours(&self) -> Ours<'_> {
        Ours { hostname: &self.hostname, signing: self.stamp_signing.as_ref() }
    }

    /// The partner entry that holds `domain`.
    pub fn partner_of(&self, domain: &Domain) -> Option<&Arc<Partner>> {
        self.partners.iter().find(|partner| partner.domains.contains(domain))
    }

    /// The partner that a delivery queue with this TLS domain belongs to. Only secured recipients
    /// follow a partner entry.
    pub fn partner_of_tls_domain(&self, tls_domain: &str) -> Option<&Arc<Partner>> {
        let domain = Domain::parse(tls_domain).ok()?;
        self.partner_of(&domain)
    }

    /// The waits between attempts of a delivery queue.
    pub fn retry_intervals(&self, tls_domain: &str) -> &[Duration] {
        let partner = self.partner_of_tls_domain(tls_domain);
        let own = partner.and_then(|partner| partner.retry_intervals.as_deref());
        own.unwrap_or(&self.queue.retry_intervals)
    }

    pub fn accepted_domain(&self, domain: &Domain) -> Option<&AcceptedDomain> {
        self.accepted_domains.iter().find(|accepted| &accepted.name == domain)
    }
}
