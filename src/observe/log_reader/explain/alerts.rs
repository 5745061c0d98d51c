//! What is said of a TLS handshake that failed, in words: alerts (RFC 8446 section 6.2) as our log
//! names them, and what Exchange has from Windows.

/// One word of a log and what it tells.
#[derive(Debug)]
pub(super) struct Word {
    /// As it stands in the log; alerts also as RFC 8446 writes them.
    pub(super) name: &'static str,
    /// What whoever sent it means by it.
    pub(super) meaning: &'static str,
    pub(super) act: Act,
    pub(super) remedy: &'static str,
}

/// Who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Whoever got the alert.
    Receiver,
    /// Whoever sent it.
    Sender,
    Both,
}

const fn word(name: &'static str, act: Act, meaning: &'static str, remedy: &'static str) -> Word {
    Word { name, meaning, act, remedy }
}

const RENEW: &str = "see which certificate is presented (`sealpost certificate list`), and whether the other side trusts its issuer, its names, its usage and its dates";
const COMPARE: &str = "compare protocol versions, cipher suites and key exchange groups of both sides: TLS 1.2 or 1.3 with ECDHE";
const SOFTWARE: &str =
    "look for a middlebox that changes what passes, then at the version of the TLS library on both sides";

pub(super) static ALERTS: &[Word] = &[
    word(
        "close_notify",
        Act::Sender,
        "it ended the connection in order",
        "ask why it gave up before the mail",
    ),
    word("unexpected_message", Act::Both, "it got a TLS message out of turn", SOFTWARE),
    word("bad_record_mac", Act::Both, "a record did not arrive as it was sent", SOFTWARE),
    word("record_overflow", Act::Both, "it got a record that is too long", SOFTWARE),
    word("handshake_failure", Act::Both, "it found nothing that both sides support", COMPARE),
    word("no_certificate", Act::Receiver, "it wanted a certificate and got none", RENEW),
    word(
        "bad_certificate",
        Act::Receiver,
        "it does not take the certificate that it was shown: broken, badly signed, or not for this name",
        RENEW,
    ),
    word(
        "unsupported_certificate",
        Act::Receiver,
        "the certificate that it was shown is of a kind, or for a usage, that it does not take",
        "many servers ask a client certificate for the clientAuth usage, which public authorities no longer issue: agree on a private authority, or on another certificate",
    ),
    word(
        "certificate_revoked",
        Act::Receiver,
        "the certificate that it was shown has been revoked",
        "have another one issued for a new key",
    ),
    word(
        "certificate_expired",
        Act::Receiver,
        "the certificate that it was shown has expired or is not valid yet",
        "renew it, and compare the clocks of both sides",
    ),
    word(
        "certificate_unknown",
        Act::Receiver,
        "it does not take the certificate that it was shown, and does not say why",
        RENEW,
    ),
    word("illegal_parameter", Act::Both, "a field of the handshake contradicts another", SOFTWARE),
    word(
        "unknown_ca",
        Act::Receiver,
        "it does not trust the issuer of the certificate that it was shown, or did not get the intermediate certificates",
        "send the whole chain, and let the other side put the root into its trust anchors",
    ),
    word(
        "access_denied",
        Act::Sender,
        "the certificate is good, and it lets it not in all the same",
        "ask the other side to allow this certificate",
    ),
    word("decode_error", Act::Both, "it could not read a TLS message", SOFTWARE),
    word(
        "decrypt_error",
        Act::Receiver,
        "a signature was wrong: the key does not fit the certificate, or the trust anchor has the right name and an old key",
        "compare the issuer's key with the trust anchor, and our key with our certificate",
    ),
    word(
        "protocol_version",
        Act::Both,
        "the two sides have no TLS version in common",
        "let the older side enable TLS 1.2 or 1.3",
    ),
    word("insufficient_security", Act::Receiver, "it wants stronger ciphers than it was offered", COMPARE),
    word("internal_error", Act::Sender, "something failed within it", "let the other side look into its log"),
    word(
        "inappropriate_fallback",
        Act::Both,
        "it was offered a lower version than both sides have: something between them interferes",
        SOFTWARE,
    ),
    word("user_canceled", Act::Sender, "somebody there broke it off", "ask the other side"),
    word("no_renegotiation", Act::Both, "it does not negotiate twice on one connection", SOFTWARE),
    word("missing_extension", Act::Both, "an extension that must be there was missing", SOFTWARE),
    word("unsupported_extension", Act::Both, "it got an extension that it had not asked for", SOFTWARE),
    word(
        "unrecognized_name",
        Act::Sender,
        "it has no certificate for the host name that it was asked for",
        "let the other side get a certificate for the name in its MX record",
    ),
    word(
        "bad_certificate_status_response",
        Act::Receiver,
        "the stapled OCSP response was of no use to it",
        "look at the OCSP response that is stapled to the certificate",
    ),
    word("unknown_psk_identity", Act::Both, "it does not know the session that was to be resumed", SOFTWARE),
    word(
        "certificate_required",
        Act::Receiver,
        "it wants a client certificate and was shown none",
        "present a certificate as a TLS client: a valid one of ours must fit the connector or the partner's `certificate`",
    ),
    word("no_application_protocol", Act::Both, "it wants another application protocol", SOFTWARE),
];

