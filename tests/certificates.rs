//! The managed certificate store as a postmaster uses it: `sealpost certificate` against files that
//! OpenSSL makes and reads, and a running server that takes what is imported.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{PATIENCE, executable, tool};
use sealpost::cli::demo::client::{Client, Disguise, Letter};
use sealpost::cli::demo::pki::{Authority, Validity};
use sealpost::cli::demo::server::Server;
use serde_json::Value;

const PASSPHRASE: &str = "geheim, mit Ümlaut";

/// A directory with a configuration, and a CA that OpenSSL runs.
struct Desk {
    directory: tempfile::TempDir,
    openssl: PathBuf,
}

/// What a command said.
#[derive(Debug)]
struct Said {
    status: i32,
    out: String,
    err: String,
}

impl Desk {
    /// `None` where there is no openssl.
    fn new(test: &str) -> Option<Self> {
        let desk = Self { openssl: tool(test, "openssl")?, directory: tempfile::tempdir().unwrap() };
        desk.write("sealpost.toml", SETTINGS);
        desk.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "root.key"]);
        desk.openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            "root.key",
            "-subj",
            "/CN=Contoso Root",
            "-days",
            "3000",
            "-out",
            "root.pem",
        ]);
        desk.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key"]);
        desk.openssl(&["req", "-new", "-key", "ca.key", "-subj", "/CN=Contoso Issuing CA", "-out", "ca.csr"]);
        desk.write("ca.ext", "basicConstraints=critical,CA:TRUE\n");
        desk.openssl(&[
            "x509", "-req", "-in", "ca.csr", "-CA", "root.pem", "-CAkey", "root.key", "-days", "2000",
            "-extfile", "ca.ext", "-out", "ca.pem",
        ]);
        Some(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Runs openssl in the directory; it must succeed.
    fn openssl(&self, arguments: &[&str]) -> String {
        let output =
            Command::new(&self.openssl).args(arguments).current_dir(self.directory.path()).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "openssl {arguments:?}: {said}");
        said
    }

    fn certificate(&self, arguments: &[&str]) -> Said {
        self.certificate_with(arguments, &[])
    }

    fn certificate_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        let output = Command::new(executable())
            .arg("certificate")
            .args(arguments)
            .current_dir(self.directory.path())
            .env("SEALPOST_CONFIG", self.path("sealpost.toml"))
            .env_remove("SEALPOST_PASSPHRASE")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Said {
            status: output.status.code().unwrap(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        assert!(!said.out.contains(PASSPHRASE) && !said.err.contains(PASSPHRASE), "{said:?}");
        said
    }

    /// It must succeed and print JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let said = self.certificate(&[arguments, &["--json"]].concat());
        assert_eq!(said.status, 0, "{arguments:?}: {said:?}");
        serde_json::from_str(&said.out).unwrap()
    }

    fn list(&self) -> Value {
        self.json(&["list"])
    }

    /// Signs a request, for `days` from now on.
    fn sign(&self, request: &str, answer: &str, days: &str) {
        let arguments = ["x509", "-req", "-in", request, "-CA", "ca.pem", "-CAkey", "ca.key", "-days", days];
        self.openssl(&[&arguments[..], &["-copy_extensions", "copy", "-out", answer]].concat());
    }

    /// A certificate for the connector's name made without us: NAME.pem, NAME.key (PKCS#8).
    fn foreign(&self, name: &str, key: &[&str]) {
        let (key_file, request) = (format!("{name}.key"), format!("{name}.csr"));
        self.openssl(&[&["genpkey", "-out", &key_file], key].concat());
        let names = "subjectAltName=DNS:mail.contoso.example";
        self.openssl(&[
            "req", "-new", "-key", &key_file, "-subj", "/CN=x", "-addext", names, "-out", &request,
        ]);
        self.sign(&request, &format!("{name}.pem"), "60");
    }

    fn audit(&self) -> String {
        fs::read_to_string(self.path("data/audit.log")).unwrap_or_default()
    }
}

const SETTINGS: &str = r#"
hostname = "mail1.contoso.example"
data_directory = "data"

