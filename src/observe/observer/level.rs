//! How much events matter.

use super::{Event, Level};

/// How much an event matters that no counter follows. Every variant is named, so that a new one
/// does not compile before somebody has thought about it.
pub(super) fn level_of(event: &Event) -> Level {
    match event {
        Event::Started { .. }
        | Event::Stopping { .. }
        | Event::QueueRecovered { .. }
        | Event::DsnQueued { .. }
        | Event::SettingsReloaded { .. }
        | Event::Access(_)
        | Event::CertificateOffered { .. }
        | Event::RevocationListLoaded { .. }
        | Event::PinUnmatched { .. }
        | Event::InboundChecked(_)
        | Event::Filter(_)
        | Event::MessageReceived { .. }
        | Event::MessageRefused { .. }
        | Event::MessageDelivered { .. }
        | Event::MessageDeferred { .. }
        | Event::MessageSuspended { .. }
        | Event::MessageResumed { .. }
        | Event::MessageRedirected { .. }
        | Event::MessageRemoved { .. }
        | Event::NextHopUp { .. }
        | Event::TlsReportSent { .. }
        | Event::TlsReportFailed { .. }
        | Event::StsPolicyFetched { .. }
        | Event::RevocationListFetched { .. } => Level::Info,
        Event::NextHopDown { .. }
        | Event::DsnDropped { .. }
        | Event::StampUnsigned { .. }
        | Event::CertificateExpiring { .. }
        | Event::RevocationListExpiring { .. }
        | Event::SettingsWarning { .. }
        | Event::AcceptFailed { .. }
        | Event::SessionsCutOff { .. }
        | Event::StopIncomplete { .. }
        | Event::DescriptorLimitLow { .. }
        | Event::TlsHandshake { .. }
        | Event::InboundJudged { .. }
        | Event::OutboundJudged { .. }
        | Event::MessageBounced { .. }
        | Event::BackPressureChanged { .. }
        | Event::PolicyJudged { .. }
        | Event::PolicyHostSkipped { .. }
        | Event::StsPolicyFetchFailed { .. }
        | Event::RevocationListFetchFailed { .. } => Level::Warning,
        Event::StorageFailed { .. }
        | Event::SettingsRefused { .. }
        | Event::CertificateExpired { .. }
        | Event::CertificateNotOffered { .. }
        | Event::RevocationListFailed { .. }
        | Event::RevocationListKept { .. }
        | Event::PartnerRecordFailed { .. }
        | Event::AuditFailed { .. }
        | Event::AdminFailed { .. }
        | Event::Log(_) => Level::Error,
    }
}
