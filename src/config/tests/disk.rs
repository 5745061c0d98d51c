//! What `config check` says of the files beside a configuration, and of what partners see of us.

use std::os::unix::fs::PermissionsExt;

use super::site::{CONNECTORS, Site, TOP, lines};
use crate::config::{Problem, Severity};

const PARTNER: &str = "\n[[partner]]\nname = \"P\"\ndomains = [\"p.example\"]\n\
                       domain_secure = [\"send\", \"receive\"]\ntrust_anchors = [\"root.pem\"]\n";

/// The one problem of these settings: where it is, and what it says.
fn only(site: &Site, text: &str, severity: Severity, line_holds: &str, key: &str) -> Problem {
    let problems = site.problems(text);
    let of_severity: Vec<_> = problems.iter().filter(|problem| problem.severity == severity).collect();
    let [problem] = of_severity[..] else { panic!("wanted one:\n{}", lines(&problems)) };
    assert_eq!(problem.key, key, "{problem}");
    let line = problem.line.and_then(|line| text.lines().nth(line - 1)).unwrap_or_default();
    assert!(line.contains(line_holds), "{problem}\nstands at: {line}");
    assert!(problem.file.ends_with("sealpost.toml"));
    problem.clone()
}

#[test]
fn an_accepted_domain_that_our_certificate_lacks_is_what_partners_refuse() {
    let site = Site::new();
    let accepted = "\n[[accepted_domain]]\nname = \"fabrikam.example\"\n\
                    [[send_connector]]\nname = \"Inside\"\naddress_spaces = [\"fabrikam.example\"]\n\
                    dns_routing_enabled = false\nsmart_hosts = [\"[192.0.2.1]:25\"]\n";
    let text = format!("{TOP}{CONNECTORS}{PARTNER}{accepted}");
    let key = "accepted_domain.fabrikam.example.name";
    let problem = only(&site, &text, Severity::Warning, "name = \"fabrikam.example\"", key);
    for words in ["mail1.pem", "does not name fabrikam.example", "NameMismatch"] {
        assert!(problem.what.contains(words), "{problem}");
    }
    assert!(problem.remedy.contains("certificate_names = [\"mail1.contoso.example\"]"), "{problem}");

    // Without partners nobody looks; and the wildcard of a certificate is no proof of the domain itself.
    assert!(site.problems(&format!("{TOP}{CONNECTORS}{accepted}")).is_empty());
    let names = ["mail1.contoso.example", "*.fabrikam.example"];
    site.certificate("mail1.pem", "mail1.key", &names, 2020, 2060);
    assert_eq!(site.problems(&text).len(), 1);
    let names = ["mail1.contoso.example", "Fabrikam.example"];
    site.certificate("mail1.pem", "mail1.key", &names, 2020, 2060);
    assert!(site.problems(&text).is_empty(), "{}", lines(&site.problems(&text)));

    // One partner is shown another certificate.
    site.certificate("other.pem", "other.key", &["other.contoso.example"], 2020, 2060);
    let other = "[[certificate]]\nchain = \"other.pem\"\nkey = \"other.key\"\n";
    let partner = format!("{PARTNER}certificate = \"other.contoso.example\"\n");
    let text = format!("{TOP}{CONNECTORS}{other}{partner}{accepted}");
    let problem = only(&site, &text, Severity::Warning, "name = \"fabrikam.example\"", key);
    assert!(problem.what.contains("other.pem") && problem.what.contains("servers of P"), "{problem}");
}

#[test]
fn a_list_out_of_date_under_hard_fail_is_told_unless_another_is_current() {
    let site = Site::new();
    site.list_until("old.crl", 2021);
    let top = TOP.replace("anchors = [\"root.pem\"]", "anchors = [\"root.pem\"]\ncrl_files = [\"old.crl\"]");
    let text = format!("{top}{CONNECTORS}");
    let problem = only(&site, &text, Severity::Warning, "crl_files", "trust.crl_files");
    for words in ["old.crl", "CN=Test CA", "out of date since 2021-01-01", "RevocationUnknown"] {
        assert!(problem.what.contains(words), "{problem}");
    }
    assert!(problem.remedy.contains("current list"), "{problem}");
    let both = text.replace("[\"old.crl\"]", "[\"old.crl\", \"root.crl\"]");
    assert!(site.problems(&both).is_empty(), "the issuers have one name");
    let soft = text.replace("crl_files", "revocation = \"soft-fail\"\ncrl_files");
    assert!(site.problems(&soft).is_empty(), "{}", lines(&site.problems(&soft)));
    let one_hard = format!("{soft}{PARTNER}revocation = \"hard-fail\"\n");
    assert_eq!(site.problems(&one_hard).len(), 1, "{}", lines(&site.problems(&one_hard)));
}

