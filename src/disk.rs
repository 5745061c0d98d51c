//! Reading files that somebody named: whole, but never more than a limit. And what is made in a directory
//! of the server's.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

mod owned;

pub use owned::{Owner, append, lock, make_directory, read_owned};

/// The whole file.
///
/// # Errors
/// The system's; a file that is larger than `bytes_max`; something else than a regular file, such as
/// a pipe that never ends.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    read_all(open(path)?, bytes_max)
}

/// A regular file, to read. A pipe in its place, whose other end may never open it, keeps nobody waiting.
///
/// # Errors
/// The system's; something else than a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let file = open_at_once(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

/// What somebody names on the command line, to read: a file, or a pipe that the caller's shell has opened
/// (`<(…)`, `/dev/stdin`). A pipe that lies in a directory is refused: nobody may ever write into it.
///
/// # Errors
/// As for `open`.
pub fn open_input(path: &Path) -> io::Result<File> {
    let file = open_at_once(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let inherited = path.starts_with("/dev") || path.starts_with("/proc");
    if kind.is_fifo() && !inherited {
        return Err(io::Error::other("it is a pipe, for whose other end one may wait for ever"));
    }
    // From here on it may wait.
    rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
    Ok(file)
}

/// Without waiting for the other end of a pipe.
fn open_at_once(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

/// All that a source gives.
///
/// # Errors
/// The source's; more than `bytes_max`.
pub fn read_all(source: impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {}", size(bytes_max)),
        ));
    }
    Ok(bytes)
}

/// In the largest unit that leaves a whole number.
fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, [7; 1024]).unwrap();
        assert_eq!(read(&file, 1024).unwrap().len(), 1024);
        let error = read(&file, 1023).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "it is larger than 1023 bytes");
        assert!(read(directory.path(), 9).unwrap_err().to_string().contains("not a regular file"));
        assert_eq!(read(&directory.path().join("none"), 9).unwrap_err().kind(), io::ErrorKind::NotFound);
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert!(read(&pipe, 9).unwrap_err().to_string().contains("not a regular file"), "and does not wait");
        assert!(open_input(&pipe).unwrap_err().to_string().contains("it is a pipe"));
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let input = open_input(path.as_ref()).unwrap();
        let late = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            writer.write_all(b"late").unwrap();
        });
        drop(reader);
        assert_eq!(read_all(input, 9).unwrap(), b"late", "the shell's own pipe is waited for");
        late.join().unwrap();
        assert_eq!((size(64 << 20), size(3 << 10)), ("64 MiB".to_owned(), "3 KiB".to_owned()));
    }
}
