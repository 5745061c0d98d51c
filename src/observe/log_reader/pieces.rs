//! What one chunk of a log holds of each session. Sessions that lie in it from beginning to end,
//! which are most, are judged here and copied only if they were asked for; of the others a piece is
//! kept for the assembler.

use std::borrow::Cow;
use std::collections::HashMap;

use jiff::Timestamp;

use super::record::{Parsed, Record, begins_record, is_open};
use super::session::SESSION_LINES_MAX;
use super::source::Chunk;
use super::{Facts, Frame, LineView, Query, Session};
use crate::session::transcript::{Line, LineKind};
use crate::trust::Direction;

/// Lines that the quoted field of one record may take, and its octets.
const JOINED_LINES_MAX: usize = 200;
const RECORD_BYTES_MAX: usize = 256 << 10;

/// A session that was asked for.
pub(super) type Match = (Session, Facts);

/// What came of one chunk.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pub(super) matches: Vec<Match>,
    /// Of sessions that begin before or end behind this chunk, in the order of their last lines.
    pub(super) unfinished: Vec<Session>,
    pub(super) lines: u64,
    pub(super) skipped: u64,
    /// To be used again.
    pub(super) spare: Vec<u8>,
}

/// One line of a session, borrowed from the chunk.
struct Row<'a> {
    /// Which session of the chunk.
    group: u32,
    sequence: u32,
    at: Timestamp,
    kind: LineKind,
    data: Cow<'a, str>,
    context: Cow<'a, str>,
}

/// What the lines of one session in the chunk have in common.
struct Group<'a> {
    direction: Direction,
    connector: Cow<'a, str>,
    id: Cow<'a, str>,
    local: Cow<'a, str>,
    remote: Cow<'a, str>,
    started: Timestamp,
    last: Timestamp,
    ended: bool,
    /// Position of its last line, for the order of pieces.
    end: usize,
}

#[derive(Default)]
struct Groups<'a> {
    groups: Vec<Group<'a>>,
    of: HashMap<(Direction, Cow<'a, str>, Cow<'a, str>), u32>,
    rows: Vec<Row<'a>>,
}

/// Reads a chunk and judges what is complete in it.
pub(super) fn read(chunk: Chunk, query: &Query) -> Pieces {
    let mut pieces = Pieces::default();
    let text = String::from_utf8_lossy(&chunk.bytes);
    let mut groups = Groups::default();
    let mut parser = chunk.parser;
    let mut rest = text.as_ref();
    while !rest.is_empty() {
        let (line, behind) = record_text(rest);
        rest = behind;
        match parser.line(line) {
            Parsed::Record(record) => {
                pieces.lines += 1;
                groups.take(parser.direction, record, query);
            }
            Parsed::Nothing => {}
            Parsed::Unreadable => pieces.skipped += 1,
        }
    }
    groups.divide(query, &mut pieces);
    drop(text);
    pieces.spare = chunk.bytes;
    pieces
}

/// The next record, with the lines that a quoted field of it takes, and what stands behind.
fn record_text(rest: &str) -> (&str, &str) {
    let line_end = |from: usize| {
        memchr::memchr(b'\n', &rest.as_bytes()[from..]).map_or(rest.len(), |end| from + end + 1)
    };
    let mut end = line_end(0);
    let first = shortened(&rest[..end]);
    if !begins_record(first.as_bytes()) || !is_open(first) {
        return (first, &rest[end..]);
    }
    let only = end;
    for _ in 0..JOINED_LINES_MAX {
        let next = &rest[end..];
        if next.is_empty() || begins_record(next.as_bytes()) || next.starts_with('#') {
            break;
        }
        end = line_end(end);
        if end > RECORD_BYTES_MAX {
            break;
        }
        if !is_open(&rest[..end]) {
            return (&rest[..end], &rest[end..]);
        }
    }
    // The quote is just missing: what follows stands for itself.
    (first, &rest[only..])
}

/// Not more of a line than is looked at.
fn shortened(line: &str) -> &str {
    if line.len() <= RECORD_BYTES_MAX {
        return line;
    }
    let cut = (0..=RECORD_BYTES_MAX).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    &line[..cut]
}

impl<'a> Groups<'a> {
    fn take(&mut self, direction: Direction, record: Record<'a>, query: &Query) {
        let Record { at, connector, session, sequence, local, remote, kind, data, context } = record;
        let known = self.rows.last().map(|row| row.group).filter(|group| {
            let group = &self.groups[*group as usize];
            group.id == session && group.connector == connector && group.direction == direction
        });
        let position = self.rows.len();
        let number = match known {
            Some(number) => number,
            None => {
                if !query.filter.may_match(direction, &connector, &session) {
                    return;
                }
                let next = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
                let key = (direction, connector.clone(), session.clone());
                let number = *self.of.entry(key).or_insert(next);
                if number == next {
                    let (local, remote) = (Cow::Borrowed(""), Cow::Borrowed(""));
                    self.groups.push(Group {
                        direction,
                        connector,
                        id: session,
                        local,
                        remote,
                        started: at,
                        last: at,
                        ended: false,
                        end: position,
                    });
                }
                number
            }
        };
        let group = &mut self.groups[number as usize];
        group.started = group.started.min(at);
        group.last = group.last.max(at);
        group.ended |= kind == LineKind::Disconnect;
        group.end = position;
        if !local.is_empty() {
            group.local = local;
        }
        if !remote.is_empty() {
            group.remote = remote;
        }
        self.rows.push(Row { group: number, sequence, at, kind, data, context });
    }

