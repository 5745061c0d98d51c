//! Which of our certificates is taken.

use rustls::pki_types::PrivatePkcs8KeyDer;

use super::*;

const NOW: &str = "2026-06-01T00:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// `id` stands for the thumbprint; years of the first of January.
fn certificate(id: &str, names: &[&str], from: i16, to: i16, self_signed: bool) -> Arc<OwnCertificate> {
    Arc::new(OwnCertificate {
        source: format!("{id}.pem"),
        chain: Vec::new(),
        key: Arc::new(PrivateKeyDer::from(PrivatePkcs8KeyDer::from(Vec::new()))),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        subject: String::new(),
        not_before: at(&format!("{from}-01-01T00:00:00Z")),
        not_after: at(&format!("{to}-01-01T00:00:00Z")),
        self_signed,
        thumbprint: id.to_owned(),
    })
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn chosen(certificates: &[Arc<OwnCertificate>], wanted: Option<&str>, server: bool) -> String {
    let (fqdn, hostname) = (domain("mail.contoso.example"), domain("edge1.contoso.example"));
    let chosen = if server {
        choose_for_server(certificates, &fqdn, &hostname, at(NOW))
    } else {
        choose(certificates, wanted, &fqdn, &hostname, at(NOW))
    };
    chosen.map_or_else(|none| none.to_string(), |certificate| certificate.thumbprint.clone())
}

#[test]
fn the_best_valid_certificate_is_taken() {
    let mail: &[&str] = &["mail.contoso.example"];
    let edge: &[&str] = &["edge1.contoso.example"];
    let table = [
        (
            "the connector's name before the host's",
            vec![certificate("aa", edge, 2026, 2027, false), certificate("bb", mail, 2025, 2027, false)],
            "bb",
        ),
        ("the host's name where there is no other", vec![certificate("aa", edge, 2026, 2027, false)], "aa"),
        (
            "the host's name where the connector's expired",
            vec![certificate("aa", mail, 2024, 2025, false), certificate("bb", edge, 2026, 2027, false)],
            "bb",
        ),
        (
            "the latest start",
            vec![certificate("aa", mail, 2026, 2027, false), certificate("bb", mail, 2025, 2030, false)],
            "aa",
        ),
        (
            "one that a CA issued",
            vec![certificate("aa", mail, 2026, 2027, true), certificate("bb", mail, 2025, 2027, false)],
            "bb",
        ),
        ("a self-signed one where there is no other", vec![certificate("aa", mail, 2026, 2027, true)], "aa"),
        (
            "one that has begun",
            vec![certificate("aa", mail, 2027, 2028, false), certificate("bb", mail, 2025, 2027, false)],
            "bb",
        ),
        ("a wildcard", vec![certificate("aa", &["*.contoso.example"], 2026, 2027, false)], "aa"),
    ];
    for (what, certificates, expected) in table {
        assert_eq!(chosen(&certificates, None, false), expected, "client: {what}");
        assert_eq!(chosen(&certificates, None, true), expected, "server: {what}");
    }
}

#[test]
fn what_a_partner_is_to_be_shown_has_no_substitute() {
    let certificates = [
        certificate("0a1b", &["mail.contoso.example"], 2026, 2027, false),
        certificate("2c3d", &["partners.contoso.example", "*.b2b.example"], 2026, 2027, false),
        certificate("4e5f", &["old.contoso.example"], 2024, 2025, false),
    ];
    let table = [
        ("2c3d", "2c3d"),
        ("2C:3D", "2c3d"),
        ("partners.contoso.example", "2c3d"),
        ("Partners.Contoso.Example.", "2c3d"),
        ("x.b2b.example", "2c3d"),
        ("*.b2b.example", "2c3d"),
    ];
    for (wanted, expected) in table {
        assert_eq!(chosen(&certificates, Some(wanted), false), expected, "{wanted}");
    }
    assert!(chosen(&certificates, Some("ffff"), false).contains("none of our certificates is for ffff"));
    assert!(chosen(&certificates, Some("old.contoso.example"), false).contains("expired on 2025-01-01"));
}

#[test]
fn without_a_valid_certificate_a_client_has_none_and_a_server_the_last_that_was() {
    let certificates = [
        certificate("aa", &["mail.contoso.example"], 2023, 2024, false),
        certificate("bb", &["mail.contoso.example"], 2024, 2025, false),
        certificate("cc", &["mail.contoso.example"], 2027, 2028, false),
        certificate("dd", &["elsewhere.example"], 2026, 2027, false),
    ];
    assert!(chosen(&certificates, None, false).contains("expired on 2025-01-01"));
    assert_eq!(chosen(&certificates, None, true), "bb");
    assert!(chosen(&certificates[2..], None, false).contains("valid only from 2027-01-01"));
    assert!(chosen(&certificates[2..], None, true).contains("valid only from 2027-01-01"));
    let nothing = "none of our certificates is for mail.contoso.example or edge1.contoso.example";
    assert!(chosen(&certificates[3..], None, false).contains(nothing));
    assert!(chosen(&certificates[3..], None, true).contains(nothing));
}
