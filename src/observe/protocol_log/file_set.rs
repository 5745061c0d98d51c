//! The files of one direction: `RECVyyyymmddhh-n.LOG` or `SENDyyyymmddhh-n.LOG`, a new one each
//! UTC hour and whenever one is full.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::csv;
use crate::policy::ProtocolLogSettings;
use crate::trust::Direction;

/// Hours since the Unix epoch.
pub(super) type Hour = i64;

/// A file of ours, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LogFile {
    pub(super) hour: Hour,
    pub(super) number: u32,
    pub(super) path: PathBuf,
}

/// Lines of one direction on their way to the disk.
pub(super) struct FileSet {
    direction: Direction,
    folder: PathBuf,
    file_size_max: u64,
    current: Option<Current>,
    pending: String,
    pending_lines: u64,
    unsynced: bool,
}

struct Current {
    file: File,
    name: LogFile,
    size: u64,
}

/// What a step did, for retention and loss.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) new_file: bool,
}

pub(super) fn folder(settings: &ProtocolLogSettings, direction: Direction) -> PathBuf {
    settings.directory.join(match direction {
        Direction::Inbound => "SmtpReceive",
        Direction::Outbound => "SmtpSend",
    })
}

/// Readable for the server's group, so that an operator can be let in without more.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(path)
}

pub(super) fn hour_of(at: Timestamp) -> Hour {
    at.as_second().div_euclid(3600)
}

impl FileSet {
    pub(super) fn new(settings: &ProtocolLogSettings, direction: Direction) -> Self {
        Self {
            direction,
            folder: folder(settings, direction),
            file_size_max: settings.max_file_size,
            current: None,
            pending: String::new(),
            pending_lines: 0,
            unsynced: false,
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that is written now; retention leaves it alone.
    pub(super) fn current(&self) -> Option<&Path> {
        self.current.as_ref().map(|current| current.name.path.as_path())
    }

    /// Lines that a failing `flush` or `append` loses.
    pub(super) fn take_pending_lines(&mut self) -> u64 {
        self.pending.clear();
        std::mem::take(&mut self.pending_lines)
    }

    /// Adds a line, beginning another file where hour or size ask for it. It reaches the disk with
    /// `flush`.
    pub(super) fn append(&mut self, line: &str, at: Timestamp) -> io::Result<Written> {
        let mut written = Written::default();
        if self.is_over(hour_of(at), line.len()) {
            written = self.flush()?;
            self.close()?;
        }
        if self.current.is_none() {
            self.open(hour_of(at), line.len())?;
            written.new_file = true;
        }
        self.pending.push_str(line);
        self.pending_lines += 1;
        Ok(written)
    }

    /// Writes what is pending. After an error the file is left, so that a torn line ends it.
    pub(super) fn flush(&mut self) -> io::Result<Written> {
        let Some(current) = &mut self.current else { return Ok(Written::default()) };
        if let Err(error) = current.file.write_all(self.pending.as_bytes()) {
            self.current = None;
            return Err(error);
        }
        let bytes = self.pending.len() as u64;
        current.size += bytes;
        self.unsynced |= bytes > 0;
        self.pending.clear();
        self.pending_lines = 0;
        Ok(Written { bytes, new_file: false })
    }

    /// Makes what was written durable, and leaves a file that somebody has removed.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let Some(current) = &self.current else { return Ok(()) };
        if std::mem::take(&mut self.unsynced)
            && let Err(error) = current.file.sync_data()
        {
            self.current = None;
            return Err(error);
        }
        if !current.name.path.exists() {
            self.current = None;
        }
        Ok(())
    }

    /// Makes sure that a file can be written: after a failure, to see whether it is over.
    pub(super) fn probe(&mut self, at: Timestamp) -> io::Result<()> {
        if self.current.is_none() {
            self.open(hour_of(at), 0)?;
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let synced = self.sync();
        self.current = None;
        synced
    }

    /// Whether a line of this hour and length belongs in another file. A straggler of the hour
    /// before does not.
    fn is_over(&self, hour: Hour, length: usize) -> bool {
        let Some(current) = &self.current else { return false };
        let other_hour = hour != current.name.hour && hour != current.name.hour - 1;
        let waiting = (self.pending.len() + length) as u64;
        other_hour || (self.has_lines() && current.size + waiting > self.file_size_max)
    }

    fn has_lines(&self) -> bool {
        let header = self.header_length() as u64;
        self.pending_lines > 0 || self.current.as_ref().is_some_and(|current| current.size > header)
    }

    fn header_length(&self) -> usize {
        header(self.direction, Timestamp::UNIX_EPOCH).len()
    }

    /// Goes on with the last file of the hour, if it has room and ends with a whole line; else
    /// begins the next.
    fn open(&mut self, hour: Hour, length: usize) -> io::Result<()> {
        make_folder(&self.folder)?;
        let last = list(&self.folder, self.direction)?.into_iter().filter(|file| file.hour == hour).max();
        if let Some(last) = &last
            && let Some((file, size)) = resume(&last.path)?
            && size + length as u64 <= self.file_size_max
        {
            self.current = Some(Current { file, name: last.clone(), size });
            return Ok(());
        }
        let number = last.map_or(1, |last| last.number.saturating_add(1));
        let path = self.folder.join(name(self.direction, hour, number));
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path)?;
        let header = header(self.direction, Timestamp::now());
        file.write_all(header.as_bytes())?;
        self.current =
            Some(Current { file, name: LogFile { hour, number, path }, size: header.len() as u64 });
        self.unsynced = true;
        Ok(())
    }
}

/// Opens a file to go on with it, if its last line is whole.
fn resume(path: &Path) -> io::Result<Option<(File, u64)>> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let size = file.seek(SeekFrom::End(0))?;
    if size == 0 {
        return Ok(None);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok((last == *b"\n").then_some((file, size)))
}

fn header(direction: Direction, at: Timestamp) -> String {
    let log_type = match direction {
        Direction::Inbound => "SMTP Receive Protocol Log",
        Direction::Outbound => "SMTP Send Protocol Log",
    };
    format!(
        "#Software: Sealpost\r\n#Version: {}\r\n#Log-type: {log_type}\r\n#Date: {at:.3}\r\n#Fields: {}\r\n",
        env!("CARGO_PKG_VERSION"),
        csv::FIELDS,
    )
}

fn prefix(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "RECV",
        Direction::Outbound => "SEND",
    }
}

