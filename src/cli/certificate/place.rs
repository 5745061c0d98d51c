//! What the commands share: the store below the data directory, the settings around it, the audit
//! log, and how they refuse.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::certstore::{self, Found, Store};
use crate::cli::{location::Location, user};
use crate::observe::{AuditEntry, AuditLog};
use crate::policy::{OwnCertificate, Settings};
use crate::{config, disk};

/// Largest file of certificates and keys read, octets.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A command ends here: exit status and one sentence.
#[derive(Debug)]
pub struct Refusal {
    pub status: u8,
    pub sentence: String,
}

/// Where the commands work.
pub struct Place {
    pub config: PathBuf,
    pub data_directory: PathBuf,
    pub store: Store,
    pub now: Timestamp,
}

impl Refusal {
    /// The answer is no, or it failed.
    pub fn no(sentence: impl std::fmt::Display) -> Self {
        Self { status: 1, sentence: sentence.to_string() }
    }

    /// Usage or configuration.
    pub fn usage(sentence: impl std::fmt::Display) -> Self {
        Self { status: 2, sentence: sentence.to_string() }
    }
}

impl From<certstore::StoreError> for Refusal {
    fn from(error: certstore::StoreError) -> Self {
        Self::no(error)
    }
}

impl From<certstore::RequestError> for Refusal {
    fn from(error: certstore::RequestError) -> Self {
        Self::no(error)
    }
}

impl Place {
    /// Reads where the data directory is, and nothing else: certificates must be at hand when the
    /// rest of the settings has an error.
    pub fn open(config: &Path) -> Result<Self, Refusal> {
        let data = Location::read(config).and_then(|location| location.data_directory());
        let data_directory = data.map_err(Refusal::usage)?;
        let store = Store::below(&data_directory);
        Ok(Self { config: config.to_owned(), data_directory, store, now: Timestamp::now() })
    }

    /// The settings as far as they can be read; `None`, with a word on standard error, where the
    /// file itself has an error.
    pub fn settings(&self) -> Option<Settings> {
        config::survey(&self.config)
            .map_err(|problems| {
                crate::cli::config::report(&problems);
                eprintln!(
                    "sealpost certificate: the settings cannot be read, so connectors are not considered"
                );
            })
            .ok()
    }

    /// The settings as far as they can be read, without a word.
    pub fn settings_if_any(&self) -> Option<Settings> {
        config::survey(&self.config).ok()
    }

    /// The settings, for commands that must not go on without.
    pub fn required_settings(&self) -> Result<Settings, Refusal> {
        config::survey(&self.config).map_err(|problems| {
            crate::cli::config::report(&problems);
            Refusal::usage("the settings have the errors above; mend them, see `sealpost config check`")
        })
    }

    /// What `text` calls in the store.
    pub fn find(&self, text: &str) -> Result<Found, Refusal> {
        self.store.find(text).map_err(|error| match self.file_certificate(text) {
            Some(own) => Refusal::no(format!(
                "certificate {} lies in {}, which [[certificate]] names, and not in the store; change the file, or \
                 import it",
                own.thumbprint, own.source
            )),
            None => error.into(),
        })
    }

    /// A certificate that `[[certificate]]` names, by its thumbprint or the beginning of it.
    pub fn file_certificate(&self, text: &str) -> Option<Arc<OwnCertificate>> {
        let digits = text.replace([':', ' '], "").to_ascii_lowercase();
        let settings = self.settings_if_any()?;
        let from_files = settings.certificates.into_iter().filter(|own| !own.is_managed());
        let mut fitting = from_files.filter(|own| digits.len() >= 8 && own.thumbprint.starts_with(&digits));
        fitting.next()
    }

    /// One line of `audit.log`; that it cannot be written is told, and stops nobody.
    pub fn audit(&self, what: &str, old: &str, new: &str) {
        let user = user::name();
        let entry = AuditEntry { at: Timestamp::now(), user: &user, what, old, new, secure_list: false };
        if let Err(error) = AuditLog::new(&self.data_directory).append(&entry) {
            eprintln!("sealpost certificate: {error}");
        }
    }
}

/// A file somebody names; `-` is standard input.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Refusal> {
    let read = match path == Path::new("-") {
        true => disk::read_all(io::stdin().lock(), FILE_BYTES_MAX),
        false => disk::open_input(path).and_then(|file| disk::read_all(file, FILE_BYTES_MAX)),
    };
    read.map_err(|error| {
        Refusal::usage(match error.kind() {
            io::ErrorKind::FileTooLarge => {
                format!("{}: {error}; give the certificate alone", path.display())
            }
            _ => format!("{}: cannot be read ({error}); name a readable file", path.display()),
        })
    })
}
