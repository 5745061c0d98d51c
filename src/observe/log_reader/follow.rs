//! New lines as they are written: every file is read from where the last look ended.

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::disk;

use super::LogLine;
use super::files::{self, LogPath, ReadError};
use super::lines::{Found, LINE_BYTES_MAX, read_line};
use super::record::{Parsed, Parser};

/// Lines of one look at most; the rest comes with the next.
const LINES_MAX: usize = 10_000;

/// Remembers how far each file was read.
#[derive(Debug)]
pub struct Follower {
    directory: PathBuf,
    files: HashMap<PathBuf, Position>,
}

#[derive(Debug)]
struct Position {
    offset: u64,
    parser: Parser,
}

impl Follower {
    /// Begins at the present end of every file.
    pub fn at_end(directory: &Path) -> Result<Self, ReadError> {
        let mut follower = Self { directory: directory.to_owned(), files: HashMap::new() };
        for file in files::find(directory)? {
            let mut position = Position { offset: 0, parser: Parser::new(file.direction) };
            position.pass_over(&file)?;
            follower.files.insert(file.path, position);
        }
        Ok(follower)
    }

    /// What was written since the last look, by time. A line that is not whole yet comes later.
    pub fn poll(&mut self) -> Result<Vec<LogLine>, ReadError> {
        let found = files::find(&self.directory)?;
        let there: HashSet<&Path> = found.iter().map(|file| file.path.as_path()).collect();
        self.files.retain(|path, _| there.contains(path.as_path()));
        let mut lines = Vec::new();
        for file in found {
            let direction = file.direction;
            let position = self
                .files
                .entry(file.path.clone())
                .or_insert_with(|| Position { offset: 0, parser: Parser::new(direction) });
            position.read(&file, |line| {
                lines.push(line);
                lines.len() < LINES_MAX
            })?;
        }
        lines.sort_by_key(|line| line.line.at);
        Ok(lines)
    }
}

impl Position {
    /// Reads the comments at the head, which name the columns, and goes to the end of the last
    /// whole line.
    fn pass_over(&mut self, file: &LogPath) -> Result<(), ReadError> {
        let failed = |source| ReadError::Io { path: file.path.clone(), source };
        let mut reader = BufReader::new(disk::open(&file.path).map_err(failed)?);
        let mut bytes = Vec::new();
        while read_line(&mut reader, &mut bytes).map_err(failed)?.0 == Found::Line {
            if self.line(&bytes).is_some() {
                break;
            }
        }
        let length = reader.get_ref().metadata().map_err(failed)?.len();
        let tail = length.saturating_sub(LINE_BYTES_MAX);
        reader.seek(SeekFrom::Start(tail)).map_err(failed)?;
        bytes.clear();
        reader.take(length - tail).read_to_end(&mut bytes).map_err(failed)?;
        let torn = bytes.iter().rev().take_while(|b| **b != b'\n').count();
        self.offset = length - torn as u64;
        Ok(())
    }

    /// A record, if it is one.
    fn line(&mut self, bytes: &[u8]) -> Option<LogLine> {
        let text = String::from_utf8_lossy(bytes);
        match self.parser.line(&text) {
            Parsed::Record(record) => Some(record.keep(self.parser.direction)),
            Parsed::Nothing | Parsed::Unreadable => None,
        }
    }

    /// Hands over whole lines until there are no more or `take` has enough.
    fn read(&mut self, file: &LogPath, mut take: impl FnMut(LogLine) -> bool) -> Result<(), ReadError> {
        if file.length == self.offset {
            return Ok(());
        }
        let failed = |source| ReadError::Io { path: file.path.clone(), source };
        let mut opened = match disk::open(&file.path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(failed(source)),
        };
        let length = opened.metadata().map_err(failed)?.len();
        if length < self.offset {
            // Another file under the old name.
            *self = Self { offset: 0, parser: Parser::new(file.direction) };
        }
        if length == self.offset {
            return Ok(());
        }
        opened.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
        let mut reader = BufReader::new(opened);
        let mut bytes = Vec::new();
        loop {
            let (found, taken) = read_line(&mut reader, &mut bytes).map_err(failed)?;
            match found {
                Found::Line => self.offset += taken,
                Found::Torn | Found::End => return Ok(()),
            }
            if let Some(line) = self.line(&bytes)
                && !take(line)
            {
                return Ok(());
            }
        }
    }
}
