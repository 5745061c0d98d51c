//! Certificates and revocation lists made on the spot: Woodgrove's and Fabrikam's authorities, a
//! stranger's, and one leaf for each way to be wrong.

use std::sync::Arc;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CrlDistributionPoint, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sealpost::policy::OwnCertificate;
use sealpost::trust::{AnchorSet, RevocationList, RevocationSet};
use time::{Duration, OffsetDateTime};

type Ca = CertifiedIssuer<'static, KeyPair>;

/// The moment all dialogues happen.
pub fn clock() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn at(days: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(clock().as_second()).unwrap() + Duration::days(days)
}

/// A chain as it is presented, with its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    serial: u64,
}

impl Identity {
    /// As a server or client of ours holds it.
    pub fn to_own(&self, source: &str) -> OwnCertificate {
        OwnCertificate {
            source: source.to_owned(),
            chain: self.chain.clone(),
            key: Arc::new(self.key.clone_key()),
            names: Vec::new(),
            subject: format!("CN={source}"),
            not_before: clock(),
            not_after: clock(),
            self_signed: false,
            thumbprint: source.to_owned(),
            preferred_since: None,
        }
    }
}

pub struct Pki {
    woodgrove: Ca,
    /// Same name as Woodgrove's, another key.
    impostor: Ca,
    fabrikam: Ca,
    stranger: Ca,
    next_serial: u64,
}

impl Pki {
    pub fn new() -> Self {
        Self {
            woodgrove: root("Woodgrove Root CA"),
            impostor: root("Woodgrove Root CA"),
            fabrikam: root("Fabrikam Root CA"),
            stranger: root("Stranger Root CA"),
            next_serial: 0x1001,
        }
    }

    /// What a peer presents, by the name dialogues give it.
    pub fn evidence(&mut self, name: &str) -> Vec<CertificateDer<'static>> {
        match name {
            "none" => Vec::new(),
            "malformed" => vec![CertificateDer::from(b"0\x03\x02\x01\x05".to_vec())],
            "sha1" => sha1_chain(),
            "signature" => self.leaf_of(Issuer::Impostor, ordinary_leaf("woodgrovebank.example")).chain,
            "stranger" => {
                let mut identity = self.leaf_of(Issuer::Stranger, ordinary_leaf("woodgrovebank.example"));
                identity.chain.push(self.stranger.der().clone());
                identity.chain
            }
            "incomplete" => self.below_intermediate(true).into_iter().take(1).collect(),
            "not-a-ca" => self.below_intermediate(false),
            "intermediate" => self.below_intermediate(true),
            name => self.identity(name).chain,
        }
    }

    /// An identity of Woodgrove's authority, or Fabrikam's own.
    pub fn identity(&mut self, name: &str) -> Identity {
        if name == "fabrikam" {
            return self.leaf_of(Issuer::Fabrikam, ordinary_leaf("fabrikam.example"));
        }
        let mut params = ordinary_leaf("woodgrovebank.example");
        match name {
            "woodgrove" | "revoked" => {}
            "published" => params.crl_distribution_points = published(),
            "published-other-name" => {
                params = ordinary_leaf("other.example");
                params.crl_distribution_points = published();
            }
            "server-only" => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            "other-usage" => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning],
            "other-name" => params = ordinary_leaf("other.example"),
            "mail-host" => params = ordinary_leaf("mail.woodgrovebank.example"),
            "expired" => (params.not_before, params.not_after) = (at(-90), at(-1)),
            "not-yet" => (params.not_before, params.not_after) = (at(1), at(90)),
            other => panic!("no certificate is called {other}"),
        }
        self.leaf_of(Issuer::Woodgrove, params)
    }

    fn leaf_of(&mut self, issuer: Issuer, mut params: CertificateParams) -> Identity {
        let serial = self.next_serial;
        self.next_serial += 1;
        params.serial_number = Some(SerialNumber::from(serial));
        params.use_authority_key_identifier_extension = true;
        let issuer = match issuer {
            Issuer::Woodgrove => &self.woodgrove,
            Issuer::Impostor => &self.impostor,
            Issuer::Fabrikam => &self.fabrikam,
            Issuer::Stranger => &self.stranger,
        };
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        Identity {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            serial,
        }
    }

    fn below_intermediate(&self, is_ca: bool) -> Vec<CertificateDer<'static>> {
        let mut params = authority("Woodgrove Issuing CA");
        if !is_ca {
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        }
        let key = KeyPair::generate().unwrap();
        let middle = CertifiedIssuer::signed_by(params, key, &self.woodgrove).unwrap();
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = ordinary_leaf("woodgrovebank.example").signed_by(&leaf_key, &middle).unwrap();
        vec![leaf.der().clone(), middle.der().clone()]
    }

    pub fn anchors(&self) -> AnchorSet {
        let old_root = sha1_chain().pop().unwrap();
        AnchorSet::from_certificates("woodgrove-root.pem", [self.woodgrove.der().clone(), old_root])
    }

    pub fn fabrikam_anchors(&self) -> AnchorSet {
        AnchorSet::from_certificates("fabrikam-root.pem", [self.fabrikam.der().clone()])
    }

    /// Current lists of both partners' authorities, naming the chains in `revoked`.
    pub fn revocation(&self, epoch: u64, revoked: &[&Identity]) -> RevocationSet {
        let lists = [list(&self.woodgrove, revoked, 7), list(&self.fabrikam, revoked, 7)];
        let lists = lists.into_iter().flatten().map(Into::into).collect();
        RevocationSet { epoch, lists, ..RevocationSet::default() }
    }

    /// Lists whose time is over.
    pub fn outdated_revocation(&self) -> RevocationSet {
        let lists = list(&self.woodgrove, &[], -1);
        let lists = lists.into_iter().map(Into::into).collect();
        RevocationSet { epoch: 1, lists, ..RevocationSet::default() }
    }
}

#[derive(Clone, Copy)]
enum Issuer {
    Woodgrove,
    Impostor,
    Fabrikam,
    Stranger,
}

fn root(common_name: &str) -> Ca {
    CertifiedIssuer::self_signed(authority(common_name), KeyPair::generate().unwrap()).unwrap()
}

fn authority(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (at(-365), at(3650));
    params
}

fn ordinary_leaf(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = (at(-1), at(89));
    params
}

/// Where Woodgrove's authority publishes its list.
fn published() -> Vec<CrlDistributionPoint> {
    let uris = ["ldap://crl.woodgrovebank.example/", "http://crl.woodgrovebank.example/root.crl"];
    vec![CrlDistributionPoint { uris: uris.map(str::to_owned).to_vec() }]
}

fn list(issuer: &Ca, revoked: &[&Identity], next_update_days: i64) -> Vec<RevocationList> {
    let params = CertificateRevocationListParams {
        this_update: at(-8),
        next_update: at(next_update_days),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: revoked
            .iter()
            .map(|identity| RevokedCertParams {
                serial_number: SerialNumber::from(identity.serial),
                revocation_time: at(-2),
                reason_code: Some(RevocationReason::KeyCompromise),
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let der = params.signed_by(issuer).unwrap();
    RevocationList::parse("partners.crl", der.der()).unwrap()
}

/// A leaf signed with SHA-1 and its root, which no library makes any more.
fn sha1_chain() -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(include_bytes!("sha1.pem")).map(Result::unwrap).collect()
}
