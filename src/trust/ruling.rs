//! Which policy ruled over a session with a next hop, what it wanted and what it got, and what that
//! comes to in the words of TLS reporting (RFC 8460 4.3).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::evidence::TlsState;
use super::fault::Fault;
use super::requirement::{Level, Requirement};
use super::verdict::{Fact, Verdict};

/// Whose demand a requirement is, in the order of precedence: the first that asks for more than
/// encryption rules; the partner entry always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuledBy {
    /// The secure lists, with the partner entry that refines them.
    Partner,
    /// TLSA records (RFC 7672).
    Dane,
    /// The receiving domain's policy (RFC 8461).
    MtaSts,
    /// `require_tls` and `tls_auth_level`.
    Connector,
}

/// How a session went under the policy that ruled: `dane dane:encryption-only`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    pub policy: RuledBy,
    pub wanted: String,
    pub got: String,
    pub outcome: TlsOutcome,
}

/// What a session, or the look-up of a policy, came to (RFC 8460 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsOutcome {
    Success,
    #[serde(rename = "starttls-not-supported")]
    StartTlsNotSupported,
    CertificateHostMismatch,
    CertificateExpired,
    CertificateNotTrusted,
    ValidationFailure,
    /// The TLSA records are of no use, or none of them is the server's.
    TlsaInvalid,
    /// A look-up in a signed zone failed.
    DnssecInvalid,
    DaneRequired,
    StsPolicyFetchError,
    StsPolicyInvalid,
    StsWebpkiInvalid,
}

impl RuledBy {
    pub fn as_str(self) -> &'static str {
        match self {
            RuledBy::Partner => "partner",
            RuledBy::Dane => "dane",
            RuledBy::MtaSts => "mta-sts",
            RuledBy::Connector => "connector",
        }
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            RuledBy::Partner | RuledBy::Connector => "Domain security",
            RuledBy::Dane => "DANE",
            RuledBy::MtaSts => "MTA-STS",
        }
    }

    /// A level as this policy calls it: what proves the host is another thing for each.
    pub fn level_name(self, level: Level) -> &'static str {
        match (self, level) {
            (RuledBy::Dane, Level::DomainValidation) => "dane",
            (RuledBy::MtaSts, Level::DomainValidation) => "mta-sts",
            (_, level) => level.as_str(),
        }
    }

    /// What to do about a fault, where it is not what the table of faults says.
    pub fn remedy(self, fault: Fault) -> Option<&'static str> {
        match (self, fault) {
            (RuledBy::Dane, Fault::NameMismatch) => Some(
                "let the receiving side present a certificate with the name of its mail host or of its mail domain",
            ),
            (RuledBy::MtaSts, Fault::NameMismatch) => Some(
                "let the receiving side present a certificate with the name of the mail host that its MX record and its MTA-STS policy name",
            ),
            (RuledBy::MtaSts, Fault::UntrustedRoot | Fault::IncompleteChain) => Some(
                "let the receiving side present a certificate of a public authority with its intermediates; it publishes an MTA-STS policy that promises one",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for RuledBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Ruling {
    /// As Postfix writes it: `wanted:got`.
    pub fn wanted_got(&self) -> String {
        format!("{}:{}", self.wanted, self.got)
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.policy, self.wanted, self.got)
    }
}

impl Verdict {
    pub fn ruling(&self) -> Ruling {
        Ruling {
            policy: self.ruled_by,
            wanted: self.ruled_by.level_name(self.required).to_owned(),
            got: self.ruled_by.level_name(self.achieved).to_owned(),
            outcome: self.outcome,
        }
    }
}

impl TlsOutcome {
    /// What a session came to: the fault where one was looked for, else how far TLS came.
    pub(super) fn of(requirement: &Requirement, tls: TlsState<'_>, facts: &[Fact]) -> Self {
        match (facts.first(), tls) {
            (Some(fact), _) => Self::of_fault(fact.fault, requirement.ruled_by),
            (None, TlsState::Clear { .. }) => TlsOutcome::StartTlsNotSupported,
            (None, TlsState::Failed { .. }) => TlsOutcome::ValidationFailure,
            (None, TlsState::Established(_)) => TlsOutcome::Success,
        }
    }

    fn of_fault(fault: Fault, ruled_by: RuledBy) -> Self {
        match fault {
            Fault::TlsNotStarted | Fault::StartTlsNotOffered => TlsOutcome::StartTlsNotSupported,
            Fault::NameMismatch => TlsOutcome::CertificateHostMismatch,
            Fault::TlsaMismatch => TlsOutcome::TlsaInvalid,
            Fault::Expired | Fault::NotYetValid => TlsOutcome::CertificateExpired,
            Fault::UntrustedRoot | Fault::IncompleteChain if ruled_by == RuledBy::Dane => {
                TlsOutcome::TlsaInvalid
            }
            Fault::MalformedCertificate
            | Fault::SignatureFailure
            | Fault::InvalidChain
            | Fault::UntrustedRoot
            | Fault::IncompleteChain
            | Fault::WrongUsage
            | Fault::WeakAlgorithm
            | Fault::PinMismatch
            | Fault::Revoked
            | Fault::RevocationUnknown => TlsOutcome::CertificateNotTrusted,
            Fault::HandshakeFailed
            | Fault::TlsVersionTooLow
            | Fault::NoCertificate
            | Fault::ClientCertificateNotRequested
            | Fault::ClientCertificateRefused
            | Fault::OwnCertificateInvalid
            | Fault::RefusedByPartner => TlsOutcome::ValidationFailure,
        }
    }

    /// The `result-type` of a failure; none for a success.
    pub fn result_type(self) -> Option<&'static str> {
        Some(match self {
            TlsOutcome::Success => return None,
            TlsOutcome::StartTlsNotSupported => "starttls-not-supported",
            TlsOutcome::CertificateHostMismatch => "certificate-host-mismatch",
            TlsOutcome::CertificateExpired => "certificate-expired",
            TlsOutcome::CertificateNotTrusted => "certificate-not-trusted",
            TlsOutcome::ValidationFailure => "validation-failure",
            TlsOutcome::TlsaInvalid => "tlsa-invalid",
            TlsOutcome::DnssecInvalid => "dnssec-invalid",
            TlsOutcome::DaneRequired => "dane-required",
            TlsOutcome::StsPolicyFetchError => "sts-policy-fetch-error",
            TlsOutcome::StsPolicyInvalid => "sts-policy-invalid",
            TlsOutcome::StsWebpkiInvalid => "sts-webpki-invalid",
        })
    }

    pub fn is_success(self) -> bool {
        self == TlsOutcome::Success
    }
}

