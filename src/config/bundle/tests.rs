//! Bundles: what is sealed can be opened, and nothing else; what may be in one; how it is joined with an
//! edge's own file; and that a crash between any two steps leaves the old bundle or the new one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::config::options;
use crate::config::{Problem, load, load_with_bundle, read};

const OWN: &str = r#"hostname = "mx1.contoso.example"
data_directory = "data"

[bundle]
trusted_keys = ["KEY"]

[[receive_connector]]
name = "Internet"
bindings = ["127.0.0.1:0"]

[dns]
servers = ["127.0.0.1:53"]
"#;

const SHARED: &str = r#"[trust]
anchors = ["mozilla"]
revocation = "soft-fail"

[[partner]]
name = "Woodgrove"
domains = ["woodgrove.example"]
domain_secure = ["send"]

[[accepted_domain]]
name = "contoso.example"
recipients = "lists/recipients.txt"

[[receive_connector]]
name = "Internet"
auth_mechanism = []
max_message_size = "10 MiB"

[[send_connector]]
name = "Internet"
address_spaces = ["*"]

[[send_connector]]
name = "Mailboxes"
address_spaces = ["contoso.example"]
dns_routing_enabled = false
smart_hosts = ["[10.1.0.25]:25"]
"#;

/// An organisation with its key, and an edge that trusts it.
struct World {
    directory: tempfile::TempDir,
    key: SigningKey,
}

impl World {
    fn new() -> Self {
        let world = Self { directory: tempfile::tempdir().unwrap(), key: SigningKey::generate().unwrap() };
        for directory in ["inside/lists", "edge/data"] {
            fs::create_dir_all(world.path(directory)).unwrap();
        }
        fs::write(world.path("inside/lists/recipients.txt"), "ann@contoso.example\n").unwrap();
        fs::write(world.path("inside/organisation.toml"), SHARED).unwrap();
        world.write_own(OWN);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn own(&self) -> PathBuf {
        self.path("edge/sealpost.toml")
    }

    fn write_own(&self, text: &str) {
        fs::write(self.own(), text.replace("KEY", &self.key.public().to_string())).unwrap();
    }

    fn store(&self) -> Store {
        Store::below(&self.path("edge/data"))
    }

    fn sealed(&self, settings: &str, serial: u64) -> Vec<u8> {
        let file = self.path("inside/organisation.toml");
        fs::write(&file, settings).unwrap();
        seal(&Content { serial, ..gather(&file).unwrap() }, &self.key).unwrap()
    }

    fn opened(&self, bytes: &[u8]) -> Bundle {
        open(bytes, &[self.key.public()]).unwrap()
    }

    fn apply(&self, bytes: &[u8]) {
        let writer = self.store().writer().unwrap();
        writer.add_files(&self.opened(bytes)).unwrap();
        writer.commit(bytes).unwrap();
    }

    /// What is wrong with the edge's file joined with these settings.
    fn errors(&self, settings: &str) -> Vec<String> {
        let bytes = self.sealed(settings, 1);
        self.store().writer().unwrap().add_files(&self.opened(&bytes)).unwrap();
        sentences(load_with_bundle(&self.own(), &bytes).map(|_| ()).unwrap_err())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it away")]
fn sentences(problems: Vec<Problem>) -> Vec<String> {
    problems.iter().map(Problem::to_string).collect()
}

fn content(serial: u64, files: &[(&str, &[u8])]) -> Content {
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), File { bytes: bytes.to_vec() }));
    let settings = "# shared\n".to_owned();
    Content { serial, settings_name: "organisation.toml".to_owned(), settings, files: files.collect() }
}