#[test]
fn an_end_entity_is_no_anchor_but_can_be_pinned() {
    let site = Site::new();
    site.certificate("leaf.pem", "leaf.key", &["mx.p.example"], 2020, 2060);
    let partner = PARTNER.replace("[\"root.pem\"]", "[\"root.pem\",\n\"leaf.pem\"]");
    let text = format!("{TOP}{CONNECTORS}{partner}");
    let problem = only(&site, &text, Severity::Warning, "\"leaf.pem\"]", "partner.P.trust_anchors");
    assert!(problem.what.contains("leaf.pem") && problem.what.contains("no authority"), "{problem}");
    let (_, pin) = problem.remedy.split_once("spki_pins = ").unwrap();
    let pinned = PARTNER.replace("[\"root.pem\"]", &format!("[]\nspki_pins = {pin}"));
    assert!(site.problems(&format!("{TOP}{CONNECTORS}{pinned}")).is_empty(), "the remedy is one");
    let global = format!("{TOP}{CONNECTORS}").replace("\"root.pem\"", "\"leaf.pem\"");
    only(&site, &global, Severity::Warning, "anchors", "trust.anchors");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_an_error() {
    let site = Site::new();
    site.write("file", "");
    let with = |path: &str| format!("{TOP}{CONNECTORS}").replace("\"data\"", &format!("{path:?}"));
    let problem = only(&site, &with("file"), Severity::Error, "data_directory", "data_directory");
    assert!(problem.what.contains("is not a directory"), "{problem}");
    let problem = only(&site, &with("file/below"), Severity::Error, "data_directory", "data_directory");
    assert!(problem.what.contains("file"), "{problem}");
    for good in ["data", "two/levels", "."] {
        assert!(site.problems(&with(good)).is_empty(), "the server makes {good}");
    }
    let closed = site.path("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    if rustix::process::geteuid().is_root() {
        return; // Root may write everywhere.
    }
    for path in ["closed", "closed/data"] {
        let problem = only(&site, &with(path), Severity::Error, "data_directory", "data_directory");
        assert!(problem.what.contains("cannot be written"), "{problem}");
    }
}

#[test]
fn a_wrong_key_is_reported_at_key_and_a_wrong_chain_at_chain() {
    let site = Site::new();
    let text = format!("{TOP}{CONNECTORS}");
    site.certificate("other.pem", "other.key", &["other.example"], 2020, 2060);
    let cases = [
        ("key = \"mail1.key\"", "key = \"other.key\"", "key", "does not belong to"),
        ("key = \"mail1.key\"", "key = \"mail1.pem\"", "key", "holds no private key"),
        ("key = \"mail1.key\"", "key = \"none.key\"", "key", "cannot read"),
        ("chain = \"mail1.pem\"", "chain = \"mail1.key\"", "chain", "holds no certificate"),
        ("chain = \"mail1.pem\"", "chain = \"none.pem\"", "chain", "cannot read"),
    ];
    for (written, wrong, key, what) in cases {
        let text = text.replace(written, wrong);
        let problems = site.problems(&text);
        let [problem] = &problems[..] else { panic!("{wrong}:\n{}", lines(&problems)) };
        assert_eq!(problem.key.rsplit('.').next(), Some(key), "{problem}");
        let line = text.lines().nth(problem.line.unwrap() - 1).unwrap();
        assert_eq!(line, wrong, "{problem}");
        assert!(problem.what.contains(what), "{problem}");
    }
}

#[test]
fn a_private_key_that_everybody_can_read_is_told() {
    let site = Site::new();
    let key = site.path("mail1.key");
    let text = format!("{TOP}{CONNECTORS}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let place = "certificate.mail1.pem.key";
    let problem = only(&site, &text, Severity::Warning, "key = \"mail1.key\"", place);
    assert!(problem.what.contains("mode 644"), "{problem}");
    assert!(problem.remedy.contains("chmod 600"), "{problem}");
    // A group of its own for keys is how distributions do it.
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(site.problems(&text).is_empty());
}
