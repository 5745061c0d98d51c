//! Lists as they lie on disk, good and bad.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};

use super::*;

/// DER and PEM of an empty list of the issuer `name`.
fn list(name: &str) -> (Vec<u8>, String) {
    let key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.distinguished_name.push(DnType::CommonName, name);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2027, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let signed = list.signed_by(&Issuer::new(ca, key)).unwrap();
    (signed.der().to_vec(), signed.pem().unwrap())
}

#[test]
fn good_lists_are_kept_whatever_stands_beside_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (der, first) = list("First CA");
    let (_, second) = list("Second CA");
    std::fs::write(path("one.der"), &der).unwrap();
    std::fs::write(path("two.pem"), format!("{first}{second}")).unwrap();
    std::fs::write(path("bad.pem"), "no list at all").unwrap();
    let files = [path("bad.pem"), path("one.der"), path("absent.pem"), path("two.pem")];

    let (set, problems) = load(&files, 7);

    assert_eq!(set.epoch, 7);
    let sources: Vec<_> = set.lists.iter().map(|list| PathBuf::from(&list.source)).collect();
    assert_eq!(sources, [path("one.der"), path("two.pem"), path("two.pem")]);
    let failed: Vec<_> = problems.iter().map(|(file, _)| file.clone()).collect();
    assert_eq!(failed, [path("bad.pem"), path("absent.pem")]);
    assert!(
        problems.iter().all(|(file, problem)| problem.contains(&file.display().to_string())),
        "{problems:?}"
    );
}

#[test]
fn every_kind_of_change_is_noticed_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list.pem");
    let files = std::slice::from_ref(&path);
    let mut watcher = Watcher::new();

    let mut expect_change = |what: &str, files: &[PathBuf]| {
        assert!(watcher.changed(files), "{what}");
        assert!(!watcher.changed(files), "{what}, looked at again");
    };
    expect_change("the first look", files);
    std::fs::write(&path, "a").unwrap();
    expect_change("a file appears", files);
    std::fs::write(&path, "ab").unwrap();
    expect_change("it grows", files);
    let other = directory.path().join("other.pem");
    std::fs::write(&other, "cd").unwrap();
    std::fs::rename(&other, &path).unwrap();
    expect_change("another of equal size takes its place", files);
    std::fs::remove_file(&path).unwrap();
    expect_change("it disappears", files);
    expect_change("the settings name no file any more", &[]);
}