#[test]
fn the_same_content_is_the_same_bundle_and_comes_back() {
    let key = SigningKey::generate().unwrap();
    let content = content(7, &[("b.pem", b"two"), ("a/x.crl", b"\0\xff")]);
    let bytes = seal(&content, &key).unwrap();
    assert_eq!(bytes, seal(&content, &SigningKey::from_pem(key.to_pem().as_bytes()).unwrap()).unwrap());
    let bundle = open(&bytes, &[SigningKey::generate().unwrap().public(), key.public()]).unwrap();
    assert_eq!((bundle.content, bundle.key), (content, key.public()));
    assert_eq!(key.public().to_string().parse::<PublicKey>().unwrap(), key.public());
}

#[test]
fn a_bundle_of_somebody_else_or_of_another_time_is_refused() {
    let key = SigningKey::generate().unwrap();
    let bytes = seal(&content(1, &[]), &key).unwrap();
    let stranger = SigningKey::generate().unwrap().public();
    assert!(matches!(open(&bytes, &[stranger]), Err(BundleError::UntrustedKey(_))));
    assert!(matches!(open(&bytes, &[]), Err(BundleError::UntrustedKey(_))));
    let text = String::from_utf8(bytes.clone()).unwrap();
    let later = text.replacen("sealpost-bundle 1", "sealpost-bundle 2", 1);
    assert!(matches!(open(later.as_bytes(), &[key.public()]), Err(BundleError::OtherFormat(_))));
    for none in [&b""[..], b"\n\n", b"[transport]\n\nx", &[b'a'; 5000]] {
        assert!(matches!(open(none, &[key.public()]), Err(BundleError::NoBundle)), "{none:?}");
    }
    let raised = text.replacen("\"serial\":1", "\"serial\":9", 1);
    assert!(matches!(open(raised.as_bytes(), &[key.public()]), Err(BundleError::BadSignature)));
    assert!(matches!(open(&bytes[..bytes.len() - 1], &[key.public()]), Err(BundleError::BadSignature)));
}

proptest! {
    #[test]
    fn no_octet_can_be_changed(at in any::<prop::sample::Index>(), by in 1u8..) {
        let key = SigningKey::generate().unwrap();
        let mut bytes = seal(&content(1, &[("a.pem", b"anchor")]), &key).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = bytes[at].wrapping_add(by);
        prop_assert!(open(&bytes, &[key.public()]).is_err());
    }

    #[test]
    fn no_octets_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = peek(&bytes);
        let _ = Content::from_octets(&bytes);
    }
}

#[test]
fn no_name_leads_out_of_its_place() {
    for name in [
        "",
        "/etc/shadow",
        "..",
        "a/../b",
        "a//b",
        "./a",
        ".hidden",
        "a\\b",
        "a b",
        "a\nb",
        "ä",
        &"a".repeat(129),
    ] {
        assert!(matches!(content::check_name(name), Err(BundleError::BadName(_))), "{name:?}");
        // Signed by somebody whose program let it pass.
        let key = SigningKey::generate().unwrap();
        let bytes = seal(&content(1, &[(name, b"x")]), &key).unwrap();
        assert!(open(&bytes, &[key.public()]).is_err(), "{name:?}");
    }
    for name in ["a.pem", "lists/Re_cipients-2.txt", "1/2/3"] {
        content::check_name(name).unwrap();
    }
}

#[test]
fn limits_hold_for_the_signer_too() {
    let key = SigningKey::generate().unwrap();
    let opened = |content: &Content| seal(content, &key).and_then(|bytes| open(&bytes, &[key.public()]));
    let mut many = content(1, &[]);
    many.files = (0..=FILES_MAX).map(|i| (format!("f{i}"), File { bytes: Vec::new() })).collect();
    assert!(matches!(opened(&many), Err(BundleError::TooLarge("1,000 files"))));
    let large = Content { settings: "#".repeat(SETTINGS_BYTES_MAX as usize + 1), ..content(1, &[]) };
    assert!(matches!(opened(&large), Err(BundleError::TooLarge("1 MiB of settings"))));
    let file = vec![0; FILE_BYTES_MAX as usize + 1];
    assert!(matches!(opened(&content(1, &[("f", &file)])), Err(BundleError::TooLarge("16 MiB in one file"))));
}