[trust]
anchors = ["mozilla"]

[[accepted_domain]]
name = "contoso.example"

[[receive_connector]]
name = "Internet"
bindings = ["127.0.0.1:0"]
fqdn = "mail.contoso.example"

[[send_connector]]
name = "Mailboxes"
address_spaces = ["*"]
dns_routing_enabled = false
smart_hosts = ["[127.0.0.1]:9"]

[dns]
servers = ["127.0.0.1:9"]

[admin]
listen = ""
"#;

const EC: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

fn thumbprint(said: &Value) -> String {
    said["imported"][0]["thumbprint"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[test]
fn a_request_is_signed_by_a_ca_and_completed_by_its_answer_in_every_form() {
    let Some(desk) = Desk::new("a_request_is_signed") else { return };
    let table = [
        ("ec-p256", "answer.pem"),
        ("ec-p384", "answer.der"),
        ("rsa-2048", "answer.p7b"),
        ("rsa-3072", "answer-der.p7b"),
    ];
    for (kind, answer) in table {
        let request = ["request", "--subject", "DC=com,DC=Contoso,CN=mail1.contoso.com", "--key", kind];
        let made = desk.json(&[&request[..], &["--domain", "mail.contoso.example", "--out", kind]].concat());
        let id = made["id"].as_str().unwrap();
        let text = desk.openssl(&["req", "-in", kind, "-noout", "-verify", "-subject", "-text"]);
        assert!(text.contains("verify OK"), "{text}");
        assert!(text.contains("DC = com, DC = Contoso, CN = mail1.contoso.com"), "{text}");
        let names = "DNS:mail1.contoso.com, DNS:mail.contoso.example, DNS:contoso.example";
        assert!(text.contains(names), "accepted domains are what partners look for: {text}");
        let pending = desk.list();
        assert_eq!(pending["requests"][0]["id"], id, "{pending}");
        assert_eq!(pending["requests"][0]["key"], kind);

        desk.sign(kind, "answer.pem", "90");
        desk.openssl(&["x509", "-in", "answer.pem", "-outform", "DER", "-out", "answer.der"]);
        let bundle = [
            "crl2pkcs7",
            "-nocrl",
            "-certfile",
            "root.pem",
            "-certfile",
            "answer.pem",
            "-certfile",
            "ca.pem",
        ];
        desk.openssl(&[&bundle[..], &["-out", "answer.p7b"]].concat());
        desk.openssl(&[&bundle[..], &["-outform", "DER", "-out", "answer-der.p7b"]].concat());
        let said = desk.json(&["import", answer]);
        assert_eq!(said["imported"][0]["completed_request"], id, "{kind}: {said}");
        let missing = &said["imported"][0]["missing"];
        let alone = kind == "ec-p256";
        assert_eq!(missing.as_str(), alone.then_some("CN=Contoso Issuing CA"), "{kind}: {said}");
        if alone {
            // What was missing comes later, by itself.
            desk.write(
                "both.pem",
                &["ca.pem", "root.pem"].map(|f| fs::read_to_string(desk.path(f)).unwrap()).concat(),
            );
            let said = desk.json(&["import", "both.pem"]);
            assert_eq!(said["imported"][0]["missing"], Value::Null, "{said}");
        }
        assert_eq!(desk.list()["requests"].as_array().unwrap().len(), 0);
        let shown = desk.json(&["show", &thumbprint(&said)[..8]]);
        assert_eq!(shown["chain"].as_array().unwrap().len(), 2, "{kind}: without the root: {shown}");
        assert_eq!(shown["exportable"], false);
    }
    // The intermediate of earlier certificates completed the chain of those that came alone.
    assert_eq!(desk.list()["certificates"].as_array().unwrap().len(), 4);
}

#[test]
fn a_pfx_of_openssl_is_taken_with_todays_and_yesterdays_algorithms() {
    let Some(desk) = Desk::new("a_pfx_of_openssl") else { return };
    desk.write("pass", &format!("{PASSPHRASE}\nsecond line\n"));
    for (name, key) in [("ec", EC), ("rsa", RSA)] {
        for (form, options) in [
            ("new", &[][..]),
            ("legacy", &["-legacy"][..]),
            ("open", &["-keypbe", "NONE", "-certpbe", "NONE"][..]),
        ] {
            let name = format!("{name}-{form}");
            desk.foreign(&name, key);
            let (leaf, key, pfx) = (format!("{name}.pem"), format!("{name}.key"), format!("{name}.pfx"));
            let export =
                ["pkcs12", "-export", "-in", &leaf, "-inkey", &key, "-certfile", "ca.pem", "-out", &pfx];
            let secret = ["-passout", &format!("pass:{PASSPHRASE}")];
            desk.openssl(&[&export[..], &secret, options].concat());

            let wrong = desk.certificate_with(&["import", &pfx], &[("SEALPOST_PASSPHRASE", "wrong")]);
            assert_eq!(wrong.status, 1, "{name}: {wrong:?}");
            assert!(wrong.err.contains("the passphrase does not open it"), "{wrong:?}");
            let nobody = desk.certificate(&["import", &pfx]);
            assert_eq!(nobody.status, 2, "no terminal, no passphrase: {nobody:?}");
            assert!(
                nobody.err.contains("--passphrase-file") && nobody.err.lines().count() == 1,
                "{nobody:?}"
            );

            let said = match form {
                "new" => desk.json(&["import", &pfx, "--passphrase-file", "pass"]),
                _ => {
                    let taken = desk.certificate_with(
                        &["import", &pfx, "--json", "--passphrase-env", "PFX"],
                        &[("PFX", PASSPHRASE)],
                    );
                    assert_eq!(taken.status, 0, "{name}: {taken:?}");
                    serde_json::from_str(&taken.out).unwrap()
                }
            };
            let shown = desk.json(&["show", &thumbprint(&said)]);
            assert_eq!(shown["chain"].as_array().unwrap().len(), 2, "{name}: {shown}");
            let fingerprint = desk.openssl(&["x509", "-in", &leaf, "-noout", "-fingerprint", "-sha1"]);
            let sha1 = fingerprint.rsplit('=').next().unwrap().trim().replace(':', "").to_lowercase();
            assert_eq!(shown["sha1"], sha1.as_str());
            assert_eq!(desk.json(&["show", &sha1])["thumbprint"], shown["thumbprint"], "Windows' thumbprint");
        }
    }
}

/// `config check` says it too; whoever imports a certificate must hear of it there.
#[test]
fn an_import_tells_which_mail_domain_partners_will_miss() {
    let Some(desk) = Desk::new("an_import_tells_which_mail_domain") else { return };
    let partner = "\n[[partner]]\nname = \"Woodgrove\"\ndomains = [\"woodgrove.example\"]\n\
                   domain_secure = [\"send\", \"receive\"]\n";
    desk.write("sealpost.toml", &format!("{SETTINGS}{partner}"));
    desk.foreign("short", EC);
    let said = desk.certificate(&["import", "short.pem", "--key", "short.key"]);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(
        said.err.starts_with("warning: ") && said.err.contains("does not name contoso.example"),
        "{said:?}"
    );
    let said = desk.json(&["import", "short.pem", "--key", "short.key"]);
    let warning = &said["imported"][0]["warnings"][0];
    assert_eq!(warning["key"], "accepted_domain.contoso.example.name", "{said}");
    let kept = desk.certificate(&["import", "short.pem", "--key", "short.key", "--no-enable"]);
    assert_eq!(kept.status, 0, "{kept:?}");
    // With the name it is taken without a word.
    desk.json(&["request", "--domain", "mail.contoso.example", "--out", "whole.csr"]);
    desk.sign("whole.csr", "whole.pem", "60");
    let said = desk.certificate(&["import", "whole.pem"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
}

#[test]
fn keys_come_in_every_dress_and_the_empty_passphrase_is_tried_first() {
    let Some(desk) = Desk::new("keys_come_in_every_dress") else { return };
    let secret = format!("pass:{PASSPHRASE}");
    for (name, key) in [("ec", EC), ("rsa", RSA)] {
        desk.foreign(name, key);
        let key = format!("{name}.key");
        desk.openssl(&["pkey", "-in", &key, "-traditional", "-out", "traditional.key"]);
        desk.openssl(&["pkcs8", "-topk8", "-in", &key, "-passout", &secret, "-out", "encrypted.key"]);
        desk.openssl(&[
            "pkcs8",
            "-topk8",
            "-in",
            &key,
            "-passout",
            &secret,
            "-outform",
            "DER",
            "-out",
            "encrypted.der",
        ]);
        desk.openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", &key, "-outform", "DER", "-out", "plain.der"]);
        for form in ["traditional.key", "encrypted.key", "encrypted.der", "plain.der"] {
            let leaf = format!("{name}.pem");
            let arguments = ["import", &leaf, "--key", form, "--exportable", "--json"];
            let taken = desk.certificate_with(&arguments, &[("SEALPOST_PASSPHRASE", PASSPHRASE)]);
            assert_eq!(taken.status, 0, "{name} {form}: {taken:?}");
            let thumbprint = thumbprint(&serde_json::from_str(&taken.out).unwrap());
            let key =
                fs::read_to_string(desk.path(&format!("data/certificates/{thumbprint}/key.pem"))).unwrap();
            assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "one form in the store: {form}");
            desk.openssl(&[
                "pkey",
                "-in",
                &format!("data/certificates/{thumbprint}/key.pem"),
                "-noout",
                "-check",
            ]);
            assert_eq!(
                desk.certificate_with(
                    &["import", &leaf, "--key", form],
                    &[("SEALPOST_PASSPHRASE", PASSPHRASE)]
                )
                .status,
                0,
                "again"
            );
            // Two of them would be in use by turns; each form begins anew.
            fs::remove_dir_all(desk.path("data")).unwrap();
        }
    }
    let open =
        ["pkcs12", "-export", "-in", "ec.pem", "-inkey", "ec.key", "-out", "open.pfx", "-passout", "pass:"];
    desk.openssl(&open);
    assert_eq!(desk.certificate(&["import", "open.pfx"]).status, 0);
    desk.openssl(&[
        "rsa",
        "-in",
        "rsa.key",
        "-aes128",
        "-traditional",
        "-passout",
        &secret,
        "-out",
        "old.key",
    ]);
    let old = desk.certificate(&["import", "rsa.pem", "--key", "old.key"]);
    assert!(old.status == 1 && old.err.contains("openssl pkcs8 -topk8"), "{old:?}");
}

#[test]
fn a_key_leaves_only_where_that_was_allowed_and_openssl_reads_what_left() {
    let Some(desk) = Desk::new("a_key_leaves_only") else { return };
    desk.write("pass", PASSPHRASE);
    desk.foreign("kept", EC);
    desk.foreign("free", RSA);
    let kept = thumbprint(&desk.json(&["import", "kept.pem", "--key", "kept.key", "--chain", "ca.pem"]));
    let free = desk.json(&["import", "free.pem", "--key", "free.key", "--chain", "ca.pem", "--exportable"]);
    let free = thumbprint(&free);

    let refused = desk.certificate(&["export", &kept, "--out", "kept.pfx", "--passphrase-file", "pass"]);
    assert!(refused.status == 1 && refused.err.contains("must not leave"), "{refused:?}");
    assert!(!desk.path("kept.pfx").exists());
    let public = desk.certificate(&["export", &kept, "--public"]);
    assert_eq!(public.out.matches("BEGIN CERTIFICATE").count(), 2, "{public:?}");
    assert!(!public.out.contains("PRIVATE"));

    let terminal = desk.certificate(&["export", &free, "--passphrase-file", "pass"]);
    assert_eq!(terminal.status, 2, "a key is not printed: {terminal:?}");
    let export = ["export", &free, "--out", "free.pfx", "--passphrase-file", "pass"];
    assert_eq!(desk.certificate(&export).status, 0);
    assert_eq!(mode(&desk.path("free.pfx")), 0o600);
    assert_eq!(desk.certificate(&export).status, 1, "nothing is overwritten");
    assert_eq!(desk.certificate(&[&export[..], &["--force"]].concat()).status, 0);
    let read = desk.openssl(&[
        "pkcs12",
        "-in",
        "free.pfx",
        "-passin",
        &format!("pass:{PASSPHRASE}"),
        "-nodes",
        "-info",
    ]);
    assert_eq!(read.matches("BEGIN CERTIFICATE").count(), 2, "{read}");
    assert!(
        read.contains("BEGIN PRIVATE KEY") && read.contains("AES-256-CBC") && read.contains("sha256"),
        "{read}"
    );
    assert!(
        desk.audit().contains(&format!("what=\"certificate export\" old=\"\" -> new=\"{free}")),
        "{}",
        desk.audit()
    );
}

#[test]
fn the_newest_is_chosen_unless_an_operator_chose_and_the_one_in_use_stays() {
    let Some(desk) = Desk::new("the_newest_is_chosen") else { return };
    desk.foreign("first", EC);
    let first = thumbprint(&desk.json(&["import", "first.pem", "--key", "first.key"]));
    std::thread::sleep(std::time::Duration::from_millis(1100)); // X.509 counts in seconds
    desk.foreign("second", EC);
    let second = thumbprint(&desk.json(&["import", "second.pem", "--key", "second.key", "--no-enable"]));
    let user = |thumbprint: &str| {
        let list = desk.list();
        let connectors = list["connectors"].as_array().unwrap();
        let internet = connectors.iter().find(|user| user["kind"] == "receive_connector").unwrap();
        assert_eq!(internet["name"], "Internet");
        assert_eq!(internet["certificate"], thumbprint, "{list}");
        internet["why"].as_str().unwrap().to_owned()
    };
    assert!(user(&first).contains("the only valid one"));
    assert_eq!(desk.certificate(&["enable", &second]).status, 0);
    let why = user(&second);
    assert!(why.contains("mail.contoso.example") && why.contains("enabled by hand"), "{why}");
    assert_eq!(desk.certificate(&["enable", &first]).status, 0);
    assert!(user(&first).contains("enabled by hand"));

    let refused = desk.certificate(&["remove", &first]);
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("is in use by receive_connector.Internet"), "{refused:?}");
    assert_eq!(desk.certificate(&["remove", &second]).status, 0);
    assert_eq!(desk.certificate(&["show", &second]).status, 1);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    desk.foreign("third", EC);
    let third = thumbprint(&desk.json(&["import", "third.pem", "--key", "third.key"]));
    let why = user(&third);
    assert!(why.contains("latest start"), "a renewal takes over by itself: {why}");
    assert_eq!(desk.certificate(&["remove", &first]).status, 0);
    let audit = desk.audit();
    for line in [
        format!("what=\"certificate import\" old=\"\" -> new=\"{first}"),
        format!("what=\"certificate enable\" old=\"\" -> new=\"{second}"),
        format!("what=\"certificate remove\" old=\"{second}"),
    ] {
        assert!(audit.contains(&line), "{line} in {audit}");
    }
}

#[test]
fn a_successor_is_asked_for_with_the_old_names_and_on_demand_the_old_key() {
    let Some(desk) = Desk::new("a_successor_is_asked_for") else { return };
    let request = ["request", "--key", "ec-p384", "--out", "old.csr", "--domain", "mail.contoso.example"];
    assert_eq!(desk.certificate(&request).status, 0);
    desk.sign("old.csr", "old.pem", "20");
    let old = thumbprint(&desk.json(&["import", "old.pem", "--chain", "ca.pem", "--chain", "root.pem"]));
    let soon = desk.json(&["list", "--expiring"]);
    assert_eq!(soon["certificates"][0]["thumbprint"], old.as_str(), "{soon}");
    let sooner = desk.json(&["list", "--expiring", "10 days"]);
    assert_eq!(sooner["certificates"].as_array().unwrap().len(), 0, "{sooner}");

    let pin = desk.json(&["show", &old])["pin"].clone();
    for (option, same_key) in [("--out=new.csr", false), ("--keep-key", true)] {
        let said = desk.json(&["renew", &old, option]);
        assert_eq!((&said["renews"], &said["key"]), (&Value::from(old.as_str()), &Value::from("ec-p384")));
        desk.write("new.csr", said["request"].as_str().unwrap());
        desk.sign("new.csr", "new.pem", "90");
        let new = desk.json(&["import", "new.pem"]);
        assert_eq!(new["imported"][0]["completed_request"], said["id"]);
        assert_eq!(new["imported"][0]["missing"], Value::Null, "the old intermediate serves again");
        let shown = desk.json(&["show", &thumbprint(&new)]);
        assert_eq!(shown["names"], desk.json(&["show", &old])["names"]);
        assert_eq!(shown["pin"] == pin, same_key);
        assert_eq!(shown["chain"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn a_self_signed_certificate_is_ready_at_once_and_openssl_finds_nothing_wrong() {
    let Some(desk) = Desk::new("a_self_signed_certificate") else { return };
    let said = desk.json(&[
        "request",
        "--self-signed",
        "--key",
        "rsa-2048",
        "--days",
        "10",
        "--subject",
        "DC=com,DC=Contoso,CN=mail1.contoso.example",
    ]);
    desk.write("own.pem", said["certificate"].as_str().unwrap());
    let verified =
        desk.openssl(&["verify", "-x509_strict", "-check_ss_sig", "-CAfile", "own.pem", "own.pem"]);
    assert!(verified.contains("own.pem: OK"), "{verified}");
    let text = desk.openssl(&["x509", "-in", "own.pem", "-noout", "-text"]);
    for part in [
        "DC = com, DC = Contoso, CN = mail1.contoso.example",
        "DNS:mail.contoso.example",
        "DNS:contoso.example",
        "CA:FALSE",
        "TLS Web Client",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let list = desk.list();
    assert_eq!(list["certificates"][0]["self_signed"], true);
    assert_eq!(list["certificates"][0]["pin"], said["pin"]);
    assert_eq!(list["certificates"][0]["in_use_by"][0], "receive_connector.Internet");
    let pin = said["pin"].as_str().unwrap();
    let judged = desk.certificate(&[
        "verify",
        "--chain",
        "own.pem",
        "--anchors",
        "none",
        "--pin",
        pin,
        "--name",
        "contoso.example",
    ]);
    assert_eq!(judged.status, 0, "{judged:?}");
}

#[test]
fn nobody_else_may_look_whatever_the_umask() {
    let Some(desk) = Desk::new("nobody_else_may_look") else { return };
    let shell = format!("umask 000; exec {} \"$@\"", executable().display());
    let run = |arguments: &[&str]| {
        let status = Command::new("sh")
            .args(["-c", &shell, "sh", "certificate"])
            .args(arguments)
            .current_dir(desk.directory.path())
            .env("SEALPOST_CONFIG", desk.path("sealpost.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{arguments:?}");
    };
    run(&["request", "--out", "mail.csr"]);
    desk.sign("mail.csr", "mail.pem", "90");
    run(&["request", "--self-signed"]);
    run(&["import", "mail.pem"]);
    run(&["request"]);
    let mut seen = 0;
    let mut folders = vec![desk.path("data")];
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
                seen += usize::from(path.ends_with("key.pem"));
            }
        }
    }
    assert_eq!(seen, 3, "two certificates and one request");
    assert!(!desk.audit().contains("PRIVATE"));
}

#[test]
fn every_refusal_is_one_sentence_with_the_right_status() {
    let Some(desk) = Desk::new("every_refusal_is_one_sentence") else { return };
    desk.foreign("a", EC);
    desk.foreign("b", EC);
    desk.write("text", "hello\n");
    desk.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    desk.openssl(&["genpkey", "-out", "weak.key", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let table: &[(&[&str], i32, &str)] = &[
        (&["import", "absent.pfx"], 2, "cannot be read"),
        (&["import", "text"], 1, "neither PEM, DER"),
        (&["import", "broken.pem"], 1, "not well-formed"),
        (&["import", "a.pem"], 1, "no pending request"),
        (&["import", "a.key"], 1, "no certificate"),
        (&["import", "a.pem", "--key", "b.key"], 1, "belongs to none of its certificates"),
        (&["import", "a.pem", "--key", "weak.key"], 1, "cannot be used"),
        (&["import", "a.pem", "--passphrase-env", "UNSET_HERE"], 2, "no variable"),
        (&["show", "0123456789abcdef"], 1, "is called"),
        (&["enable", "mail"], 1, "is no thumbprint"),
        (&["remove", "0123456789abcdef"], 1, "is called"),
        (&["export", "0123456789abcdef", "--public"], 1, "is called"),
        (&["renew", "0123456789abcdef"], 1, "is called"),
        (&["request", "--subject", "mail.contoso.example"], 2, "NAME=VALUE"),
        (&["request", "--domain", "no domain"], 2, "--domain"),
        (&["request", "--key", "rsa-1024"], 2, "rsa-1024"),
        (&["import", "a.pem", "--passphrase", "x"], 2, "--passphrase"),
    ];
    for (arguments, status, words) in table {
        let said = desk.certificate(arguments);
        assert_eq!(said.status, *status, "{arguments:?}: {said:?}");
        assert!(said.err.contains(words), "{arguments:?}: {said:?}");
        let ours = said.err.starts_with("sealpost certificate: ");
        assert!(!ours || said.err.lines().count() == 1, "{arguments:?}: {said:?}");
        assert_eq!(said.out, "");
    }
    assert_eq!(desk.list()["certificates"].as_array().unwrap().len(), 0, "nothing was half taken");
    let elsewhere = desk.certificate(&["list", "-c", "absent.toml"]);
    assert!(elsewhere.status == 2 && elsewhere.err.lines().count() == 1, "{elsewhere:?}");
}

#[test]
fn the_passphrase_is_asked_for_without_echo() {
    let Some(desk) = Desk::new("the_passphrase_is_asked_for") else { return };
    let Some(script) = tool("the_passphrase_is_asked_for", "script") else { return };
    desk.foreign("asked", EC);
    let secret = format!("pass:{PASSPHRASE}");
    desk.openssl(&[
        "pkcs12",
        "-export",
        "-in",
        "asked.pem",
        "-inkey",
        "asked.key",
        "-out",
        "asked.pfx",
        "-passout",
        &secret,
    ]);
    let command = format!("{} certificate import asked.pfx", executable().display());
    let mut terminal = Command::new(script)
        .args(["-qec", &command, "/dev/null"])
        .current_dir(desk.directory.path())
        .env("SEALPOST_CONFIG", desk.path("sealpost.toml"))
        .env_remove("SEALPOST_PASSPHRASE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Typed only once it was asked for: the terminal itself shows what comes before.
    let mut out = terminal.stdout.take().unwrap();
    let mut shown = read_until(&mut out, "asked.pfx: ");
    use std::io::{Read as _, Write as _};
    terminal.stdin.take().unwrap().write_all(format!("{PASSPHRASE}\n").as_bytes()).unwrap();
    out.read_to_string(&mut shown).unwrap();
    assert!(terminal.wait().unwrap().success(), "{shown}");
    assert!(shown.contains("imported") && !shown.contains(PASSPHRASE), "{shown}");
}

fn read_until(from: &mut impl std::io::Read, words: &str) -> String {
    let mut text = Vec::new();
    let mut octet = [0];
    while !String::from_utf8_lossy(&text).contains(words) {
        assert_eq!(from.read(&mut octet).unwrap(), 1, "{}", String::from_utf8_lossy(&text));
        text.push(octet[0]);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_takes_an_imported_certificate_and_no_session_notices() {
    let Some(desk) = Desk::new("a_running_server_takes") else { return };
    let config = desk.path("sealpost.toml");
    desk.foreign("first", EC);
    let first = thumbprint(&desk.json(&["import", "first.pem", "--key", "first.key"]));
    let server = Server::start(executable(), &config, &desk.path("server.log")).unwrap();
    let internet = server.ready.connector("Internet").unwrap();
    assert_eq!(offered(&desk, internet), first);
    let mut open = Client::connect(internet, Disguise::Anonymous).await.unwrap();
    assert!(open.command("MAIL FROM:<a@litware.example>").await.unwrap().is_positive());

    // What somebody is just writing into the configuration is no reason to miss a renewal.
    desk.write("sealpost.toml", &format!("nonsense = 1\n{SETTINGS}"));
    let mut authority = Authority::new("Contoso").unwrap();
    let second = authority.issue(&["mail.contoso.example"], Validity::Current).unwrap();
    second.write(desk.directory.path(), "second").unwrap();
    let second = thumbprint(&desk.json(&["import", "second.pem", "--key", "second.key"]));
    // Its start lies a day back, so that only an operator's choice puts it before the first.
    assert_eq!(offered(&desk, internet), first);
    assert_eq!(desk.certificate(&["enable", &second]).status, 0);
    let began = Instant::now();
    while offered(&desk, internet) != second {
        assert!(
            began.elapsed() < PATIENCE,
            "never offered; log:\n{}",
            fs::read_to_string(desk.path("server.log")).unwrap()
        );
    }
    println!("offered after {} ms", began.elapsed().as_millis());

    assert!(
        open.command("RCPT TO:<b@contoso.example>").await.unwrap().is_positive(),
        "the session was dropped"
    );
    assert!(open.command("RSET").await.unwrap().is_positive());
    let letter = Letter::new("a@litware.example", "b@contoso.example", "Still here");
    assert_eq!(open.send(&letter).await.unwrap().code, 250);
    let audit = desk.audit();
    let change = format!(
        "what=\"certificate of receive_connector.Internet\" old=\"{first} store:{first}\" -> new=\"{second}"
    );
    assert!(audit.contains(&change), "{audit}");
    desk.write("sealpost.toml", SETTINGS);
    assert_eq!(desk.certificate(&["remove", &second]).status, 1, "in use");
    assert_eq!(desk.certificate(&["remove", &first]).status, 0);
    assert_eq!(offered(&desk, internet), second);
}

#[test]
fn a_successor_that_lies_ready_is_taken_when_its_time_comes() {
    let Some(desk) = Desk::new("a_successor_that_lies_ready") else { return };
    desk.foreign("first", EC);
    let first = thumbprint(&desk.json(&["import", "first.pem", "--key", "first.key"]));
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["mail.contoso.example".to_owned()]).unwrap();
    params.not_before = time::OffsetDateTime::now_utc() + time::Duration::seconds(6);
    params.not_after = params.not_before + time::Duration::days(30);
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Contoso CA");
    let issuer = rcgen::Issuer::new(authority, rcgen::KeyPair::generate().unwrap());
    let certificate = params.signed_by(&key, &issuer).unwrap();
    desk.write("second.pem", &format!("{}{}", certificate.pem(), key.serialize_pem()));
    let second = thumbprint(&desk.json(&["import", "second.pem"]));
    let server = Server::start(executable(), &desk.path("sealpost.toml"), &desk.path("server.log")).unwrap();
    let internet = server.ready.connector("Internet").unwrap();
    let began = Instant::now();
    let mut seen = Vec::new();
    while seen.last() != Some(&second) {
        assert!(began.elapsed() < PATIENCE, "only {seen:?}");
        seen.push(offered(&desk, internet));
        let early = time::OffsetDateTime::now_utc() < params.not_before - time::Duration::seconds(1);
        assert!(!early || seen.last() == Some(&first), "before its time");
    }
}

/// SHA-256 of what the server shows behind STARTTLS.
fn offered(desk: &Desk, server: std::net::SocketAddr) -> String {
    let output = Command::new(&desk.openssl)
        .args(["s_client", "-starttls", "smtp", "-connect", &server.to_string()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = text.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{text}"));
    desk.write("offered.pem", &text[begin..]);
    let fingerprint = desk.openssl(&["x509", "-in", "offered.pem", "-noout", "-fingerprint", "-sha256"]);
    fingerprint.rsplit('=').next().unwrap().trim().replace(':', "").to_lowercase()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
