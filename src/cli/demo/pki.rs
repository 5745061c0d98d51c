//! Certificates made on the spot: an authority per organisation, identities below it (good,
//! expired, for whatever names), and the authority's revocation list (RFC 5280).
//!
//! Serves the demo and the tests. Nothing here is fit for production: keys lie beside the
//! certificates, unprotected.

use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationList, CertificateRevocationListParams,
    CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};

/// Long enough that a certificate without a current revocation list counts as unknown: one that
/// lives at most seven days would need none.
const VALIDITY: Duration = Duration::days(90);
const LIST_VALIDITY: Duration = Duration::days(7);

/// A root authority that signs end-entity certificates and revocation lists.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    organisation: String,
    next_serial: u64,
    next_list: u64,
    revoked: Vec<RevokedCertParams>,
}

/// An end-entity certificate with its key.
pub struct Identity {
    /// What is presented: the end-entity first.
    pub chain: Vec<CertificateDer<'static>>,
    pub chain_pem: String,
    pub key_pem: String,
    key_der: Vec<u8>,
    serial: u64,
}

/// When a certificate is valid, relative to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    Current,
    /// It ended yesterday.
    Expired,
    /// It begins tomorrow.
    NotYet,
    /// It ends in five days.
    Ending,
}

/// Where an identity was written.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// A self-signed root named after the organisation.
    pub fn new(organisation: &str) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(organisation, &format!("{organisation} Root CA"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = OffsetDateTime::now_utc() - Duration::days(365);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(3650);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let organisation = organisation.to_owned();
        Ok(Self { issuer, organisation, next_serial: 0x1001, next_list: 1, revoked: Vec::new() })
    }

    /// A certificate for these DNS names, good for clients and servers.
    pub fn issue(&mut self, names: &[&str], validity: Validity) -> Result<Identity, rcgen::Error> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let common_name = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = distinguished_name(&self.organisation, &common_name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, validity)
    }

    /// Signs whatever is asked, for tests that need odd certificates; serial number and validity
    /// are ours.
    pub fn sign(&mut self, params: CertificateParams, validity: Validity) -> Result<Identity, rcgen::Error> {
        self.sign_key(&KeyPair::generate()?, params, validity)
    }

    /// As `sign`, for a key that is there: for tests that need another kind of key.
    pub fn sign_key(
        &mut self,
        key: &KeyPair,
        mut params: CertificateParams,
        validity: Validity,
    ) -> Result<Identity, rcgen::Error> {
        let serial = self.next_serial;
        self.next_serial += 1;
        params.serial_number = Some(SerialNumber::from(serial));
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity.around(OffsetDateTime::now_utc());
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(Identity {
            chain: vec![certificate.der().clone()],
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            key_der: key.serialize_der(),
            serial,
        })
    }

    /// Puts an identity of ours on the next list.
    pub fn revoke(&mut self, identity: &Identity, reason: RevocationReason) {
        self.revoked.push(RevokedCertParams {
            serial_number: SerialNumber::from(identity.serial),
            revocation_time: OffsetDateTime::now_utc() - Duration::hours(1),
            reason_code: Some(reason),
            invalidity_date: None,
        });
    }

    /// A fresh list of all that was revoked so far, as PEM.
    pub fn revocation_list_pem(&mut self) -> Result<String, rcgen::Error> {
        self.revocation_list(LIST_VALIDITY)?.pem()
    }

    /// A fresh list that is good for so long from now.
    pub fn revocation_list(&mut self, validity: Duration) -> Result<CertificateRevocationList, rcgen::Error> {
        let number = self.next_list;
        self.next_list += 1;
        let list = CertificateRevocationListParams {
            this_update: OffsetDateTime::now_utc() - Duration::minutes(5),
            next_update: OffsetDateTime::now_utc() + validity,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: self.revoked.clone(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer)
    }

    /// The root certificate, the trust anchor of those who trust this organisation.
    pub fn root_pem(&self) -> String {
        self.issuer.pem()
    }

    /// The root certificate as DER.
    pub fn root(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }
}

impl Identity {
    /// Presents the root as well, which few need to see but some send.
    #[must_use]
    pub fn with_root(mut self, authority: &Authority) -> Self {
        self.chain.push(authority.root().clone());
        self.chain_pem.push_str(&authority.root_pem());
        self
    }

    /// The private key, PKCS#8.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key_der.clone().into())
    }

    /// Writes `NAME.pem` and `NAME.key` (mode 0600) below `directory`.
    pub fn write(&self, directory: &Path, name: &str) -> io::Result<IdentityFiles> {
        let files = IdentityFiles {
            chain: directory.join(format!("{name}.pem")),
            key: directory.join(format!("{name}.key")),
        };
        std::fs::write(&files.chain, &self.chain_pem)?;
        write_secret(&files.key, &self.key_pem)?;
        Ok(files)
    }
}

impl Validity {
    fn around(self, now: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
        match self {
            Self::Current => (now - Duration::days(1), now - Duration::days(1) + VALIDITY),
            Self::Expired => (now - Duration::days(1) - VALIDITY, now - Duration::days(1)),
            Self::NotYet => (now + Duration::days(1), now + Duration::days(1) + VALIDITY),
            Self::Ending => (now + Duration::days(5) - VALIDITY, now + Duration::days(5)),
        }
    }
}

fn distinguished_name(organisation: &str, common_name: &str) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    name.push(DnType::OrganizationName, organisation);
    name.push(DnType::CommonName, common_name);
    name
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::{FromDer, X509Certificate};
    use x509_parser::revocation_list::CertificateRevocationList;

    fn revoked_serials(pem: &str) -> Vec<String> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let (_, list) = CertificateRevocationList::from_der(&pem.contents).unwrap();
        list.iter_revoked_certificates().map(|entry| entry.user_certificate.to_str_radix(16)).collect()
    }

    #[test]
    fn certificates_carry_names_validity_and_the_issuer() {
        let mut authority = Authority::new("Contoso").unwrap();
        for (validity, valid_now) in
            [(Validity::Current, true), (Validity::Expired, false), (Validity::NotYet, false)]
        {
            let identity = authority.issue(&["contoso.example", "mx.contoso.example"], validity).unwrap();
            let (_, leaf) = X509Certificate::from_der(&identity.chain[0]).unwrap();
            let (_, root) = X509Certificate::from_der(authority.root()).unwrap();
            assert_eq!(leaf.validity().is_valid(), valid_now, "{validity:?}");
            assert_eq!(leaf.issuer(), root.subject());
            let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.len();
            assert_eq!(names, 2);
        }
    }

    #[test]
    fn a_revoked_certificate_is_on_the_next_list_and_no_other_is() {
        let mut authority = Authority::new("Contoso").unwrap();
        let good = authority.issue(&["contoso.example"], Validity::Current).unwrap();
        let bad = authority.issue(&["contoso.example"], Validity::Current).unwrap();
        assert!(revoked_serials(&authority.revocation_list_pem().unwrap()).is_empty());
        authority.revoke(&bad, RevocationReason::KeyCompromise);
        let listed = revoked_serials(&authority.revocation_list_pem().unwrap());
        assert_eq!(listed, [format!("{:x}", bad.serial)]);
        assert_ne!(good.serial, bad.serial);
    }
}
