//! One log file as lines: the comment lines at its head say which column is which. Tolerant:
//! what cannot be read is skipped and counted, since a log is read when something is wrong already.

use std::io::{self, BufRead, Read};

use jiff::Timestamp;

use super::LogLine;
use crate::session::transcript::LineKind;
use crate::trust::Direction;

/// Longest line that is looked at, octets; the rest of a longer one is passed over.
pub(in crate::observe) const LINE_BYTES_MAX: u64 = 256 << 10;

/// Where each field stands, from `#Fields:`.
#[derive(Clone, Debug)]
struct Columns {
    at: usize,
    connector: usize,
    session: usize,
    sequence: usize,
    local: usize,
    remote: usize,
    kind: usize,
    data: usize,
    context: usize,
}

/// Takes the lines of one file, one after the other.
#[derive(Debug)]
pub(super) struct Parser {
    direction: Direction,
    columns: Columns,
    /// Lines that could not be read.
    pub(super) skipped: u64,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            at: 0,
            connector: 1,
            session: 2,
            sequence: 3,
            local: 4,
            remote: 5,
            kind: 6,
            data: 7,
            context: 8,
        }
    }
}

impl Columns {
    fn parse(fields: &str) -> Self {
        let names: Vec<&str> = fields.split(',').map(str::trim).collect();
        // A column that is missing reads as empty.
        let at = |name: &str| names.iter().position(|n| n.eq_ignore_ascii_case(name)).unwrap_or(usize::MAX);
        Self {
            at: at("date-time"),
            connector: at("connector-id"),
            session: at("session-id"),
            sequence: at("sequence-number"),
            local: at("local-endpoint"),
            remote: at("remote-endpoint"),
            kind: at("event"),
            data: at("data"),
            context: at("context"),
        }
    }
}

impl Parser {
    /// `direction` is the file name's; a `#Log-type` line overrules it.
    pub(super) fn new(direction: Direction) -> Self {
        Self { direction, columns: Columns::default(), skipped: 0 }
    }

    /// Reads one line without its end. Comments and what cannot be read give `None`.
    pub(super) fn line(&mut self, bytes: &[u8]) -> Option<LogLine> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        if let Some(comment) = text.strip_prefix('#') {
            self.comment(comment);
            return None;
        }
        if text.is_empty() {
            return None;
        }
        let line = self.record(text);
        if line.is_none() {
            self.skipped += 1;
        }
        line
    }

    fn comment(&mut self, comment: &str) {
        let Some((name, value)) = comment.split_once(':') else { return };
        if name.eq_ignore_ascii_case("fields") {
            self.columns = Columns::parse(value);
        } else if name.eq_ignore_ascii_case("log-type") {
            let value = value.to_ascii_lowercase();
            if value.contains("receive") {
                self.direction = Direction::Inbound;
            } else if value.contains("send") {
                self.direction = Direction::Outbound;
            }
        }
    }

    fn record(&self, text: &str) -> Option<LogLine> {
        let mut fields = split(text);
        let mut take = |column: usize| fields.get_mut(column).map(std::mem::take).unwrap_or_default();
        let columns = &self.columns;
        Some(LogLine {
            direction: self.direction,
            at: take(columns.at).parse::<Timestamp>().ok()?,
            connector: take(columns.connector),
            session: Some(take(columns.session)).filter(|id| !id.is_empty())?,
            sequence: take(columns.sequence).parse().ok()?,
            local: take(columns.local),
            remote: take(columns.remote),
            kind: kind(&take(columns.kind))?,
            data: take(columns.data),
            context: take(columns.context),
        })
    }
}

fn kind(event: &str) -> Option<LineKind> {
    match event {
        "+" => Some(LineKind::Connect),
        "-" => Some(LineKind::Disconnect),
        ">" => Some(LineKind::Sent),
        "<" => Some(LineKind::Received),
        "*" => Some(LineKind::Information),
        _ => None,
    }
}

/// The fields of one record (RFC 4180); quotes count only at the start of a field.
pub(in crate::observe) fn split(text: &str) -> Vec<String> {
    let mut fields = Vec::with_capacity(9);
    let mut rest = text;
    loop {
        let (field, behind) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => match rest.split_once(',') {
                Some((field, behind)) => (field.to_owned(), Some(behind)),
                None => (rest.to_owned(), None),
            },
        };
        fields.push(field);
        match behind {
            Some(behind) => rest = behind,
            None => return fields,
        }
    }
}

/// A field behind its opening quote, and what stands behind the comma after it.
fn unquote(text: &str) -> (String, Option<&str>) {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some((part, behind)) = rest.split_once('"') else {
            field.push_str(rest);
            return (field, None);
        };
        field.push_str(part);
        match behind.strip_prefix('"') {
            Some(behind) => {
                field.push('"');
                rest = behind;
            }
            None => return (field, behind.split_once(',').map(|(_, behind)| behind)),
        }
    }
}

/// What `read_line` found.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::observe) enum Found {
    Line,
    /// Octets without a line end: the writer is not done, or the file was cut off.
    Torn,
    End,
}

/// Reads one line into `line`, bounded; returns what was found and how many octets it took.
pub(in crate::observe) fn read_line(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
) -> io::Result<(Found, u64)> {
    line.clear();
    let mut taken = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', line)? as u64;
    if taken == 0 {
        return Ok((Found::End, 0));
    }
    let mut ended = line.last() == Some(&b'\n');
    while !ended && taken >= LINE_BYTES_MAX {
        let mut passed = Vec::new();
        let more = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut passed)? as u64;
        if more == 0 {
            break;
        }
        taken += more;
        ended = passed.last() == Some(&b'\n');
    }
    Ok((if ended { Found::Line } else { Found::Torn }, taken))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_split_as_they_were_quoted() {
        let cases: [(&str, &[&str]); 7] = [
            ("a,b,", &["a", "b", ""]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"say \"\"hi\"\"\",x", &["say \"hi\"", "x"]),
            ("a\"b,c", &["a\"b", "c"]),
            ("\"never closed,x", &["never closed,x"]),
            ("\"closed\" and more,x", &["closed", "x"]),
            ("", &[""]),
        ];
        for (text, wanted) in cases {
            assert_eq!(split(text), wanted, "{text}");
        }
    }

    #[test]
    fn an_endless_line_is_passed_over_and_the_next_one_read() {
        let mut bytes = vec![b'x'; 3 * usize::try_from(LINE_BYTES_MAX).unwrap()];
        bytes.extend_from_slice(b"\nnext\ntorn");
        let mut reader = bytes.as_slice();
        let mut line = Vec::new();
        assert_eq!(read_line(&mut reader, &mut line).unwrap().0, Found::Line);
        assert_eq!(line.len() as u64, LINE_BYTES_MAX);
        assert_eq!(read_line(&mut reader, &mut line).unwrap(), (Found::Line, 5));
        assert_eq!(line, b"next\n");
        assert_eq!(read_line(&mut reader, &mut line).unwrap(), (Found::Torn, 4));
        assert_eq!(read_line(&mut reader, &mut line).unwrap(), (Found::End, 0));
    }

    proptest! {
        #[test]
        fn no_line_is_too_bad(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut parser = Parser::new(Direction::Inbound);
            let _ = parser.line(&bytes);
        }
    }
}
