//! `data_directory/partners.json`: written whole beside the old one and renamed, so that a reader
//! always finds a complete record, also while the server runs.

use std::io;
use std::path::{Path, PathBuf};

use super::super::whole_file;
use super::record::{PartnerRecord, VERSION};

/// Largest record read, octets: 20,000 entries of some 3 KB.
const FILE_BYTES_MAX: u64 = 128 << 20;

/// Why the record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("cannot read the record of partners {path}: {source}; check its owner", path = .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "the record of partners {path} is not understood: {why}; move it away, it is begun anew",
        path = .path.display()
    )]
    Damaged { path: PathBuf, why: String },
    #[error(
        "cannot write the record of partners {path}: {source}; check the owner of the directory and the free space",
        path = .path.display()
    )]
    Write { path: PathBuf, source: io::Error },
}

/// Where the record of a data directory lies.
pub fn path(data_directory: &Path) -> PathBuf {
    data_directory.join("partners.json")
}

/// The record; an empty one where none was written yet.
pub fn read(data_directory: &Path) -> Result<PartnerRecord, RecordError> {
    let path = path(data_directory);
    let bytes = match whole_file::read(&path, FILE_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(PartnerRecord::default()),
        Err(source) => return Err(RecordError::Read { path, source }),
    };
    let mut record: PartnerRecord = match serde_json::from_slice(&bytes) {
        Ok(record) => record,
        Err(error) => return Err(RecordError::Damaged { path, why: error.to_string() }),
    };
    if record.version != VERSION {
        let why = format!("it has version {}, and this program writes {VERSION}", record.version);
        return Err(RecordError::Damaged { path, why });
    }
    record.domains.sort_by(|a, b| (&a.domain, a.direction).cmp(&(&b.domain, b.direction)));
    Ok(record)
}

/// Writes the record, mode 0600, and makes it durable. Blocks on the disk.
pub fn write(data_directory: &Path, record: &PartnerRecord) -> Result<(), RecordError> {
    let path = path(data_directory);
    let bytes = serde_json::to_vec(record).map_err(io::Error::other);
    let written = bytes.and_then(|bytes| whole_file::replace(&path, &bytes));
    written.map_err(|source| RecordError::Write { path, source })
}
