//! What is left in a directory that may belong to somebody else: root acts for a server that runs as
//! another user, and whoever is that user may have put links in the way. The last part of a path is never
//! followed here, and owners are changed by the open file, not by its name.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags};

/// Whom new files are given to: the server must be able to read what root makes for it.
#[derive(Clone, Copy, Debug)]
pub struct Owner(Option<(u32, u32)>);

impl Owner {
    /// The owner of `directory`, where we may give files away.
    pub fn of(directory: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(directory)?;
        let other = metadata.uid() != 0 && rustix::process::geteuid().is_root();
        Ok(Self(other.then(|| (metadata.uid(), metadata.gid()))))
    }

    /// Gives him the file, unless it is his.
    pub fn adopt(self, file: &File) -> io::Result<()> {
        let Some((user, group)) = self.0 else { return Ok(()) };
        let found = file.metadata()?;
        if (found.uid(), found.gid()) == (user, group) {
            return Ok(());
        }
        fchown(file, Some(user), Some(group))
    }

    /// A regular file that nobody put there from elsewhere: a second name of a file that is not his may be
    /// one of the system's.
    fn check(self, file: &File) -> io::Result<()> {
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is not a regular file; remove it"));
        }
        if found.nlink() > 1 && self.0.is_some_and(|(user, _)| user != found.uid()) {
            return Err(io::Error::other("it is another name of somebody else's file; remove it"));
        }
        Ok(())
    }
}

/// Makes one directory that only its owner may enter, durably; one that is there already is kept.
///
/// # Errors
/// The system's; a link or something else than a directory is in its place.
pub fn make_directory(path: &Path, owner: Owner) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
            owner
                .adopt(&OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?)?;
            File::open(parent(path))?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match std::fs::symlink_metadata(path)?.is_dir() {
                true => Ok(()),
                false => {
                    Err(io::Error::other("a link or a file is in the place of the directory; remove it"))
                }
            }
        }
        Err(error) => Err(error),
    }
}

/// Waits until nobody else holds the lock, which lasts until the file is dropped.
///
/// # Errors
/// The system's; the file is a link, or no regular file.
pub fn lock(path: &Path, owner: Owner) -> io::Result<File> {
    let file = open(OpenOptions::new().write(true).create(true).truncate(false), path, owner)?;
    owner.adopt(&file)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Opens a file of mode 0600 to append to, and makes it for the owner of its directory.
///
/// # Errors
/// As for `lock`.
pub fn append(path: &Path) -> io::Result<File> {
    let owner = Owner::of(parent(path))?;
    let file = open(OpenOptions::new().append(true).create(true), path, owner)?;
    // What is to be written down counts for more than whose the file is.
    let _ = owner.adopt(&file);
    Ok(file)
}

/// As `disk::read`, of a file whose content may be handed to the owner of its directory.
///
/// # Errors
/// As for `disk::read`; the file is a link.
pub fn read_owned(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let owner = Owner::of(parent(path))?;
    super::read_all(open(OpenOptions::new().read(true), path, owner)?, bytes_max)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Without waiting for the other end of a pipe.
fn open(options: &mut OpenOptions, path: &Path, owner: Owner) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.mode(0o600).custom_flags(flags.bits().cast_signed()).open(path).map_err(|error| {
        match error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            true => io::Error::other("it is a link, which is not followed; remove it"),
            false => error,
        }
    })?;
    owner.check(&file)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory with a file of the system beside it, as root and its service user see them.
    struct Place {
        directory: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::create_dir_all(directory.path().join("data")).unwrap();
            fs::create_dir_all(directory.path().join("system")).unwrap();
            fs::write(directory.path().join("system/shadow"), "secret").unwrap();
            Self { directory }
        }

        fn data(&self, name: &str) -> std::path::PathBuf {
            self.directory.path().join("data").join(name)
        }

        fn system(&self, name: &str) -> std::path::PathBuf {
            self.directory.path().join("system").join(name)
        }
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let place = Place::new();
        let owner = Owner::of(&place.data("")).unwrap();
        for target in ["shadow", "none"] {
            let path = place.data(target);
            symlink(place.system(target), &path).unwrap();
            for opened in [append(&path).map(|_| ()), lock(&path, owner).map(|_| ())] {
                assert!(opened.unwrap_err().to_string().contains("it is a link"));
            }
            assert!(read_owned(&path, 99).unwrap_err().to_string().contains("it is a link"));
        }
        assert!(!place.system("none").exists());
        assert_eq!(fs::read_to_string(place.system("shadow")).unwrap(), "secret");
    }

    #[test]
    fn a_link_is_no_directory() {
        let place = Place::new();
        let owner = Owner::of(&place.data("")).unwrap();
        symlink(place.system(""), place.data("files")).unwrap();
        let refused = make_directory(&place.data("files"), owner).unwrap_err();
        assert!(refused.to_string().contains("a link or a file is in the place"), "{refused}");
        make_directory(&place.data("own"), owner).unwrap();
        make_directory(&place.data("own"), owner).unwrap();
        assert_eq!(fs::metadata(place.data("own")).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn another_name_of_a_file_of_somebody_else_is_refused() {
        let place = Place::new();
        fs::hard_link(place.system("shadow"), place.data("audit.log")).unwrap();
        let file = File::open(place.data("audit.log")).unwrap();
        let (user, group) = (file.metadata().unwrap().uid(), file.metadata().unwrap().gid());
        assert!(Owner(Some((user + 1, group))).check(&file).is_err());
        Owner(Some((user, group))).check(&file).unwrap();
        Owner(None).check(&file).unwrap();
        let directory = File::open(place.data("")).unwrap();
        assert!(Owner(None).check(&directory).is_err());
    }

    #[test]
    fn what_root_makes_for_another_user_is_given_to_him() {
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED: only root can give files away");
            return;
        }
        let place = Place::new();
        std::os::unix::fs::chown(place.data(""), Some(4321), Some(4322)).unwrap();
        let owner = Owner::of(&place.data("")).unwrap();
        make_directory(&place.data("bundle"), owner).unwrap();
        append(&place.data("audit.log")).unwrap();
        lock(&place.data(".lock"), owner).unwrap();
        for name in ["bundle", "audit.log", ".lock"] {
            let found = fs::metadata(place.data(name)).unwrap();
            assert_eq!((found.uid(), found.gid()), (4321, 4322), "{name}");
        }
        fs::hard_link(place.system("shadow"), place.data("applied.bundle")).unwrap();
        assert!(read_owned(&place.data("applied.bundle"), 99).is_err());
        assert!(append(&place.data("applied.bundle")).is_err());
        assert_eq!(fs::metadata(place.system("shadow")).unwrap().uid(), 0);
    }
}