/// Whoever adds a section or a key of a connector decides here whether a bundle may say it.
#[test]
fn what_a_bundle_may_say_is_listed() {
    let shared: std::collections::BTreeSet<&str> =
        options::all().filter(|key| !is_local(key.section, key.name)).map(|key| key.section).collect();
    let expected = [
        "accepted_domain",
        "mta_sts",
        "partner",
        "queue",
        "receive_connector",
        "recipient_verification",
        "send_connector",
        "tls_reporting",
        "transport",
        "trust",
    ];
    assert_eq!(shared.into_iter().collect::<Vec<_>>(), expected);
    let files: Vec<String> = options::all()
        .filter(|key| !is_local(key.section, key.name) && scope::names_files(key))
        .map(|key| format!("{}.{}", key.section, key.name))
        .collect();
    assert_eq!(
        files,
        [
            "trust.anchors",
            "trust.intermediates",
            "trust.crl_files",
            "partner.trust_anchors",
            "partner.intermediates",
            "accepted_domain.recipients",
        ]
    );
}

#[test]
fn the_organisations_file_may_not_say_what_is_an_edges_own() {
    let world = World::new();
    let file = world.path("inside/organisation.toml");
    fs::write(&file, "hostname = \"x.example\"\n[dns]\nservers = []\n[[receive_connector]]\nname = \"I\"\nbindings = [\"0.0.0.0:25\"]\n[[accepted_domain]]\nname = \"a.example\"\nrecipients = \"../secret\"\n[trust]\ncrl_files = [\"none.crl\"]\n").unwrap();
    let errors = sentences(gather(&file).unwrap_err()).join("\n");
    for words in [
        "organisation.toml:1: hostname: is each edge's own; move it to the edges' own files",
        "organisation.toml:3: dns.servers: is each edge's own",
        "organisation.toml:6: receive_connector.I.bindings: is each edge's own",
        "organisation.toml:9: accepted_domain.a.example.recipients: \"../secret\" cannot name a file",
        "organisation.toml:11: trust.crl_files: cannot read none.crl",
    ] {
        assert!(errors.contains(words), "no {words:?} in {errors}");
    }
}

#[test]
fn bundle_and_own_file_become_one_configuration() {
    let world = World::new();
    world.apply(&world.sealed(SHARED, 5));
    let loaded = load(&world.own()).map_err(sentences).unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.bundle.as_ref().unwrap().serial, 5);
    assert_eq!(settings.receive_connectors[0].max_message_size, 10 << 20);
    assert_eq!(settings.receive_connectors[0].bindings.len(), 1);
    assert_eq!(settings.send_connectors.len(), 2);
    assert_eq!(settings.transport.tls_send_domain_secure_list.len(), 1);
    let recipients = settings.accepted_domains[0].recipients.as_ref().unwrap();
    assert!(recipients.contains("ann@contoso.example"));
    assert!(settings.watched_files.iter().all(|file| file.is_absolute()), "{:?}", settings.watched_files);
    assert!(loaded.document.bundle.as_ref().unwrap().beside.is_empty());
}

#[test]
fn a_key_has_one_home() {
    let world = World::new();
    world.write_own(&format!("{OWN}\n[transport]\nheader_from = \"off\"\n\n[trust]\nrevocation = \"off\"\n\n[[receive_connector]]\nname = \"Inside\"\nbindings = [\"127.0.0.1:0\"]\nauth_mechanism = []\ndomain_secure_enabled = false\npermissions = [\"relay\"]\n"));
    let errors = world.errors(SHARED);
    let errors: Vec<&String> = errors.iter().filter(|error| error.contains("already")).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    let expected = "sealpost.toml:18: trust.revocation: the bundle says \"soft-fail\" already; remove it here; what is shared is changed in the bundle";
    assert!(errors[0].ends_with(expected), "{errors:?}");
    world.write_own(&format!("{OWN}\n[transport]\nheader_from = \"off\"\n"));
    world.apply(&world.sealed(SHARED, 1));
    let document = read(&world.own()).map_err(sentences).unwrap();
    assert_eq!(document.bundle.unwrap().beside, ["transport.header_from = \"off\""]);
}

