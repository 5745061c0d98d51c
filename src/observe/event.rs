//! The closed list of everything that happens and is worth telling. Every event log record and
//! every counter comes from one of these values (DESIGN rule 7), through `Observer::event`. The
//! names of the variants and of their fields are public: operators search for them.

mod access;
mod dsn_kind;
mod fields;
mod filter;
mod inbound_checked;
mod log;
pub mod table;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::mail::Domain;
use crate::policy::mta_sts::StsMode;
use crate::policy::{Pressure, Resource};
use crate::smtp::SessionId;
use crate::trust::{Direction, Mode, RuledBy, SpkiPin, TlsEvidence, TlsOutcome, TlsVersion, Verdict};

use super::certificate_role::CertificateRole;
use fields::{
    display, optional_display, optional_seconds, seconds, serialize_ruled, serialize_verdict,
    serialize_version,
};

pub use access::AccessEvent;
pub use dsn_kind::DsnKind;
pub(super) use fields::version_label;
pub use filter::FilterEvent;
pub use inbound_checked::InboundChecked;
pub use log::LogEvent;

/// One thing that happened. Texts may hold anything a peer sent: they are escaped when written.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event")]
pub enum Event {
    /// The server runs: `ready` was said.
    Started {
        version: &'static str,
        /// Whether all cryptography of TLS is that of a FIPS 140-3 module, and the module says so.
        fips: bool,
        listening: Vec<String>,
    },
    /// SIGTERM: sessions in hand are finished, new ones refused.
    Stopping {
        reason: String,
    },
    /// A handshake ended; with an `error` (the library's text) it failed, and `version` may be unknown.
    TlsHandshake {
        direction: Direction,
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        remote: SocketAddr,
        #[serde(serialize_with = "serialize_version")]
        version: Option<TlsVersion>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// Once a MAIL that was judged for a listed domain.
    InboundJudged {
        #[serde(flatten, serialize_with = "serialize_verdict")]
        verdict: Arc<Verdict>,
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        remote: SocketAddr,
        /// What the handshake showed, for the record of partners.
        #[serde(skip)]
        evidence: Option<Arc<TlsEvidence>>,
    },
    /// Once an outbound session that connected and was judged for a listed domain.
    OutboundJudged {
        #[serde(flatten, serialize_with = "serialize_verdict")]
        verdict: Arc<Verdict>,
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        host: String,
        #[serde(skip)]
        evidence: Option<Arc<TlsEvidence>>,
    },
    /// Once an outbound session that DANE or an MTA-STS policy ruled over.
    PolicyJudged {
        #[serde(flatten, serialize_with = "serialize_ruled")]
        verdict: Arc<Verdict>,
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        host: String,
    },
    /// A mail host that DANE or an MTA-STS policy keeps us from, or, with `mode` report, would have.
    PolicyHostSkipped {
        domain: Domain,
        host: String,
        policy: RuledBy,
        outcome: TlsOutcome,
        mode: Mode,
        reason: String,
    },
    /// A domain's MTA-STS policy was fetched, for the first time or again.
    StsPolicyFetched {
        domain: Domain,
        id: String,
        mode: StsMode,
        /// Seconds.
        max_age: u64,
    },
    /// It could not be had, or is none. `kept` says whether one from before is still in force.
    StsPolicyFetchFailed {
        domain: Domain,
        outcome: TlsOutcome,
        error: String,
        kept: bool,
    },
    /// A TLS report was taken by our queue or by an https server.
    TlsReportSent {
        domain: Domain,
        day: String,
        destination: String,
    },
    /// A TLS report could not be handed in, or, without a destination, it could not be found out
    /// where it shall go. It is tried again for a day, unless `given_up`.
    TlsReportFailed {
        domain: Domain,
        day: String,
        destination: String,
        error: String,
        given_up: bool,
    },
    /// SPF, DKIM, DMARC, ARC or a DNS block list was asked about a client or its message.
    InboundChecked(InboundChecked),
    /// A message is durable, or next hops have taken it for every recipient, and gets its 250.
    MessageReceived {
        queue_id: String,
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        /// Empty for the null reverse-path.
        sender: String,
        /// Octets of stored content.
        size: u64,
        recipients: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        secured: Option<Domain>,
        /// Until the commit point; none where next hops took it before (`[queue] cut_through`).
        #[serde(serialize_with = "optional_seconds", skip_serializing_if = "Option::is_none")]
        accept_to_durable: Option<Duration>,
    },
    /// A command, recipient or message got a 4xx or 5xx of ours.
    MessageRefused {
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        remote: SocketAddr,
        reply: String,
    },
    /// A transaction got the peer's 250 after the final dot.
    MessageDelivered {
        queue_id: String,
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        host: String,
        recipient_count: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        secured: Option<Domain>,
        /// From the message coming in whole to the peer's 250.
        #[serde(serialize_with = "seconds")]
        accept_to_delivered: Duration,
    },
    /// One recipient has to wait.
    MessageDeferred {
        queue_id: String,
        recipient: String,
        reason: String,
        #[serde(serialize_with = "display")]
        next_attempt: Timestamp,
    },
    /// One recipient was given up; a delivery status notification follows, if there is a sender
    /// who wants it.
    MessageBounced {
        queue_id: String,
        recipient: String,
        reason: String,
    },
    /// A delivery status notification `queue_id` about the message `about` entered the queue.
    DsnQueued {
        queue_id: String,
        about: String,
        kind: DsnKind,
    },
    /// A delivery status notification could not be delivered, or its message had no sender.
    DsnDropped {
        about: String,
    },
    /// A message left with a stamp and without its signature: its header can be read in two ways.
    StampUnsigned {
        queue_id: String,
        reason: String,
    },
    /// Recipients of a message were suspended: by an operator, or by a rule of `queue hold` as it came.
    MessageSuspended {
        queue_id: String,
        by: String,
    },
    /// They may go on: an operator said so, or the rule ended.
    MessageResumed {
        queue_id: String,
        by: String,
    },
    /// An operator gave a message another next hop, or took that back.
    MessageRedirected {
        queue_id: String,
        next_hop: String,
        by: String,
    },
    /// An operator took a message out of the queue, and its sender is told nothing.
    MessageRemoved {
        queue_id: String,
        by: String,
    },
    /// What start-up found in the queue.
    QueueRecovered {
        messages: u64,
        orphans: u64,
    },
    /// No host of a next hop could be used: it is probed once an interval, and what is due for it
    /// is put off meanwhile.
    NextHopDown {
        next_hop: String,
        connector: String,
        reason: String,
    },
    /// It can be used again; so many messages waited for that and go at once.
    NextHopUp {
        next_hop: String,
        connector: String,
        waited: usize,
    },
    /// A resource became short or is no longer: `amount` of it is there, `allowed` is the option's
    /// value (messages or octets). At `medium` strangers are refused, at `high` everyone.
    BackPressureChanged {
        resource: Resource,
        before: Pressure,
        #[serde(rename = "pressure")]
        level: Pressure,
        amount: u64,
        allowed: u64,
    },
    /// The queue could not keep or change a message.
    StorageFailed {
        error: String,
    },
    SettingsReloaded {
        epoch: u64,
        changes: Vec<String>,
    },
    /// Something in the settings is allowed and probably not meant.
    SettingsWarning {
        warning: String,
    },
    /// A reload was refused; the old settings stay.
    SettingsRefused {
        problems: Vec<String>,
    },
    /// A connection could not be taken from the system, such as for want of file descriptors.
    AcceptFailed {
        binding: SocketAddr,
        error: String,
    },
    /// Another certificate of ours has become the best one of a receive connector.
    CertificateOffered {
        connector: String,
        certificate: String,
    },
    /// A certificate of ours has become the best one and cannot be used.
    CertificateNotOffered {
        error: String,
    },
    /// Sessions that were still open at the end of the time to drain.
    SessionsCutOff {
        after_seconds: u64,
    },
    /// At the stop the disk took nothing: what was acknowledged is safe, log lines may be lost.
    StopIncomplete {
        waited_seconds: u64,
    },
    /// What was seen of partners could not be read or kept; mail goes on.
    PartnerRecordFailed {
        error: String,
        consequence: &'static str,
    },
    /// An action of an operator took effect and could not be written to audit.log.
    AuditFailed {
        user: String,
        what: String,
        error: String,
    },
    /// The `[admin]` listener ended; mail goes on.
    AdminFailed {
        error: String,
    },
    /// The limit of open files could not be raised to what many connections take.
    DescriptorLimitLow {
        wanted: u64,
        error: String,
    },
    /// Written every hour while it lasts.
    CertificateExpired {
        subject: String,
        #[serde(serialize_with = "display")]
        not_after: Timestamp,
        connector: String,
    },
    /// 30, 14, 7 and 1 days before a certificate of ours, a partner's as last seen, or a trust
    /// anchor ends; `of` is the connector or the partner. Not before half its life is over.
    CertificateExpiring {
        role: CertificateRole,
        subject: String,
        #[serde(serialize_with = "display")]
        not_after: Timestamp,
        of: String,
    },
    /// The same of a revocation list.
    RevocationListExpiring {
        source: String,
        issuer: String,
        #[serde(serialize_with = "display")]
        next_update: Timestamp,
    },
    /// One of a partner's `spki_pins` is the key of no certificate that the partner last showed:
    /// it is the next one, or an old one that can go.
    PinUnmatched {
        partner: String,
        #[serde(serialize_with = "display")]
        pin: SpkiPin,
    },
    RevocationListLoaded {
        source: String,
        issuer: String,
        #[serde(serialize_with = "optional_display")]
        next_update: Option<Timestamp>,
    },
    RevocationListFailed {
        source: String,
        error: String,
    },
    /// A configured file is gone, or cannot be read whole; what was read of it before stays in
    /// force. `good_until` is when the first of those lists runs out.
    RevocationListKept {
        source: String,
        error: String,
        #[serde(serialize_with = "optional_display")]
        good_until: Option<Timestamp>,
    },
    /// A distribution point gave a list that is good, or said that the one we have still is.
    RevocationListFetched {
        source: String,
        issuer: String,
        #[serde(serialize_with = "optional_display")]
        next_update: Option<Timestamp>,
        /// It is another than the one we had.
        changed: bool,
    },
    /// A distribution point could not be asked, or gave nothing that can be used. `good_until` is
    /// how long the list that we have from it lasts.
    RevocationListFetchFailed {
        source: String,
        issuer: String,
        error: String,
        #[serde(serialize_with = "optional_display")]
        good_until: Option<Timestamp>,
    },
    /// Written under its own name.
    #[serde(untagged)]
    Access(AccessEvent),
    /// Likewise.
    #[serde(untagged)]
    Filter(FilterEvent),
    /// Likewise.
    #[serde(untagged)]
    Log(LogEvent),
}
