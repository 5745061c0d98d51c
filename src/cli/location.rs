//! Where a server keeps its things, read from its configuration without checking the rest: logs
//! and counters must be readable when the settings have an error, which is when they are needed.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::config;
use crate::disk;

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
    #[error("{path} is no TOML: {message}; mend it, see `sealpost config check`", path = .path.display())]
    Syntax { path: PathBuf, message: String },
    #[error("{path}: data_directory is not set to a path; set it", path = .0.display())]
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
        let table = text
            .parse::<Table>()
            .map_err(|error| LocationError::Syntax { path: path(), message: error.message().to_owned() })?;
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
    pub fn partner_domains(&self, name: &str) -> Result<Vec<String>, LocationError> {
        let partners = self.table.get("partner").and_then(Value::as_array);
        let partner = partners.into_iter().flatten().filter_map(Value::as_table).find(|partner| {
            partner.get("name").and_then(Value::as_str).is_some_and(|own| own.eq_ignore_ascii_case(name))
                || domains(partner).iter().any(|domain| domain.eq_ignore_ascii_case(name))
        });
        partner
            .map(domains)
            .or_else(|| self.shared_partner_domains(name))
            .ok_or_else(|| LocationError::NoSuchPartner { path: self.file.clone(), name: name.to_owned() })
    }

    /// As far as the settings can be read.
    fn shared_partner_domains(&self, name: &str) -> Option<Vec<String>> {
        let document = config::read(&self.file).ok().filter(|document| document.bundle.is_some())?;
        let domains = |partner: &config::Table| {
            partner.items("domains").iter().map(|item| item.text.clone()).collect::<Vec<_>>()
        };
        let mut partners = document.tables("partner");
        let found = partners.find(|partner| {
            partner.name().is_some_and(|own| own.eq_ignore_ascii_case(name))
                || domains(partner).iter().any(|domain| domain.eq_ignore_ascii_case(name))
        });
        found.map(domains)
    }
}

fn domains(partner: &Table) -> Vec<String> {
    let domains = partner.get("domains").and_then(Value::as_array);
    domains.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_although_other_settings_are_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sealpost.toml");
        let text = "data_directory = \"data\"\nnonsense = 1\n[protocol_log]\ndirectory = \"logs\"\n\
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
    fn what_is_missing_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sealpost.toml");
        assert!(matches!(Location::read(&file), Err(LocationError::Read { .. })));
        std::fs::write(&file, "data_directory =").unwrap();
        assert!(matches!(Location::read(&file), Err(LocationError::Syntax { .. })));
        std::fs::write(&file, "").unwrap();
        let location = Location::read(&file).unwrap();
        assert!(matches!(location.protocol_log(), Err(LocationError::NoDataDirectory(_))));
    }
}
