//! `config show`: what is in force, as TOML that could stand in the file, or as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use super::document::{Document, Entry, Origin, Table, Value};
use super::options;

/// The tables that `selector` names: nothing for all, `send_connector` for every one of them,
/// `send_connector.Internet` for one.
///
/// # Errors
/// One sentence that lists what there is.
pub fn select<'d>(document: &'d Document, selector: Option<&str>) -> Result<Vec<&'d Table>, String> {
    let Some(selector) = selector else {
        return Ok(document.tables.iter().collect());
    };
    let (section, name) = match selector.split_once('.') {
        Some((section, name)) => (section, Some(name)),
        None => (selector, None),
    };
    let is_meant = |table: &&Table| {
        table.section.name == section
            && name.is_none_or(|name| table.name().is_some_and(|own| own.eq_ignore_ascii_case(name)))
    };
    let found: Vec<_> = document.tables.iter().filter(is_meant).collect();
    if found.is_empty() {
        let labels: Vec<_> =
            document.tables.iter().map(Table::label).filter(|label| !label.is_empty()).collect();
        return Err(format!(
            "there is no {selector} in {}; there are: {}",
            document.file.display(),
            labels.join(", ")
        ));
    }
    Ok(found)
}

/// Every key with the value in force; what is not written in the file is marked.
pub fn text(tables: &[&Table]) -> String {
    let mut out = String::new();
    for table in tables {
        if !out.is_empty() {
            out.push('\n');
        }
        match (table.section.name, table.section.named_by) {
            ("", _) => {}
            (section, None) => _ = writeln!(out, "[{section}]"),
            (section, Some(_)) => _ = writeln!(out, "[[{section}]]"),
        }
        for key in options::of(table.section.name) {
            let _ = writeln!(out, "{}", line(key, table.entry(key.name)));
        }
    }
    out
}

fn line(key: &options::Key, entry: &Entry) -> String {
    let Some(value) = toml_value(&entry.value) else {
        return format!("# {} = {}", key.name, key.default.toml());
    };
    let remark = match entry.origin {
        Origin::Written => "",
        Origin::Default => "  # default",
        Origin::Derived => "  # derived",
    };
    format!("{} = {value}{remark}", key.name)
}

/// `None` when there is no value.
pub fn toml_value(value: &Value) -> Option<String> {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    Some(match value {
        Value::Nothing => return None,
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Text(text) => quoted(text),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| quoted(&item.text)).collect();
            format!("[{}]", items.join(", "))
        }
    })
}

/// `[{section, KEY: VALUE, …}]`; a key without a value is null.
pub fn to_json(tables: &[&Table]) -> Json {
    let table_to_json = |table: &&Table| {
        let mut object = Map::new();
        object.insert("section".to_owned(), table.section.name.into());
        for key in options::of(table.section.name) {
            object.insert(key.name.to_owned(), json_value(&table.entry(key.name).value));
        }
        Json::Object(object)
    };
    Json::Array(tables.iter().map(table_to_json).collect())
}

fn json_value(value: &Value) -> Json {
    match value {
        Value::Nothing => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(|item| item.text.as_str()).collect(),
    }
}
