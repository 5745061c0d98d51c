//! Files as chunks of whole lines, in the order of their times. Chunks are cut where a record ends,
//! and each comes with what the comments before it have said, so that they can be read by several
//! threads. UTF-8 with or without its mark; UTF-16 as Windows PowerShell writes it when somebody
//! copies a log with it.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::disk;

use super::files::{LogPath, ReadError};
use super::lines::LINE_BYTES_MAX;
use super::record::{Parser, begins_record};

/// Octets read at a time.
const CHUNK_BYTES: usize = 2 << 20;
/// Lines that a quoted field may take before it is cut.
const LINE_ENDS_TRIED: usize = 64;

/// Whole lines of one file.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// As the comments before these lines have left it.
    pub(super) parser: Parser,
}

#[derive(Debug)]
pub(super) struct Source {
    files: std::vec::IntoIter<LogPath>,
    open: Option<Open>,
    /// Octets read so far.
    pub(super) done: u64,
    /// Octets there were at the start.
    pub(super) total: u64,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    encoding: Option<Encoding>,
    /// Of UTF-16: octets that are no whole character yet.
    undecoded: Vec<u8>,
    /// Lines that are not whole yet.
    carry: Vec<u8>,
    parser: Parser,
    /// Within a line that was too long; the rest of it is passed over.
    passing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16LittleEndian,
    Utf16BigEndian,
}

impl Source {
    pub(super) fn new(files: Vec<LogPath>) -> Self {
        let total = files.iter().map(|file| file.length).sum();
        Self { files: files.into_iter(), open: None, done: 0, total }
    }

    /// The next chunk, `None` at the end. `spare` is used for it.
    pub(super) fn next(&mut self, spare: Vec<u8>) -> Result<Option<Chunk>, ReadError> {
        let mut spare = Some(spare);
        loop {
            let Some(open) = &mut self.open else {
                let Some(file) = self.files.next() else { return Ok(None) };
                self.open = Open::new(&file)?;
                continue;
            };
            match open.next(spare.take().unwrap_or_default(), &mut self.done) {
                Ok(Some(chunk)) => return Ok(Some(chunk)),
                Ok(None) => self.open = None,
                Err(source) => return Err(ReadError::Io { path: open.path.clone(), source }),
            }
        }
    }
}

impl Open {
    /// `None`: retention has removed the file since it was found.
    fn new(file: &LogPath) -> Result<Option<Self>, ReadError> {
        let opened = match disk::open_input(&file.path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ReadError::Io { path: file.path.clone(), source }),
        };
        Ok(Some(Self {
            path: file.path.clone(),
            file: opened,
            encoding: None,
            undecoded: Vec::new(),
            carry: Vec::new(),
            parser: Parser::new(file.direction),
            passing: false,
        }))
    }

    fn next(&mut self, mut bytes: Vec<u8>, done: &mut u64) -> io::Result<Option<Chunk>> {
        loop {
            bytes.clear();
            bytes.append(&mut self.carry);
            let more = self.read(&mut bytes, done)?;
            if self.passing {
                match memchr::memchr(b'\n', &bytes) {
                    Some(end) => {
                        bytes.drain(..=end);
                        self.passing = false;
                    }
                    None => bytes.clear(),
                }
            }
            if more {
                let cut = cut(&bytes).unwrap_or(0);
                if cut == 0 && bytes.len() >= CHUNK_BYTES {
                    // One line that is too long: its beginning is a line.
                    bytes.truncate(usize::try_from(LINE_BYTES_MAX).unwrap_or(CHUNK_BYTES));
                    bytes.push(b'\n');
                    self.passing = true;
                } else {
                    self.carry.extend_from_slice(&bytes[cut..]);
                    bytes.truncate(cut);
                }
            }
            if !bytes.is_empty() {
                let parser = self.parser.clone();
                learn(&mut self.parser, &bytes);
                return Ok(Some(Chunk { bytes, parser }));
            }
            if !more {
                return Ok(None);
            }
        }
    }

    /// Adds the next octets of the file as UTF-8; `false` at its end.
    fn read(&mut self, bytes: &mut Vec<u8>, done: &mut u64) -> io::Result<bool> {
        let encoding = match self.encoding {
            Some(encoding) => encoding,
            None => {
                let mut mark = [0; 2];
                let read = read_full(&mut self.file, &mut mark)?;
                *done += read as u64;
                let encoding = match mark {
                    [0xff, 0xfe] => Encoding::Utf16LittleEndian,
                    [0xfe, 0xff] => Encoding::Utf16BigEndian,
                    _ => {
                        bytes.extend_from_slice(&mark[..read]);
                        Encoding::Utf8
                    }
                };
                *self.encoding.insert(encoding)
            }
        };
        let file = &mut self.file;
        if encoding == Encoding::Utf8 {
            let read = file.take(CHUNK_BYTES as u64).read_to_end(bytes)?;
            *done += read as u64;
            return Ok(read == CHUNK_BYTES);
        }
        let read = file.take(CHUNK_BYTES as u64).read_to_end(&mut self.undecoded)?;
        *done += read as u64;
        let more = read == CHUNK_BYTES;
        let kept = decode(&self.undecoded, encoding, more, bytes);
        self.undecoded.drain(..kept);
        Ok(more)
    }
}

