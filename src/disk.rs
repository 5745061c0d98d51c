//! Reading files that somebody named: whole, but never more than a limit. And what is made in a directory
//! of the server's.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

mod owned;

pub use owned::{Owner, append, lock, make_directory, read_owned};

/// The whole file.
///
/// # Errors
/// The system's; a file that is larger than `bytes_max`; something else than a regular file, such as
/// a pipe that never ends.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    read_all(file, bytes_max)
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
        assert_eq!((size(64 << 20), size(3 << 10)), ("64 MiB".to_owned(), "3 KiB".to_owned()));
    }
}
