//! Where an edge keeps its bundle: `data_directory/bundle`. The file `applied.bundle` is what counts, and
//! it is replaced at once; files are kept under the digest of their content and never changed, so that
//! whatever breaks off in between leaves the old bundle whole or the new one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::certstore::replace;
use crate::disk::{self, Owner, make_directory};

use super::content::File;
use super::{BUNDLE_BYTES_MAX, Bundle, BundleError, FILE_BYTES_MAX};

const APPLIED: &str = "applied.bundle";
const PREVIOUS: &str = "previous.bundle";
const FILES: &str = "files";

/// The directory, whether or not it exists.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// The right to change the store, until dropped.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    owner: Owner,
    _lock: fs::File,
}

impl Store {
    pub fn below(data_directory: &Path) -> Self {
        Self { directory: data_directory.join("bundle") }
    }

    pub fn holds_a_bundle(&self) -> bool {
        self.directory.join(APPLIED).exists()
    }

    /// The bundle in force, as it was handed over.
    ///
    /// # Errors
    /// `Disk`.
    pub fn applied(&self) -> Result<Option<Vec<u8>>, BundleError> {
        let path = self.directory.join(APPLIED);
        // It becomes `previous.bundle`, which the service user may read.
        match disk::read_owned(&path, BUNDLE_BYTES_MAX) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(BundleError::Disk { action: "read", path, source }),
        }
    }

    /// Where a file of a bundle lies: below the digest of its content, under the last part of its name.
    pub fn file(&self, name: &str, file: &File) -> PathBuf {
        let last = name.rsplit('/').next().unwrap_or(name);
        self.directory.join(FILES).join(file.digest()).join(last)
    }

    /// Whether everything that came with the bundle is there unchanged.
    ///
    /// # Errors
    /// `FileChanged`.
    pub fn check_files(&self, bundle: &Bundle) -> Result<(), BundleError> {
        for (name, file) in &bundle.content.files {
            let path = self.file(name, file);
            let same = disk::read(&path, FILE_BYTES_MAX).is_ok_and(|bytes| bytes == file.bytes);
            if !same {
                return Err(BundleError::FileChanged(path));
            }
        }
        Ok(())
    }

    /// Makes the directory if there is none, and waits for whoever changes it.
    ///
    /// # Errors
    /// `Disk`.
    pub fn writer(&self) -> Result<Writer, BundleError> {
        let failed =
            |action, path: &Path, source| BundleError::Disk { action, path: path.to_owned(), source };
        let data = self.directory.parent().unwrap_or(Path::new("."));
        let owner = Owner::of(data).map_err(|error| failed("read", data, error))?;
        for directory in [self.directory.clone(), self.directory.join(FILES)] {
            make_directory(&directory, owner).map_err(|error| failed("make", &directory, error))?;
        }
        let path = self.directory.join(".lock");
        let lock = disk::lock(&path, owner).map_err(|error| failed("lock", &path, error))?;
        Ok(Writer { store: self.clone(), owner, _lock: lock })
    }
}

impl Writer {
    /// Puts the bundle's files in place; nothing names them before `commit`.
    ///
    /// # Errors
    /// `Disk`.
    pub fn add_files(&self, bundle: &Bundle) -> Result<(), BundleError> {
        for (name, file) in &bundle.content.files {
            let path = self.store.file(name, file);
            if disk::read(&path, FILE_BYTES_MAX).is_ok_and(|bytes| bytes == file.bytes) {
                continue;
            }
            let directory = path.parent().unwrap_or(&self.store.directory);
            make_directory(directory, self.owner)
                .and_then(|()| replace(&path, &file.bytes, self.owner))
                .map_err(|source| BundleError::Disk { action: "write", path: path.clone(), source })?;
        }
        Ok(())
    }

    /// From here on the bundle is what counts. The one before is kept as `previous.bundle`.
    ///
    /// # Errors
    /// `Disk`; then the old one counts.
    pub fn commit(&self, bytes: &[u8]) -> Result<(), BundleError> {
        if let Some(before) = self.store.applied()? {
            if before == bytes {
                return Ok(());
            }
            self.write(PREVIOUS, &before)?;
        }
        self.write(APPLIED, bytes)
    }

    /// Takes `commit` back.
    ///
    /// # Errors
    /// `Disk`; then the new one counts.
    pub fn restore(&self, before: Option<&[u8]>) -> Result<(), BundleError> {
        match before {
            Some(bytes) => self.write(APPLIED, bytes),
            None => {
                let path = self.store.directory.join(APPLIED);
                fs::remove_file(&path).map_err(|source| BundleError::Disk { action: "remove", path, source })
            }
        }
    }

    /// Removes files that none of these bundles names. What cannot be removed is tried again next time.
    pub fn sweep(&self, kept: &[&Bundle]) {
        let files = kept.iter().flat_map(|bundle| bundle.content.files.values());
        let kept: BTreeSet<String> = files.map(File::digest).collect();
        let directory = self.store.directory.join(FILES);
        // Whoever owns the place may have put a link there since the lock was taken, and root removes what
        // is behind it; so what is not called by a digest stays, wherever this leads.
        let is_there = fs::symlink_metadata(&directory).is_ok_and(|found| found.is_dir());
        let entries = is_there.then(|| fs::read_dir(&directory).ok()).flatten();
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if is_digest(&name) && !kept.contains(name.as_ref()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BundleError> {
        let path = self.store.directory.join(name);
        replace(&path, bytes, self.owner).map_err(|source| BundleError::Disk {
            action: "write",
            path,
            source,
        })
    }
}

/// SHA-256 as files are called by it.
fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'))
}
