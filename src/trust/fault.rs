//! The closed list of reasons for which a peer is not admitted, in the order in which the first
//! that holds is *the* fault, and the one table from which replies, counter labels and
//! docs/faults.md are made.

use crate::smtp::EnhancedCode;

/// Why a verdict is bad. The order of the variants is the order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Fault {
    TlsNotStarted,
    HandshakeFailed,
    TlsVersionTooLow,
    NoCertificate,
    MalformedCertificate,
    SignatureFailure,
    InvalidChain,
    UntrustedRoot,
    IncompleteChain,
    WrongUsage,
    WeakAlgorithm,
    NotYetValid,
    Expired,
    PinMismatch,
    NameMismatch,
    TlsaMismatch,
    Revoked,
    RevocationUnknown,
    StartTlsNotOffered,
    ClientCertificateNotRequested,
    ClientCertificateRefused,
    OwnCertificateInvalid,
    RefusedByPartner,
}

/// What a listed domain's sender hears at `MAIL FROM` under `on_inbound_failure = "reject"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboundAnswer {
    /// Refused with this basic code; under `"defer"` with 454.
    Refuse(u16),
    /// Always 454: it may be good a minute later.
    Defer,
    /// The connection is closed without a reply.
    Close,
    /// The fault only arises when we are the client.
    OutboundOnly,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct FaultRow {
    pub fault: Fault,
    /// As replies, logs and counter labels write it.
    pub name: &'static str,
    /// Detail of the enhanced code `x.7.detail` (RFC 3463 3.8).
    pub detail: u16,
    pub inbound: InboundAnswer,
    /// Whether it may clear without anybody changing anything (time passes, a list arrives, the
    /// peer's outage ends). Such a fault is never bounced at once.
    pub clears_by_itself: bool,
    /// What happened, for the reply and the log; discloses no configuration.
    pub meaning: &'static str,
    /// Who can mend it.
    pub mended_by: &'static str,
    pub remedy: &'static str,
}

impl Fault {
    /// Every fault, in the order of precedence.
    pub fn all() -> impl Iterator<Item = Fault> {
        TABLE.iter().map(|row| row.fault)
    }

