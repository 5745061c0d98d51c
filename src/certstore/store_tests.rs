//! The store on disk, undisturbed and disturbed.

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

struct Shelf {
    directory: tempfile::TempDir,
    store: Store,
}

impl Shelf {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::below(directory.path());
        Self { directory, store }
    }

    /// Adds a self-signed certificate and gives its thumbprint.
    fn add(&self, name: &str) -> String {
        let (chain, key) = certificate(name);
        let entry = self.store.writer().unwrap().add(&chain, &key, &about()).unwrap();
        entry.certificate.thumbprint
    }

    fn file(&self, thumbprint: &str, name: &str) -> PathBuf {
        self.directory.path().join("certificates").join(thumbprint).join(name)
    }
}

fn certificate(name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

fn about() -> About {
    About {
        created: "2026-11-22T00:00:00Z".parse().unwrap(),
        origin: Origin::Import,
        exportable: false,
        enabled: true,
        preferred_since: None,
        missing: None,
    }
}

#[test]
fn what_was_added_is_found_by_any_of_its_names_until_it_is_removed() {
    let shelf = Shelf::new();
    assert_eq!(shelf.store.entries().0.len(), 0, "a store that does not exist is an empty one");
    let before = shelf.store.stamp();
    let thumbprint = shelf.add("a.example");
    assert_ne!(shelf.store.stamp(), before);
    let entry = shelf.store.entry(&thumbprint).unwrap();
    assert_eq!(entry.certificate.source, format!("store:{thumbprint}"));
    let colons: Vec<&str> = (0..32).map(|at| &thumbprint[2 * at..2 * at + 2]).collect();
    let names = [
        thumbprint.clone(),
        thumbprint[..8].to_owned(),
        thumbprint.to_uppercase(),
        colons.join(":"),
        entry.sha1(),
    ];
    for name in names {
        assert_eq!(shelf.store.find(&name).unwrap(), Found::Certificate(thumbprint.clone()), "{name}");
    }
    assert!(matches!(shelf.store.find(&thumbprint[..7]), Err(StoreError::NoThumbprint(_))));
    shelf.store.writer().unwrap().remove(&thumbprint).unwrap();
    assert!(matches!(shelf.store.find(&thumbprint), Err(StoreError::Unknown(_))));
    let left: Vec<_> =
        std::fs::read_dir(shelf.store.directory()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the lock and the requests: {left:?}");
}

#[test]
fn every_change_is_seen_and_only_enabled_certificates_are_used() {
    let shelf = Shelf::new();
    let thumbprint = shelf.add("a.example");
    let writer = shelf.store.writer().unwrap();
    let before = shelf.store.stamp();
    writer.set_about(&thumbprint, &About { enabled: false, ..about() }).unwrap();
    assert_ne!(shelf.store.stamp(), before);
    assert!(shelf.store.enabled().0.is_empty());
    let now = "2026-11-23T00:00:00Z".parse().unwrap();
    writer.enable(&thumbprint, now).unwrap();
    assert_eq!(shelf.store.enabled().0[0].preferred_since, Some(now));
}

#[test]
fn a_damaged_entry_is_told_and_does_not_hide_the_others() {
    let shelf = Shelf::new();
    let good = shelf.add("good.example");
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
    let damages: [Damage<'_>; 4] = [
        ("about.json", &|path| std::fs::write(path, "{").unwrap()),
        ("key.pem", &|path| std::fs::remove_file(path).unwrap()),
        ("chain.pem", &|path| std::fs::write(path, "").unwrap()),
        // Somebody copied another certificate over it.
        ("chain.pem", &|path| {
            let (chain, key) = certificate("other.example");
            std::fs::write(path, crate::certstore::chain_pem(&chain)).unwrap();
            let key = crate::certstore::pem("PRIVATE KEY", key.secret_der());
            std::fs::write(path.with_file_name("key.pem"), key.as_bytes()).unwrap();
        }),
    ];
    for (file, damage) in damages {
        let bad = shelf.add("bad.example");
        damage(&shelf.file(&bad, file));
        let (entries, problems) = shelf.store.entries();
        let names: Vec<_> = entries.iter().map(|entry| entry.certificate.thumbprint.clone()).collect();
        assert_eq!(names, std::slice::from_ref(&good), "{file}");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].to_string().contains(&bad), "{}", problems[0]);
        shelf.store.writer().unwrap().remove(&bad).unwrap();
    }
}

#[test]
fn a_key_that_others_may_read_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let shelf = Shelf::new();
    let thumbprint = shelf.add("a.example");
    let path = shelf.file(&thumbprint, KEY);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let (entries, problems) = shelf.store.entries();
    assert_eq!(entries.len(), 1, "mail goes on");
    assert!(problems[0].to_string().contains("mode 0640"), "{}", problems[0]);
}

#[test]
fn what_an_interrupted_action_left_is_swept_up_by_the_next() {
    let shelf = Shelf::new();
    let thumbprint = shelf.add("a.example");
    for name in [".new-0123456789abcdef", ".old-0123456789abcdef", "requests/.new-0123456789abcdef"] {
        let directory = shelf.store.directory().join(name);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("key.pem"), "half a key").unwrap();
    }
    let stamp = shelf.store.stamp();
    drop(shelf.store.writer().unwrap());
    let left = std::fs::read_dir(shelf.store.directory()).unwrap().count();
    assert_eq!(left, 3, "the lock, the requests and one certificate");
    assert_eq!(std::fs::read_dir(shelf.store.directory().join(REQUESTS)).unwrap().count(), 0);
    assert_eq!(shelf.store.stamp(), stamp, "sweeping is no change");
    assert!(shelf.store.entry(&thumbprint).is_ok());
}

#[test]
fn nothing_that_would_not_load_gets_in() {
    let shelf = Shelf::new();
    let ((chain, _), (_, key)) = (certificate("a.example"), certificate("b.example"));
    let refused = shelf.store.writer().unwrap().add(&chain, &key, &about()).unwrap_err();
    assert!(refused.to_string().contains("does not belong"), "{refused}");
    assert!(shelf.store.entries().0.is_empty());
}

#[test]
fn one_writer_at_a_time() {
    let shelf = Shelf::new();
    let first = shelf.store.writer().unwrap();
    let store = shelf.store.clone();
    let (done, finished) = std::sync::mpsc::channel();
    let second = std::thread::spawn(move || {
        let _writer = store.writer().unwrap();
        done.send(()).unwrap();
    });
    assert!(finished.recv_timeout(std::time::Duration::from_millis(100)).is_err(), "the lock does not hold");
    drop(first);
    finished.recv().unwrap();
    second.join().unwrap();
}