impl fmt::Display for TlsOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.result_type().unwrap_or("success"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_written_as_reports_write_them() {
        for outcome in [
            TlsOutcome::Success,
            TlsOutcome::StartTlsNotSupported,
            TlsOutcome::CertificateHostMismatch,
            TlsOutcome::CertificateExpired,
            TlsOutcome::CertificateNotTrusted,
            TlsOutcome::ValidationFailure,
            TlsOutcome::TlsaInvalid,
            TlsOutcome::DnssecInvalid,
            TlsOutcome::DaneRequired,
            TlsOutcome::StsPolicyFetchError,
            TlsOutcome::StsPolicyInvalid,
            TlsOutcome::StsWebpkiInvalid,
        ] {
            let json = serde_json::to_value(outcome).unwrap();
            assert_eq!(json, outcome.to_string(), "{outcome:?}");
        }
    }

    #[test]
    fn what_a_policy_wanted_and_got_reads_like_postfix_says_it() {
        let ruling = Ruling {
            policy: RuledBy::Dane,
            wanted: RuledBy::Dane.level_name(Level::DomainValidation).to_owned(),
            got: RuledBy::Dane.level_name(Level::EncryptionOnly).to_owned(),
            outcome: TlsOutcome::TlsaInvalid,
        };
        assert_eq!(ruling.to_string(), "dane dane:encryption-only");
        assert_eq!(RuledBy::MtaSts.level_name(Level::DomainValidation), "mta-sts");
        assert_eq!(RuledBy::Connector.level_name(Level::DomainValidation), "domain-validation");
    }
}
