//! The files below a directory: which are protocol logs, what their names say, and their order.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::trust::Direction;

/// How deep below the directory logs are looked for: the deepest that Exchange has lie in
/// `TransportRoles\Logs\Mailbox\ProtocolLog\SmtpSend\Delivery`.
const DEPTH_MAX: usize = 7;
/// Files of one directory: an hour of each direction for some years.
const FILES_MAX: usize = 200_000;

/// Why logs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read {path}: {source}; name the directory of the protocol logs with --dir", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("there are more than {FILES_MAX} log files below {path}; name a folder below it with --dir", path = .0.display())]
    TooMany(PathBuf),
}

/// A log file with the direction that its name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogPath {
    pub(super) path: PathBuf,
    pub(super) direction: Direction,
    /// Octets when it was found.
    pub(super) length: u64,
    /// Date and perhaps hour as digits, then the number.
    order: (String, u32),
}

impl LogPath {
    /// A file of an hour may hold stragglers of the one before; Exchange names some by the day, and
    /// by its local time. A name without a time holds anything.
    pub(super) fn may_hold(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
        let length = self.order.0.len();
        let stamp = |at: Timestamp, hours: i64| {
            let at = at.saturating_add(jiff::SignedDuration::from_hours(hours)).unwrap_or(at);
            let text = at.strftime("%Y%m%d%H").to_string();
            text.get(..length).map(str::to_owned).unwrap_or_default()
        };
        length == 0
            || (since.is_none_or(|since| stamp(since, -24) <= self.order.0)
                && until.is_none_or(|until| self.order.0 <= stamp(until, 24)))
    }
}

/// The log files at or below `path` in the order of their times; a path that is a file is read
/// whatever its name.
pub(super) fn find(path: &Path) -> Result<Vec<LogPath>, ReadError> {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    let metadata = path.metadata().map_err(failed)?;
    if metadata.is_file() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (direction, order) = parse_name(name).unwrap_or((Direction::Inbound, (String::new(), 0)));
        return Ok(vec![LogPath { path: path.to_owned(), direction, length: metadata.len(), order }]);
    }
    let mut found = Vec::new();
    find_below(path, DEPTH_MAX, &mut found)?;
    if found.len() >= FILES_MAX {
        return Err(ReadError::TooMany(path.to_owned()));
    }
    found.sort_by(|a, b| {
        let folder = |file: &LogPath| file.path.parent().map(Path::to_owned);
        (&a.order.0, folder(a), a.order.1, &a.path).cmp(&(&b.order.0, folder(b), b.order.1, &b.path))
    });
    Ok(found)
}

fn find_below(folder: &Path, depth: usize, found: &mut Vec<LogPath>) -> Result<(), ReadError> {
    let failed = |source| ReadError::Io { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let file_type = entry.file_type().map_err(failed)?;
        if file_type.is_dir() && depth > 1 {
            find_below(&path, depth - 1, found)?;
        } else if file_type.is_file()
            && let Some((direction, order)) = entry.file_name().to_str().and_then(parse_name)
        {
            // One that retention has just removed is found empty when its turn comes.
            let length = entry.metadata().map_or(0, |metadata| metadata.len());
            found.push(LogPath { path, direction, length, order });
        }
        if found.len() >= FILES_MAX {
            return Ok(());
        }
    }
    Ok(())
}

/// `RECV2023011116-1.LOG` (ours, and what Exchange 2013 to 2019 write), `RECV20230111-1.LOG` (2007,
/// 2010), `RECV20230111-0001.log` (as documented), with or without a suffix behind RECV or SEND.
fn parse_name(name: &str) -> Option<(Direction, (String, u32))> {
    let upper = name.to_ascii_uppercase();
    let stem = upper.strip_suffix(".LOG")?;
    let (direction, rest) = match (stem.strip_prefix("RECV"), stem.strip_prefix("SEND")) {
        (Some(rest), _) => (Direction::Inbound, rest),
        (None, Some(rest)) => (Direction::Outbound, rest),
        (None, None) => return None,
    };
    let (date, number) = rest.trim_start_matches(|c: char| c.is_ascii_uppercase()).split_once('-')?;
    let digits = matches!(date.len(), 8 | 10) && date.bytes().all(|b| b.is_ascii_digit());
    Some((direction, (digits.then(|| date.to_owned())?, number.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_direction_and_time() {
        let stamp = |name: &str| parse_name(name).map(|(direction, order)| (direction, order.0, order.1));
        let is = |direction, date: &str, number| Some((direction, date.to_owned(), number));
        assert_eq!(stamp("RECV2023011116-1.LOG"), is(Direction::Inbound, "2023011116", 1));
        assert_eq!(stamp("SEND20230111-0012.log"), is(Direction::Outbound, "20230111", 12));
        assert_eq!(stamp("SENDMD20230111-2.LOG"), is(Direction::Outbound, "20230111", 2));
        for name in ["RECV2023-1.LOG", "RECV20230111.LOG", "MSGTRK20230111-1.LOG", "RECV20230111-1.LOG.gz"] {
            assert_eq!(stamp(name), None, "{name}");
        }
    }

    #[test]
    fn a_file_is_read_when_its_name_may_hold_the_time() {
        let file = |name: &str| {
            let (direction, order) = parse_name(name).unwrap();
            LogPath { path: name.into(), direction, length: 0, order }
        };
        let at = |time: &str| Some(time.parse::<Timestamp>().unwrap());
        let hour = file("RECV2023011116-1.LOG");
        assert!(hour.may_hold(at("2023-01-11T17:00:00Z"), None));
        assert!(hour.may_hold(None, at("2023-01-11T15:00:00Z")));
        assert!(!hour.may_hold(at("2023-01-13T17:00:00Z"), None));
        assert!(!hour.may_hold(None, at("2023-01-10T15:00:00Z")));
        assert!(file("RECV20230111-1.LOG").may_hold(at("2023-01-12T23:00:00Z"), at("2023-01-12T23:00:00Z")));
    }
}