/// `TLS negotiation failed with error …`: the names of Windows' security errors (SEC_E_…).
pub(super) static WINDOWS: &[Word] = &[
    word(
        "UnknownCredentials",
        Act::Receiver,
        "Windows could not use the certificate of the Exchange server, most often because the transport service may not read its private key",
        "on the Exchange server enable the certificate for SMTP again (Enable-ExchangeCertificate), or import it anew with its key",
    ),
    word(
        "NoCredentials",
        Act::Receiver,
        "the Exchange server has no certificate that it can use here",
        "on the Exchange server look at TlsCertificateName and Fqdn of the connector, and import the certificate with its private key",
    ),
    word(
        "InvalidToken",
        Act::Both,
        "what came is no TLS handshake, or none that both sides can finish: versions or ciphers do not meet",
        COMPARE,
    ),
    word("AlgorithmMismatch", Act::Both, "the two sides have no cipher in common", COMPARE),
    word(
        "UntrustedRoot",
        Act::Receiver,
        "the root of the peer's certificate is not trusted on the Exchange server",
        "put the root into the computer's store of trusted root authorities",
    ),
    word("CertExpired", Act::Sender, "the peer's certificate has expired", "let the peer renew it"),
    word("CertUnknown", Act::Receiver, "the certificate was not taken, without a reason given", RENEW),
    word("WrongPrincipal", Act::Sender, "the certificate has another name than was expected", RENEW),
    word("MessageAltered", Act::Both, "a record did not arrive as it was sent", SOFTWARE),
    word("IllegalMessage", Act::Both, "what came is not TLS, or the peer sent an alert", COMPARE),
    word(
        "InternalError",
        Act::Receiver,
        "Windows failed within itself",
        "look into the System event log for Schannel",
    ),
    word("LogonDenied", Act::Sender, "name and password were not taken", "check the credentials"),
    word(
        "SocketError",
        Act::Sender,
        "the other side closed the connection during the handshake",
        "look into the other side's log: it gives its reason there; old protocol versions are the usual one",
    ),
    word(
        "TimedOut",
        Act::Both,
        "nothing more came",
        "look for a firewall that lets small packets pass and large ones not",
    ),
];

/// The alert that a text names, as RFC 8446 (`unknown_ca`) or the TLS library (`UnknownCA`) does.
pub(super) fn alert(text: &str) -> Option<&'static Word> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.len() > 8);
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    // British and American.
    let spelt = |name: &str| plain(name).replace("unrecognised", "unrecognized");
    words.map(spelt).find_map(|word| ALERTS.iter().find(|alert| plain(alert.name) == word))
}

/// What Windows said, behind `TLS negotiation failed with error`.
pub(super) fn windows(context: &str) -> Option<&'static Word> {
    let (_, name) = context.split_once("failed with error ")?;
    let name = name.split_whitespace().next()?.trim_end_matches(['.', ';']);
    WINDOWS.iter().find(|word| word.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn alerts_are_known_by_every_name_that_the_library_has() {
        for number in 0..=255 {
            let description = AlertDescription::from(number);
            let name = format!("{description:?}");
            // Numbers that mean nothing, and those that TLS 1.0 took along.
            let old =
                ["DecryptionFailed", "ExportRestriction", "DecompressionFailure", "CertificateUnobtainable"];
            let newer = ["BadCertificateHashValue", "EncryptedClientHelloRequired"];
            if name.contains("0x")
                || name.contains("Unknown(")
                || old.contains(&name.as_str())
                || newer.contains(&name.as_str())
            {
                continue;
            }
            let said = format!("the peer broke off with the TLS alert {name}");
            assert!(alert(&said).is_some(), "{name}");
        }
        assert_eq!(alert("received alert unknown_ca").map(|word| word.name), Some("unknown_ca"));
        assert!(alert("the peer closed the connection during the TLS handshake").is_none());
    }

    #[test]
    fn the_words_of_windows_are_known() {
        let said = "TLS negotiation failed with error UnknownCredentials";
        assert_eq!(windows(said).map(|word| word.name), Some("UnknownCredentials"));
        assert!(windows("TLS negotiation failed with error Whatever").is_none());
    }
}
