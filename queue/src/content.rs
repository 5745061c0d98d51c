//! Content files: `content/xx/ID` for messages too large to stand in the index. Layout in README.md.
//! A file is created exclusively, filled, completed with its envelope and header, synced, and only
//! then named by a record; so a file without a record was never acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, MessageId, NewMessage};

pub(crate) mod header;

use header::Header;

pub(crate) const DIRECTORY: &str = "content";

pub(crate) fn path_of(directory: &Path, id: MessageId) -> PathBuf {
    directory.join(DIRECTORY).join(format!("{:02X}", id.0 & 0xff)).join(id.to_string())
}

/// A content file that no record names yet. Dropped, it deletes itself, unless `keep` was called.
#[derive(Debug)]
pub(crate) struct ContentFile {
    path: PathBuf,
    file: File,
    len: u64,
    kept: bool,
}

impl ContentFile {
    pub(crate) fn create(directory: &Path, id: MessageId) -> Result<Self, Error> {
        let path = path_of(directory, id);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Error::io("create the content file", &path, error))?;
        let mut this = Self { path, file, len: 0, kept: false };
        this.file
            .seek(SeekFrom::Start(header::BYTES))
            .map_err(|error| Error::io("write the content file", &this.path, error))?;
        Ok(this)
    }

    /// One found on the disk when the index is rebuilt.
    pub(crate) fn found(path: &Path, len: u64) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::io("open the content file", path, error))?;
        Ok(Self { path: path.to_path_buf(), file, len, kept: true })
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|error| Error::io("write the content file", &self.path, error))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Bytes of content so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds envelope and header and makes file and name durable. Blocks for as long as the disk
    /// takes. A failed sync is `Error::Failed`: what the disk holds is unknown from then on.
    pub(crate) fn complete(&mut self, id: MessageId, message: &NewMessage) -> Result<(), Error> {
        let envelope = header::envelope(message);
        self.file
            .write_all(&envelope)
            .and_then(|()| self.file.write_all_at(&Header::new(id, self.len, &envelope).render(), 0))
            .map_err(|error| Error::io("write the content file", &self.path, error))?;
        self.file.sync_data().map_err(|error| self.sync_failed(error))?;
        let parent = self.path.parent().unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| self.sync_failed(error))
    }

    /// A record names the file now, or may after a crash.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    fn sync_failed(&self, error: std::io::Error) -> Error {
        match Error::io("sync", &self.path, error) {
            Error::Io { source, .. } => Error::Failed(format!("sync of {}: {source}", self.path.display())),
            full => full,
        }
    }
}

impl Drop for ContentFile {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be deleted now is an orphan that the next start sweeps.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens the content of a stored message, cursor at its first byte.
pub(crate) fn open(directory: &Path, id: MessageId, len: u64) -> Result<File, Error> {
    let path = path_of(directory, id);
    let mut file = File::open(&path).map_err(|error| Error::io("open the content file", &path, error))?;
    let header = read_header(&mut file, &path)?;
    if header.id != id || header.content_len != len {
        return Err(Error::Damaged { path, what: "its header belongs to another message" });
    }
    file.seek(SeekFrom::Start(header::BYTES))
        .map_err(|error| Error::io("read the content file", &path, error))?;
    Ok(file)
}

/// Reads id and envelope back from a file, to rebuild a lost index. `None`: it was never completed.
pub(crate) fn recover(path: &Path) -> Result<Option<(MessageId, NewMessage, u64)>, Error> {
    let mut file = File::open(path).map_err(|error| Error::io("open the content file", path, error))?;
    let Ok(header) = read_header(&mut file, path) else { return Ok(None) };
    let mut envelope = vec![0; header.envelope_len as usize];
    if file.read_exact_at(&mut envelope, header::BYTES + header.content_len).is_err() {
        return Ok(None);
    }
    Ok(header.open_envelope(&envelope).map(|message| (header.id, message, header.content_len)))
}

fn read_header(file: &mut File, path: &Path) -> Result<Header, Error> {
    let mut bytes = [0; header::BYTES as usize];
    file.read_exact(&mut bytes)
        .ok()
        .and_then(|()| Header::parse(&bytes))
        .ok_or_else(|| Error::Damaged { path: path.to_path_buf(), what: "it has no valid header" })
}
