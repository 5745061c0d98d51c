//! The files of the operating system.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;

use super::{Disk, DiskFile, DiskLock, Space};

/// Written at a time where the file system cannot reserve room by itself.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn make_directory(&self, path: &Path) -> Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn open_to_write(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> Result<()> {
        std::fs::remove_dir(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn sync_directory(&self, path: &Path) -> Result<()> {
        File::open(path)?.sync_all()
    }

    fn size(&self, path: &Path) -> Result<u64> {
        Ok(std::fs::metadata(path)?.len())
    }

    fn space(&self, path: &Path) -> Result<Space> {
        let disk = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(Space { free: bytes(disk.f_bavail), total: bytes(disk.f_blocks) })
    }
}

impl DiskFile for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize> {
        loop {
            match FileExt::read_at(self, bytes, offset) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<()> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let written = match parts {
            [_, _, ..] => pwritev(self, parts, offset)?,
            _ => 0,
        };
        if written == total { Ok(()) } else { write_rest(self, parts, offset, written) }
    }

    fn preallocate(&self, bytes: u64) -> Result<()> {
        match rustix::fs::fallocate(self, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(self, bytes),
            result => result.map_err(Error::from),
        }
    }

    fn sync_data(&self) -> Result<()> {
        File::sync_data(self)
    }
}

impl DiskLock for File {}

fn pwritev(file: &File, parts: &[IoSlice<'_>], offset: u64) -> Result<usize> {
    match rustix::io::pwritev(file, parts, offset) {
        Err(Errno::INTR) => Ok(0),
        result => result.map_err(Error::from),
    }
}

/// What one call did not take: more parts than the system allows, or an interrupted write.
fn write_rest(file: &File, parts: &[IoSlice<'_>], offset: u64, mut written: usize) -> Result<()> {
    let mut at = offset;
    for part in parts {
        let skipped = written.min(part.len());
        written -= skipped;
        file.write_all_at(&part[skipped..], at + skipped as u64)?;
        at += part.len() as u64;
    }
    Ok(())
}

fn write_zeros(file: &File, bytes: u64) -> Result<()> {
    let mut at = 0;
    while at < bytes {
        let count = (bytes - at).min(ZEROS.len() as u64);
        file.write_all_at(&ZEROS[..count as usize], at)?;
        at += count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn many_parts_stand_one_behind_the_other() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        let file = SystemDisk.create(&path).unwrap();
        // More than one call of the system takes.
        let parts: Vec<Vec<u8>> = (0..3_000_u32).map(|number| number.to_le_bytes().to_vec()).collect();
        let slices: Vec<IoSlice> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file.write_at(&slices, 100).unwrap();
        let written = std::fs::read(&path).unwrap();
        assert_eq!(written[100..], parts.concat());
        assert!(SystemDisk.create(&path).is_err(), "it is there");
    }

    #[test]
    fn a_lock_is_held_by_one_until_it_goes() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("lock");
        let first = SystemDisk.lock(&path).unwrap();
        assert_eq!(SystemDisk.lock(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(first);
        assert!(SystemDisk.lock(&path).is_ok());
    }

    #[test]
    fn reserved_room_reads_as_zeros() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        let file = SystemDisk.create(&path).unwrap();
        file.preallocate(200_000).unwrap();
        assert_eq!(SystemDisk.size(&path).unwrap(), 200_000);
        write_zeros(&File::create(directory.path().join("other")).unwrap(), 200_000).unwrap();
        assert_eq!(SystemDisk.size(&directory.path().join("other")).unwrap(), 200_000);
    }
}
