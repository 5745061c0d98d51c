//! The configuration file: TOML text becomes checked settings, or every problem at once with file,
//! line, key and remedy.
//!
//! One way: `parse` (text against the options table) → `derive` (defaults that follow from other
//! keys) → `build` (strings become types, files are read) → `check` (contradictions
//! and doubtful choices).

mod build;
pub mod bundle;
mod check;
mod derive;
mod document;
pub mod edit;
pub mod format;
mod hostname;
mod milter_address;
mod nearest;
pub mod options;
mod parse;
mod problem;
mod quantity;
pub mod reference;
mod reload;
pub mod render;
pub mod users_file;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::disk;
use crate::policy::Settings;

pub use document::{Document, Entry, Item, Joined, Origin, Table, Value};
pub use format::{Wrong, smart_host as parse_smart_host};
pub use nearest::nearest;
pub use problem::{Place, Problem, Problems, Severity};
pub use quantity::duration as parse_duration;
pub use reload::{Change, differences};

/// Largest configuration file read, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// A configuration that holds no error.
#[derive(Debug)]
pub struct Loaded {
    /// With epoch 0; who publishes them raises it.
    pub settings: Settings,
    /// What the settings were made from: for `differences` and `render`.
    pub document: Document,
    pub warnings: Vec<Problem>,
}

/// `$SEALPOST_CONFIG`, else /etc/sealpost/sealpost.toml.
pub fn default_path() -> PathBuf {
    std::env::var_os("SEALPOST_CONFIG")
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from("/etc/sealpost/sealpost.toml"), PathBuf::from)
}

/// Reads and checks a configuration, its certificates, anchors and lists included.
///
/// # Errors
/// Every error and warning that was found, in the order of the file.
pub fn load(path: &Path) -> Result<Loaded, Vec<Problem>> {
    load_from(path, None)
}

/// As `load`, with this bundle in the place of the one that the edge holds. Its files must be in the
/// edge's store already.
///
/// # Errors
/// As for `load`.
pub fn load_with_bundle(path: &Path, bundle: &[u8]) -> Result<Loaded, Vec<Problem>> {
    load_from(path, Some(bundle))
}

fn load_from(path: &Path, bundle: Option<&[u8]>) -> Result<Loaded, Vec<Problem>> {
    let mut problems = Problems::new(path);
    let Some(document) = read_document(path, bundle, &mut problems) else {
        return Err(problems.into_sorted());
    };
    if lacks_its_bundle(&document) {
        let what =
            "names a key, and this edge holds no bundle, so that partners and secure lists would be missing";
        let remedy = "hand it the bundle with `sealpost config apply`, or take [bundle] out";
        problems.error(document.table("bundle").place("trusted_keys"), what, remedy);
    }
    check_files(document, problems)
}

/// The edge's own file says that there is a bundle, and there is none: not yet, or not any more.
fn lacks_its_bundle(document: &Document) -> bool {
    document.bundle.is_none() && !document.table("bundle").items("trusted_keys").is_empty()
}

/// As `load`, of what the file at `path` is about to hold. A bundle that is still to come is only warned of.
///
/// # Errors
/// As for `load`.
pub fn load_text(path: &Path, text: &str) -> Result<Loaded, Vec<Problem>> {
    let mut problems = Problems::new(path);
    let Some(document) = document_of(path, text, None, &mut problems) else {
        return Err(problems.into_sorted());
    };
    if lacks_its_bundle(&document) {
        let what = "names a key, and this edge holds no bundle yet";
        let place = document.table("bundle").place("trusted_keys");
        problems.warning(
            place,
            what,
            "hand it the first with `sealpost config apply`; no server starts before",
        );
    }
    check_files(document, problems)
}

/// What a text says as far as it can be read, whatever is wrong with it: to compare with.
pub fn glance(path: &Path, text: &str) -> Option<Document> {
    document_of(path, text, None, &mut Problems::new(path))
}

/// Reads the files that a configuration names, and the certificate store, once more; the
/// configuration itself stays as it was read.
///
/// # Errors
/// As for `load`.
pub fn rebuild(document: Document) -> Result<Loaded, Vec<Problem>> {
    let problems = Problems::new(&document.file);
    check_files(document, problems)
}

