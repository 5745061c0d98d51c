//! What a reload changes: for the audit log, and for the operator who must know that a key takes
//! effect only after a restart.

use std::collections::BTreeMap;

use super::document::{Document, Table};
use super::options;

/// One key whose value in force differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Such as `receive_connector.Internet.bindings`, or `partner.Fabrikam` for a whole table.
    pub key: String,
    /// As TOML; `None` when there was, or is, none.
    pub old: Option<String>,
    pub new: Option<String>,
    /// The key is one of the secure lists, which the audit log marks.
    pub secure_list: bool,
    /// It takes effect only when the server starts anew.
    pub restart: bool,
}

/// Every key whose value in force differs between two documents.
pub fn differences(old: &Document, new: &Document) -> Vec<Change> {
    let (old, new) = (by_label(old), by_label(new));
    let mut changes = Vec::new();
    for (label, before) in &old {
        match new.get(label) {
            Some(after) => changes.extend(table_differences(label, before, after)),
            None => changes.push(whole_table(label, before, false)),
        }
    }
    let added = new.iter().filter(|(label, _)| !old.contains_key(*label));
    changes.extend(added.map(|(label, table)| whole_table(label, table, true)));
    changes
}

fn by_label(document: &Document) -> BTreeMap<String, &Table> {
    document.tables.iter().map(|table| (table.label(), table)).collect()
}

fn table_differences(label: &str, before: &Table, after: &Table) -> Vec<Change> {
    let keys = options::of(before.section.name).filter_map(|key| {
        let (old, new) = (&before.entry(key.name).value, &after.entry(key.name).value);
        let (old, new) = (super::render::toml_value(old), super::render::toml_value(new));
        (old != new).then(|| Change {
            key: if label.is_empty() { key.name.to_owned() } else { format!("{label}.{}", key.name) },
            old,
            new,
            secure_list: key.name.ends_with("_domain_secure_list"),
            restart: key.restart,
        })
    });
    keys.collect()
}

/// A table that came or went is one change, told by its name.
fn whole_table(label: &str, table: &Table, added: bool) -> Change {
    let named_by = table.section.named_by.unwrap_or_default();
    let value = super::render::toml_value(&table.entry(named_by).value);
    let (old, new) = if added { (None, value) } else { (value, None) };
    let restart = options::of(table.section.name).any(|key| key.restart);
    Change { key: label.to_owned(), old, new, secure_list: false, restart }
}
