//! Where a server keeps its things, read from its configuration without checking the rest: logs
//! and counters must be readable when the settings have an error, which is when they are needed.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::mail::Domain;
use crate::{config, disk, policy};

/// Lines that are no TOML, left out one by one.
const MISTAKES_MAX: usize = 20;

/// What these commands need of a configuration file.
#[derive(Debug)]
pub struct Location {
    file: PathBuf,
    table: Table,
}

/// Why the place is not known.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    #[error("cannot read {path}: {source}; name the configuration with -c", path = .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: data_directory is not set to a path; set it, see `sealpost config check`", path = .0.display())]
    NoDataDirectory(PathBuf),
    #[error("{path}: no partner is called {name}; `sealpost config show partner` lists them", path = .path.display())]
    NoSuchPartner { path: PathBuf, name: String },
}

impl Location {
    pub fn read(file: &Path) -> Result<Self, LocationError> {
        let path = || file.to_owned();
        let failed = |source| LocationError::Read { path: path(), source };
        let bytes = disk::read(file, config::FILE_BYTES_MAX).map_err(failed)?;
        let text = String::from_utf8(bytes).map_err(|error| failed(std::io::Error::other(error)))?;
        let (table, mistake) = without_mistakes(&text);
        if let Some(mistake) = mistake {
            warn(file, &mistake);
        }
        Ok(Self { file: path(), table })
    }

    /// Relative paths are relative to the file.
    pub fn data_directory(&self) -> Result<PathBuf, LocationError> {
        let directory = self.table.get("data_directory").and_then(Value::as_str);
        let directory = directory.ok_or_else(|| LocationError::NoDataDirectory(self.file.clone()))?;
        Ok(self.file.parent().unwrap_or(Path::new("")).join(directory))
    }

    /// `[protocol_log].directory`, below the data directory.
    pub fn protocol_log(&self) -> Result<PathBuf, LocationError> {
        let section = self.table.get("protocol_log").and_then(Value::as_table);
        let directory = section.and_then(|section| section.get("directory")).and_then(Value::as_str);
        Ok(self.data_directory()?.join(directory.unwrap_or("protocol-log")))
    }

    /// `[message_tracking].directory`, by default that of the protocol log.
    pub fn message_tracking(&self) -> Result<PathBuf, LocationError> {
        let section = self.table.get("message_tracking").and_then(Value::as_table);
        let directory = section.and_then(|section| section.get("directory")).and_then(Value::as_str);
        match directory {
            Some(directory) => Ok(self.data_directory()?.join(directory)),
            None => self.protocol_log(),
        }
    }

    /// The domains of a partner, by its name or one of its domains; a bundle may be what names it.
    pub fn partner_domains(&self, wanted: &str) -> Result<Vec<String>, LocationError> {
        let is_called = |(name, domains): &(String, Vec<String>)| {
            let domains: Vec<Domain> =
                domains.iter().filter_map(|one| Domain::parse_rooted(one).ok()).collect();
            policy::is_called(name, &domains, wanted)
        };
        let found = self.own_partners().into_iter().find(is_called);
        found
            .or_else(|| self.shared_partners().into_iter().find(is_called))
            .map(|(_, domains)| domains)
            .ok_or_else(|| LocationError::NoSuchPartner { path: self.file.clone(), name: wanted.to_owned() })
    }

    /// Names and domains of the partners in this file.
    fn own_partners(&self) -> Vec<(String, Vec<String>)> {
        let partners = self.table.get("partner").and_then(Value::as_array);
        let partners = partners.into_iter().flatten().filter_map(Value::as_table).map(|partner| {
            let name = partner.get("name").and_then(Value::as_str).unwrap_or_default();
            let domains = partner.get("domains").and_then(Value::as_array).into_iter().flatten();
            (name.to_owned(), domains.filter_map(Value::as_str).map(str::to_owned).collect())
        });
        partners.collect()
    }