    /// Matches and pieces.
    fn divide(mut self, query: &Query, pieces: &mut Pieces) {
        // Stable: lines of one number stay in their order.
        self.rows.sort_by_key(|row| (row.group, row.sequence));
        let mut unfinished = Vec::new();
        for rows in self.rows.chunk_by(|a, b| a.group == b.group) {
            let Some(first) = rows.first() else { continue };
            let group = &self.groups[first.group as usize];
            if group.is_whole(rows) {
                pieces.matches.extend(group.matching(rows, query));
            } else {
                unfinished.push((group.end, group.keep(rows)));
            }
        }
        unfinished.sort_by_key(|(end, _)| *end);
        pieces.unfinished = unfinished.into_iter().map(|(_, session)| session).collect();
    }
}

impl Group<'_> {
    /// Whether all lines of the session are here. Other than from 0 to the disconnect, one after the
    /// other, it may go on elsewhere.
    fn is_whole(&self, rows: &[Row<'_>]) -> bool {
        self.ended
            && rows.len() <= SESSION_LINES_MAX
            && rows.iter().zip(0..).all(|(row, number)| row.sequence == number)
    }

    fn frame(&self) -> Frame<'_> {
        Frame {
            direction: self.direction,
            connector: &self.connector,
            id: &self.id,
            local: &self.local,
            remote: &self.remote,
            started: self.started,
            last: self.last,
            ended: self.ended,
        }
    }

    fn matching(&self, rows: &[Row<'_>], query: &Query) -> Option<Match> {
        let frame = self.frame();
        let views = || rows.iter().map(Row::view);
        let facts = query.filter.judge(&frame, views)?;
        let session = if query.lines { self.keep(rows) } else { Session::of(&frame) };
        Some((session, facts))
    }

    fn keep(&self, rows: &[Row<'_>]) -> Session {
        let mut session = Session::of(&self.frame());
        let kept =
            |(place, row): &(usize, &Row<'_>)| *place < SESSION_LINES_MAX || row.kind == LineKind::Disconnect;
        session.lines = rows.iter().enumerate().filter(kept).map(|(_, row)| row.keep()).collect();
        session.left_out = (rows.len() - session.lines.len()) as u64;
        session
    }
}

impl Row<'_> {
    fn view(&self) -> LineView<'_> {
        LineView { kind: self.kind, data: &self.data, context: &self.context }
    }

    fn keep(&self) -> Line {
        Line {
            at: self.at,
            sequence: self.sequence,
            kind: self.kind,
            data: self.data.clone().into_owned(),
            context: self.context.clone().into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Parser;
    use super::*;

    #[test]
    fn a_record_takes_the_lines_of_its_quoted_field_and_no_others() {
        let cases = [
            ("2023-1,a\r\n2023-2", "2023-1,a\r\n", "2023-2"),
            ("2023-1,\"a\r\nb\r\nc\",x\r\n2023-2", "2023-1,\"a\r\nb\r\nc\",x\r\n", "2023-2"),
            // A quote that is never closed costs one line.
            ("2023-1,\"a\r\n2023-2,b\r\n", "2023-1,\"a\r\n", "2023-2,b\r\n"),
            ("2023-1,\"a\r\n#Date: x\r\n", "2023-1,\"a\r\n", "#Date: x\r\n"),
            ("2023-1,\"a\r\nmore\r\n2023-2,\"x\"", "2023-1,\"a\r\n", "more\r\n2023-2,\"x\""),
            ("no record,\"a\r\nb\"", "no record,\"a\r\n", "b\""),
        ];
        for (text, record, behind) in cases {
            assert_eq!(record_text(text), (record, behind));
        }
    }

    #[test]
    fn whole_sessions_are_matched_here_and_pieces_are_kept() {
        let line = |session: &str, number: u32, event: &str| {
            format!("2023-01-11T15:59:56.232Z,c,{session},{number},,,{event},data,\r\n")
        };
        let bytes = [
            line("AA", 0, "+"),
            line("BB", 3, "<"),
            line("AA", 2, "-"),
            line("CC", 0, "+"),
            line("AA", 1, "<"),
            line("DD", 0, "+"),
            line("DD", 2, "-"),
            "nonsense\r\n".to_owned(),
        ];
        let chunk = Chunk { bytes: bytes.concat().into_bytes(), parser: Parser::new(Direction::Inbound) };
        let pieces = read(chunk, &Query { lines: true, ..Query::default() });
        assert_eq!((pieces.lines, pieces.skipped), (7, 1));
        let whole: Vec<&str> = pieces.matches.iter().map(|(session, _)| session.id.as_str()).collect();
        assert_eq!(whole, ["AA"]);
        let numbers: Vec<u32> = pieces.matches[0].0.lines.iter().map(|line| line.sequence).collect();
        assert_eq!(numbers, [0, 1, 2]);
        let kept: Vec<&str> = pieces.unfinished.iter().map(|session| session.id.as_str()).collect();
        assert_eq!(kept, ["BB", "CC", "DD"]);
    }
}
