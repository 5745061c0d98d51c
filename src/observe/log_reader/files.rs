//! The files below a directory, read as one stream in the order of their times: each folder is a
//! stream of its own, and the folders are merged line by line.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::LogLine;
use super::csv::{Found, Parser, read_line};
use crate::trust::Direction;

/// How deep below the directory logs are looked for: Exchange's `Hub\ProtocolLog\SmtpReceive`.
const DEPTH_MAX: usize = 4;

/// Why logs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read {path}: {source}; name the directory of the protocol logs with --dir", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A log file with the direction that its name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogPath {
    pub(super) path: PathBuf,
    pub(super) direction: Direction,
    /// Date and hour as digits, then the number.
    order: (String, u32),
}

/// All lines below a directory, oldest first.
#[derive(Debug)]
pub struct LogFiles {
    streams: Vec<Stream>,
    heads: BinaryHeap<Reverse<Head>>,
    skipped: u64,
}

/// The next line of a stream; ordered by time, then by stream.
#[derive(Debug)]
struct Head {
    at: Timestamp,
    stream: usize,
    line: LogLine,
}

/// The files of one folder and direction, one after the other.
#[derive(Debug)]
struct Stream {
    files: std::vec::IntoIter<LogPath>,
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    reader: BufReader<File>,
    parser: Parser,
}

impl LogFiles {
    /// Finds the files; they are opened as their turn comes. A path that is a file is read alone.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::open_where(path, |_| true)
    }

    fn open_where(path: &Path, wanted: impl Fn(&LogPath) -> bool) -> Result<Self, ReadError> {
        let mut folders: BTreeMap<(PathBuf, bool), Vec<LogPath>> = BTreeMap::new();
        for file in find(path)?.into_iter().filter(wanted) {
            let folder = file.path.parent().unwrap_or(path).to_owned();
            folders.entry((folder, file.direction == Direction::Outbound)).or_default().push(file);
        }
        let streams = folders.into_values().map(|mut files| {
            files.sort_by(|a, b| a.order.cmp(&b.order));
            Stream { files: files.into_iter(), open: None }
        });
        let mut all = Self { streams: streams.collect(), heads: BinaryHeap::new(), skipped: 0 };
        for stream in 0..all.streams.len() {
            all.advance(stream)?;
        }
        Ok(all)
    }

    /// Only the files that may hold lines between these times, by their names.
    pub fn between(path: &Path, since: Timestamp, until: Timestamp) -> Result<Self, ReadError> {
        let mut files = Self::open_where(path, |file| file.may_hold(since, until))?;
        files.skipped = 0;
        Ok(files)
    }

    /// The next line, `None` at the end.
    pub fn next_line(&mut self) -> Result<Option<LogLine>, ReadError> {
        let Some(Reverse(head)) = self.heads.pop() else { return Ok(None) };
        self.advance(head.stream)?;
        Ok(Some(head.line))
    }

    /// Lines that could not be read so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn advance(&mut self, stream: usize) -> Result<(), ReadError> {
        if let Some(line) = self.streams[stream].next_line(&mut self.skipped)? {
            self.heads.push(Reverse(Head { at: line.at, stream, line }));
        }
        Ok(())
    }
}

impl LogPath {
    /// A file of an hour may hold stragglers of the one before; Exchange names some by the day, and
    /// by its local time. A name without a time holds anything.
    fn may_hold(&self, since: Timestamp, until: Timestamp) -> bool {
        let day = |at: Timestamp, hours: i64| {
            let at = at.saturating_add(jiff::SignedDuration::from_hours(hours)).unwrap_or(at);
            at.strftime("%Y%m%d%H").to_string()
        };
        let Some(length) = Some(self.order.0.len()).filter(|length| *length > 0) else { return true };
        let (first, last) = (day(since, -24), day(until, 24));
        let cut = |text: &str| text.get(..length).map(str::to_owned).unwrap_or_default();
        cut(&first) <= self.order.0 && self.order.0 <= cut(&last)
    }
}

impl Stream {
    fn next_line(&mut self, skipped: &mut u64) -> Result<Option<LogLine>, ReadError> {
        let mut bytes = Vec::new();
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => match self.files.next() {
                    Some(file) => match OpenFile::open(&file)? {
                        Some(open) => self.open.insert(open),
                        None => continue,
                    },
                    None => return Ok(None),
                },
            };
            let failed = |source| ReadError::Io { path: open.path.clone(), source };
            match read_line(&mut open.reader, &mut bytes).map_err(failed)?.0 {
                Found::Line | Found::Torn => {
                    if let Some(line) = open.parser.line(&bytes) {
                        return Ok(Some(line));
                    }
                }
                Found::End => {
                    *skipped += open.parser.skipped;
                    self.open = None;
                }
            }
        }
    }
}

impl OpenFile {
    /// `None`: retention has removed the file since it was found.
    fn open(file: &LogPath) -> Result<Option<Self>, ReadError> {
        match File::open(&file.path) {
            Ok(opened) => Ok(Some(Self {
                path: file.path.clone(),
                reader: BufReader::with_capacity(128 << 10, opened),
                parser: Parser::new(file.direction),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ReadError::Io { path: file.path.clone(), source }),
        }
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.stream).cmp(&(other.at, other.stream))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

/// The log files at or below `path`, unsorted.
pub(super) fn find(path: &Path) -> Result<Vec<LogPath>, ReadError> {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    if path.metadata().map_err(failed)?.is_file() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (direction, order) = parse_name(name).unwrap_or((Direction::Inbound, (String::new(), 0)));
        return Ok(vec![LogPath { path: path.to_owned(), direction, order }]);
    }
    let mut found = Vec::new();
    find_below(path, DEPTH_MAX, &mut found)?;
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
            found.push(LogPath { path, direction, order });
        }
    }
    Ok(())
}

/// `RECV2023011116-1.LOG` (ours, Exchange 2013 and later) or `RECV20230111-0001.log` (as documented).
fn parse_name(name: &str) -> Option<(Direction, (String, u32))> {
    let upper = name.to_ascii_uppercase();
    let stem = upper.strip_suffix(".LOG")?;
    let (direction, rest) = match (stem.strip_prefix("RECV"), stem.strip_prefix("SEND")) {
        (Some(rest), _) => (Direction::Inbound, rest),
        (None, Some(rest)) => (Direction::Outbound, rest),
        (None, None) => return None,
    };
    let (date, number) = rest.split_once('-')?;
    let digits = matches!(date.len(), 8 | 10) && date.bytes().all(|b| b.is_ascii_digit());
    Some((direction, (digits.then(|| date.to_owned())?, number.parse().ok()?)))
}
