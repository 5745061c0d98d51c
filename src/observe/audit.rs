//! `data_directory/audit.log`: who changed what, when, from what to what. One line an action,
//! changes of the secure lists marked, since they decide what is refused.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::disk;

use super::text;

/// Longest `old` or `new` on a line, octets.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// One action of an operator.
#[derive(Clone, Debug)]
pub struct AuditEntry<'a> {
    pub at: Timestamp,
    /// The user who asked: the socket peer's or the process's.
    pub user: &'a str,
    /// `queue remove`, `settings reload: transport.tls_send_domain_secure_list` …
    pub what: &'a str,
    /// Empty where there was nothing.
    pub old: &'a str,
    /// Empty where nothing is left.
    pub new: &'a str,
    /// The action changes a secure list: the line is marked `SECURE-LIST`.
    pub secure_list: bool,
}

/// Appends whole lines, so that several processes may write to one file.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

/// The action could not be written down.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to the audit log {path}: {source}; check its owner and the free space", path = .path.display())]
pub struct AuditError {
    path: PathBuf,
    source: io::Error,
}

impl AuditLog {
    /// The audit log of a data directory. The file is made with the first entry, mode
    /// 0600, for the owner of the directory; a link in its place is not followed.
    pub fn new(data_directory: &Path) -> Self {
        Self { path: data_directory.join("audit.log"), file: Mutex::default() }
    }

    /// Appends one line and makes it durable.
    pub fn append(&self, entry: &AuditEntry<'_>) -> Result<(), AuditError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.write(&mut file, line(entry).as_bytes());
        written.map_err(|source| {
            *file = None;
            AuditError { path: self.path.clone(), source }
        })
    }

    fn write(&self, file: &mut Option<File>, line: &[u8]) -> io::Result<()> {
        // A file that was moved away (rotated) is left for a new one.
        if !self.path.exists() {
            *file = None;
        }
        let file = match file {
            Some(file) => file,
            None => file.insert(disk::append(&self.path)?),
        };
        file.write_all(line)?;
        file.sync_data()
    }
}

/// `2026-11-22T01:43:17.000Z user="root" what="…" old="…" -> new="…" SECURE-LIST`
fn line(entry: &AuditEntry<'_>) -> String {
    let mark = if entry.secure_list { " SECURE-LIST" } else { "" };
    format!(
        "{:.3} user={} what={} old={} -> new={}{mark}\n",
        entry.at,
        quoted(entry.user),
        quoted(entry.what),
        quoted(entry.old),
        quoted(entry.new),
    )
}

fn quoted(value: &str) -> String {
    let value = text::shorten(value, VALUE_BYTES_MAX);
    format!("\"{}\"", text::escape(&value).replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn entry<'a>(what: &'a str, old: &'a str, new: &'a str) -> AuditEntry<'a> {
        let at = "2026-11-22T01:43:17Z".parse().unwrap();
        AuditEntry { at, user: "root", what, old, new, secure_list: false }
    }

    #[test]
    fn an_action_is_one_line_whatever_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        let log = AuditLog::new(directory.path());
        log.append(&entry("queue remove", "00AB", "")).unwrap();
        let list = AuditEntry { secure_list: true, ..entry("settings reload", "a\nb", "\"c\"\u{202e}") };
        log.append(&list).unwrap();
        let path = directory.path().join("audit.log");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "2026-11-22T01:43:17.000Z user=\"root\" what=\"queue remove\" old=\"00AB\" -> new=\"\"\n\
             2026-11-22T01:43:17.000Z user=\"root\" what=\"settings reload\" old=\"a\\nb\" -> \
             new=\"\\\"c\\\"\\u{202e}\" SECURE-LIST\n"
        );
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_rotated_file_is_followed_by_a_new_one() {
        let directory = tempfile::tempdir().unwrap();
        let log = AuditLog::new(directory.path());
        log.append(&entry("one", "", "")).unwrap();
        let path = directory.path().join("audit.log");
        std::fs::rename(&path, directory.path().join("audit.log.1")).unwrap();
        log.append(&entry("two", "", "")).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap().matches("user=").count(), 1);
    }

    #[test]
    fn a_planted_link_is_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let system = directory.path().join("shadow");
        std::fs::write(&system, "root:*\n").unwrap();
        std::os::unix::fs::symlink(&system, directory.path().join("audit.log")).unwrap();
        let log = AuditLog::new(directory.path());
        let error = log.append(&entry("one", "", "")).unwrap_err().to_string();
        assert!(error.contains("it is a link"), "{error}");
        assert_eq!(std::fs::read_to_string(&system).unwrap(), "root:*\n");
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error_that_names_the_file() {
        let log = AuditLog::new(Path::new("/nonexistent/sealpost"));
        let error = log.append(&entry("one", "", "")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/sealpost/audit.log"), "{error}");
    }
}
