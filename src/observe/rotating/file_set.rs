//! The files of one series, such as `RECVyyyymmddhh-n.LOG`: a new one each UTC hour or day and
//! whenever one is full.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Series;

/// Hours or days since the Unix epoch.
pub(super) type Period = i64;

/// A file of ours, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LogFile {
    pub(super) period: Period,
    pub(super) number: u32,
    pub(super) path: PathBuf,
}

/// Lines of one series on their way to the disk.
pub(super) struct FileSet {
    series: &'static Series,
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

/// Readable for the server's group, so that an operator can be let in without more.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(path)
}

impl FileSet {
    pub(super) fn new(directory: &Path, file_size_max: u64, series: &'static Series) -> Self {
        Self {
            series,
            folder: directory.join(series.folder),
            file_size_max,
            current: None,
            pending: String::new(),
            pending_lines: 0,
            unsynced: false,
        }
    }

    pub(super) fn series(&self) -> &'static Series {
        self.series
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

    /// Adds a line, beginning another file where time or size ask for it. It reaches the disk with
    /// `flush`.
    pub(super) fn append(&mut self, line: &str, at: Timestamp) -> io::Result<Written> {
        let mut written = Written::default();
        if self.is_over(self.series.period_of(at), line.len()) {
            written = self.flush()?;
            self.close()?;
        }
        if self.current.is_none() {
            self.open(self.series.period_of(at), line.len())?;
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
            self.open(self.series.period_of(at), 0)?;
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let synced = self.sync();
        self.current = None;
        synced
    }

    /// Whether a line of this hour or day and length belongs in another file. A straggler of the one
    /// before does not.
    fn is_over(&self, period: Period, length: usize) -> bool {
        let Some(current) = &self.current else { return false };
        let other_period = period != current.name.period && period != current.name.period - 1;
        let waiting = (self.pending.len() + length) as u64;
        other_period || (self.has_lines() && current.size + waiting > self.file_size_max)
    }

    fn has_lines(&self) -> bool {
        let header = self.header_length() as u64;
        self.pending_lines > 0 || self.current.as_ref().is_some_and(|current| current.size > header)
    }

    fn header_length(&self) -> usize {
        header(self.series, Timestamp::UNIX_EPOCH).len()
    }

    /// Goes on with the last file of the hour or day, if it has room and ends with a whole line; else
    /// begins the next.
    fn open(&mut self, period: Period, length: usize) -> io::Result<()> {
        make_folder(&self.folder)?;
        let last = list(&self.folder, self.series)?.into_iter().filter(|file| file.period == period).max();
        if let Some(last) = &last
            && let Some((file, size)) = resume(&last.path)?
            && size + length as u64 <= self.file_size_max
        {
            self.current = Some(Current { file, name: last.clone(), size });
            return Ok(());
        }
        let number = last.map_or(1, |last| last.number.saturating_add(1));
        let path = self.folder.join(self.series.name(period, number));
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path)?;
        let header = header(self.series, Timestamp::now());
        file.write_all(header.as_bytes())?;
        self.current =
            Some(Current { file, name: LogFile { period, number, path }, size: header.len() as u64 });
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

fn header(series: &Series, at: Timestamp) -> String {
    format!(
        "#Software: Sealpost\r\n#Version: {}\r\n#Log-type: {}\r\n#Date: {at:.3}\r\n#Fields: {}\r\n",
        env!("CARGO_PKG_VERSION"),
        series.log_type,
        series.fields,
    )
}

impl Series {
    pub(super) fn period_of(&self, at: Timestamp) -> Period {
        at.as_second().div_euclid(self.seconds())
    }

    /// When a period ends, seconds since the Unix epoch.
    pub(super) fn end_of(&self, period: Period) -> i64 {
        period.saturating_add(1).saturating_mul(self.seconds())
    }

    fn seconds(&self) -> i64 {
        if self.daily { 86_400 } else { 3_600 }
    }

    fn name(&self, period: Period, number: u32) -> String {
        let at = Timestamp::from_second(period.saturating_mul(self.seconds())).unwrap_or(Timestamp::MAX);
        let form = if self.daily { "%Y%m%d" } else { "%Y%m%d%H" };
        format!("{}{}-{number}.LOG", self.prefix, at.to_zoned(TimeZone::UTC).strftime(form))
    }

    /// Hour or day and number of `RECV2026112201-3.LOG`.
    fn parse(&self, name: &str) -> Option<(Period, u32)> {
        let (stamp, number) = name.strip_prefix(self.prefix)?.strip_suffix(".LOG")?.split_once('-')?;
        let digits = stamp.bytes().chain(number.bytes()).all(|b| b.is_ascii_digit());
        if stamp.len() != if self.daily { 8 } else { 10 } || !digits {
            return None;
        }
        let month = stamp[4..6].parse().ok().filter(|month| (1..=12).contains(month))?;
        let date = jiff::civil::date(stamp[..4].parse().ok()?, month, 1);
        let day: i8 = stamp[6..8].parse().ok()?;
        let date = date.with().day(day).build().ok()?;
        let clock: i8 = if self.daily { 0 } else { stamp[8..].parse().ok().filter(|clock| *clock < 24)? };
        let at = date.at(clock, 0, 0, 0).to_zoned(TimeZone::UTC).ok()?.timestamp();
        Some((self.period_of(at), number.parse().ok()?))
    }
}

/// The files of one series in a folder, unsorted; whatever else lies there is not ours.
pub(super) fn list(folder: &Path, series: &Series) -> io::Result<Vec<LogFile>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if let Some((period, number)) = entry.file_name().to_str().and_then(|name| series.parse(name)) {
            files.push(LogFile { period, number, path: entry.path() });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURLY: Series =
        Series { folder: "SmtpReceive", prefix: "RECV", daily: false, log_type: "x", fields: "y" };
    const DAILY: Series =
        Series { folder: "MessageTracking", prefix: "MSGTRK", daily: true, log_type: "x", fields: "y" };

    #[test]
    fn a_name_says_its_time_and_number() {
        let at: Timestamp = "2023-01-11T16:59:59.999Z".parse().unwrap();
        for (series, other, expected) in
            [(HOURLY, DAILY, "RECV2023011116-12.LOG"), (DAILY, HOURLY, "MSGTRK20230111-12.LOG")]
        {
            let name = series.name(series.period_of(at), 12);
            assert_eq!(name, expected);
            assert_eq!(series.parse(&name), Some((series.period_of(at), 12)));
            assert_eq!(other.parse(&name), None);
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in ["RECV20230111-1.LOG", "RECV2023131116-1.LOG", "RECV2023023016-1.LOG"] {
            assert_eq!(HOURLY.parse(name), None, "{name}");
        }
        for name in ["RECV2023011124-1.LOG", "RECV2023011116-.LOG", "RECV2023011116-1.LOG.gz", "keep.txt"] {
            assert_eq!(HOURLY.parse(name), None, "{name}");
        }
        for name in ["MSGTRK2023011116-1.LOG", "MSGTRK20230230-1.LOG", "MSGTRK20230111-1.log"] {
            assert_eq!(DAILY.parse(name), None, "{name}");
        }
    }
}
