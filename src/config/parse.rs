//! TOML text against the options table: unknown keys, wrong types and formats, and missing keys are
//! all reported, and what is left is a `Document`.
//!
//! The tree is walked by hand, because serde loses the spans of nested tables and stops at the
//! first error.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::bundle::is_local;
use super::document::{Document, Entry, Item, Origin, Table, Value};
use super::format::Wrong;
use super::nearest::nearest;
use super::options::{self, Default, Key, Kind, SECTIONS, Scalar, Section};
use super::problem::{Place, Problems, SHARED_FROM};

/// Which text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An edge's own file.
    Edge,
    /// What a bundle shares: keys that are an edge's own are errors, and lines begin at `SHARED_FROM`.
    Organisation,
}

/// What was read, and what was not there: a bundle may still say it.
pub struct Parsed {
    pub document: Document,
    pub missing: Vec<Missing>,
}

/// A key that must be written somewhere.
#[derive(Debug)]
pub struct Missing {
    pub section: &'static str,
    /// As `Table::label`.
    pub label: String,
    pub key: &'static str,
    pub place: Place,
    pub remedy: String,
}

impl Missing {
    pub fn tell(self, problems: &mut Problems) {
        problems.error(self.place, "is missing", self.remedy);
    }
}

/// `None` when the text is no TOML; what is wrong then stands in `problems`.
pub fn parse(file: &Path, text: &str, part: Part, problems: &mut Problems) -> Option<Parsed> {
    let first = if part == Part::Organisation { SHARED_FROM } else { 0 };
    let lines = Lines::new(text, first);
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        syntax_errors(&errors, &lines, problems);
        return None;
    }
    let mut parser = Parser { lines, part, missing: Vec::new(), problems };
    let tables = parser.tables(root.get_ref());
    let document = Document { file: file.to_path_buf(), tables, bundle: None };
    Some(Parsed { document, missing: parser.missing })
}

fn syntax_errors(errors: &[toml::de::Error], lines: &Lines, problems: &mut Problems) {
    let mut last_line = None;
    for error in errors {
        let line = error.span().map(|span| lines.of(&span));
        if line.is_some() && line == last_line {
            continue;
        }
        last_line = line;
        let what = format!("the file is not TOML: {}", error.message().replace('\n', ", "));
        problems.error(Place { line, key: String::new() }, what, "correct the syntax");
    }
}

struct Parser<'p> {
    lines: Lines,
    part: Part,
    missing: Vec<Missing>,
    problems: &'p mut Problems,
}

type Node<'a, 'i> = &'a Spanned<DeValue<'i>>;

