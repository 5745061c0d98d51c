//! Certificates of partners and of those who would like to be one.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sealpost::cli::demo::pki::{Authority, Identity, Validity};
use sealpost::trust::SpkiPin;
use std::path::Path;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a client presents, with its key.
pub struct Card {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl From<Identity> for Card {
    fn from(identity: Identity) -> Self {
        Self { key: identity.key(), chain: identity.chain }
    }
}

impl Card {
    /// As `spki_pins` wants it.
    pub fn pin(&self) -> String {
        let (_, leaf) = X509Certificate::from_der(&self.chain[0]).unwrap();
        SpkiPin::of(leaf.public_key().raw).to_string()
    }
}

/// The authorities, and the identities that most tests need.
pub struct Pki {
    pub woodgrove: Authority,
    pub stranger: Authority,
    /// Woodgrove's name, another key.
    pub impostor: Authority,
    pub revoked: Card,
}

impl Pki {
    /// Roots, revocation lists and our own certificate are written into `home`.
    pub fn new(home: &Path) -> Self {
        let [mut woodgrove, mut fabrikam, stranger, impostor] =
            ["Woodgrove", "Fabrikam", "Stranger", "Woodgrove"].map(|name| Authority::new(name).unwrap());
        let revoked = woodgrove.issue(&["woodgrove.example"], Validity::Current).unwrap();
        woodgrove.revoke(&revoked, RevocationReason::KeyCompromise);
        for (name, authority) in [("woodgrove", &mut woodgrove), ("fabrikam", &mut fabrikam)] {
            std::fs::write(home.join(format!("{name}-root.pem")), authority.root_pem()).unwrap();
            write_list(home, name, authority);
        }
        let mut ours = Authority::new("Contoso").unwrap();
        std::fs::write(home.join("contoso-root.pem"), ours.root_pem()).unwrap();
        let own = ours.issue(&["contoso.example", "mx.contoso.example"], Validity::Current).unwrap();
        own.write(home, "contoso").unwrap();
        Self { woodgrove, stranger, impostor, revoked: revoked.into() }
    }

    pub fn woodgrove(&mut self, names: &[&str]) -> Card {
        self.woodgrove.issue(names, Validity::Current).unwrap().into()
    }

    /// Woodgrove's certificate for its domain with this subject.
    pub fn with_common_name(&mut self, name: &str) -> Card {
        let mut params = leaf_params(&["woodgrove.example"]);
        params.distinguished_name.push(DnType::CommonName, name);
        self.woodgrove.sign(params, Validity::Current).unwrap().into()
    }

    /// Woodgrove's certificate for its domain with these usages; none: no such extension.
    pub fn with_usages(&mut self, usages: &[ExtendedKeyUsagePurpose]) -> Card {
        let mut params = leaf_params(&["woodgrove.example"]);
        params.extended_key_usages = usages.to_vec();
        self.woodgrove.sign(params, Validity::Current).unwrap().into()
    }

    /// A leaf below an intermediate, which may lack the CA flag, and need not be sent.
    pub fn below_intermediate(&mut self, is_ca: bool, is_sent: bool) -> Card {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Woodgrove Issuing");
        params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let intermediate = self.woodgrove.sign(params.clone(), Validity::Current).unwrap();
        let issuer = Issuer::new(params, KeyPair::from_pem(&intermediate.key_pem).unwrap());
        let key = KeyPair::generate().unwrap();
        let leaf = leaf_params(&["woodgrove.example"]).signed_by(&key, &issuer).unwrap();
        let mut chain = vec![leaf.der().clone()];
        if is_sent {
            chain.extend(intermediate.chain);
        }
        Card { chain, key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) }
    }
}

/// A leaf of this name below an intermediate of Woodgrove's that has a list of its own, in
/// `issuing.crl`, while the intermediate itself is on Woodgrove's.
pub fn below_revoked_intermediate(pki: &mut Pki, home: &Path, name: &str) -> Card {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("Issuing of {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let intermediate = pki.woodgrove.sign(params.clone(), Validity::Current).unwrap();
    pki.woodgrove.revoke(&intermediate, RevocationReason::CaCompromise);
    write_list(home, "woodgrove", &mut pki.woodgrove);
    let issuer = Issuer::new(params, KeyPair::from_pem(&intermediate.key_pem).unwrap());
    let list = CertificateRevocationListParams {
        this_update: OffsetDateTime::now_utc() - Duration::minutes(5),
        next_update: OffsetDateTime::now_utc() + Duration::days(7),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    std::fs::write(home.join("issuing.crl"), list.signed_by(&issuer).unwrap().pem().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = leaf_params(&[name]).signed_by(&key, &issuer).unwrap();
    let mut chain = vec![leaf.der().clone()];
    chain.extend(intermediate.chain);
    Card { chain, key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) }
}

/// A fresh list of everything the authority revoked.
pub fn write_list(home: &Path, name: &str, authority: &mut Authority) {
    let list = authority.revocation_list_pem().unwrap();
    std::fs::write(home.join(format!("{name}.crl.new")), list).unwrap();
    std::fs::rename(home.join(format!("{name}.crl.new")), home.join(format!("{name}.crl"))).unwrap();
}

/// Issued by nobody but itself.
pub fn self_signed(name: &str, days: std::ops::Range<i64>) -> Card {
    let key = KeyPair::generate().unwrap();
    let mut params = leaf_params(&[name]);
    params.not_before = OffsetDateTime::now_utc() + Duration::days(days.start);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(days.end);
    let certificate = params.self_signed(&key).unwrap();
    Card { chain: vec![certificate.der().clone()], key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) }
}

/// The same with this subject.
pub fn self_signed_as(name: &str, subject: &str) -> Card {
    let key = KeyPair::generate().unwrap();
    let mut params = leaf_params(&[name]);
    params.distinguished_name.push(DnType::CommonName, subject);
    let certificate = params.self_signed(&key).unwrap();
    Card { chain: vec![certificate.der().clone()], key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) }
}

/// Our own, self-signed, that ends in a few seconds; chain and key as PEM.
pub fn ends_in(seconds: i64, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = leaf_params(&[name]);
    params.not_before = OffsetDateTime::now_utc() - Duration::days(30);
    params.not_after = OffsetDateTime::now_utc() + Duration::seconds(seconds);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn leaf_params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "leaf");
    params.serial_number = Some(SerialNumber::from(0x77_u64));
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(90);
    params
}
