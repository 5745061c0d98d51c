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
        preferred_since: None,
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

fn preferred(certificate: Arc<OwnCertificate>, since: &str) -> Arc<OwnCertificate> {
    let mut certificate = Arc::into_inner(certificate).unwrap();
    certificate.preferred_since = Some(at(since));
    Arc::new(certificate)
}

#[test]
fn what_an_operator_enabled_goes_first_until_a_newer_one_is_issued() {
    let mail: &[&str] = &["mail.contoso.example"];
    let enabled = || preferred(certificate("aa", mail, 2024, 2027, true), "2025-06-01T00:00:00Z");
    let older = || certificate("bb", mail, 2025, 2027, false);
    let newer = || certificate("cc", mail, 2026, 2027, false);
    let later = || preferred(certificate("dd", mail, 2023, 2027, false), "2026-02-01T00:00:00Z");
    let expired = preferred(certificate("ee", mail, 2024, 2025, false), "2026-03-01T00:00:00Z");
    for (certificates, expected) in [
        (vec![enabled(), older()], "aa"),
        (vec![enabled(), older(), newer()], "cc"),
        (vec![enabled(), newer(), later()], "dd"),
        (vec![expired, older()], "bb"),
    ] {
        assert_eq!(chosen(&certificates, None, false), expected);
        assert_eq!(chosen(&certificates, None, true), expected);
    }
}

#[test]
fn every_choice_says_what_decided_it() {
    let mail: &[&str] = &["mail.contoso.example"];
    let edge: &[&str] = &["edge1.contoso.example"];
    let because = |certificates: &[Arc<OwnCertificate>], wanted: Option<&str>| {
        let (fqdn, hostname) = (domain("mail.contoso.example"), domain("edge1.contoso.example"));
        let choice = match wanted {
            Some(wanted) => explain(certificates, Some(wanted), &fqdn, &hostname, at(NOW)),
            None => explain_for_server(certificates, &fqdn, &hostname, at(NOW)),
        };
        choice.unwrap().to_string()
    };
    let one = || certificate("aa", mail, 2026, 2027, false);
    let table = [
        (vec![one()], None, "named for the fqdn mail.contoso.example; the only valid one"),
        (
            vec![certificate("aa", edge, 2026, 2027, false)],
            None,
            "none for the fqdn, named for the hostname edge1.contoso.example; the only valid one",
        ),
        (
            vec![one(), certificate("bb", mail, 2025, 2027, false)],
            None,
            "named for the fqdn mail.contoso.example; of several the one with the latest start",
        ),
        (
            vec![one(), certificate("bb", mail, 2026, 2027, true)],
            None,
            "named for the fqdn mail.contoso.example; issued by a CA, the others are self-signed",
        ),
        (
            vec![one(), preferred(certificate("bb", mail, 2025, 2027, true), "2026-03-01T00:00:00Z")],
            None,
            "named for the fqdn mail.contoso.example; enabled by hand on 2026-03-01T00:00:00Z",
        ),
        (
            vec![certificate("aa", mail, 2024, 2025, false)],
            None,
            "named for the fqdn mail.contoso.example; none is valid, this one expired last",
        ),
        (vec![one()], Some("aa"), "the partner's `certificate` is aa; the only valid one"),
    ];
    for (certificates, wanted, sentence) in table {
        assert_eq!(because(&certificates, wanted), sentence);
    }
}
