//! Where an edge keeps its bundle: `data_directory/bundle`. The file `applied.bundle` is what counts, and
//! it is replaced at once; files are kept under the digest of their content and never changed, so that
//! whatever breaks off in between leaves the old bundle whole or the new one.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::certstore::{Owner, replace};
use crate::disk;

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
        match disk::read(&path, BUNDLE_BYTES_MAX) {
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
        let lock = lock(&path, owner).map_err(|error| failed("lock", &path, error))?;
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
        let Ok(entries) = fs::read_dir(self.store.directory.join(FILES)) else { return };
        for entry in entries.flatten() {
            if !kept.contains(entry.file_name().to_string_lossy().as_ref()) {
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

/// One directory that only its owner may enter, durably; one that is there already is kept.
fn make_directory(path: &Path, owner: Owner) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => owner.adopt(path)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        Err(error) => return Err(error),
    }
    path.parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
}

fn lock(path: &Path, owner: Owner) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
    owner.adopt(path)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}
