//! How the store touches the disk: files of mode 0600 in directories of mode 0700, complete and
//! synchronised before they get the name by which anyone looks for them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::Path;

/// Whom new files are given to: root may act for a server that runs as another user, and that
/// server must be able to read them.
#[derive(Clone, Copy, Debug)]
pub struct Owner(Option<(u32, u32)>);

impl Owner {
    /// The owner of `directory`, where we may give files away.
    pub fn of(directory: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(directory)?;
        let other = metadata.uid() != 0 && rustix::process::geteuid().is_root();
        Ok(Self(other.then(|| (metadata.uid(), metadata.gid()))))
    }

    pub fn adopt(self, path: &Path) -> io::Result<()> {
        match self.0 {
            Some((user, group)) => chown(path, Some(user), Some(group)),
            None => Ok(()),
        }
    }
}

/// Gives a file that root may have made to the owner of the data directory.
pub fn give_to_owner_of(directory: &Path, path: &Path) -> io::Result<()> {
    Owner::of(directory)?.adopt(path)
}

/// Makes one directory that only its owner may enter; one that is there already is kept.
pub fn make_directory(path: &Path, owner: Owner) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => owner.adopt(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes a file that does not exist yet, and synchronises it.
pub fn write_new(path: &Path, bytes: &[u8], owner: Owner) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    owner.adopt(path)?;
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
