//! The stamp proven: which DKIM signature (RFC 6376) is ours to set over it, and so nobody else's to
//! bring along. Signing itself is `net::stamp_signature`; here is who we are in it.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::mail::Domain;
use crate::mail::header::Field;

/// `[stamp]`: what the edge signs with where stamps leave.
#[derive(Clone, Debug)]
pub struct StampSigning {
    /// `d=`
    pub domain: Domain,
    /// `s=`
    pub selector: Domain,
    pub key: Arc<StampKey>,
}

/// A key that signs; checked when it was read.
pub struct StampKey {
    pub algorithm: StampAlgorithm,
    /// PKCS#8, or for RSA also PKCS#1.
    pub der: Zeroizing<Vec<u8>>,
    /// As the DNS record holds it, before base64: for Ed25519 the key itself (RFC 8463 4.2), for RSA a
    /// SubjectPublicKeyInfo.
    pub public: Vec<u8>,
}

/// How it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampAlgorithm {
    /// RFC 8463
    Ed25519,
    /// RFC 8301
    Rsa,
}

impl StampAlgorithm {
    /// `k=` of the DNS record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Rsa => "rsa",
        }
    }
}

impl fmt::Debug for StampKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StampKey({})", self.algorithm.name())
    }
}

impl StampSigning {
    /// Whether a header field is a signature in our name: our domain and either our selector or, under
    /// whatever selector, a signature over a stamp. The second is for selectors of earlier keys, which
    /// may still stand in the DNS. What names us twice over is read against whoever wrote it.
    pub fn speaks_for_us(&self, field: Field<'_>) -> bool {
        if !field.is_named("DKIM-Signature") {
            return false;
        }
        let value = field.value();
        let value = String::from_utf8_lossy(&value);
        let tags: Vec<(String, String)> = value.split(';').filter_map(tag).collect();
        let any = |name: &str, is_meant: &dyn Fn(&str) -> bool| {
            tags.iter().any(|(tag, value)| tag == name && is_meant(value))
        };
        let is = |name: &Domain, value: &str| {
            value.eq_ignore_ascii_case(name.as_str())
                || Domain::parse(value.trim_end_matches('.')).is_ok_and(|value| value == *name)
        };
        let signs_stamp = |value: &str| value.split(':').any(|name| name == "domain-secured");
        any("d", &|value| is(&self.domain, value))
            && (any("s", &|value| is(&self.selector, value)) || any("h", &signs_stamp))
    }
}

/// `name=value`, both without blanks, the value in lower case (RFC 6376 3.2 lets blanks stand anywhere
/// in the lists that matter here).
fn tag(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let value: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    Some((name.trim().to_owned(), value.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header::HeaderSection;

    fn signing() -> StampSigning {
        let key =
            StampKey { algorithm: StampAlgorithm::Ed25519, der: Zeroizing::default(), public: Vec::new() };
        let domain = |text| Domain::parse(text).unwrap();
        StampSigning { domain: domain("contoso.example"), selector: domain("stamp"), key: Arc::new(key) }
    }

    fn speaks(text: &str) -> bool {
        HeaderSection::new(text.as_bytes()).fields().all(|field| signing().speaks_for_us(field))
    }

    #[test]
    fn a_signature_in_our_name_is_known_however_it_is_written() {
        for ours in [
            "DKIM-Signature: v=1; d=contoso.example; s=stamp; h=from; b=x\r\n",
            "dkim-signature:v=1;D=x;s = stamp ;\r\n\td = Contoso.Example ; b=x\r\n",
            "DKIM-Signature: d=contoso.example.; s=st\r\n amp; b=x\r\n",
            "DKIM-Signature : d=contoso.example; s=stamp\r\n",
            "DKIM-Signature: s=old; h=from:Domain-\r\n Secured:to; d=contoso.example\r\n",
            "DKIM-Signature: d=far.example; d=contoso.example; s=a; s=stamp\r\n",
        ] {
            assert!(speaks(ours), "{ours:?}");
        }
    }

    #[test]
    fn other_signatures_are_left_alone() {
        for other in [
            "DKIM-Signature: v=1; d=contoso.example; s=mail; h=from:subject; b=x\r\n",
            "DKIM-Signature: v=1; d=woodgrove.example; s=stamp; h=domain-secured; b=x\r\n",
            "DKIM-Signature: v=1; d=sub.contoso.example; s=stamp; b=x\r\n",
            "ARC-Seal: d=contoso.example; s=stamp\r\n",
            "Subject: DKIM-Signature: d=contoso.example; s=stamp\r\n",
            "DKIM-Signature: nonsense\r\n",
        ] {
            assert!(!speaks(other), "{other:?}");
        }
    }
}
