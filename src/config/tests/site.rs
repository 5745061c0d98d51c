//! A directory with a configuration and the files it names.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SerialNumber,
};
use tempfile::TempDir;

use crate::config::{Loaded, Problem, Severity, load};

/// The top of most test configurations: a name, a data directory, anchors and a certificate.
pub const TOP: &str = r#"
hostname = "mail1.contoso.example"
data_directory = "data"

[trust]
anchors = ["root.pem"]

[[certificate]]
chain = "mail1.pem"
key = "mail1.key"
"#;

/// A receive and a send connector without mistakes.
pub const CONNECTORS: &str = r#"
[[receive_connector]]
name = "Internet"
bindings = ["0.0.0.0:25"]

[[send_connector]]
name = "Internet"
address_spaces = ["*"]
"#;

pub struct Site {
    directory: TempDir,
}

impl Site {
    /// With root.pem, root.crl, mail1.pem and mail1.key for mail1.contoso.example.
    pub fn new() -> Self {
        let site = Self { directory: tempfile::tempdir().unwrap() };
        site.root("root.pem");
        site.list("root.crl");
        site.certificate("mail1.pem", "mail1.key", &["mail1.contoso.example", "contoso.example"], 2020, 2060);
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn certificate(&self, chain: &str, key_file: &str, names: &[&str], from: i32, to: i32) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.not_before = rcgen::date_time_ymd(from, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        self.write(chain, leaf.signed_by(&key, &authority().1).unwrap().pem());
        self.secret(key_file, &key.serialize_pem());
    }

    /// Writes a file that nobody else may read.
    pub fn secret(&self, name: &str, content: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write(name, content);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn root(&self, name: &str) {
        self.write(name, authority().0);
    }

    pub fn list(&self, name: &str) {
        self.list_until(name, 2060);
    }

    pub fn list_until(&self, name: &str, year: i32) {
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        self.write(name, list.signed_by(&authority().1).unwrap().pem().unwrap());
    }

    pub fn load(&self, text: &str) -> Result<Loaded, Vec<Problem>> {
        load(&self.write("sealpost.toml", text))
    }

    /// Panics with the problems when there are errors.
    pub fn loaded(&self, text: &str) -> Loaded {
        self.load(text).unwrap_or_else(|problems| panic!("{}", lines(&problems)))
    }

    /// Every error and warning.
    pub fn problems(&self, text: &str) -> Vec<Problem> {
        match self.load(text) {
            Ok(loaded) => {
                assert!(loaded.warnings.iter().all(|problem| problem.severity == Severity::Warning));
                loaded.warnings
            }
            Err(problems) => {
                assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
                problems
            }
        }
    }
}

pub fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A CA of its own each time: nothing here verifies a signature.
fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "Test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}
