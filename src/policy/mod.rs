//! Judgement: connectors, secure-domain lists, partners, routing plan, retry plan, header
//! firewall and limits. Pure: settings are values that `config` has read and checked.

mod accepted_domain;
mod admin_token;
pub mod back_pressure;
mod certificate_use;
pub mod concurrency;
pub mod cut_through;
mod event_log;
pub mod expiry;
pub mod fair_share;
pub mod header_firewall;
pub mod host_memory;
mod inbound_checks;
mod inbound_limits;
pub mod known_sources;
pub mod limit;
pub mod limits;
pub mod milter;
pub mod mta_sts;
pub mod next_hop;
pub mod outbound;
pub mod own_certificate;
mod partner;
pub mod quota;
pub mod receive_connector;
pub mod recipient_verification;
pub mod requiretls;
pub mod retry;
pub mod returned;
pub mod routing;
pub mod secure_domains;
pub mod send_connector;
mod settings;
mod stamp_signing;
pub mod tls_reporting;
mod users;

pub use accepted_domain::{AcceptedDomain, AllowedSenders};
pub use admin_token::AdminToken;
pub use back_pressure::{Pressure, Resource};
pub use certificate_use::{CertificateUse, CertificateUser, certificate_uses};
pub use event_log::{
    DEFAULT_LEVELS, EventFormat, EventLogSettings, EventOutput, Facility, LogLevel, LogLevelError, LogLevels,
    SyslogAddress,
};
pub use inbound_checks::{Check, CheckMode, Consequence, Finding, InboundChecks, Outcome};
pub use inbound_limits::{InboundLimits, PartnerLimits};
pub use limit::{Limit, Reached, Scope};
pub use own_certificate::{NoCertificate, OwnCertificate};
pub use partner::{Partner, Priority, is_called};
pub use receive_connector::{AuthenticationWays, Permissions, ProtocolLogging, ReceiveConnector};
pub use send_connector::{
    AddressSpace, SendConnector, SmartHost, SmartHostAuth, SmartHostName, SmartHostWay, TlsAuthLevel,
};
pub use settings::{
    AdminSettings, BackPressureSettings, BundleInForce, CrlFetchSettings, DnsSettings, Dnssec, HeaderFrom,
    HttpProxy, MessageTrackingSettings, MtaStsSettings, ProtocolLogSettings, QueueSettings, Settings,
    TlsReportingSettings, Transport,
};
pub use stamp_signing::{StampAlgorithm, StampKey, StampSigning};
pub use users::{Sender, User, Users};
