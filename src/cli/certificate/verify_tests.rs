use clap::Parser;

use super::*;
use crate::cli::certificate::CertificateCommand;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: CertificateCommand,
}

fn verify(arguments: &[&str]) -> Result<Answer, VerifyError> {
    let line = Line::try_parse_from(["certificate", "verify"].iter().chain(arguments)).unwrap();
    let CertificateCommand::Verify(args) = line.command else { panic!("another command") };
    answer(&args)
}

/// A directory with a self-signed root and a leaf of it, PEM and DER.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut root = rcgen::CertificateParams::new(vec![]).unwrap();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let root_certificate = root.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(root, key);
    let leaf = rcgen::CertificateParams::new(vec!["x.example".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&rcgen::KeyPair::generate().unwrap(), &issuer).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
    write("root.pem", root_certificate.pem().as_bytes());
    write("leaf.pem", leaf.pem().as_bytes());
    write("leaf.der", leaf.der());
    write("text", b"not a certificate");
    write("sequence", &[0x30, 3, 2, 1, 5]);
    directory
}

#[test]
fn the_answer_is_that_of_the_server() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (leaf, der, root) = (path("leaf.pem"), path("leaf.der"), path("root.pem"));
    let base = ["--anchors", &root, "--revocation", "off", "--chain"];
    let with = |more: &[&str]| verify(&[&base[..], more].concat()).unwrap();
    for chain in [&leaf, &der] {
        let good = with(&[chain, "--name", "other.example", "--name", "X.example."]);
        assert!(good.is_admitted());
        assert_eq!(good.to_json()["level"], "domain-validation");
        assert_eq!(good.to_json()["fault"], Value::Null);
        assert!(good.to_text().contains("x.example"));
    }
    assert_eq!(with(&[&leaf]).to_json()["level"], "certificate-validation");
    assert_eq!(with(&[&leaf, "--name", "a.x.example"]).fault(), Some(Fault::NameMismatch));
    assert_eq!(with(&[&leaf, "--at", "1960-01-01T00:00:00Z"]).fault(), Some(Fault::NotYetValid));
    assert_eq!(
        with(&[&leaf, "--revocation-depth", "chain", "--at", "9999-01-01T00:00:00Z"]).fault(),
        Some(Fault::Expired)
    );
    let unlisted = verify(&["--anchors", &root, "--chain", &leaf]).unwrap();
    assert_eq!(unlisted.fault(), Some(Fault::RevocationUnknown));
}

#[test]
fn a_readable_file_is_judged_and_any_other_is_not() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let root = path("root.pem");
    let broken = verify(&["--anchors", &root, "--chain", &path("sequence")]).unwrap();
    assert_eq!(broken.fault(), Some(Fault::MalformedCertificate));
    assert!(verify(&["--anchors", &root, "--chain", &path("text")]).is_err());
    assert!(verify(&["--anchors", &root, "--chain", &path("absent")]).is_err());
    assert!(verify(&["--anchors", &path("text"), "--chain", &root]).is_err());
    assert!(verify(&["--anchors", "none", "--chain", &root]).is_err());
    assert!(verify(&["--anchors", &root, "--crl", &path("text"), "--chain", &root]).is_err());
    let crl =
        verify(&["--anchors", &root, "--crl", &path("sequence"), "--chain", &path("leaf.pem")]).unwrap();
    assert_eq!((crl.fault(), crl.warnings.len()), (Some(Fault::RevocationUnknown), 1));
    let unreadable_anchor = verify(&["--anchors", &path("sequence"), "--chain", &path("leaf.pem")]).unwrap();
    assert_eq!(unreadable_anchor.fault(), Some(Fault::UntrustedRoot));
}

#[test]
fn wrong_words_are_usage_errors() {
    for arguments in
        [["--usage", "both"], ["--pin", "sha256/AAAA"], ["--name", "*.x.example"], ["--at", "noon"]]
    {
        let line = ["certificate", "verify", "--chain", "f"].iter().chain(&arguments);
        assert!(Line::try_parse_from(line).is_err(), "{arguments:?}");
    }
}