    pub fn row(self) -> &'static FaultRow {
        // The table has one row for each variant, in their order; a test holds it to that.
        &TABLE[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// `class.7.detail`.
    pub fn enhanced(self, class: u8) -> EnhancedCode {
        EnhancedCode::new(class, 7, self.row().detail)
    }

    pub fn clears_by_itself(self) -> bool {
        self.row().clears_by_itself
    }

    pub fn from_name(name: &str) -> Option<Fault> {
        Fault::all().find(|fault| fault.name().eq_ignore_ascii_case(name))
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// docs/faults.md, made from the table.
pub fn reference() -> String {
    let mut page = String::from(REFERENCE_HEAD);
    for row in &TABLE {
        page.push_str(&format!(
            "\n## {}\n\n- **What:** {}.\n- **Enhanced code:** x.7.{}\n- **Inbound:** {}\n- **Outbound:** {}\n- **Who mends it:** {}\n- **What to do:** {}\n",
            row.name, row.meaning, row.detail, inbound_words(row), outbound_words(row), row.mended_by, row.remedy
        ));
    }
    page
}

const REFERENCE_HEAD: &str = "\
# Faults: why a peer was not admitted

This page is made from the table in `src/trust/fault.rs`. Where several faults hold, the first in
this order is *the* fault: it gives the reply, the counter label and the name in the log; all facts
are reported. `sealpost certificate verify` makes the same judgement offline.
";

fn inbound_words(row: &FaultRow) -> String {
    match row.inbound {
        InboundAnswer::Refuse(code) => {
            format!("`{code} 5.7.{0}`; with `on_inbound_failure = \"defer\"` `454 4.7.{0}`", row.detail)
        }
        InboundAnswer::Defer => format!("`454 4.7.{}` always, so that the sender tries again", row.detail),
        InboundAnswer::Close => "the connection is closed without a reply, logged and counted".into(),
        InboundAnswer::OutboundOnly => "does not arise".into(),
    }
}

fn outbound_words(row: &FaultRow) -> String {
    let at_once = if row.clears_by_itself {
        "also with `on_outbound_failure = \"reject\"`, because it may clear by itself"
    } else {
        "with `on_outbound_failure = \"reject\"` bounced at once"
    };
    format!("waits with `4.7.{0}`, in the end bounces with `5.7.{0}`; {at_once}", row.detail)
}

#[rustfmt::skip]
static TABLE: [FaultRow; 23] = [
    FaultRow { fault: Fault::TlsNotStarted, name: "TlsNotStarted", detail: 0, inbound: InboundAnswer::Refuse(530), clears_by_itself: true,
        meaning: "mail for this domain needs TLS and the session has none", mended_by: "the sending side",
        remedy: "let the sending server use STARTTLS towards us; if it did not see STARTTLS in our EHLO reply, look for a middlebox that strips it" },
    FaultRow { fault: Fault::HandshakeFailed, name: "HandshakeFailed", detail: 5, inbound: InboundAnswer::Close, clears_by_itself: true,
        meaning: "the TLS handshake did not complete", mended_by: "both sides, with the TLS library's words from the log",
        remedy: "compare protocol versions and cipher suites (TLS 1.2 or 1.3 with ECDHE and AES-GCM or ChaCha20); RSA keys must have 2048 to 8192 bits and the Certificate message at most 64 KB" },
    FaultRow { fault: Fault::TlsVersionTooLow, name: "TlsVersionTooLow", detail: 5, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "the TLS version is lower than this domain needs", mended_by: "the peer",
        remedy: "let the peer enable the version named in `minimum_tls`" },
    FaultRow { fault: Fault::NoCertificate, name: "NoCertificate", detail: 5, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "the peer sent no certificate", mended_by: "the peer",
        remedy: "let the sending server present its certificate as a TLS client (Exchange: domain security on the send connector and a certificate enabled for SMTP)" },
    FaultRow { fault: Fault::MalformedCertificate, name: "MalformedCertificate", detail: 5, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "a certificate of the peer cannot be read", mended_by: "the peer and its certification authority",
        remedy: "have the certificate issued anew; `sealpost certificate verify` says where reading it stopped" },
    FaultRow { fault: Fault::SignatureFailure, name: "SignatureFailure", detail: 5, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "a signature in the certificate chain is wrong", mended_by: "the peer; or we, if our trust anchor has the right name and an old key",
        remedy: "compare the issuer's key with the trust anchor: two authorities of one name but different keys look like this" },
    FaultRow { fault: Fault::InvalidChain, name: "InvalidChain", detail: 5, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "the certificate chain breaks a rule of RFC 5280", mended_by: "the peer and its certification authority",
        remedy: "look at the CA flag, path length, name constraints and critical extensions that the facts name" },
    FaultRow { fault: Fault::UntrustedRoot, name: "UntrustedRoot", detail: 5, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "the certificate chain ends in a root that is not trusted for this domain", mended_by: "we, if this root shall vouch for the partner; else the peer",
        remedy: "check the root's fingerprint with the partner by another channel, then put it into the partner's `trust_anchors`" },
    FaultRow { fault: Fault::IncompleteChain, name: "IncompleteChain", detail: 5, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "the issuer of a certificate was neither sent nor is it trusted for this domain", mended_by: "the peer; or we, if the issuer is its root",
        remedy: "let the peer send its intermediate certificates with its own; if the issuer is the peer's root, agree on it by another channel and put it into the partner's `trust_anchors`" },
    FaultRow { fault: Fault::WrongUsage, name: "WrongUsage", detail: 5, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "the certificate is not allowed for this use", mended_by: "the peer and its certification authority",
        remedy: "have a certificate issued with the usage asked for; for clients `extended_key_usage` says which one we ask for" },
    FaultRow { fault: Fault::WeakAlgorithm, name: "WeakAlgorithm", detail: 5, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "a certificate uses an algorithm or key that is too weak or not supported", mended_by: "the peer and its certification authority",
        remedy: "use SHA-256 or better, RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519" },
    FaultRow { fault: Fault::NotYetValid, name: "NotYetValid", detail: 5, inbound: InboundAnswer::Refuse(550), clears_by_itself: true,
        meaning: "a certificate is not yet valid", mended_by: "the peer; or whoever's clock is wrong",
        remedy: "compare both clocks with the certificate's not-before" },
    FaultRow { fault: Fault::Expired, name: "Expired", detail: 5, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "a certificate has expired", mended_by: "the peer",
        remedy: "renew the certificate that the facts name, and make the server use the new one" },
    FaultRow { fault: Fault::PinMismatch, name: "PinMismatch", detail: 1, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "the certificate's key is none of those agreed for this domain", mended_by: "we, if the partner has announced a new key; else treat it as an attack",
        remedy: "ask the partner by another channel, then add the new key's hash to `spki_pins` beside the current one" },
    FaultRow { fault: Fault::NameMismatch, name: "NameMismatch", detail: 1, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "the certificate does not carry the name of this domain", mended_by: "the peer with a certificate that names its mail domain; or we with `certificate_names`",
        remedy: "first make sure whose host it is: a changed MX record and an attack look the same; then let the peer put the mail domain into its certificate's subjectAltName or, if it confirms by another channel that the name is its own, list that in the partner's `certificate_names`" },
    FaultRow { fault: Fault::TlsaMismatch, name: "TlsaMismatch", detail: 5, inbound: InboundAnswer::OutboundOnly, clears_by_itself: true,
        meaning: "the server's certificate is none that the TLSA records of its host name (DANE)", mended_by: "the receiving side",
        remedy: "let the receiving side publish TLSA records for the certificate in use (the log shows the one that would fit), before it changes the certificate and for as long as the old record is cached" },
    FaultRow { fault: Fault::Revoked, name: "Revoked", detail: 5, inbound: InboundAnswer::Refuse(550), clears_by_itself: false,
        meaning: "a certificate has been revoked", mended_by: "the peer",
        remedy: "have a new certificate issued for a new key; the facts say when and why the old one was revoked" },
    FaultRow { fault: Fault::RevocationUnknown, name: "RevocationUnknown", detail: 5, inbound: InboundAnswer::Defer, clears_by_itself: true,
        meaning: "it cannot be told whether a certificate has been revoked", mended_by: "we, or the certification authority if its list is overdue",
        remedy: "mend what kept us from the issuer's distribution point, as the facts say; for a certificate that names none over http supply the current list (`crl_files`); or choose another `revocation` for this partner" },
    FaultRow { fault: Fault::StartTlsNotOffered, name: "StartTlsNotOffered", detail: 5, inbound: InboundAnswer::OutboundOnly, clears_by_itself: true,
        meaning: "the server does not offer STARTTLS", mended_by: "the receiving side",
        remedy: "let the receiving server offer STARTTLS to us; look for a middlebox that strips it" },
    FaultRow { fault: Fault::ClientCertificateNotRequested, name: "ClientCertificateNotRequested", detail: 5, inbound: InboundAnswer::OutboundOnly, clears_by_itself: true,
        meaning: "the server never asked for our certificate, so it is not mutual TLS", mended_by: "the receiving side; or we, if one-sided TLS is enough for this partner",
        remedy: "let the receiving server ask for client certificates (Exchange: DomainSecureEnabled on its receive connector), or set `require_client_certificate_request = false`" },
    FaultRow { fault: Fault::ClientCertificateRefused, name: "ClientCertificateRefused", detail: 5, inbound: InboundAnswer::OutboundOnly, clears_by_itself: true,
        meaning: "the server broke off because of our certificate", mended_by: "both sides",
        remedy: "ask the receiving side why: its trust anchors, the usage or the expiry of our certificate" },
    FaultRow { fault: Fault::OwnCertificateInvalid, name: "OwnCertificateInvalid", detail: 5, inbound: InboundAnswer::OutboundOnly, clears_by_itself: true,
        meaning: "we have no valid certificate to present", mended_by: "we",
        remedy: "import a new certificate of ours with `sealpost certificate import`; it is picked up without a restart" },
    FaultRow { fault: Fault::RefusedByPartner, name: "RefusedByPartner", detail: 1, inbound: InboundAnswer::OutboundOnly, clears_by_itself: true,
        meaning: "the partner's server refuses us", mended_by: "we, where our certificate does not prove our domain to it; else the partner, whose reply says why",
        remedy: "see `sealpost certificate list` for the certificate that we present: it must be valid, carry our domain and come from an authority that the partner trusts; if it does, send the partner the reply, and subject, names and fingerprint of our certificate" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_one_row_for_each_fault_in_order() {
        for (position, row) in TABLE.iter().enumerate() {
            assert_eq!(row.fault as usize, position);
            assert_eq!(row.name, format!("{:?}", row.fault));
            assert!(!row.meaning.ends_with('.') && row.meaning.len() < 120, "{}", row.name);
        }
        assert_eq!(Fault::RefusedByPartner as usize + 1, TABLE.len());
    }

    #[test]
    fn the_page_in_docs_is_made_from_the_table() {
        let written = include_str!("../../docs/faults.md");
        assert!(written == reference(), "docs/faults.md is old; write trust::fault_reference() into it");
    }
}
