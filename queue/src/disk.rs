//! Every operation on files that the queue makes of its own, as one trait, so that a simulation can
//! put a disk of its own below the queue: one that tears, loses, fills up and fails on order. What
//! SQLite does with its files is not seen here; README.md says what is assumed of it.

mod system;

use std::fmt::Debug;
use std::io::{IoSlice, Result};
use std::path::Path;

pub use system::SystemDisk;

/// A place for files. A name is durable once its directory was synced, content once the file was.
pub trait Disk: Debug + Send + Sync {
    /// Makes a directory and those above it, for the owner only; one that is there is fine.
    fn make_directory(&self, path: &Path) -> Result<()>;
    /// Makes a file that must not be there yet, for the owner only, and opens it to read and write.
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>>;
    /// Opens a file to read it.
    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>>;
    /// Opens a file to read and write it.
    fn open_to_write(&self, path: &Path) -> Result<Box<dyn DiskFile>>;
    /// Takes the exclusive lock of a file, which is made if need be; it goes with the guard, or the
    /// process. `WouldBlock`: another has it.
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>>;
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Removes an empty directory.
    fn remove_directory(&self, path: &Path) -> Result<()>;
    /// Names of what is in a directory, in no order. One that is not UTF-8 is left out: not ours.
    fn list(&self, path: &Path) -> Result<Vec<String>>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> Result<()>;
    /// Size of a file in bytes.
    fn size(&self, path: &Path) -> Result<u64>;
    fn space(&self, path: &Path) -> Result<Space>;
}

/// An open file. Reads and writes name their place; there is no cursor.
pub trait DiskFile: Debug + Send + Sync {
    /// As many bytes as are there, at most as many as fit.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize>;
    /// Writes all parts one behind the other. After an error any part of them may stand there.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<()>;
    /// Makes the file `bytes` long, with room on the disk for all of it.
    fn preallocate(&self, bytes: u64) -> Result<()>;
    /// Makes content durable, and the size with it.
    fn sync_data(&self) -> Result<()>;
}

/// A lock that is held.
pub trait DiskLock: Debug + Send + Sync {}

/// Room on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What an unprivileged program may still use.
    pub free: u64,
    pub total: u64,
}

/// Fills `bytes`, or says that the file ends before.
pub(crate) fn read_exact_at(file: &dyn DiskFile, bytes: &mut [u8], offset: u64) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], offset + done as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => done += count,
        }
    }
    Ok(())
}
