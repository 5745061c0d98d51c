//! Every committed input of the fuzz targets, played through the functions that the targets play
//! theirs through: what once was found stays mended, and a seed that rots is noticed.

#[path = "fuzz/src/lib.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn below(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(folder)
}

/// Names in a folder, without `.rs`.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(below(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let name =
        |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().trim_end_matches(".rs").to_owned();
    entries.map(|entry| name(entry.unwrap())).collect()
}

#[test]
fn every_seed_passes_its_target() {
    let mut failed = Vec::new();
    for (target, run) in fuzz::TARGETS {
        for name in names(&format!("seeds/{target}")) {
            let input = std::fs::read(below("seeds").join(target).join(&name)).unwrap();
            if std::panic::catch_unwind(|| run(&input)).is_err() {
                failed.push(format!("seeds/{target}/{name}"));
            }
        }
    }
    assert!(failed.is_empty(), "what is told above happened with {failed:#?}");
}

#[test]
fn each_target_has_a_binary_and_seeds() {
    let targets: BTreeSet<String> = fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("seeds"), targets);
    let manifest = std::fs::read_to_string(below("Cargo.toml")).unwrap();
    for target in targets {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is missing in Cargo.toml");
        assert!(!names(&format!("seeds/{target}")).is_empty(), "{target} has no seeds");
    }
}
