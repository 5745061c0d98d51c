//! The configuration file as the commands change it: by one at a time, whole or not at all, and never
//! into something that the server would refuse.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::FlockOperation;
use serde_json::json;

use crate::cli::certificate::place::{Refusal, print_json, print_out};
use crate::cli::{reload, user};
use crate::config::{self, Change, FILE_BYTES_MAX, differences};
use crate::disk;
use crate::observe::text::escape;
use crate::observe::{AuditEntry, AuditLog};

/// How long a command waits for another that changes the file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Nobody else of us changes it until this is dropped.
pub struct ConfigFile {
    /// As it was called.
    name: PathBuf,
    /// Where it is; a link is not replaced by a file.
    place: PathBuf,
    pub text: String,
    _lock: File,
}

/// What a change came to.
pub struct Written {
    pub changes: Vec<Change>,
    data_directory: PathBuf,
}

impl ConfigFile {
    pub fn open(name: &Path) -> Result<Self, Refusal> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Refusal::usage(format!(
                "cannot {what} {}: {error}; check the path given with -c, and who may write there",
                name.display()
            ))
        };
        let place = std::fs::canonicalize(name).map_err(|error| failed("find", &error))?;
        let lock = lock(place.parent().unwrap_or(Path::new("/"))).map_err(|error| failed("lock", &error))?;
        let bytes = disk::read(&place, FILE_BYTES_MAX).map_err(|error| failed("read", &error))?;
        let text = String::from_utf8(bytes).map_err(|_| failed("read", &"it is not UTF-8"))?;
        Ok(Self { name: name.to_owned(), place, text, _lock: lock })
    }

    /// Puts `text` into its place if the server would take it; else the problems are told.
    pub fn replace(self, text: &str) -> Result<Written, Refusal> {
        let loaded = config::load_text(&self.name, text).map_err(|problems| {
            super::report(&problems);
            let name = self.name.display();
            Refusal::usage(format!(
                "with this change {name} would have the errors above, so it is left as it is; mend them with it"
            ))
        })?;
        super::report(&loaded.warnings);
        let before = config::glance(&self.name, &self.text);
        let changes = before.map(|before| differences(&before, &loaded.document)).unwrap_or_default();
        let written = Written { changes, data_directory: loaded.settings.data_directory };
        if text != self.text {
            self.write(text).map_err(|error| {
                let place = self.place.display();
                Refusal::no(format!("cannot replace {place}: {error}; check who may write in its directory"))
            })?;
            written.audit();
        }
        Ok(written)
    }

    /// With the mode and the owner of the old file; durable once this returns.
    fn write(&self, text: &str) -> io::Result<()> {
        let directory = self.place.parent().unwrap_or(Path::new("/"));
        let old = std::fs::metadata(&self.place)?;
        let mut new = tempfile::Builder::new().prefix(".sealpost-").tempfile_in(directory)?;
        new.write_all(text.as_bytes())?;
        let fresh = new.as_file().metadata()?;
        if (old.uid(), old.gid()) != (fresh.uid(), fresh.gid()) {
            fchown(new.as_file(), Some(old.uid()), Some(old.gid()))?;
        }
        new.as_file().set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        new.as_file().sync_all()?;
        new.persist(&self.place).map_err(|error| error.error)?;
        File::open(directory)?.sync_all()
    }
}

fn lock(directory: &Path) -> io::Result<File> {
    let file = File::open(directory)?;
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("another command has been changing it for {} s", LOCK_TIMEOUT.as_secs()),
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl Written {
    /// One line of `audit.log` a key; that it cannot be written is told, and stops nobody.
    fn audit(&self) {
        let log = AuditLog::new(&self.data_directory);
        let user = user::name();
        for change in &self.changes {
            let entry = AuditEntry {
                at: Timestamp::now(),
                user: &user,
                what: &format!("config set: {}", change.key),
                old: change.old.as_deref().unwrap_or_default(),
                new: change.new.as_deref().unwrap_or_default(),
                secure_list: change.secure_list,
            };
            if let Err(error) = log.append(&entry) {
                eprintln!("sealpost config: {error}");
                return;
            }
        }
    }

    fn needs(&self) -> &'static str {
        match self.changes.iter().any(|change| change.restart) {
            _ if self.changes.is_empty() => "nothing",
            true => "restart",
            false => "reload",
        }
    }

    /// Tells what changed and what is to be done so that it counts; with `reload` does it. Gives the
    /// exit status.
    pub fn tell(&self, config: &Path, reload: bool, json: bool) -> u8 {
        let needs = self.needs();
        let status = match needs {
            "reload" if reload => reload::status(config),
            "restart" if reload => {
                eprintln!(
                    "sealpost config: the file is written, and only a restart of the server takes it up"
                );
                1
            }
            _ => 0,
        };
        if json {
            let changes = self.changes.iter().map(|change| {
                json!({
                    "key": change.key, "old": change.old, "new": change.new,
                    "restart": change.restart, "secure_list": change.secure_list,
                })
            });
            let reloaded = reload && needs == "reload" && status == 0;
            print_json(
                &json!({"changes": changes.collect::<Vec<_>>(), "needs": needs, "reloaded": reloaded}),
            );
            return status;
        }
        let mut text = String::new();
        for change in &self.changes {
            let [old, new] =
                [&change.old, &change.new].map(|value| escape(value.as_deref().unwrap_or("(none)")));
            text.push_str(&format!("{}: {old} -> {new}\n", escape(&change.key)));
        }
        text.push_str(match needs {
            "nothing" => "nothing that counts has changed\n",
            "restart" => "it takes effect when the server starts anew\n",
            _ if !reload => "it takes effect with `sealpost config reload`\n",
            _ if status == 0 => "the running server has taken it\n",
            _ => "the file is written, and the running server has not taken it\n",
        });
        print_out(text.as_bytes());
        status
    }
}
