//! Content files: `content/xx/ID` for messages too large to stand in the index. Layout in README.md.
//! A file is created exclusively, filled, completed with its envelope and header, synced, and only
//! then named by a record; so a file without a record was never acknowledged.

use std::io::{IoSlice, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, read_exact_at};
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
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    len: u64,
    /// CRC32C of it so far.
    check: u32,
    complete: bool,
    kept: bool,
}

impl ContentFile {
    pub(crate) fn create(disk: &Arc<dyn Disk>, directory: &Path, id: MessageId) -> Result<Self, Error> {
        let path = path_of(directory, id);
        let file = disk.create(&path).map_err(|error| Error::io("create the content file", &path, error))?;
        Ok(Self { disk: disk.clone(), path, file, len: 0, check: 0, complete: false, kept: false })
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write(bytes, header::BYTES + self.len)?;
        self.len += bytes.len() as u64;
        self.check = crc32c::crc32c_append(self.check, bytes);
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
        self.write(&envelope, header::BYTES + self.len)?;
        self.write(&Header::new(id, self.len, self.check, &envelope).render(), 0)?;
        self.file.sync_data().map_err(|error| self.sync_failed(error))?;
        let parent = self.path.parent().unwrap_or(Path::new("."));
        self.disk.sync_directory(parent).map_err(|error| self.sync_failed(error))?;
        self.complete = true;
        Ok(())
    }

    /// Whether `complete` was done.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// A record names the file now, or may after a crash.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        let written = self.file.write_at(&[IoSlice::new(bytes)], offset);
        written.map_err(|error| Error::io("write the content file", &self.path, error))
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
            let _ = self.disk.remove(&self.path);
        }
    }
}

/// The content of a stored message, read from its file: the content alone, from its first byte.
#[derive(Debug)]
pub struct ContentReader {
    file: Box<dyn DiskFile>,
    at: u64,
    len: u64,
}

impl Read for ContentReader {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let left = self.len.saturating_sub(self.at);
        let wanted = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut bytes[..wanted], header::BYTES + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for ContentReader {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        self.at = place.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Opens the content of a stored message.
pub(crate) fn open(
    disk: &dyn Disk,
    directory: &Path,
    id: MessageId,
    len: u64,
) -> Result<ContentReader, Error> {
    let path = path_of(directory, id);
    let file = disk.open(&path).map_err(|error| Error::io("open the content file", &path, error))?;
    let header = read_header(&*file, &path)?;
    if header.id != id || header.content_len != len {
        return Err(Error::Damaged { path, what: "its header belongs to another message" });
    }
    Ok(ContentReader { file, at: 0, len })
}

/// Opens the content of a message that is offered: its file may have no header yet.
pub(crate) fn open_offered(
    disk: &dyn Disk,
    directory: &Path,
    id: MessageId,
    len: u64,
) -> Result<ContentReader, Error> {
    let path = path_of(directory, id);
    let file = disk.open(&path).map_err(|error| Error::io("open the content file", &path, error))?;
    Ok(ContentReader { file, at: 0, len })
}

/// Reads id and envelope back from a file, to rebuild a lost index. `None`: it was never completed.
pub(crate) fn recover(disk: &dyn Disk, path: &Path) -> Result<Option<(MessageId, NewMessage, u64)>, Error> {
    let file = disk.open(path).map_err(|error| Error::io("open the content file", path, error))?;
    let Ok(header) = read_header(&*file, path) else { return Ok(None) };
    let mut envelope = vec![0; header.envelope_len as usize];
    if read_exact_at(&*file, &mut envelope, header::BYTES + header.content_len).is_err() {
        return Ok(None);
    }
    Ok(header.open_envelope(&envelope).map(|message| (header.id, message, header.content_len)))
}

/// What is wrong with the file of a message, read from end to end.
pub(crate) fn verify(
    disk: &dyn Disk,
    directory: &Path,
    id: MessageId,
    len: u64,
) -> Result<Option<&'static str>, Error> {
    let path = path_of(directory, id);
    let failed = |error| Error::io("read the content file", &path, error);
    let file = match disk.open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Some("is gone")),
        opened => opened.map_err(failed)?,
    };
    let Ok(header) = read_header(&*file, &path) else { return Ok(Some("has no valid header")) };
    if header.id != id || header.content_len != len {
        return Ok(Some("has the header of another message"));
    }
    let mut content = ContentReader { file, at: 0, len };
    let (mut chunk, mut check, mut left) = (vec![0; 1 << 20], 0, len);
    while left > 0 {
        let count = content.read(&mut chunk).map_err(failed)?;
        if count == 0 {
            return Ok(Some("is cut short"));
        }
        check = crc32c::crc32c_append(check, &chunk[..count]);
        left -= count as u64;
    }
    let damaged = header.content_check.is_some_and(|wanted| wanted != check);
    if damaged {
        return Ok(Some("has damaged content"));
    }
    Ok(recover(disk, &path)?.is_none().then_some("has a damaged envelope"))
}

fn read_header(file: &dyn DiskFile, path: &Path) -> Result<Header, Error> {
    let mut bytes = [0; header::BYTES as usize];
    read_exact_at(file, &mut bytes, 0)
        .ok()
        .and_then(|()| Header::parse(&bytes))
        .ok_or_else(|| Error::Damaged { path: path.to_path_buf(), what: "it has no valid header" })
}
