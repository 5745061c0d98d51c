//! Files as operators hand them to us, good and bad.

use std::path::PathBuf;

use rcgen::{CertificateParams, DnType, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

use super::*;

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// A CA's certificate, one it issued for mail.contoso.example, and the latter's key, all PEM.
fn issued(leaf_key: &KeyPair) -> (String, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.distinguished_name.push(DnType::CommonName, "Contoso CA");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let names = vec!["mail.contoso.example".to_owned(), "*.contoso.example".to_owned()];
    let mut leaf = CertificateParams::new(names).unwrap();
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.distinguished_name.push(DnType::OrganizationName, "Contoso, Ltd\n");
    leaf.not_before = rcgen::date_time_ymd(2026, 1, 2);
    leaf.not_after = rcgen::date_time_ymd(2027, 1, 2);
    let leaf_pem = leaf.signed_by(leaf_key, &Issuer::new(ca, ca_key)).unwrap().pem();
    (ca_pem, leaf_pem)
}

#[test]
fn a_chain_and_its_key_are_read_with_names_and_dates() {
    let files = Files::new();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let (ca, leaf) = issued(&key);
    let chain = files.write("mail.pem", format!("subject=some text\n{leaf}{ca}"));
    let key_file = files.write("mail.key", key.serialize_pem());

    let loaded = load(&chain, &key_file).unwrap();

    assert_eq!(loaded.chain.len(), 2);
    assert_eq!(loaded.names, ["mail.contoso.example", "*.contoso.example"]);
    assert_eq!(loaded.not_before, "2026-01-02T00:00:00Z".parse().unwrap());
    assert_eq!(loaded.not_after, "2027-01-02T00:00:00Z".parse().unwrap());
    assert!(!loaded.self_signed);
    assert_eq!(loaded.source, chain.display().to_string());
    assert_eq!(loaded.thumbprint.len(), 64);
    assert!(loaded.subject.starts_with("O=Contoso\\, Ltd"), "{}", loaded.subject);
    assert!(!loaded.subject.contains('\n'), "{:?}", loaded.subject);
}

#[test]
fn a_self_signed_certificate_is_seen_as_such_and_rsa_is_taken() {
    let files = Files::new();
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let params = CertificateParams::new(vec!["mail.contoso.example".to_owned()]).unwrap();
    let chain = files.write("mail.pem", params.self_signed(&key).unwrap().pem());
    let key_file = files.write("mail.key", key.serialize_pem());
    assert!(load(&chain, &key_file).unwrap().self_signed);
}

#[test]
fn every_bad_pair_of_files_has_its_own_sentence() {
    let files = Files::new();
    let key = KeyPair::generate().unwrap();
    let (ca, leaf) = issued(&key);
    let good_chain = files.write("good.pem", &leaf);
    let good_key = files.write("good.key", key.serialize_pem());
    let damaged = leaf.replacen("-----END", "----END", 1);
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let other_key = KeyPair::generate().unwrap().serialize_pem();
    let table = [
        (files.directory.path().join("absent.pem"), good_key.clone(), "check the path"),
        (good_chain.clone(), files.directory.path().join("absent.key"), "check the path"),
        (files.write("empty.pem", ""), good_key.clone(), "holds no certificate"),
        (good_key.clone(), good_key.clone(), "holds no certificate"),
        (good_chain.clone(), good_chain.clone(), "holds no private key"),
        (files.write("damaged.pem", damaged), good_key.clone(), "not well-formed PEM"),
        (files.write("garbled.pem", garbled), good_key.clone(), "cannot be read"),
        (good_chain.clone(), files.write("bad.key", no_key), "cannot be used"),
        (good_chain.clone(), files.write("other.key", other_key), "does not belong to the certificate"),
        (files.write("swapped.pem", format!("{ca}{leaf}")), good_key.clone(), "certificate number 2"),
        (files.write("huge.pem", vec![b'a'; (1 << 20) + 1]), good_key.clone(), "larger than 1 MiB"),
    ];
    for (chain, key, expected) in table {
        let sentence = load(&chain, &key).unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence} (wanted: {expected})");
    }
}
