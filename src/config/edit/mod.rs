//! Changing one key of a configuration file, or one table, as a careful hand would: what is not meant
//! stays octet by octet, comments and order included.
//!
//! toml_edit says where keys and values stand; the text is changed there and nowhere else. Whether the
//! result is a good configuration is not decided here: see `config::load_text`.

mod array;
mod target;

use std::ops::Range;

use toml_edit::{ArrayOfTables, Document, Item, Table, Value};

use super::options::{Default, Kind, Scalar, Section};

pub use target::Target;

/// What to do with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Of a list: all members.
    Set(Vec<String>),
    /// Take the line away, so that the default holds.
    Unset,
    /// Members of a list: first those that go, then those that come.
    Members { remove: Vec<String>, add: Vec<String> },
}

/// Why a file is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("the file is not TOML ({0}); mend it first, see `sealpost config check`")]
    NotToml(String),
    #[error("there is no section `{word}`; {remedy}")]
    NoSuchSection { word: String, remedy: String },
    #[error("{section} has no key `{key}`; {remedy}")]
    NoSuchKey { section: String, key: String, remedy: String },
    #[error("{section} is one of several and must be called by its {named_by}; write {section}.NAME.{key}")]
    NameMissing { section: &'static str, named_by: &'static str, key: String },
    #[error("[{section}] stands once and has no name; write {section}.{key}")]
    NameTooMuch { section: &'static str, key: String },
    #[error("the file has no [[{section}]] with {named_by} = {name:?}; it has {known}")]
    NoSuchTable { section: &'static str, named_by: &'static str, name: String, known: String },
    #[error("{0} is written inline, in braces or brackets; write it as a table of its own, with a header")]
    Inline(String),
    #[error("{0} takes one value; give one")]
    OneValue(String),
    #[error("{key} is {noun}, and {value:?} is not; give one")]
    WrongType { key: String, noun: String, value: String },
    #[error("{0} is no list; set the value instead")]
    NoList(String),
    #[error("{key} is not written and follows from elsewhere ({how}); set the whole list")]
    DerivedList { key: String, how: &'static str },
    #[error("{member:?} is no member of {key}; it holds {members}")]
    NoSuchMember { key: String, member: String, members: String },
}

/// The text with one key changed. A change to what stands there already leaves it as it is.
pub fn edit(text: &str, target: &Target, edit: &Edit) -> Result<String, EditError> {
    let document = parse(text)?;
    let table = find(&document, target)?;
    let written = table.and_then(|table| table.get_key_value(target.key.name));
    match (edit, written) {
        (Edit::Unset, None) => Ok(text.to_owned()),
        (Edit::Unset, Some((key, item))) => {
            let (Some(key), Some(value)) = (key.span(), item.span()) else {
                return Err(EditError::Inline(target.to_string()));
            };
            let line = lines(text, key.start..value.end);
            let alone = table.filter(|table| table.len() == 1 && target.name.is_none());
            let gone = alone.and_then(|table| whole_table(text, table, &line)).unwrap_or(line);
            Ok(splice(text, gone, ""))
        }
        (Edit::Set(values), Some((_, item))) => {
            let span = item.span().ok_or_else(|| EditError::Inline(target.to_string()))?;
            let value = match (target.is_list(), item.as_array()) {
                (true, Some(_)) => array::set(&text[span.clone()], target, &list(values))?,
                (_, _) => target.render(values)?,
            };
            Ok(splice(text, span, &value))
        }
        (Edit::Set(values), None) => insert(text, target, table, &target.render(values)?),
        (Edit::Members { remove, add }, Some((_, item))) => {
            let span = item.span().ok_or_else(|| EditError::Inline(target.to_string()))?;
            if !item.is_array() {
                return Err(EditError::NoList(target.to_string()));
            }
            Ok(splice(text, span.clone(), &array::change(&text[span], target, remove, add)?))
        }
        (Edit::Members { remove, add }, None) => {
            let default = default_list(target)?;
            insert(text, target, table, &array::change(&default, target, remove, add)?)
        }
    }
}

/// The text with one more table at its end.
pub fn add_table(text: &str, section: &Section, entries: &[(&str, Value)]) -> String {
    let mut added = ending(text);
    added.push_str(&format!("\n[[{}]]\n", section.name));
    for (key, value) in entries {
        added.push_str(&format!("{key} = {}\n", value.to_string().trim()));
    }
    format!("{text}{added}")
}

/// The text without one table of several: from its header to its last key.
pub fn remove_table(text: &str, section: &'static Section, name: &str) -> Result<String, EditError> {
    let document = parse(text)?;
    let tables = tables_of(&document, section)?;
    let table = tables.and_then(|tables| tables.iter().find(|table| called(table, section) == Some(name)));
    let Some((table, header)) = table.and_then(|table| Some((table, table.span()?))) else {
        return Err(no_such_table(section, name, tables));
    };
    let end = last_value(table).map_or(header.end, |value| value.end);
    Ok(splice(text, with_one_gap(text, lines(text, header.start..end)), ""))
}

/// A table whose only key goes, header and all: a header with nothing below it says nothing. `None` where
/// it has comments of its own, such as keys that are commented out.
fn whole_table(text: &str, table: &Table, key: &Range<usize>) -> Option<Range<usize>> {
    let header = lines(text, table.span()?);
    let header_alone = text[header.clone()].trim_start().starts_with('[') && header.end <= key.start;
    if !header_alone || !text[header.end..key.start].trim().is_empty() {
        return None;
    }
    let below = text[key.end..].lines().map(str::trim).take_while(|line| !line.starts_with('['));
    let commented_out = |line: &str| line.strip_prefix('#').is_some_and(|comment| comment.contains('='));
    let alone = !below.into_iter().any(commented_out);
    alone.then(|| with_one_gap(text, header.start..key.end))
}

/// Lines to take away, and of the empty ones around them all but one.
fn with_one_gap(text: &str, mut gone: Range<usize>) -> Range<usize> {
    if (gone.start == 0 || text[..gone.start].ends_with("\n\n")) && text[gone.end..].starts_with('\n') {
        gone.end += 1;
    } else if gone.end == text.len() && text[..gone.start].ends_with("\n\n") {
        gone.start -= 1;
    }
    gone
}

/// The names of the tables of a section, in the order of the file.
pub fn names(text: &str, section: &'static Section) -> Result<Vec<String>, EditError> {
    let document = parse(text)?;
    let tables = tables_of(&document, section)?;
    let names = tables.into_iter().flatten().filter_map(|table| called(table, section));
    Ok(names.map(str::to_owned).collect())
}

fn parse(text: &str) -> Result<Document<&str>, EditError> {
    Document::parse(text).map_err(|error| EditError::NotToml(error.message().replace('\n', ", ")))
}

/// The table that a target is in; none where the file has no such section yet.
fn find<'d>(document: &'d Document<&str>, target: &Target) -> Result<Option<&'d Table>, EditError> {
    let section = target.section;
    let Some(name) = &target.name else {
        if section.name.is_empty() {
            return Ok(Some(document.as_table()));
        }
        return match document.as_table().get(section.name) {
            None | Some(Item::None) => Ok(None),
            Some(Item::Table(table)) => Ok(Some(table)),
            Some(Item::Value(_) | Item::ArrayOfTables(_)) => {
                Err(EditError::Inline(format!("[{}]", section.name)))
            }
        };
    };
    let tables = tables_of(document, section)?;
    let found = tables.and_then(|tables| tables.iter().find(|table| called(table, section) == Some(name)));
    found.map(Some).ok_or_else(|| no_such_table(section, name, tables))
}

