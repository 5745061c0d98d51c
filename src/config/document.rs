//! A configuration file as tables of checked values: every key of the options table is present,
//! written or by default, and knows its line. Building the settings and `config show` read this.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::policy::BundleInForce;

use super::format::Wrong;
use super::options::Section;
use super::problem::Place;

/// The whole file.
#[derive(Clone, Debug)]
pub struct Document {
    pub file: PathBuf,
    /// In the order of the options table, then of the file.
    pub tables: Vec<Table>,
    /// The bundle that was joined with the file, if the edge has one.
    pub bundle: Option<Joined>,
}

/// A bundle of shared settings, joined with an edge's own file.
#[derive(Clone, Debug)]
pub struct Joined {
    pub in_force: BundleInForce,
    /// Who signed it, as `trusted_keys` writes it.
    pub key: String,
    /// What its lines are reported under, such as `organisation.toml (bundle 5)`.
    pub shared_name: String,
    /// Keys and tables that a bundle may say and this edge's own file says.
    pub beside: Vec<String>,
}

/// `[section]`, one `[[section]]`, or the keys above the first table.
#[derive(Clone, Debug)]
pub struct Table {
    pub section: &'static Section,
    /// `None` when the file does not hold it.
    pub line: Option<usize>,
    pub entries: BTreeMap<&'static str, Entry>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub value: Value,
    pub line: Option<usize>,
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Written,
    Default,
    /// Follows from other keys.
    Derived,
}

/// A value of the right type and format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Not written, and without a default.
    Nothing,
    Bool(bool),
    Integer(u64),
    Text(String),
    List(Vec<Item>),
}

/// A member of a list, with its own place: secure lists hold domains that partner entries put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub text: String,
    pub place: Place,
}

const NOTHING: Entry = Entry { value: Value::Nothing, line: None, origin: Origin::Default };

impl Document {
    /// The tables of one section; of a section that does not repeat there is exactly one.
    pub fn tables<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a Table> {
        self.tables.iter().filter(move |table| table.section.name == section)
    }

    /// The one table of a section that does not repeat.
    pub fn table<'a>(&'a self, section: &'a str) -> &'a Table {
        self.tables(section).next().expect("parse makes a table of each single section")
    }

    /// Absolute, taken from the directory of the configuration file.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        let base = self.file.parent().unwrap_or(Path::new(""));
        let joined = base.join(path);
        std::path::absolute(&joined).unwrap_or(joined)
    }
}

impl Table {
    /// The value of the key by which one table of several is called.
    pub fn name(&self) -> Option<&str> {
        self.text(self.section.named_by?)
    }

    /// `receive_connector.Internet`, `transport`, or nothing for the keys above the first table.
    pub fn label(&self) -> String {
        match self.name() {
            Some(name) => format!("{}.{name}", self.section.name),
            None => self.section.name.to_owned(),
        }
    }

    /// Where `key` is written, else where the table begins.
    pub fn place(&self, key: &str) -> Place {
        let label = self.label();
        let key_path = if label.is_empty() { key.to_owned() } else { format!("{label}.{key}") };
        Place { line: self.entry(key).line.or(self.line), key: key_path }
    }

    pub fn entry(&self, key: &str) -> &Entry {
        self.entries.get(key).unwrap_or(&NOTHING)
    }

    pub fn is_written(&self, key: &str) -> bool {
        self.entry(key).origin == Origin::Written
    }

    pub fn bool(&self, key: &str) -> bool {
        self.entry(key).value == Value::Bool(true)
    }

    /// `None` when it is neither written nor has a default.
    pub fn optional_bool(&self, key: &str) -> Option<bool> {
        match self.entry(key).value {
            Value::Bool(value) => Some(value),
            Value::Nothing | Value::Integer(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    /// Within the bounds of the options table.
    pub fn integer<T: TryFrom<u64> + From<u8>>(&self, key: &str) -> T {
        match self.entry(key).value {
            Value::Integer(value) => T::try_from(value).unwrap_or(T::from(0)),
            Value::Nothing | Value::Bool(_) | Value::Text(_) | Value::List(_) => T::from(0),
        }
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.entry(key).value {
            Value::Text(text) => Some(text),
            Value::Nothing | Value::Bool(_) | Value::Integer(_) | Value::List(_) => None,
        }
    }

    pub fn items(&self, key: &str) -> &[Item] {
        match &self.entry(key).value {
            Value::List(items) => items,
            Value::Nothing | Value::Bool(_) | Value::Integer(_) | Value::Text(_) => &[],
        }
    }

    pub fn holds(&self, key: &str, word: &str) -> bool {
        self.items(key).iter().any(|item| item.text == word)
    }

    /// Reads a string with the function that has already checked it.
    pub fn read<'a, T>(&'a self, key: &str, read: fn(&'a str) -> Result<T, Wrong>) -> Option<T> {
        read(self.text(key)?).ok()
    }

    /// Reads the members of a list with the function that has already checked them.
    pub fn read_all<'a, T>(&'a self, key: &str, read: fn(&'a str) -> Result<T, Wrong>) -> Vec<T> {
        self.items(key).iter().filter_map(|item| read(&item.text).ok()).collect()
    }
}
