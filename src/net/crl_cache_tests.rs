//! What is written is read again; what was touched is not.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::trust::Publisher;

struct Scene {
    home: tempfile::TempDir,
    cache: CrlCache,
}

impl Scene {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let cache = CrlCache::new(home.path().join("crl-cache"));
        Self { home, cache }
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.home.path().join("crl-cache"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn cached(url: &str, used: i64) -> CachedList {
    let publisher = Publisher::new("root");
    let (wanted, list) = (publisher.wanted(&[url]), publisher.list(url, at(-9), at(9)));
    let validators = Validators { etag: Some("\"7\"".to_owned()), last_modified: None };
    let origin = Origin { url: url.to_owned(), wanted, fetched: at(0), used: at(used), validators };
    CachedList { list, origin }
}

#[test]
fn a_list_survives_a_restart_and_is_for_nobody_else_to_read() {
    let scene = Scene::new();
    assert!(scene.cache.load(10).0.is_empty());
    let list = cached("http://crl.example/a", 0);
    scene.cache.store(&list).unwrap();
    let (loaded, problems) = scene.cache.load(10);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].origin, list.origin);
    assert_eq!(loaded[0].list.der, list.list.der);
    assert_eq!(loaded[0].list.source, "http://crl.example/a");
    let file = scene.files().remove(0);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn a_newer_list_takes_the_place_of_the_old_and_nothing_else_is_left_lying() {
    let scene = Scene::new();
    scene.cache.store(&cached("http://crl.example/a", 0)).unwrap();
    let mut newer = cached("http://crl.example/a", 50);
    // The same authority: its key is part of the name of the file.
    newer.origin.wanted = scene.cache.load(10).0.remove(0).origin.wanted;
    newer.list = scene.cache.load(10).0.remove(0).list;
    scene.cache.store(&newer).unwrap();
    assert_eq!(scene.files().len(), 1);
    assert_eq!(scene.cache.load(10).0[0].origin.used, at(50));
    scene.cache.remove(newer.origin.key());
    assert!(scene.files().is_empty());
}

#[test]
fn a_file_that_was_touched_is_thrown_away_and_takes_no_other_with_it() {
    let scene = Scene::new();
    scene.cache.store(&cached("http://crl.example/good", 0)).unwrap();
    let good = scene.files().remove(0);
    let bytes = std::fs::read(&good).unwrap();
    let directory = good.parent().unwrap().to_owned();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let other = cached("http://crl.example/good", 0);
    let head_end = bytes.iter().position(|&octet| octet == b'\n').unwrap();
    let of_another = [&bytes[..=head_end], &other.list.der].concat();
    let old_version = String::from_utf8_lossy(&bytes[..head_end]).replace("\"version\":1", "\"version\":9");
    let bad = [
        ("flipped", flipped),
        ("cut", bytes[..bytes.len() - 9].to_vec()),
        ("another", of_another),
        ("version", [old_version.as_bytes(), &bytes[head_end..]].concat()),
        ("no-line", vec![b'x'; HEAD_BYTES_MAX + 5]),
        ("empty", Vec::new()),
    ];
    for (name, bytes) in &bad {
        std::fs::write(directory.join(format!("{name}.crl")), bytes).unwrap();
    }
    let (loaded, problems) = scene.cache.load(10);
    assert_eq!(loaded.len(), 1);
    assert_eq!(problems.len(), bad.len(), "{problems:?}");
    assert_eq!(scene.files(), [good]);
}

#[test]
fn of_too_many_the_latest_used_stay() {
    let scene = Scene::new();
    for used in 0..5 {
        scene.cache.store(&cached(&format!("http://crl.example/{used}"), used)).unwrap();
    }
    let (loaded, _) = scene.cache.load(2);
    let urls: Vec<&str> = loaded.iter().map(|list| list.origin.url.as_str()).collect();
    assert_eq!(urls, ["http://crl.example/4", "http://crl.example/3"]);
    assert_eq!(scene.files().len(), 2);
}
