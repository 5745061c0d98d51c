//! The users file as the commands change it: whole, by one at a time, and for the server's eyes only.

use std::fs::File;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::FlockOperation;

use crate::certstore::{self, Owner};
use crate::cli::certificate::place::Refusal;
use crate::cli::{self, user};
use crate::config::format;
use crate::config::users_file::{self, Entry, Line};
use crate::disk;
use crate::observe::{AuditEntry, AuditLog};

/// Octets of the secret that a new file begins with.
const SECRET_BYTES: usize = 32;

pub struct UsersFile {
    path: PathBuf,
    data_directory: PathBuf,
    /// As it stands on the disk; lines that nobody changes stay as they are.
    lines: Vec<String>,
    _lock: File,
}

impl UsersFile {
    /// Reads the file that the settings name, if there is one yet; nobody else changes it meanwhile.
    pub fn open(config: &Path) -> Result<Self, Refusal> {
        let document = crate::config::read(config).map_err(|problems| {
            cli::config::report(&problems);
            Refusal::usage("the settings have the errors above; mend them, see `sealpost config check`")
        })?;
        let named = document.table("authentication").read("users_file", format::path);
        let Some(named) = named else {
            return Err(Refusal::usage(format!(
                "{} names no file of users; write users_file = \"users\" below [authentication]",
                config.display()
            )));
        };
        let path = document.resolve(named);
        let data = document.table("").read("data_directory", format::path).unwrap_or(".".as_ref());
        let data_directory = document.resolve(data);
        let directory = path.parent().unwrap_or(Path::new("."));
        let failed = |error: std::io::Error| {
            Refusal::no(format!("cannot use {}: {error}; check path and permissions", path.display()))
        };
        let lock = File::open(directory).map_err(failed)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        let lines = match disk::read(&path, users_file::BYTES_MAX) {
            Ok(bytes) => text_of(bytes, &path)?.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secret: [u8; SECRET_BYTES] = rand::random();
                users_file::beginning(&secret).lines().map(str::to_owned).collect()
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { path, data_directory, lines, _lock: lock })
    }

    /// Everyone who can be read.
    pub fn entries(&self) -> Vec<Entry> {
        self.lines.iter().filter_map(|line| entry_of(line)).collect()
    }

    pub fn find(&self, name: &str) -> Option<Entry> {
        self.place_of(name).and_then(|place| entry_of(&self.lines[place]))
    }

    /// Adds a user, or puts him in the place of the one of that name, who is handed back.
    pub fn put(&mut self, entry: &Entry) -> Result<Option<Entry>, Refusal> {
        let before = self.find(&entry.name);
        match self.place_of(&entry.name) {
            Some(place) => self.lines[place] = entry.to_string(),
            None => self.lines.push(entry.to_string()),
        }
        self.write()?;
        Ok(before)
    }

    pub fn remove(&mut self, name: &str) -> Result<Option<Entry>, Refusal> {
        let Some(place) = self.place_of(name) else { return Ok(None) };
        let line = self.lines.remove(place);
        self.write()?;
        Ok(entry_of(&line))
    }

    /// One line of `audit.log`; that it cannot be written is told, and stops nobody.
    pub fn audit(&self, what: &str, old: &str, new: &str) {
        let user = user::name();
        let entry = AuditEntry { at: Timestamp::now(), user: &user, what, old, new, secure_list: false };
        if let Err(error) = AuditLog::new(&self.data_directory).append(&entry) {
            eprintln!("sealpost user: {error}");
        }
    }

    fn place_of(&self, name: &str) -> Option<usize> {
        self.lines.iter().position(|line| entry_of(line).is_some_and(|entry| entry.name == name))
    }

    /// Whole or not at all, readable by its owner alone: whose the old file is, else the data directory.
    fn write(&self) -> Result<(), Refusal> {
        let text = self.lines.join("\n") + "\n";
        let model = if self.path.exists() { &self.path } else { &self.data_directory };
        Owner::of(model)
            .or_else(|_| Owner::of(self.path.parent().unwrap_or(Path::new("."))))
            .and_then(|owner| certstore::replace(&self.path, text.as_bytes(), owner))
            .map_err(|error| {
                let path = self.path.display();
                Refusal::no(format!("cannot write {path}: {error}; name a file that can be written"))
            })
    }
}

fn entry_of(line: &str) -> Option<Entry> {
    match users_file::line(line) {
        Ok(Line::User(entry)) => Some(entry),
        Ok(Line::Nothing | Line::Secret(_)) | Err(_) => None,
    }
}

fn text_of(bytes: Vec<u8>, path: &Path) -> Result<String, Refusal> {
    String::from_utf8(bytes)
        .map_err(|_| Refusal::no(format!("{} is not UTF-8; save it as UTF-8", path.display())))
}