/// Appends UTF-16 as UTF-8, halves of characters as U+FFFD. How many octets were taken: while more
/// come, half a character at the end waits for them.
fn decode(utf16: &[u8], encoding: Encoding, more: bool, bytes: &mut Vec<u8>) -> usize {
    let unit = |pair: &[u8]| match encoding {
        Encoding::Utf16BigEndian => u16::from_be_bytes([pair[0], pair[1]]),
        Encoding::Utf8 | Encoding::Utf16LittleEndian => u16::from_le_bytes([pair[0], pair[1]]),
    };
    let mut end = utf16.len() & !1;
    if more && end >= 2 && (0xd800..0xdc00).contains(&unit(&utf16[end - 2..end])) {
        end -= 2;
    }
    let mut text = [0; 4];
    for character in char::decode_utf16(utf16[..end].chunks_exact(2).map(unit)) {
        let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
        bytes.extend_from_slice(character.encode_utf8(&mut text).as_bytes());
    }
    end
}

fn read_full(file: &mut File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Behind the last line end that has the beginning of a record or a comment behind it, else behind
/// the last one.
fn cut(bytes: &[u8]) -> Option<usize> {
    let last = memchr::memrchr(b'\n', bytes)?;
    let mut end = last;
    for _ in 0..LINE_ENDS_TRIED {
        let behind = &bytes[end + 1..];
        if begins_record(behind) || behind.first() == Some(&b'#') {
            return Some(end + 1);
        }
        match memchr::memrchr(b'\n', &bytes[..end]) {
            Some(before) => end = before,
            None => break,
        }
    }
    Some(last + 1)
}

/// Takes over what the comments in these lines say about those that follow.
fn learn(parser: &mut Parser, bytes: &[u8]) {
    let mut comment = |at: usize| {
        let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end);
        parser.comment(&String::from_utf8_lossy(&bytes[at..end]));
    };
    let mark = "\u{feff}".as_bytes();
    let head = if bytes.starts_with(mark) { mark.len() } else { 0 };
    if bytes.get(head) == Some(&b'#') {
        comment(head + 1);
    }
    for at in memchr::memmem::find_iter(bytes, b"\n#") {
        comment(at + 2);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::trust::Direction;

    /// What the chunks of a file hold, and how many there were.
    fn read(content: &[u8]) -> (Vec<u8>, usize, Parser) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("RECV2023011116-1.LOG");
        File::create(&path).unwrap().write_all(content).unwrap();
        let mut source = Source::new(super::super::files::find(&path).unwrap());
        let (mut all, mut count) = (Vec::new(), 0);
        let mut parser = Parser::new(Direction::Inbound);
        while let Some(chunk) = source.next(vec![7; 3]).unwrap() {
            all.extend_from_slice(&chunk.bytes);
            parser = chunk.parser;
            count += 1;
        }
        assert_eq!((source.done, source.total), (content.len() as u64, content.len() as u64));
        (all, count, parser)
    }

    #[test]
    fn chunks_are_whole_lines_and_nothing_is_missing() {
        let mut content = b"#Log-type: SMTP Send Protocol Log\r\n".to_vec();
        for n in 0..60_000 {
            content.extend_from_slice(
                format!("2023-01-11T15:59:56.232Z,c,AB,{n},,,*,\"one\r\ntwo\",\r\n").as_bytes(),
            );
        }
        content.extend_from_slice(b"torn");
        let (all, count, parser) = read(&content);
        assert!(all == content);
        assert!(count >= 2, "{count}");
        assert_eq!(parser.direction, Direction::Outbound);
    }

    #[test]
    fn utf_16_reads_as_utf_8() {
        let text = "2023-01-11T15:59:56.232Z,\u{41f}\u{1f600},AB,0,,,+,,\r\n".repeat(50_000);
        for (mark, big) in [([0xff, 0xfe], false), ([0xfe, 0xff], true)] {
            let mut content = mark.to_vec();
            for unit in text.encode_utf16() {
                content.extend_from_slice(&if big { unit.to_be_bytes() } else { unit.to_le_bytes() });
            }
            let (all, count, _) = read(&content);
            assert!(all == text.as_bytes());
            assert!(count > 1);
        }
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_one_read() {
        let mut content = vec![b'x'; 3 * CHUNK_BYTES];
        content.extend_from_slice(b"\n2023 next\n");
        let (all, _, _) = read(&content);
        let lines: Vec<&[u8]> = all.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines[0].len() as u64, LINE_BYTES_MAX);
        assert_eq!(lines[1..], [&b"2023 next"[..], b""]);
    }
}