fn tables_of<'d>(
    document: &'d Document<&str>,
    section: &'static Section,
) -> Result<Option<&'d ArrayOfTables>, EditError> {
    match document.as_table().get(section.name) {
        None | Some(Item::None) => Ok(None),
        Some(Item::ArrayOfTables(tables)) => Ok(Some(tables)),
        Some(Item::Value(_) | Item::Table(_)) => Err(EditError::Inline(format!("[[{}]]", section.name))),
    }
}

fn called<'t>(table: &'t Table, section: &Section) -> Option<&'t str> {
    table.get(section.named_by?)?.as_str()
}

fn no_such_table(section: &'static Section, name: &str, tables: Option<&ArrayOfTables>) -> EditError {
    let names = tables.into_iter().flatten().filter_map(|table| called(table, section));
    let known: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    EditError::NoSuchTable {
        section: section.name,
        named_by: section.named_by.unwrap_or_default(),
        name: name.to_owned(),
        known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
    }
}

/// A new line behind the last key of the table, or a new table at the end.
fn insert(text: &str, target: &Target, table: Option<&Table>, value: &str) -> Result<String, EditError> {
    let key = target.key.name;
    let Some(table) = table else {
        return Ok(format!("{text}{}\n[{}]\n{key} = {value}\n", ending(text), target.section.name));
    };
    let path = if table.is_dotted() { format!("{}.{key}", target.section.name) } else { key.to_owned() };
    let behind = match last_value(table) {
        Some(value) => lines(text, value).end,
        None if target.section.name.is_empty() => 0,
        None => match table.span() {
            Some(header) => lines(text, header).end,
            None => return Err(EditError::Inline(format!("[{}]", target.section.name))),
        },
    };
    let before = ending(&text[..behind]);
    Ok(splice(text, behind..behind, &format!("{before}{path} = {value}\n")))
}