fn name(direction: Direction, hour: Hour, number: u32) -> String {
    let at = Timestamp::from_second(hour.saturating_mul(3600)).unwrap_or(Timestamp::MAX);
    format!("{}{}-{number}.LOG", prefix(direction), at.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H"))
}

/// The files of one direction in a folder, unsorted; whatever else lies there is not ours.
pub(super) fn list(folder: &Path, direction: Direction) -> io::Result<Vec<LogFile>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if let Some((hour, number)) = entry.file_name().to_str().and_then(|name| parse(name, direction)) {
            files.push(LogFile { hour, number, path: entry.path() });
        }
    }
    Ok(files)
}

/// Hour and number of `RECV2026112201-3.LOG`.
fn parse(name: &str, direction: Direction) -> Option<(Hour, u32)> {
    let (hour, number) = name.strip_prefix(prefix(direction))?.strip_suffix(".LOG")?.split_once('-')?;
    if hour.len() != 10 || !hour.bytes().chain(number.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let date = jiff::civil::date(
        hour[..4].parse().ok()?,
        hour[4..6].parse().ok().filter(|month| (1..=12).contains(month))?,
        1,
    );
    let day: i8 = hour[6..8].parse().ok()?;
    let date = date.with().day(day).build().ok()?;
    let clock: i8 = hour[8..].parse().ok().filter(|clock| *clock < 24)?;
    let at = date.at(clock, 0, 0, 0).to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some((hour_of(at), number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_hour_and_number() {
        let at: Timestamp = "2023-01-11T16:59:59.999Z".parse().unwrap();
        let name = name(Direction::Inbound, hour_of(at), 12);
        assert_eq!(name, "RECV2023011116-12.LOG");
        assert_eq!(parse(&name, Direction::Inbound), Some((hour_of(at), 12)));
        assert_eq!(parse(&name, Direction::Outbound), None);
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in ["RECV20230111-1.LOG", "RECV2023131116-1.LOG", "RECV2023023016-1.LOG"] {
            assert_eq!(parse(name, Direction::Inbound), None, "{name}");
        }
        for name in ["RECV2023011124-1.LOG", "RECV2023011116-.LOG", "RECV2023011116-1.LOG.gz", "keep.txt"] {
            assert_eq!(parse(name, Direction::Inbound), None, "{name}");
        }
    }
}