#[test]
fn what_is_wrong_in_the_bundle_is_named_by_its_own_lines_and_all_at_once() {
    let world = World::new();
    let shared = SHARED.replace("10 MiB", "10 apples").replace("woodgrove.example", "*.woodgrove.example")
        + "\n[[receive_connector]]\nname = \"Partners\"\n";
    let file = world.path("inside/organisation.toml");
    fs::write(&file, &shared).unwrap();
    let own_errors = sentences(gather(&file).unwrap_err());
    assert_eq!(own_errors.len(), 2, "{own_errors:?}");
    // Signed all the same.
    let files = [("lists/recipients.txt".to_owned(), File { bytes: b"ann@contoso.example\n".to_vec() })];
    let content = Content { settings: shared, files: files.into(), ..content(3, &[]) };
    let bytes = seal(&content, &world.key).unwrap();
    world.store().writer().unwrap().add_files(&world.opened(&bytes)).unwrap();
    let errors = sentences(load_with_bundle(&world.own(), &bytes).map(|_| ()).unwrap_err()).join("\n");
    for words in [
        "organisation.toml (bundle 3):7: partner.Woodgrove.domains:",
        "organisation.toml (bundle 3):17: receive_connector.Internet.max_message_size:",
        "receive_connector.Partners.bindings: is missing; add `bindings` to receive_connector.Partners in this edge's own file",
    ] {
        assert!(errors.contains(words), "no {words:?} in {errors}");
    }
}

#[test]
fn a_bundle_cannot_name_what_lies_on_the_edge() {
    let world = World::new();
    let settings = SHARED.replace("lists/recipients.txt", "/etc/passwd");
    let bytes = seal(&Content { settings, ..content(1, &[]) }, &world.key).unwrap();
    let errors = sentences(load_with_bundle(&world.own(), &bytes).map(|_| ()).unwrap_err());
    assert!(
        errors.iter().any(|error| error.contains("names /etc/passwd, which is not in the bundle")),
        "{errors:?}"
    );
}

#[test]
fn without_a_trusted_key_no_bundle_counts() {
    let world = World::new();
    let bytes = world.sealed(SHARED, 1);
    world.apply(&bytes);
    world.write_own(&OWN.replace("KEY", &SigningKey::generate().unwrap().public().to_string()));
    let errors = sentences(load(&world.own()).map(|_| ()).unwrap_err());
    assert!(errors[0].contains("the bundle is refused: it is signed with ed25519/"), "{errors:?}");
    world.write_own(&OWN.replace("\"KEY\"", ""));
    assert!(load_with_bundle(&world.own(), &bytes).is_err());
}

#[test]
fn an_edge_whose_bundle_is_missing_does_not_go_on_without() {
    let world = World::new();
    let missing = || sentences(load(&world.own()).map(|_| ()).unwrap_err());
    assert!(missing().iter().any(|error| error.contains("`sealpost config apply`")), "{:?}", missing());
    // Commands that help to get there still can read what there is.
    assert!(read(&world.own()).is_ok());
    let bytes = world.sealed(SHARED, 1);
    world.apply(&bytes);
    load(&world.own()).map_err(sentences).unwrap();
    fs::remove_file(world.path("edge/data/bundle/applied.bundle")).unwrap();
    assert!(missing().iter().any(|error| error.contains("this edge holds no bundle")), "{:?}", missing());
    load_with_bundle(&world.own(), &bytes).map_err(sentences).unwrap();
}