/// Where the last value of a table stands.
fn last_value(table: &Table) -> Option<Range<usize>> {
    let values = table.iter().filter(|(_, item)| item.is_value()).filter_map(|(_, item)| item.span());
    values.max_by_key(|span| span.end)
}

/// What a list is that is not written, as it would be.
fn default_list(target: &Target) -> Result<String, EditError> {
    match target.key.default {
        _ if !target.is_list() => Err(EditError::NoList(target.to_string())),
        Default::Derived(how) => Err(EditError::DerivedList { key: target.to_string(), how }),
        Default::List(_) => Ok(target.key.default.toml()),
        Default::Required | Default::Nothing => Ok("[]".to_owned()),
        Default::Bool(_) | Default::Integer(_) | Default::Text(_) => {
            Err(EditError::NoList(target.to_string()))
        }
    }
}

/// `[]` on the command line is the empty list.
fn list(values: &[String]) -> Vec<String> {
    if values == ["[]"] { Vec::new() } else { values.to_vec() }
}

impl Target {
    fn is_list(&self) -> bool {
        matches!(self.key.kind, Kind::Many(_) | Kind::WordOrMany(..))
    }

    /// The value as TOML. Formats are looked at by the check of the whole file; here only the type.
    fn render(&self, values: &[String]) -> Result<String, EditError> {
        let text = |text: &str| Value::from(text).to_string();
        let members = |values: &[String]| {
            let members: Vec<String> = values.iter().map(|value| text(value)).collect();
            format!("[{}]", members.join(", "))
        };
        match (self.key.kind, values) {
            (Kind::Many(_), values) => Ok(members(&list(values))),
            (Kind::WordOrMany(words, _), [word]) if words.contains(&word.as_str()) => Ok(text(word)),
            (Kind::WordOrMany(..), values) => Ok(members(&list(values))),
            (Kind::Bool | Kind::Integer { .. } | Kind::One(_), [] | [_, _, ..]) => {
                Err(EditError::OneValue(self.to_string()))
            }
            (Kind::Bool, [value]) if matches!(value.as_str(), "true" | "false") => Ok(value.clone()),
            (Kind::Integer { .. }, [value]) if value.parse::<u64>().is_ok() => Ok(value.clone()),
            (Kind::One(Scalar::Format(_) | Scalar::Word(_)), [value]) => Ok(text(value)),
            (kind @ (Kind::Bool | Kind::Integer { .. }), [value]) => {
                Err(EditError::WrongType { key: self.to_string(), noun: kind.noun(), value: value.clone() })
            }
        }
    }
}

/// The whole lines that a range is on, the end of the last included.
fn lines(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[range.end..].find('\n').map_or(text.len(), |at| range.end + at + 1);
    start..end
}

/// What a text lacks at its end to be whole lines.
fn ending(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { String::new() } else { "\n".to_owned() }
}

fn splice(text: &str, range: Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..range.start], &text[range.end..])
}

#[cfg(test)]
mod tests;
