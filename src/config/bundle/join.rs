//! An edge's own file and the bundle become one document. A key has one home: written in both, it is an
//! error, so that neither can quietly override the other.

use crate::policy::BundleInForce;

use super::super::document::{Document, Entry, Joined, Table};
use super::super::format;
use super::super::options::SECTIONS;
use super::super::parse::{self, Missing, Parsed, Part};
use super::super::problem::{Place, Problems};
use super::super::render::toml_value;
use super::{Bundle, PublicKey, Store, is_local, open, scope};

/// The settings in force: the edge's own file, with the bundle that it holds or `offered` in its place.
/// `None` when the bundle cannot be taken; what is wrong then stands in `problems`.
pub fn join(own: Parsed, offered: Option<&[u8]>, problems: &mut Problems) -> Option<Document> {
    let table = own.document.table("bundle");
    let trusted: Vec<PublicKey> = table.read_all("trusted_keys", format::bundle_key);
    let place = table.place("trusted_keys");
    let data_directory = own.document.table("").read("data_directory", format::path);
    let store = Store::below(&own.document.resolve(data_directory.unwrap_or(".".as_ref())));
    if trusted.is_empty() {
        if offered.is_some() {
            let what = "names no key, so that no bundle can be taken";
            problems.error(place, what, "write the line that `sealpost config bundle-key` prints");
            return None;
        }
        if store.holds_a_bundle() {
            let what = "names no key, so that the bundle below data_directory is not used";
            problems.warning(place, what, "name the key, or remove data_directory/bundle");
        }
        return alone(own, problems);
    }
    let applied;
    let bytes = match offered {
        Some(bytes) => bytes,
        None => match store.applied() {
            Ok(Some(bytes)) => {
                applied = bytes;
                &applied
            }
            Ok(None) => return alone(own, problems),
            Err(error) => {
                problems.error_sentence(place, &error.to_string());
                return None;
            }
        },
    };
    let opened = open(bytes, &trusted).and_then(|bundle| store.check_files(&bundle).map(|()| bundle));
    match opened {
        Ok(bundle) => together(own, &bundle, &store, problems),
        Err(error) => {
            let sentence = format!("the bundle is refused: {error}");
            problems.error_sentence(place, &sentence);
            None
        }
    }
}

/// Without a bundle: what is missing in the file is missing.
fn alone(own: Parsed, problems: &mut Problems) -> Option<Document> {
    for missing in own.missing {
        missing.tell(problems);
    }
    Some(own.document)
}

fn together(own: Parsed, bundle: &Bundle, store: &Store, problems: &mut Problems) -> Option<Document> {
    let content = &bundle.content;
    let shared_name = format!("{} (bundle {})", content.settings_name, content.serial);
    problems.call_shared(&shared_name);
    let name = content.settings_name.as_ref();
    let mut shared = parse::parse(name, &content.settings, Part::Organisation, problems)?;
    for table in &mut shared.document.tables {
        for (name, place) in scope::files_of(table) {
            if !content.files.contains_key(&name) {
                let what = format!("names {name}, which is not in the bundle");
                problems.error(place, what, "make the bundle with `sealpost config bundle`");
            }
        }
        scope::rename_files(table, |name| {
            let file = content.files.get(name)?;
            Some(store.file(name, file).to_string_lossy().into_owned())
        });
    }
    let (document, beside) = merge(&own.document, &shared.document, problems);
    let in_force = BundleInForce { serial: content.serial, digest: bundle.digest.clone() };
    let key = bundle.key.to_string();
    let document = Document { bundle: Some(Joined { in_force, key, shared_name, beside }), ..document };
    tell_missing(&document, own.missing, shared.missing, problems);
    Some(document)
}

/// The tables of both, those of the bundle first, and what the edge has beside the bundle.
fn merge(own: &Document, shared: &Document, problems: &mut Problems) -> (Document, Vec<String>) {
    let mut tables = Vec::new();
    let mut beside = Vec::new();
    for section in SECTIONS {
        let of_own = |name: Option<&str>| {
            own.tables(section.name).find(|table| {
                section.named_by.is_none() || name.is_some_and(|name| table.name() == Some(name))
            })
        };
        for table in shared.tables(section.name) {
            tables.push(match of_own(table.name()) {
                Some(own) => both(own, table, &mut beside, problems),
                None => table.clone(),
            });
        }
        if section.named_by.is_none() {
            continue;
        }
        let taken = |name: Option<&str>| {
            name.is_some() && shared.tables(section.name).any(|table| table.name() == name)
        };
        for table in own.tables(section.name).filter(|table| !taken(table.name())) {
            if !is_local(section.name, "") {
                beside.push(table.label());
            }
            tables.push(table.clone());
        }
    }
    (Document { file: own.file.clone(), tables, bundle: None }, beside)
}

/// One table of which each of the two says a part.
fn both(own: &Table, shared: &Table, beside: &mut Vec<String>, problems: &mut Problems) -> Table {
    let mut table = own.clone();
    table.line = own.line.or(shared.line);
    for (key, theirs) in &shared.entries {
        let is_name = own.section.named_by == Some(*key);
        let ours = own.entry(key);
        match (own.is_written(key) && !is_name, shared.is_written(key)) {
            (true, true) => {
                let what = format!("the bundle says {} already", value(theirs));
                problems.error(
                    own.place(key),
                    what,
                    "remove it here; what is shared is changed in the bundle",
                );
            }
            (true, false) if !is_local(own.section.name, key) => {
                beside.push(format!("{} = {}", own.place(key).key, value(ours)));
            }
            (true, false) => {}
            (false, _) => {
                table.entries.insert(key, theirs.clone());
            }
        }
    }
    table
}

fn value(entry: &Entry) -> String {
    toml_value(&entry.value).unwrap_or_default()
}

/// What neither of the two says.
fn tell_missing(document: &Document, own: Vec<Missing>, shared: Vec<Missing>, problems: &mut Problems) {
    let mut told = Vec::new();
    for mut missing in own.into_iter().chain(shared) {
        let section = missing.section;
        let what = (missing.label.clone(), missing.key);
        if told.contains(&what) {
            continue;
        }
        told.push(what);
        let table = document.tables(section).find(|table| table.label() == missing.label);
        if table.is_some_and(|table| table.is_written(missing.key)) {
            continue;
        }
        if is_local(section, missing.key) {
            let label = &missing.label;
            missing.remedy = format!("add `{}` to {label} in this edge's own file", missing.key);
            missing.place = Place { line: table.and_then(|table| table.line), key: missing.place.key };
        }
        missing.tell(problems);
    }
}