    /// The same of the bundle's, as far as the settings can be read.
    fn shared_partners(&self) -> Vec<(String, Vec<String>)> {
        let document = config::read(&self.file).ok().filter(|document| document.bundle.is_some());
        let Some(document) = document else { return Vec::new() };
        let partners = document.tables("partner").map(|partner| {
            let domains = partner.items("domains").iter().map(|item| item.text.clone());
            (partner.name().unwrap_or_default().to_owned(), domains.collect())
        });
        partners.collect()
    }
}

/// A line that is no TOML.
struct Mistake {
    /// From 0.
    line: usize,
    message: String,
}

/// What can be read without the lines that are no TOML, and the first of these. Where there are more
/// than a few, such as behind a bracket that is never closed, what stands before them.
fn without_mistakes(text: &str) -> (Table, Option<Mistake>) {
    let mut lines: Vec<&str> = text.lines().collect();
    let mut first: Option<Mistake> = None;
    for _ in 0..=MISTAKES_MAX {
        let left = lines.join("\n");
        let error: toml::de::Error = match left.parse() {
            Ok(table) => return (table, first),
            Err(error) => error,
        };
        let before = error.span().and_then(|span| left.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count();
        first.get_or_insert_with(|| Mistake { line, message: error.message().replace('\n', ", ") });
        match lines.get_mut(line).filter(|line| !line.is_empty()) {
            Some(wrong) => *wrong = "",
            // The mistake is further up.
            None => break,
        }
    }
    let mut before: Vec<&str> = text.lines().take(first.as_ref().map_or(0, |first| first.line)).collect();
    loop {
        match before.join("\n").parse() {
            Ok(table) => return (table, first),
            Err(_) => before.pop(),
        };
    }
}

/// Says once in a command that the file is not what a server would take.
fn warn(file: &Path, mistake: &Mistake) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        eprintln!(
            "sealpost: {}:{}: {}; a reload would refuse this file, and a server that runs goes on with the settings \
             it has: see `sealpost config check`",
            file.display(),
            mistake.line + 1,
            mistake.message
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_although_other_settings_are_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sealpost.toml");
        let text = "data_directory = \"data\"\nnonsense = 1\nthis is no TOML\nport = = 25\n[protocol_log]\ndirectory = \"logs\"\n\
                    [[partner]]\nname = \"Woodgrove Bank\"\ndomains = [\"woodgrovebank.example\"]\n";
        std::fs::write(&file, text).unwrap();
        let location = Location::read(&file).unwrap();
        assert_eq!(location.data_directory().unwrap(), directory.path().join("data"));
        assert_eq!(location.protocol_log().unwrap(), directory.path().join("data/logs"));
        assert_eq!(location.message_tracking().unwrap(), directory.path().join("data/logs"));
        for name in ["woodgrove bank", "woodgrovebank.example"] {
            assert_eq!(location.partner_domains(name).unwrap(), ["woodgrovebank.example"]);
        }
        assert!(matches!(location.partner_domains("x"), Err(LocationError::NoSuchPartner { .. })));
    }

    #[test]
    fn behind_a_bracket_that_is_never_closed_nothing_is_read() {
        let text = format!("data_directory = \"data\"\n[queue\ncut_through = [\n{}", "x = 1\n".repeat(100));
        let (table, first) = without_mistakes(&text);
        assert_eq!(
            (table["data_directory"].as_str(), first.map(|first| first.line)),
            (Some("data"), Some(1))
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sealpost.toml");
        assert!(matches!(Location::read(&file), Err(LocationError::Read { .. })));
        std::fs::write(&file, "data_directory =").unwrap();
        let location = Location::read(&file).unwrap();
        assert!(matches!(location.data_directory(), Err(LocationError::NoDataDirectory(_))));
        std::fs::write(&file, "").unwrap();
        let location = Location::read(&file).unwrap();
        assert!(matches!(location.protocol_log(), Err(LocationError::NoDataDirectory(_))));
    }
}
