//! `data_directory/tls-reports.json`.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::whole_file;
use super::Days;

const VERSION: u32 = 1;
/// Largest file read, octets.
const FILE_BYTES_MAX: u64 = 256 << 20;

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    days: &'a Days,
}

#[derive(Deserialize)]
struct Read {
    version: u32,
    days: Days,
}

/// Why the counts cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportsError {
    #[error("cannot read the counts for TLS reports {path}: {source}; check its owner", path = .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "the counts for TLS reports {path} are not understood: {why}; move the file away, it is begun anew",
        path = .path.display()
    )]
    Damaged { path: PathBuf, why: String },
    #[error(
        "cannot write the counts for TLS reports {path}: {source}; check the owner of the directory and the free space",
        path = .path.display()
    )]
    Write { path: PathBuf, source: io::Error },
}

pub fn path(data_directory: &Path) -> PathBuf {
    data_directory.join("tls-reports.json")
}

/// The counts; none where nothing was written yet.
pub fn read(data_directory: &Path) -> Result<Days, ReportsError> {
    let path = path(data_directory);
    let bytes = match whole_file::read(&path, FILE_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Days::default()),
        Err(source) => return Err(ReportsError::Read { path, source }),
    };
    let read: Read = match serde_json::from_slice(&bytes) {
        Ok(read) => read,
        Err(error) => return Err(ReportsError::Damaged { path, why: error.to_string() }),
    };
    if read.version != VERSION {
        let why = format!("it has version {}, and this program writes {VERSION}", read.version);
        return Err(ReportsError::Damaged { path, why });
    }
    Ok(read.days)
}

/// Makes the counts durable. Blocks on the disk.
pub fn write(data_directory: &Path, days: &Days) -> Result<(), ReportsError> {
    let path = path(data_directory);
    let bytes = serde_json::to_vec(&Written { version: VERSION, days }).map_err(io::Error::other);
    let written = bytes.and_then(|bytes| whole_file::replace(&path, &bytes));
    written.map_err(|source| ReportsError::Write { path, source })
}
