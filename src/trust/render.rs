//! Everything anyone reads about trust, made from the one verdict: SMTP replies, log lines, JSON,
//! the words for people. The stamp is in `stamp`.

use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::smtp::{Reply, SessionId};

use super::certificate::printable;
use super::evidence::TlsEvidence;
use super::fault::{Fault, InboundAnswer};
use super::known;
use super::requirement::{Level, Mode, OnFailure};
use super::ruling::RuledBy;
use super::verdict::{Check, Verdict};

/// What a peer is told where judgement ended below the level without a fault of its own.
const BELOW_LEVEL: &str = "the session is not as secure as this domain needs";

impl Verdict {
    /// The answer to `MAIL FROM` (CONTRACT section 3): fault, domain and session, and nothing of
    /// our configuration. `None` when the verdict is good, or when the connection is just closed.
    pub fn reply(&self, on_failure: OnFailure, session: SessionId) -> Option<Reply> {
        if self.is_good() {
            return None;
        }
        let Some(fault) = self.fault() else {
            return Some(Reply::new(454, (4, 7, 5), self.reply_text(BELOW_LEVEL, session)));
        };
        let row = fault.row();
        let (code, class) = match (row.inbound, on_failure) {
            (InboundAnswer::Close, _) => return None,
            (InboundAnswer::Refuse(code), OnFailure::Reject) => (code, 5),
            (InboundAnswer::Refuse(_), OnFailure::Defer)
            | (InboundAnswer::Defer | InboundAnswer::OutboundOnly, _) => (454, 4),
        };
        let text = self.reply_text(&format!("{fault}: {}", row.meaning), session);
        Some(Reply { code, enhanced: Some(fault.enhanced(class)), lines: vec![text] })
    }

    fn reply_text(&self, what: &str, session: SessionId) -> String {
        format!("Domain security: {what} (domain {}, session {session})", self.domain)
    }

    /// What stands in the queue (class 4) and in the final DSN (class 5) of a recipient whose mail
    /// could not be sent for this verdict.
    pub fn outbound_reply(&self, final_: bool) -> Reply {
        let (code, class) = if final_ { (550, 5) } else { (454, 4) };
        let (what, enhanced) = match self.fault() {
            Some(fault) => (format!("{fault}: {}", fault.row().meaning), fault.enhanced(class)),
            None => (BELOW_LEVEL.to_owned(), crate::smtp::EnhancedCode::new(class, 7, 5)),
        };
        let text = format!("{}: {what} (domain {})", self.ruled_by.title(), self.domain);
        Reply { code, enhanced: Some(enhanced), lines: vec![text] }
    }

    /// Whether `admit` would make a permit of it.
    pub fn is_good(&self) -> bool {
        self.facts.is_empty() && self.achieved >= self.required
    }

    /// For people on our side (events, `queue why`, DSN text): every fact, with the names that were
    /// there and the setting that would accept them.
    pub fn sentence(&self) -> String {
        if self.facts.is_empty() {
            return self.good_sentence();
        }
        let mut words: Vec<String> = self.facts.iter().map(|fact| fact.detail.clone()).collect();
        if let Some(fault) = self.fault() {
            let remedy = self.ruled_by.remedy(fault).unwrap_or(fault.row().remedy);
            words.push(format!("To mend it: {remedy}."));
        }
        words.join(" ")
    }

    fn good_sentence(&self) -> String {
        match (&self.matched_name, self.achieved) {
            (Some(name), _) => format!("The name {name} in the certificate proves {}.", self.domain),
            (None, Level::None) => format!("Nothing is demanded for {}, and there is no TLS.", self.domain),
            (None, Level::EncryptionOnly) => format!("The session with {} is encrypted.", self.domain),
            (None, Level::CertificateValidation | Level::DomainValidation | Level::DomainSecure) => {
                format!("The certificate presented for {} is good.", self.domain)
            }
        }
    }

    /// `{admitted, fault, level, facts}` and what else the verdict holds.
    pub fn to_json(&self) -> Value {
        let facts: Vec<Value> = self.facts.iter().map(|fact| json!(fact)).collect();
        let verified: Vec<&str> = self.verified.iter().map(|check| check.as_str()).collect();
        json!({
            "admitted": self.is_good(),
            "fault": self.fault().map(Fault::name),
            "level": self.achieved,
            "required": self.required,
            "direction": self.direction,
            "mode": self.mode,
            "domain": self.domain,
            "policy": self.ruled_by,
            "wanted_got": self.ruling().wanted_got(),
            "verified": verified,
            "matched_name": self.matched_name,
            "ocsp_staple": self.staple.as_ref().map(ToString::to_string),
            "facts": facts,
        })
    }

    /// The protocol log's line on the OCSP response that a server stapled, if one was looked at.
    pub fn staple_line(&self) -> Option<(String, String)> {
        self.staple.as_ref().map(|staple| line(printable(&staple.to_string()), "Stapled OCSP response"))
    }

