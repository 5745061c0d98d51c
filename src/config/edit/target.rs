//! Which key is meant: `SECTION.KEY`, `SECTION.NAME.KEY` or `KEY`. A name may hold dots and blanks.

use std::fmt;

use crate::config::nearest::nearest;
use crate::config::options::{self, Key, SECTIONS, Section};

use super::EditError;

/// One key of one table.
#[derive(Clone)]
pub struct Target {
    pub section: &'static Section,
    /// Of a section that repeats.
    pub name: Option<String>,
    pub key: &'static Key,
}

impl Target {
    /// Reads `partner.Woodgrove Bank.mode`, `transport.header_from`, `hostname`; a name may be quoted.
    pub fn parse(text: &str) -> Result<Self, EditError> {
        let (section, rest) = text.split_once('.').unwrap_or(("", text));
        let section = section_of(section)?;
        let Some(named_by) = section.named_by else {
            if let Some((_, key)) = rest.rsplit_once('.') {
                return Err(EditError::NameTooMuch { section: section.name, key: key.to_owned() });
            }
            return Ok(Self { section, name: None, key: key_of(section, rest)? });
        };
        match rest.rsplit_once('.') {
            None => Err(EditError::NameMissing { section: section.name, named_by, key: rest.to_owned() }),
            Some((name, key)) => {
                let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
                let name = Some(quoted.unwrap_or(name).to_owned());
                Ok(Self { section, name, key: key_of(section, key)? })
            }
        }
    }

    pub fn new(section: &'static Section, name: Option<&str>, key: &'static Key) -> Self {
        Self { section, name: name.map(str::to_owned), key }
    }
}

fn section_of(word: &str) -> Result<&'static Section, EditError> {
    SECTIONS.iter().find(|section| section.name == word).ok_or_else(|| {
        let names = SECTIONS.iter().map(|section| section.name).filter(|name| !name.is_empty());
        let remedy = match nearest(word, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`sealpost config reference` lists them".to_owned(),
        };
        EditError::NoSuchSection { word: word.to_owned(), remedy }
    })
}

fn key_of(section: &'static Section, name: &str) -> Result<&'static Key, EditError> {
    options::find(section.name, name).ok_or_else(|| {
        let remedy = match nearest(name, options::of(section.name).map(|key| key.name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if section.name.is_empty() => {
                "keys of a section are written SECTION.KEY, see `sealpost config reference`".to_owned()
            }
            None => "see `sealpost config reference`".to_owned(),
        };
        let place = if section.name.is_empty() { "the top of the file" } else { section.name };
        EditError::NoSuchKey { section: place.to_owned(), key: name.to_owned(), remedy }
    })
}

/// As `config show` and the problems of a file call it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.section.name.is_empty() {
            write!(f, "{}.", self.section.name)?;
        }
        if let Some(name) = &self.name {
            write!(f, "{}.", name.escape_debug())?;
        }
        f.write_str(self.key.name)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
