//! What may come back from a distribution point, and what is kept of it.

use std::sync::Arc;

use jiff::ToSpan;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, DnType, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::trust::der;

/// An authority that publishes lists; also for the tests of those who fetch and keep them.
pub(crate) struct Publisher {
    issuer: Issuer<'static, KeyPair>,
    name: Vec<u8>,
    key: Vec<u8>,
}

impl Publisher {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let (_, parsed) = X509Certificate::from_der(root.der()).unwrap();
        Self {
            name: parsed.subject().as_raw().to_vec(),
            key: der::content(parsed.public_key().raw).unwrap().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    /// The list of an end-entity that names these points.
    pub fn wanted(&self, points: &[&str]) -> WantedList {
        WantedList {
            issuer: self.name.clone(),
            issuer_keys: vec![self.key.clone()],
            is_authority: false,
            points: points.iter().map(|&point| PointName::Uri(point.to_owned())).collect(),
        }
    }

    pub fn list(&self, source: &str, this_update: Timestamp, next_update: Timestamp) -> RevocationList {
        self.list_for(source, this_update, next_update, None)
    }

    fn list_for(
        &self,
        source: &str,
        this_update: Timestamp,
        next_update: Timestamp,
        issuing_distribution_point: Option<CrlIssuingDistributionPoint>,
    ) -> RevocationList {
        let time = |at: Timestamp| OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap();
        let params = CertificateRevocationListParams {
            this_update: time(this_update),
            next_update: time(next_update),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        RevocationList::parse(source, list.der()).unwrap().remove(0)
    }
}

const URL: &str = "http://crl.example/root.crl";

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

#[test]
fn only_http_is_asked_and_not_without_end() {
    let publisher = Publisher::new("root");
    let long = format!("http://crl.example/{}", "x".repeat(2048));
    let wanted =
        publisher.wanted(&["ldap://x/", "HTTP://crl.example/A", "https://x/", &long, "http://b/", "", "ü"]);
    assert_eq!(wanted.urls().collect::<Vec<_>>(), ["HTTP://crl.example/A", "http://b/"]);
    assert_eq!(publisher.wanted(&["http://x/"; 50]).urls().count(), 8);
}

/// A partner's authority must not be able to spoil what another's URL gives.
#[test]
fn a_list_is_kept_by_url_and_issuer() {
    let (one, other) = (Publisher::new("root"), Publisher::new("root"));
    let key = one.wanted(&[URL]).key(URL);
    assert_eq!(key, one.wanted(&[URL, "http://b/"]).key(URL));
    assert_ne!(key, one.wanted(&[URL]).key("http://b/"));
    assert_ne!(key, other.wanted(&[URL]).key(URL));
    assert_eq!(key.to_string().len(), 64);
}

#[test]
fn only_the_issuers_own_list_of_today_is_taken() {
    let publisher = Publisher::new("root");
    let wanted = publisher.wanted(&[URL]);
    let (before, after) = (now() - 24.hours(), now() + 24.hours());
    let good = publisher.list(URL, before, after);
    assert_eq!(wanted.check(&good, now()), Ok(()));
    assert_eq!(wanted.check(&good, after), Ok(()));
    assert_eq!(wanted.check(&good, after + 1.second()), Err(ListRefused::OutOfDate(after)));
    assert_eq!(wanted.check_origin(&good), Ok(()));
    let early = before - 1.second();
    assert_eq!(wanted.check(&good, early), Err(ListRefused::NotYetCurrent(before)));
    let stranger = Publisher::new("stranger").list(URL, before, after);
    assert_eq!(wanted.check(&stranger, now()), Err(ListRefused::OtherIssuer));
    let impostor = Publisher::new("root").list(URL, before, after);
    assert_eq!(wanted.check(&impostor, now()), Err(ListRefused::WrongSignature));
    let point = |uri: &str, scope| CrlIssuingDistributionPoint {
        distribution_point: CrlDistributionPoint { uris: vec![uri.to_owned()] },
        scope,
    };
    for (uri, scope, taken) in [
        (URL, None, true),
        (URL, Some(CrlScope::UserCertsOnly), true),
        (URL, Some(CrlScope::CaCertsOnly), false),
        ("http://crl.example/other.crl", None, false),
    ] {
        let list = publisher.list_for(URL, before, after, Some(point(uri, scope)));
        assert_eq!(wanted.check(&list, now()).is_ok(), taken, "{uri}");
    }
}

#[test]
fn a_list_got_too_long_ago_is_not_current_whatever_it_says() {
    let list = Arc::new(Publisher::new("root").list(URL, now() - 24.hours(), now() + 24.hours()));
    assert!(list.is_current_at(now()));
    let limited = list.usable_until(Some(now() - 1.second()));
    assert!(!limited.is_current_at(now()));
    assert!(limited.is_current_at(now() - 1.second()));
    assert_eq!(limited.usable_until(None).good_until(), list.next_update);
    assert_eq!(list.usable_until(Some(now() + 48.hours())).good_until(), list.next_update);
}