#[test]
fn what_was_planted_in_the_place_of_the_store_is_left_alone() {
    use std::os::unix::fs::symlink;
    let world = World::new();
    let bytes = world.sealed(SHARED, 1);
    world.apply(&bytes);
    let digest = "0".repeat(64);
    fs::create_dir_all(world.path("system").join(&digest)).unwrap();
    fs::create_dir_all(world.path("system/etc")).unwrap();
    let writer = world.store().writer().unwrap();
    let files = world.path("edge/data/bundle/files");
    fs::create_dir(files.join("etc")).unwrap();
    fs::create_dir(files.join(&digest)).unwrap();
    writer.sweep(&[]);
    assert!(files.join("etc").exists() && !files.join(&digest).exists());
    fs::remove_dir_all(&files).unwrap();
    symlink(world.path("system"), &files).unwrap();
    writer.sweep(&[]);
    assert!(world.path("system").join(&digest).exists() && world.path("system/etc").exists());
    drop(writer);
    assert!(world.store().writer().unwrap_err().to_string().contains("a link or a file is in the place"));
    let applied = world.path("edge/data/bundle/applied.bundle");
    fs::rename(&applied, world.path("secret")).unwrap();
    symlink(world.path("secret"), &applied).unwrap();
    assert!(world.store().applied().is_err(), "it would be copied to where the service user may read it");
}

#[test]
fn a_file_that_was_changed_on_the_disk_is_noticed() {
    let world = World::new();
    let bytes = world.sealed(SHARED, 1);
    world.apply(&bytes);
    let bundle = world.opened(&bytes);
    let (name, file) = bundle.content.files.iter().next().unwrap();
    fs::write(world.store().file(name, file), "eve@contoso.example\n").unwrap();
    let errors = sentences(load(&world.own()).map(|_| ()).unwrap_err());
    assert!(errors[0].contains("is missing or changed; apply the bundle again"), "{errors:?}");
    world.apply(&bytes);
    load(&world.own()).map_err(sentences).unwrap();
}

/// Every state that a crash can leave: after each step, with what was being written half there.
#[test]
fn a_crash_between_any_two_steps_leaves_the_old_bundle_or_the_new_one() {
    let world = World::new();
    let old = world.sealed(SHARED, 1);
    world.apply(&old);
    fs::write(world.path("inside/lists/recipients.txt"), "bob@contoso.example\n").unwrap();
    let new = world.sealed(&SHARED.replace("10 MiB", "20 MiB"), 2);
    let bundle = world.opened(&new);
    let serial = || load(&world.own()).map_err(sentences).unwrap().settings.bundle.unwrap().serial;
    let directory = world.path("edge/data/bundle");
    let writer = world.store().writer().unwrap();
    let half = |place: &Path| fs::write(place.join(".half-0123"), "half").unwrap();
    assert_eq!(serial(), 1);
    let file = bundle.content.files.values().next().unwrap();
    fs::create_dir(directory.join("files").join(file.digest())).unwrap();
    half(&directory.join("files").join(file.digest()));
    assert_eq!(serial(), 1);
    writer.add_files(&bundle).unwrap();
    assert_eq!(serial(), 1);
    fs::write(directory.join("previous.bundle"), &old).unwrap();
    half(&directory);
    assert_eq!(serial(), 1);
    writer.commit(&new).unwrap();
    assert_eq!(serial(), 2);
    assert_eq!(fs::read(directory.join("previous.bundle")).unwrap(), old);
    writer.restore(Some(&old)).unwrap();
    assert_eq!(serial(), 1);
    writer.commit(&new).unwrap();
    writer.sweep(&[&bundle]);
    assert_eq!(serial(), 2);
    assert_eq!(fs::read_dir(directory.join("files")).unwrap().count(), 1);
    let kept: BTreeMap<_, _> = [(1, world.opened(&old)), (2, bundle)].into();
    assert!(world.store().check_files(&kept[&1]).is_err(), "the old one's files were swept");
}
