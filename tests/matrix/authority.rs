//! Certificates and lists for the matrix, made on the spot.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sealpost::trust::RevocationList;
use time::{Duration, OffsetDateTime};

use crate::ocsp::Response;
use crate::pki::clock;

pub const DOMAIN: &str = "woodgrovebank.example";

pub fn at(days: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(clock().as_second()).unwrap() + Duration::days(days)
}

pub fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    (params.not_before, params.not_after) = (at(-30), at(60));
    params
}

pub fn authority(common_name: &str) -> CertificateParams {
    let mut params = named(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// An ordinary mail server's: both usages, the domain as its only name, serial number 7.
pub fn leaf() -> CertificateParams {
    with_names(&[DOMAIN])
}

pub fn with_names(names: &[&str]) -> CertificateParams {
    let mut params = named("mail");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
    params.extended_key_usages = vec![Usage::ServerAuth, Usage::ClientAuth];
    params.serial_number = Some(SerialNumber::from_slice(&[7]));
    params
}

/// subjectAltName with one dNSName of any octets.
pub fn with_raw_name(name: &[u8]) -> CertificateParams {
    let mut params = leaf();
    params.subject_alt_names.clear();
    let value = [&[0x30, 2 + name.len() as u8, 0x82, name.len() as u8], name].concat();
    params.custom_extensions = vec![extension(&[2, 5, 29, 17], &value, false)];
    params
}

pub fn extension(oid: &[u64], value: &[u8], critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, value.to_vec());
    extension.set_criticality(critical);
    extension
}

pub struct Authority {
    pub der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A chain as it is shown, with the end-entity's key.
pub struct Shown {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// The OCSP response that goes with it where a server shows it.
    pub staple: Option<Vec<u8>>,
}

impl Authority {
    pub fn root(common_name: &str) -> Self {
        Self::of(authority(common_name))
    }

    pub fn of(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { der, issuer: Issuer::new(params, key) }
    }

    pub fn below(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Self { der, issuer: Issuer::new(params, key) }
    }

    /// The certificate of the same authority (name and key) from another one.
    pub fn crossed(&self, by: &Authority, params: &CertificateParams) -> CertificateDer<'static> {
        params.signed_by(self.issuer.key(), &by.issuer).unwrap().der().clone()
    }

    pub fn issue(&self, params: &CertificateParams) -> Shown {
        self.issue_to(params, &KeyPair::generate().unwrap())
    }

    pub fn issue_to(&self, params: &CertificateParams, key: &KeyPair) -> Shown {
        let der = params.signed_by(key, &self.issuer).unwrap().der().clone();
        Shown { chain: vec![der], key: PrivateKeyDer::Pkcs8(key.serialize_der().into()), staple: None }
    }

    /// Current from 8 days ago for so many days from now.
    pub fn list(&self, days: i64, revoked: &[u8]) -> Arc<RevocationList> {
        self.list_from(-8, days, revoked)
    }

    pub fn list_from(&self, from: i64, until: i64, revoked: &[u8]) -> Arc<RevocationList> {
        let entry = |serial: &u8| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: at(-2),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: at(from),
            next_update: at(until),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let der = params.signed_by(&self.issuer).unwrap();
        Arc::new(RevocationList::parse("partners.crl", der.der()).unwrap().remove(0))
    }
}

impl Shown {
    pub fn and(mut self, more: &[&CertificateDer<'static>]) -> Self {
        self.chain.extend(more.iter().map(|der| (*der).clone()));
        self
    }

    /// With a response of the authority that issued it. Current for longer than any clock of a
    /// machine goes: what has run out is not resumed.
    pub fn stapling(mut self, by: &Authority, change: impl FnOnce(Response) -> Response) -> Self {
        let ordinary = Response::of(&self.chain[0], &by.der, clock());
        let lasting = Response { next_update: Some("2096-01-01T00:00:00Z".parse().unwrap()), ..ordinary };
        self.staple = Some(change(lasting).signed_by(by.issuer.key()));
        self
    }
}

/// Signed by itself.
pub fn self_signed(params: &CertificateParams) -> Shown {
    let key = KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().clone();
    Shown { chain: vec![der], key: PrivateKeyDer::Pkcs8(key.serialize_der().into()), staple: None }
}