fn check_files(document: Document, mut problems: Problems) -> Result<Loaded, Vec<Problem>> {
    if let Some(joined) = &document.bundle {
        problems.call_shared(&joined.shared_name);
    }
    let settings = build::build(&document, &mut problems);
    let subject = check::Subject { document: &document, settings: &settings, now: Timestamp::now() };
    check::check(&subject, &mut problems);
    if problems.has_errors() {
        return Err(problems.into_sorted());
    }
    Ok(Loaded { settings, document, warnings: problems.into_sorted() })
}

/// The settings as far as they can be built, whatever else is wrong: for commands that show them or
/// help to mend them. Never for a server.
///
/// # Errors
/// What keeps the file from being read at all.
pub fn survey(path: &Path) -> Result<Settings, Vec<Problem>> {
    let document = read(path)?;
    Ok(build::build(&document, &mut Problems::new(path)))
}

/// What `load` warns of about this one of our certificates, where partners get to see it: the mail
/// domains of ours that it does not name. Nothing where the file cannot be read.
pub fn unnamed_domains(path: &Path, thumbprint: &str) -> Vec<Problem> {
    let Ok(document) = read(path) else { return Vec::new() };
    let mut problems = Problems::new(path);
    if let Some(joined) = &document.bundle {
        problems.call_shared(&joined.shared_name);
    }
    let settings = build::build(&document, &mut Problems::new(path));
    let subject = check::Subject { document: &document, settings: &settings, now: Timestamp::now() };
    check::accepted_domains_are_named(&subject, Some(thumbprint), &mut problems);
    problems.into_sorted()
}

/// As `load`; where that finds errors, the settings as far as they can be built, and what was found.
/// For commands that only look.
///
/// # Errors
/// What keeps the file from being read at all.
pub fn look_into(path: &Path) -> Result<(Settings, Vec<Problem>), Vec<Problem>> {
    match load(path) {
        Ok(loaded) => Ok((loaded.settings, Vec::new())),
        Err(found) => {
            let mut ignored = Problems::new(path);
            match read_document(path, None, &mut ignored) {
                Some(document) => Ok((build::build(&document, &mut ignored), found)),
                None => Err(found),
            }
        }
    }
}

/// Reads a configuration without the files that it names: what `config show` needs.
///
/// # Errors
/// Every key that is unknown, missing or of the wrong type or format.
pub fn read(path: &Path) -> Result<Document, Vec<Problem>> {
    let mut problems = Problems::new(path);
    match read_document(path, None, &mut problems) {
        Some(document) if !problems.has_errors() => Ok(document),
        Some(_) | None => Err(problems.into_sorted()),
    }
}

/// An edge's own file alone, as far as it can be read: for commands about its bundle.
///
/// # Errors
/// What keeps the file from being read at all.
pub fn read_own(path: &Path) -> Result<Document, Vec<Problem>> {
    let mut problems = Problems::new(path);
    let text = read_text(path, &mut problems);
    let parsed = text.and_then(|text| parse::parse(path, &text, parse::Part::Edge, &mut problems));
    parsed.map(|parsed| parsed.document).ok_or_else(|| problems.into_sorted())
}

fn read_document(path: &Path, bundle: Option<&[u8]>, problems: &mut Problems) -> Option<Document> {
    let text = read_text(path, problems)?;
    document_of(path, &text, bundle, problems)
}

/// With this bundle, or with the one that the edge holds.
fn document_of(path: &Path, text: &str, bundle: Option<&[u8]>, problems: &mut Problems) -> Option<Document> {
    let own = parse::parse(path, text, parse::Part::Edge, problems)?;
    let mut document = bundle::join(own, bundle, problems)?;
    derive::derive(&mut document, problems);
    Some(document)
}

fn read_text(path: &Path, problems: &mut Problems) -> Option<String> {
    let bytes = match disk::read(path, FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => {
            let what = format!("cannot read the configuration: {error}");
            problems.error(Place::whole_file(), what, "check the path given with -c, or $SEALPOST_CONFIG");
            return None;
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        problems.error(Place::whole_file(), "the configuration is not UTF-8", "save the file as UTF-8");
        return None;
    };
    Some(text)
}

#[cfg(test)]
mod tests;