impl Parser<'_> {
    fn tables(&mut self, root: &DeTable<'_>) -> Vec<Table> {
        self.unknown_at_top(root);
        let mut tables = Vec::new();
        for section in SECTIONS {
            if section.name.is_empty() {
                tables.push(self.table(section, Some(root), None));
                continue;
            }
            let node = root.iter().find(|(key, _)| key.get_ref() == section.name).map(|(_, node)| node);
            match section.named_by {
                None => tables.push(self.single(section, node)),
                Some(_) => self.repeated(section, node, &mut tables),
            }
        }
        tables
    }

    fn unknown_at_top(&mut self, root: &DeTable<'_>) {
        for key in root.keys() {
            let name = key.get_ref().as_ref();
            let known =
                SECTIONS.iter().any(|section| section.name == name) || options::find("", name).is_some();
            if !known {
                let names =
                    SECTIONS.iter().map(|section| section.name).chain(options::of("").map(|key| key.name));
                let place = Place { line: Some(self.lines.of(&key.span())), key: name.to_owned() };
                self.unknown(place, "", name, names.filter(|name| !name.is_empty()));
            }
        }
    }

    fn unknown<'n>(&mut self, place: Place, section: &str, name: &str, names: impl Iterator<Item = &'n str>) {
        let elsewhere = options::all().filter(|key| key.name == name && key.section != section);
        let elsewhere: Vec<_> = elsewhere.map(|key| header(key.section)).collect();
        let remedy = match nearest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None if !elsewhere.is_empty() => format!("it belongs to {}", elsewhere.join(" or ")),
            None => "remove it, or see `sealpost config reference`".to_owned(),
        };
        self.problems.error(place, "unknown key", remedy);
    }

    fn single(&mut self, section: &'static Section, node: Option<Node<'_, '_>>) -> Table {
        let Some(node) = node else {
            return self.table(section, None, None);
        };
        let line = Some(self.lines.of(&node.span()));
        match node.get_ref().as_table() {
            Some(table) => self.table(section, Some(table), line),
            None => {
                let place = Place { line, key: section.name.to_owned() };
                self.problems.error(place, "is not a table", format!("write [{}]", section.name));
                self.table(section, None, None)
            }
        }
    }

    fn repeated(&mut self, section: &'static Section, node: Option<Node<'_, '_>>, tables: &mut Vec<Table>) {
        let Some(node) = node else { return };
        let Some(array) = node.get_ref().as_array() else {
            let place = Place { line: Some(self.lines.of(&node.span())), key: section.name.to_owned() };
            self.problems.error(place, "is not an array of tables", format!("write [[{}]]", section.name));
            return;
        };
        for member in array {
            let line = Some(self.lines.of(&member.span()));
            match member.get_ref().as_table() {
                Some(table) => tables.push(self.table(section, Some(table), line)),
                None => {
                    let place = Place { line, key: section.name.to_owned() };
                    self.problems.error(place, "is not a table", format!("write [[{}]]", section.name));
                }
            }
        }
    }

    fn table(&mut self, section: &'static Section, node: Option<&DeTable<'_>>, line: Option<usize>) -> Table {
        let label = table_label(section, node);
        let mut entries = BTreeMap::new();
        for key in options::of(section.name) {
            let written = node.and_then(|table| table.iter().find(|(name, _)| name.get_ref() == key.name));
            let place = Place {
                line: written.map(|(name, _)| self.lines.of(&name.span())).or(line),
                key: if label.is_empty() { key.name.to_owned() } else { format!("{label}.{}", key.name) },
            };
            if written.is_none() && key.default == Default::Required {
                let remedy = format!("add `{}`", key.name);
                let (label, place) = (label.clone(), place.clone());
                self.missing.push(Missing { section: section.name, label, key: key.name, place, remedy });
            }
            entries.insert(key.name, self.entry(key, written.map(|(_, node)| node), &place));
        }
        if let (Some(node), false) = (node, section.name.is_empty()) {
            self.unknown_in(section, &label, node);
        }
        Table { section, line, entries }
    }

    fn unknown_in(&mut self, section: &'static Section, label: &str, node: &DeTable<'_>) {
        for key in node.keys() {
            let name = key.get_ref().as_ref();
            if options::find(section.name, name).is_none() {
                let place = Place { line: Some(self.lines.of(&key.span())), key: format!("{label}.{name}") };
                self.unknown(place, section.name, name, options::of(section.name).map(|key| key.name));
            }
        }
    }

    fn entry(&mut self, key: &'static Key, node: Option<Node<'_, '_>>, place: &Place) -> Entry {
        let Some(node) = node else {
            return default_entry(key, place);
        };
        if self.part == Part::Organisation && is_local(key.section, key.name) {
            self.problems.error(place.clone(), "is each edge's own", "move it to the edges' own files");
            return default_entry(key, place);
        }
        match self.value(key, node, place) {
            Some(value) => Entry { value, line: place.line, origin: Origin::Written },
            None => default_entry(key, place),
        }
    }

    /// `None` when it is wrong as a whole; members of a list that are wrong are left out.
    fn value(&mut self, key: &'static Key, node: Node<'_, '_>, place: &Place) -> Option<Value> {
        let value = match (key.kind, node.get_ref()) {
            (Kind::Bool, DeValue::Boolean(value)) => Ok(Value::Bool(*value)),
            (Kind::Integer { min, max }, DeValue::Integer(number)) => integer(number, min, max),
            (Kind::One(scalar), DeValue::String(text)) => scalar.value(text),
            (Kind::WordOrMany(words, _), DeValue::String(text)) => Scalar::Word(words).value(text),
            (Kind::Many(scalar), DeValue::Array(_)) => Ok(self.list(key, scalar, node, place)),
            (Kind::WordOrMany(_, format), DeValue::Array(_)) => {
                Ok(self.list(key, Scalar::Format(format), node, place))
            }
            (kind, other) => Err(Wrong {
                what: format!("is {}, not {}", article(other.type_str()), kind.noun()),
                remedy: format!("write {}", kind.noun()),
            }),
        };
        match value {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.problems.error(place.clone(), wrong.what, wrong.remedy);
                None
            }
        }
    }

    fn list(&mut self, key: &Key, scalar: Scalar, node: Node<'_, '_>, place: &Place) -> Value {
        let members = node.get_ref().as_array().map(|array| array.iter()).into_iter().flatten();
        let mut items = Vec::new();
        let mut count = 0;
        for member in members {
            count += 1;
            let at = Place { line: Some(self.lines.of(&member.span())), key: place.key.clone() };
            let checked = match member.get_ref() {
                DeValue::String(text) => scalar.value(text).map(|_| text.to_string()),
                other => Err(Wrong {
                    what: format!("holds {}, not a string", article(other.type_str())),
                    remedy: format!("write {}", scalar.noun()),
                }),
            };
            match checked {
                Ok(text) => items.push(Item { text, place: at }),
                Err(wrong) => self.problems.error(at, wrong.what, wrong.remedy),
            }
        }
        if count == 0 && !key.may_be_empty() {
            self.problems.error(place.clone(), "is empty", format!("list at least one: {}", scalar.noun()));
        }
        Value::List(items)
    }
}

