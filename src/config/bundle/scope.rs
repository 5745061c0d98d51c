//! What a bundle may say, and what only an edge's own file may: its name and addresses, its keys and
//! secrets, and what lies on its disk.

use super::super::document::{Table, Value};
use super::super::options::{self, Key, Kind, Scalar};
use super::super::problem::Place;

/// Sections that a bundle may write; every other one is the edge's own, also one that is added later.
const SHARED_SECTIONS: &[&str] = &[
    "transport",
    "trust",
    "partner",
    "accepted_domain",
    "receive_connector",
    "send_connector",
    "recipient_verification",
    "queue",
    "mta_sts",
    "tls_reporting",
];
/// Keys that are the edge's own in sections that are shared.
const LOCAL_KEYS: &[(&str, &[&str])] = &[
    ("receive_connector", &["bindings", "fqdn", "proxy_protocol_from", "milters"]),
    ("send_connector", &["source_addresses", "fqdn", "authentication_credential"]),
];
/// Written in the place of a file; they mean the same on every edge.
const WORDS: &[&str] = &["system", "mozilla"];

/// Whether only an edge's own file may write this key.
pub fn is_local(section: &str, key: &str) -> bool {
    !SHARED_SECTIONS.contains(&section)
        || LOCAL_KEYS.iter().any(|(of, keys)| *of == section && keys.contains(&key))
}

/// Whether the key names files.
pub fn names_files(key: &Key) -> bool {
    match key.kind {
        Kind::One(Scalar::Format(format)) | Kind::Many(Scalar::Format(format)) => format.name == "path",
        Kind::One(Scalar::Word(_))
        | Kind::Many(Scalar::Word(_))
        | Kind::Bool
        | Kind::Integer { .. }
        | Kind::WordOrMany(..) => false,
    }
}

/// The files that a table names, with the place of each.
pub fn files_of(table: &Table) -> Vec<(String, Place)> {
    let mut found = Vec::new();
    for key in options::of(table.section.name).filter(|key| names_files(key)) {
        match &table.entry(key.name).value {
            _ if !table.is_written(key.name) => {}
            Value::Text(name) => found.push((name.clone(), table.place(key.name))),
            Value::List(items) => {
                let named = items.iter().filter(|item| !WORDS.contains(&item.text.as_str()));
                found.extend(named.map(|item| (item.text.clone(), item.place.clone())));
            }
            Value::Nothing | Value::Bool(_) | Value::Integer(_) => {}
        }
    }
    found
}

/// Puts another name in the place of each file's.
pub fn rename_files(table: &mut Table, rename: impl Fn(&str) -> Option<String>) {
    let keys: Vec<&str> =
        options::of(table.section.name).filter(|key| names_files(key)).map(|key| key.name).collect();
    for key in keys {
        let Some(entry) = table.entries.get_mut(key) else { continue };
        match &mut entry.value {
            Value::Text(name) => *name = rename(name).unwrap_or_else(|| name.clone()),
            Value::List(items) => {
                for item in items {
                    item.text = rename(&item.text).unwrap_or_else(|| item.text.clone());
                }
            }
            Value::Nothing | Value::Bool(_) | Value::Integer(_) => {}
        }
    }
}
