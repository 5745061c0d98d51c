//! How the store touches the disk: files of mode 0600 in directories of mode 0700, complete and
//! synchronised before they get the name by which anyone looks for them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

pub use crate::disk::Owner;

/// Writes a file that does not exist yet, and synchronises it.
pub fn write_new(path: &Path, bytes: &[u8], owner: Owner) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    owner.adopt(&file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Replaces a file at once: readers see the old content or the new, never a part.
pub fn replace(path: &Path, bytes: &[u8], owner: Owner) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}-{:016x}", rand::random::<u64>()));
    write_new(&temporary, bytes, owner)?;
    let renamed = std::fs::rename(&temporary, path).and_then(|()| sync_directory(directory));
    if renamed.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    renamed
}

/// Gives a finished directory its name.
pub fn publish(finished: &Path, name: &Path) -> io::Result<()> {
    sync_directory(finished)?;
    std::fs::rename(finished, name)?;
    sync_directory(name.parent().unwrap_or(Path::new(".")))
}

/// Takes a directory away: first its name, durably, then its content.
pub fn retire(path: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let retired = parent.join(format!("{RETIRED}{:016x}", rand::random::<u64>()));
    std::fs::rename(path, &retired)?;
    sync_directory(parent)?;
    std::fs::remove_dir_all(&retired)
}

/// Prefixes of names that an interrupted action leaves behind.
pub const UNFINISHED: &str = ".new-";
pub const RETIRED: &str = ".old-";

pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