/// As it is written in the file.
fn header(section: &str) -> String {
    match SECTIONS.iter().find(|known| known.name == section).map(|known| known.named_by) {
        Some(Some(_)) => format!("[[{section}]]"),
        Some(None) if section.is_empty() => "the top of the file".to_owned(),
        Some(None) | None => format!("[{section}]"),
    }
}

/// As `Table::label`, before the table is made.
fn table_label(section: &Section, node: Option<&DeTable<'_>>) -> String {
    let name = section.named_by.and_then(|by| {
        let (_, value) = node?.iter().find(|(key, _)| key.get_ref() == by)?;
        value.get_ref().as_str()
    });
    name.map_or_else(|| section.name.to_owned(), |name| format!("{}.{}", section.name, name.escape_debug()))
}

fn integer(number: &toml::de::DeInteger<'_>, min: u64, max: u64) -> Result<Value, Wrong> {
    let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
    let value =
        parsed.and_then(|value| u64::try_from(value).ok()).filter(|value| (min..=max).contains(value));
    value.map(Value::Integer).ok_or_else(|| Wrong {
        what: format!("{} is out of range", number.as_str()),
        remedy: format!("write a whole number from {min} to {max}"),
    })
}

impl Scalar {
    fn value(self, text: &str) -> Result<Value, Wrong> {
        match self {
            Scalar::Format(format) => (format.check)(text)?,
            Scalar::Word(words) if words.contains(&text) => {}
            Scalar::Word(words) => {
                let what = format!("{text:?} is not one of the words allowed here");
                let remedy = match nearest(text, words.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("write {}", self.noun()),
                };
                return Err(Wrong { what, remedy });
            }
        }
        Ok(Value::Text(text.to_owned()))
    }
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

fn default_entry(key: &Key, place: &Place) -> Entry {
    Entry { value: default_value(key, place), line: place.line, origin: Origin::Default }
}

fn default_value(key: &Key, place: &Place) -> Value {
    let item = |text: &&str| Item { text: (*text).to_owned(), place: place.clone() };
    match key.default {
        Default::Required | Default::Nothing | Default::Derived(_) => Value::Nothing,
        Default::Bool(value) => Value::Bool(value),
        Default::Integer(value) => Value::Integer(value),
        Default::Text(text) => Value::Text(text.to_owned()),
        Default::List(texts) => Value::List(texts.iter().map(item).collect()),
    }
}

/// Line numbers of byte offsets.
struct Lines {
    starts: Vec<usize>,
    /// Added to each number.
    first: usize,
}

impl Lines {
    fn new(text: &str, first: usize) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { starts, first }
    }

    /// From 1.
    fn of(&self, span: &Range<usize>) -> usize {
        self.first + self.starts.partition_point(|start| *start <= span.start).max(1)
    }
}
