//! Events that are about no message in the queue, as one pattern: whoever renders those of messages
//! names all others with it, so that a new event does not compile before somebody has said which it is.

macro_rules! of_no_message {
    () => {
        $crate::observe::Event::Started { .. }
            | $crate::observe::Event::Stopping { .. }
            | $crate::observe::Event::TlsHandshake { .. }
            | $crate::observe::Event::InboundJudged { .. }
            | $crate::observe::Event::OutboundJudged { .. }
            | $crate::observe::Event::PolicyJudged { .. }
            | $crate::observe::Event::PolicyHostSkipped { .. }
            | $crate::observe::Event::StsPolicyFetched { .. }
            | $crate::observe::Event::StsPolicyFetchFailed { .. }
            | $crate::observe::Event::TlsReportSent { .. }
            | $crate::observe::Event::TlsReportFailed { .. }
            | $crate::observe::Event::MessageRefused { .. }
            | $crate::observe::Event::StampUnsigned { .. }
            | $crate::observe::Event::QueueRecovered { .. }
            | $crate::observe::Event::NextHopDown { .. }
            | $crate::observe::Event::NextHopUp { .. }
            | $crate::observe::Event::BackPressureChanged { .. }
            | $crate::observe::Event::StorageFailed { .. }
            | $crate::observe::Event::SettingsReloaded { .. }
            | $crate::observe::Event::SettingsWarning { .. }
            | $crate::observe::Event::SettingsRefused { .. }
            | $crate::observe::Event::AcceptFailed { .. }
            | $crate::observe::Event::CertificateOffered { .. }
            | $crate::observe::Event::CertificateNotOffered { .. }
            | $crate::observe::Event::SessionsCutOff { .. }
            | $crate::observe::Event::StopIncomplete { .. }
            | $crate::observe::Event::PartnerRecordFailed { .. }
            | $crate::observe::Event::AuditFailed { .. }
            | $crate::observe::Event::AdminFailed { .. }
            | $crate::observe::Event::DescriptorLimitLow { .. }
            | $crate::observe::Event::CertificateExpired { .. }
            | $crate::observe::Event::CertificateExpiring { .. }
            | $crate::observe::Event::RevocationListExpiring { .. }
            | $crate::observe::Event::PinUnmatched { .. }
            | $crate::observe::Event::RevocationListLoaded { .. }
            | $crate::observe::Event::RevocationListFailed { .. }
            | $crate::observe::Event::RevocationListKept { .. }
            | $crate::observe::Event::RevocationListFetched { .. }
            | $crate::observe::Event::RevocationListFetchFailed { .. }
            | $crate::observe::Event::Log(_)
            | $crate::observe::Event::InboundChecked(_)
            | $crate::observe::Event::Access(_)
            | $crate::observe::Event::Filter(
                $crate::observe::FilterEvent::MilterAnswered { .. }
                    | $crate::observe::FilterEvent::MilterChangeDenied { .. }
                    | $crate::observe::FilterEvent::RecipientVerified { .. }
                    | $crate::observe::FilterEvent::AnyRecipientTaken { .. }
                    | $crate::observe::FilterEvent::MilterDown { .. }
                    | $crate::observe::FilterEvent::MilterUp { .. },
            )
    };
}

pub(crate) use of_no_message;
