//! One line of a log as a record. The comment lines at a file's head, and those that a service adds
//! when it starts again, say which column is which. Tolerant: what cannot be read is skipped and
//! counted, since a log is read when something is wrong already. Nothing is copied before somebody
//! wants to keep it.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;

use super::LogLine;
use crate::session::transcript::{Line, LineKind};
use crate::trust::Direction;

/// Columns looked at; what stands behind them is passed over.
const COLUMNS_MAX: usize = 64;

/// What a column holds, of those we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    At,
    Connector,
    Session,
    Sequence,
    Local,
    Remote,
    Kind,
    Data,
    Context,
    /// Of a later version.
    Other,
}

/// Knows the columns and the direction of one file, as far as its comments have said.
#[derive(Clone, Debug)]
pub(super) struct Parser {
    pub(super) direction: Direction,
    columns: Arc<[Column]>,
}

/// One line, its fields as they were before quoting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) at: Timestamp,
    pub(super) connector: Cow<'a, str>,
    pub(super) session: Cow<'a, str>,
    pub(super) sequence: u32,
    pub(super) local: Cow<'a, str>,
    pub(super) remote: Cow<'a, str>,
    pub(super) kind: LineKind,
    pub(super) data: Cow<'a, str>,
    pub(super) context: Cow<'a, str>,
}

/// What a line turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    Record(Record<'a>),
    /// A comment or nothing at all.
    Nothing,
    Unreadable,
}

/// The columns of every version from 2007 to 2019, and ours.
const KNOWN: [(&str, Column); 9] = [
    ("date-time", Column::At),
    ("connector-id", Column::Connector),
    ("session-id", Column::Session),
    ("sequence-number", Column::Sequence),
    ("local-endpoint", Column::Local),
    ("remote-endpoint", Column::Remote),
    ("event", Column::Kind),
    ("data", Column::Data),
    ("context", Column::Context),
];

impl Parser {
    /// `direction` is the file name's; a `#Log-type` line overrules it.
    pub(super) fn new(direction: Direction) -> Self {
        Self { direction, columns: KNOWN.map(|(_, column)| column).into() }
    }

    /// Reads one line, without its end or with it. `text` may hold several when a quoted field does.
    pub(super) fn line<'a>(&mut self, text: &'a str) -> Parsed<'a> {
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        if let Some(comment) = text.strip_prefix('#') {
            self.comment(comment);
            return Parsed::Nothing;
        }
        if text.is_empty() {
            return Parsed::Nothing;
        }
        self.record(text).map_or(Parsed::Unreadable, Parsed::Record)
    }

    /// Learns from a comment line, without its `#`.
    pub(super) fn comment(&mut self, comment: &str) {
        let Some((name, value)) = comment.split_once(':') else { return };
        if name.eq_ignore_ascii_case("fields") {
            let column = |name: &str| {
                let known = KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                known.map_or(Column::Other, |(_, column)| *column)
            };
            self.columns = value.split(',').take(COLUMNS_MAX).map(|name| column(name.trim())).collect();
        } else if name.eq_ignore_ascii_case("log-type") {
            let value = value.to_ascii_lowercase();
            if value.contains("receive") {
                self.direction = Direction::Inbound;
            } else if value.contains("send") {
                self.direction = Direction::Outbound;
            }
        }
    }

    /// `None`: no time, no session, no sequence number or no event that is one.
    fn record<'a>(&self, text: &'a str) -> Option<Record<'a>> {
        let nothing = Cow::Borrowed("");
        let (mut at, mut sequence, mut event) = (None, None, None);
        let mut record = Record {
            at: Timestamp::UNIX_EPOCH,
            connector: nothing.clone(),
            session: nothing.clone(),
            sequence: 0,
            local: nothing.clone(),
            remote: nothing.clone(),
            kind: LineKind::Information,
            data: nothing.clone(),
            context: nothing,
        };
        for (column, field) in self.columns.iter().zip(Fields::of(text)) {
            match column {
                Column::At => at = Some(time(&field)?),
                Column::Connector => record.connector = field,
                Column::Session => record.session = field,
                Column::Sequence => sequence = Some(field.parse().ok()?),
                Column::Local => record.local = field,
                Column::Remote => record.remote = field,
                Column::Kind => event = Some(kind(&field)?),
                Column::Data => record.data = field,
                Column::Context => record.context = field,
                Column::Other => {}
            }
        }
        record.at = at?;
        record.sequence = sequence?;
        record.kind = event?;
        if record.session.is_empty() { None } else { Some(record) }
    }
}

