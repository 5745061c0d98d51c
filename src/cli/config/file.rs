//! The configuration file as the commands change it: by one at a time, whole or not at all, and never
//! into something that the server would refuse.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use crate::cli::certificate::place::Refusal;
use crate::config::{self, FILE_BYTES_MAX};
use crate::disk;

use super::written::Written;

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
        let written = Written::new(before.as_ref(), &loaded);
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