    /// Data and context of the protocol log's verdict line.
    pub fn log_line(&self) -> (String, String) {
        let domain = &self.domain;
        let data = match self.facts.first() {
            Some(fact) => {
                format!("{} domain={domain} wanted={} got={}", fact.fault, fact.wanted, fact.got)
            }
            None if self.is_good() => {
                let checks: Vec<&str> = self.verified.iter().map(|check| check.as_str()).collect();
                let level = self.achieved.as_str();
                let name = self.matched_name.as_deref().unwrap_or("-");
                format!("Admitted domain={domain} level={level} verified={} name={name}", checks.join("+"))
            }
            None => format!(
                "Refused domain={domain} wanted={} got={}",
                self.required.as_str(),
                self.achieved.as_str()
            ),
        };
        match self.ruled_by {
            RuledBy::Partner | RuledBy::Connector => (printable(&data), "Domain security verdict".to_owned()),
            RuledBy::Dane | RuledBy::MtaSts => {
                let data = format!("{} mode={} {data}", self.ruling(), self.mode.as_str());
                (printable(&data), "Transport policy verdict".to_owned())
            }
        }
    }

    /// Data and context of the protocol log's chain line: the first fault that is the chain's own,
    /// in Exchange's words where it has them.
    pub fn chain_status_line(&self) -> (String, String) {
        let status = match self.facts.iter().map(|fact| fact.fault).find(|fault| is_of_the_chain(*fault)) {
            Some(Fault::NoCertificate) => "EmptyCertificate",
            Some(fault) => fault.name(),
            None if self.verified.contains(&Check::Chain) => "Valid",
            None if self.verified.contains(&Check::Pin) => "Pinned",
            None if self.verified.contains(&Check::Tlsa) => "NamedByTlsa",
            None => "NotChecked",
        };
        (status.to_owned(), "Certificate chain validation status".to_owned())
    }
}

fn is_of_the_chain(fault: Fault) -> bool {
    match fault {
        Fault::NoCertificate
        | Fault::MalformedCertificate
        | Fault::SignatureFailure
        | Fault::InvalidChain
        | Fault::UntrustedRoot
        | Fault::IncompleteChain
        | Fault::WrongUsage
        | Fault::WeakAlgorithm
        | Fault::NotYetValid
        | Fault::Expired
        | Fault::Revoked
        | Fault::RevocationUnknown => true,
        // The chain may be good; it is not the one that was named.
        Fault::TlsaMismatch => false,
        Fault::TlsNotStarted
        | Fault::HandshakeFailed
        | Fault::TlsVersionTooLow
        | Fault::PinMismatch
        | Fault::NameMismatch
        | Fault::StartTlsNotOffered
        | Fault::ClientCertificateNotRequested
        | Fault::ClientCertificateRefused
        | Fault::OwnCertificateInvalid
        | Fault::RefusedByPartner => false,
    }
}

impl Check {
    /// As `verified=` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Check::Chain => "chain",
            Check::Revocation => "revocation",
            Check::Name => "name",
            Check::Pin => "pin",
            Check::Tlsa => "tlsa",
        }
    }
}

impl Mode {
    /// As `mode` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Report => "report",
        }
    }
}

impl Level {
    /// As `tls_auth_level` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::None => "none",
            Level::EncryptionOnly => "encryption-only",
            Level::CertificateValidation => "certificate-validation",
            Level::DomainValidation => "domain-validation",
            Level::DomainSecure => "domain-secure",
        }
    }
}

/// The protocol log's facts of a peer's end-entity certificate and its session: value, then what it
/// is (CONTRACT section 5). The line `Received certificate` before them is the session's.
pub fn certificate_lines(chain: &[CertificateDer<'_>], evidence: &TlsEvidence) -> Vec<(String, String)> {
    let mut lines = own_certificate_lines(chain);
    lines.extend(tls_lines(evidence));
    lines
}

/// The same of a certificate alone, as after `Sending certificate`.
pub fn own_certificate_lines(chain: &[CertificateDer<'_>]) -> Vec<(String, String)> {
    let Some(certificate) = chain.first() else { return Vec::new() };
    match known::facts(certificate) {
        Ok(facts) => vec![
            line(facts.subject.clone(), "Certificate subject"),
            line(facts.issuer.clone(), "Certificate issuer name"),
            line(facts.serial.clone(), "Certificate serial number"),
            line(facts.thumbprint.clone(), "Certificate thumbprint"),
            line(facts.names.join(";"), "Certificate alternate names"),
            line(format!("{} to {}", facts.not_before, facts.not_after), "Certificate validity"),
        ],
        Err(error) => vec![
            line(super::certificate::thumbprint(certificate), "Certificate thumbprint"),
            line(printable(&error.to_string()), "Certificate chain validation status"),
        ],
    }
}

/// Protocol, cipher suite and key exchange of a session.
pub fn tls_lines(evidence: &TlsEvidence) -> Vec<(String, String)> {
    let mut lines = vec![
        line(evidence.version.as_str().to_owned(), "TLS protocol"),
        line(printable(&evidence.cipher_suite), "TLS cipher suite"),
    ];
    if let Some(group) = &evidence.key_exchange {
        lines.push(line(printable(group), "TLS key exchange"));
    }
    lines
}

fn line(value: String, what: &str) -> (String, String) {
    (value, what.to_owned())
}
