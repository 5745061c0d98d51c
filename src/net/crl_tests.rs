//! Lists as they lie on disk, good and bad.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};

use super::*;

/// DER and PEM of an empty list of the issuer `name`.
fn list(name: &str) -> (Vec<u8>, String) {
    Authority::new(name).list(1)
}

struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.distinguished_name.push(DnType::CommonName, name);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(Issuer::new(ca, KeyPair::generate().unwrap()))
    }

    /// Of that day in January.
    fn list(&self, day: u8) -> (Vec<u8>, String) {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, day),
            next_update: date_time_ymd(2027, 1, day),
            crl_number: SerialNumber::from(u64::from(day)),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let signed = list.signed_by(&self.0).unwrap();
        (signed.der().to_vec(), signed.pem().unwrap())
    }
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

/// A directory with one configured file that holds these octets.
struct OneFile {
    _directory: tempfile::TempDir,
    path: PathBuf,
    files: Files,
}

impl OneFile {
    fn holding(octets: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list.pem");
        std::fs::write(&path, octets).unwrap();
        Self { _directory: directory, path, files: Files::default() }
    }

    fn read(&mut self) -> Vec<News> {
        self.files.read(std::slice::from_ref(&self.path))
    }

    fn write(&mut self, octets: &str) -> Vec<News> {
        std::fs::write(&self.path, octets).unwrap();
        self.read()
    }

    fn in_force(&self) -> Vec<Vec<u8>> {
        let lists = self.files.lists(std::slice::from_ref(&self.path));
        lists.iter().map(|list| list.der.to_vec()).collect()
    }
}

fn told(news: &[News]) -> Vec<(&'static str, usize)> {
    let word = |news: &News| match news {
        News::Loaded(_) => ("loaded", 1),
        News::Failed { kept, .. } => ("failed, kept", kept.len()),
    };
    news.iter().map(word).collect()
}

#[test]
fn each_list_is_told_once_and_stays_the_same_list() {
    let (der, pem) = list("First CA");
    let mut file = OneFile::holding(&pem);
    assert_eq!(told(&file.read()), [("loaded", 1)]);
    let before = file.files.lists(std::slice::from_ref(&file.path));
    assert_eq!(told(&file.read()), []);
    assert_eq!(told(&file.write(&pem)), []);
    let after = file.files.lists(std::slice::from_ref(&file.path));
    assert!(Arc::ptr_eq(&before[0], &after[0]), "what was found of its signature is kept");
    assert_eq!(file.in_force(), [der]);
}

#[test]
fn a_file_that_is_gone_empty_or_half_written_takes_nothing_away() {
    let ((one, first), (two, second)) = (list("First CA"), list("Second CA"));
    let mut file = OneFile::holding(&format!("{first}{second}"));
    file.read();
    let half = format!("{first}{}", &second[..second.len() / 2]);
    for (what, octets) in [("empty", ""), ("junk", "no list at all"), ("half", &half), ("cut", &first[..40])]
    {
        let news = file.write(octets);
        assert!(matches!(told(&news).as_slice(), [("failed, kept", 1 | 2)]), "{what}: {news:?}");
        assert_eq!(told(&file.read()), [], "{what}: told once");
        assert_eq!(file.in_force(), [one.clone(), two.clone()], "{what}");
        assert_eq!(told(&file.write(&format!("{first}{second}"))), [("loaded", 1), ("loaded", 1)], "{what}");
    }
    std::fs::remove_file(&file.path).unwrap();
    assert_eq!(told(&file.read()), [("failed, kept", 2)]);
    assert_eq!(told(&file.files.read_unreadable()), []);
    assert_eq!(file.in_force().len(), 2);
    // Another list takes the file's place: what it no longer holds is no longer in force.
    std::fs::write(&file.path, &second).unwrap();
    assert_eq!(told(&file.files.read_unreadable()), [("loaded", 1)]);
    assert_eq!(file.in_force(), [two]);
    // Taken off the settings.
    assert_eq!(told(&file.files.read(&[])), []);
    assert!(file.in_force().is_empty());
}

#[test]
fn a_newer_list_beside_a_broken_one_counts() {
    let ca = Authority::new("First CA");
    let (old, new) = (ca.list(1), ca.list(2));
    let (_, second) = list("Second CA");
    let mut file = OneFile::holding(&format!("{}{second}", old.1));
    file.read();
    let news = file.write(&format!("{}{}", new.1, &second[..90]));
    assert_eq!(told(&news), [("loaded", 1), ("failed, kept", 1)]);
    assert_eq!(file.in_force().len(), 2);
    assert_eq!(file.in_force()[0], new.0);
}

#[test]
fn a_file_that_never_was_good_keeps_nothing() {
    let mut file = OneFile::holding("no list at all");
    assert_eq!(told(&file.read()), [("failed, kept", 0)]);
    assert!(file.in_force().is_empty());
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