impl Record<'_> {
    /// A copy that lasts.
    pub(super) fn keep(self, direction: Direction) -> LogLine {
        let Self { at, connector, session, sequence, local, remote, kind, data, context } = self;
        LogLine {
            direction,
            connector: connector.into_owned(),
            session: session.into_owned(),
            local: local.into_owned(),
            remote: remote.into_owned(),
            line: Line { at, sequence, kind, data: data.into_owned(), context: context.into_owned() },
        }
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

/// `2019-03-21T13:00:45.039Z` without a detour; any other RFC 3339 time as well.
fn time(text: &str) -> Option<Timestamp> {
    match text.as_bytes() {
        &[
            y1,
            y2,
            y3,
            y4,
            b'-',
            m1,
            m2,
            b'-',
            d1,
            d2,
            b'T',
            h1,
            h2,
            b':',
            n1,
            n2,
            b':',
            s1,
            s2,
            b'.',
            f1,
            f2,
            f3,
            b'Z',
        ] => {
            let number = |digits: &[u8]| {
                digits.iter().try_fold(0_i64, |number, digit| {
                    digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
                })
            };
            let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
            let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
            if !(1..=12).contains(&month)
                || !(1..=31).contains(&day)
                || hour > 23
                || minute > 59
                || second > 59
            {
                return text.parse().ok();
            }
            let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
            Timestamp::from_millisecond(seconds * 1000 + number(&[f1, f2, f3])?).ok()
        }
        _ => text.parse().ok(),
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in years that begin with March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

/// Whether a record begins here: with a year. Anything else behind a line's end belongs to what
/// stands before it.
pub(super) fn begins_record(bytes: &[u8]) -> bool {
    matches!(bytes, [a, b, c, d, b'-', ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()))
}

/// The fields of one record (RFC 4180); quotes count only at the start of a field.
pub(in crate::observe) struct Fields<'a> {
    rest: Option<&'a str>,
}

impl<'a> Fields<'a> {
    pub(in crate::observe) fn of(text: &'a str) -> Self {
        Self { rest: Some(text) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        let rest = self.rest?;
        if let Some(quoted) = rest.strip_prefix('"') {
            let (field, behind) = unquote(quoted);
            self.rest = behind;
            return Some(field);
        }
        let (field, behind) = match memchr::memchr(b',', rest.as_bytes()) {
            Some(comma) => (&rest[..comma], Some(&rest[comma + 1..])),
            None => (rest, None),
        };
        self.rest = behind;
        Some(Cow::Borrowed(field))
    }
}

/// A field behind its opening quote, and what stands behind the comma after it.
fn unquote(text: &str) -> (Cow<'_, str>, Option<&str>) {
    let behind_comma = |behind: &'_ str| memchr::memchr(b',', behind.as_bytes());
    let Some((part, behind)) = text.split_once('"') else { return (Cow::Borrowed(text), None) };
    if !behind.starts_with('"') {
        return (Cow::Borrowed(part), behind_comma(behind).map(|comma| &behind[comma + 1..]));
    }
    let mut field = part.to_owned();
    let mut rest = behind;
    while let Some(doubled) = rest.strip_prefix('"') {
        field.push('"');
        let Some((part, behind)) = doubled.split_once('"') else {
            field.push_str(doubled);
            return (Cow::Owned(field), None);
        };
        field.push_str(part);
        rest = behind;
    }
    (Cow::Owned(field), behind_comma(rest).map(|comma| &rest[comma + 1..]))
}

/// Whether the last field of `text` opens a quote and never closes it: the record goes on in the
/// next line.
pub(super) fn is_open(text: &str) -> bool {
    if memchr::memchr(b'"', text.as_bytes()).is_none() {
        return false;
    }
    let mut rest = Some(text);
    while let Some(field) = rest {
        let Some(quoted) = field.strip_prefix('"') else {
            rest = memchr::memchr(b',', field.as_bytes()).map(|comma| &field[comma + 1..]);
            continue;
        };
        let mut inside = quoted;
        rest = loop {
            let Some((_, behind)) = inside.split_once('"') else { return true };
            match behind.strip_prefix('"') {
                Some(behind) => inside = behind,
                None => break behind.split_once(',').map(|(_, behind)| behind),
            }
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_split_as_they_were_quoted() {
        let cases: [(&str, &[&str], bool); 8] = [
            ("a,b,", &["a", "b", ""], false),
            ("\"a,b\",c", &["a,b", "c"], false),
            ("\"say \"\"hi\"\"\",x", &["say \"hi\"", "x"], false),
            ("a\"b,c", &["a\"b", "c"], false),
            ("\"never closed,x", &["never closed,x"], true),
            ("\"half\"\" closed,x", &["half\" closed,x"], true),
            ("\"closed\" and more,x", &["closed", "x"], false),
            ("", &[""], false),
        ];
        for (text, wanted, open) in cases {
            assert_eq!(Fields::of(text).collect::<Vec<_>>(), wanted, "{text}");
            assert_eq!(is_open(text), open, "{text}");
        }
    }

    #[test]
    fn columns_stand_where_the_comment_says() {
        let mut parser = Parser::new(Direction::Inbound);
        assert_eq!(parser.line("#Log-type: SMTP Send Protocol Log"), Parsed::Nothing);
        assert_eq!(
            parser.line("#Fields: event, session-id,new,date-time,sequence-number,data"),
            Parsed::Nothing
        );
        let Parsed::Record(record) = parser.line("<,AB,?,2019-03-21T13:00:45Z,7,250 ok") else { panic!() };
        assert_eq!((record.session.as_ref(), record.sequence, record.kind), ("AB", 7, LineKind::Received));
        assert_eq!((record.data.as_ref(), record.context.as_ref()), ("250 ok", ""));
        assert_eq!(parser.direction, Direction::Outbound);
    }

    #[test]
    fn what_is_no_record_is_said() {
        let mut parser = Parser::new(Direction::Inbound);
        for text in [
            "not a line",
            "2019-13-21T13:00:45.039Z,c,AB,0,,,+,,",
            "2019-03-21T13:00:45.039Z,c,,0,,,+,,",
            "2019-03-21T13:00:45.039Z,c,AB,x,,,+,,",
            "2019-03-21T13:00:45.039Z,c,AB,0,,,?,,",
            "2019-03-21T13:00:45.039Z,c,AB,0,,",
        ] {
            assert_eq!(parser.line(text), Parsed::Unreadable, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_what_the_calendar_says(millis in -62_135_596_800_000_i64..253_402_300_799_999) {
            let at = Timestamp::from_millisecond(millis).unwrap();
            prop_assert_eq!(time(&format!("{at:.3}")), Some(at));
        }

        #[test]
        fn no_line_is_too_bad(text in "[0-9#:,\"a-zTZ<>+*-]{0,120}") {
            let _ = Parser::new(Direction::Inbound).line(&text);
            let _ = is_open(&text);
        }

        #[test]
        fn what_was_quoted_is_read_as_it_was(fields in proptest::collection::vec("[a,\" \r\nb]{0,12}", 1..6)) {
            let quoted: Vec<String> =
                fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            let text = quoted.join(",");
            prop_assert_eq!(Fields::of(&text).collect::<Vec<_>>(), fields);
            prop_assert!(!is_open(&text));
        }
    }
}
