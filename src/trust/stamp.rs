//! The stamp: the value of the `Domain-Secured:` field of a domain-secured message (CONTRACT
//! section 4), ASCII, folded, every line far below the 998 octets of RFC 5322 2.1.1.

use crate::mail::Domain;
use crate::smtp::SessionId;

use super::certificate::CertificateFacts;
use super::evidence::TlsEvidence;
use super::verdict::Permit;

/// Folding aims at the 78 octets of RFC 5322; a longer item stands alone on its line.
const LINE_OCTETS_AIM: usize = 78;
/// Longest quoted value: names and distinguished names are a stranger's choice.
const VALUE_OCTETS_MAX: usize = 800;
const FIELD_NAME: &str = "Domain-Secured: ";

impl Permit {
    /// The value of the field, lines folded with CRLF and a tab, without the final CRLF.
    /// `peer` is what is known of the end-entity in `evidence`, read once a session.
    pub fn stamp(
        &self,
        by: &Domain,
        session: SessionId,
        evidence: &TlsEvidence,
        peer: Option<&CertificateFacts>,
    ) -> String {
        let verdict = self.verdict();
        let mut items = vec![
            format!("domain={}", verdict.domain),
            format!("by={by}"),
            format!("session={session}"),
            format!("tls={}", evidence.version.as_str()),
            format!("cipher={}", token(&evidence.cipher_suite)),
        ];
        if let Some(facts) = peer {
            items.extend([
                format!("subject={}", quoted(&facts.subject)),
                format!("issuer={}", quoted(&facts.issuer)),
                format!("serial={}", facts.serial),
                format!("fingerprint=sha256:{}", facts.thumbprint),
                format!("names={}", quoted(&names(&facts.names, verdict.matched_name.as_deref()))),
            ]);
        }
        let checks: Vec<&str> = verdict.verified.iter().map(|check| check.as_str()).collect();
        items.push(format!("verified={}", checks.join(",")));
        fold(&items)
    }
}

/// The name that proved the domain first, then as many others as fit.
fn names(all: &[String], matched: Option<&str>) -> String {
    let others = all.iter().map(String::as_str).filter(|name| Some(*name) != matched);
    let mut list = String::new();
    for name in matched.into_iter().chain(others) {
        if !list.is_empty() && list.len() + name.len() + 1 > VALUE_OCTETS_MAX / 2 {
            list.push_str(",...");
            break;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(name);
    }
    list
}

/// A quoted-string (RFC 5322 3.2.4); other than printable ASCII becomes RFC 4514 hex pairs.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for octet in text.bytes() {
        if out.len() >= VALUE_OCTETS_MAX {
            out.push_str("...");
            break;
        }
        match octet {
            b'"' | b'\\' => out.extend(['\\', char::from(octet)]),
            b' '..=b'~' => out.push(char::from(octet)),
            _ => out.push_str(&format!("\\\\{octet:02X}")),
        }
    }
    out.push('"');
    out
}

/// A value without quotes: only what can neither end the item nor the field.
fn token(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).collect()
}

fn fold(items: &[String]) -> String {
    let mut value = String::new();
    let mut column = FIELD_NAME.len();
    for (index, item) in items.iter().enumerate() {
        let end = if index + 1 == items.len() { "" } else { ";" };
        if index > 0 {
            if column + 1 + item.len() + end.len() > LINE_OCTETS_AIM {
                value.push_str("\r\n\t");
                column = 1;
            } else {
                value.push(' ');
                column += 1;
            }
        }
        value.push_str(item);
        value.push_str(end);
        column += item.len() + end.len();
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_value_breaks_out_of_the_field(texts in proptest::collection::vec(any::<String>(), 1..12)) {
            let items: Vec<String> = texts.iter().map(|text| format!("subject={}", quoted(text))).collect();
            let value = fold(&items);
            prop_assert!(value.is_ascii());
            for line in value.split("\r\n") {
                prop_assert!(line.len() <= 998);
                prop_assert!(!line.contains(['\r', '\n', '\0']));
            }
            prop_assert!(value.split("\r\n").skip(1).all(|line| line.starts_with('\t')));
        }
    }

    #[test]
    fn a_quote_in_a_subject_stays_in_the_quotes() {
        assert_eq!(quoted("CN=a\"; verified=\"x"), "\"CN=a\\\"; verified=\\\"x\"");
        assert_eq!(quoted("CN=é"), "\"CN=\\\\C3\\\\A9\"");
    }
}
