//! Reads the files of message tracking, the newest first, ours and Exchange's own.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

use crate::disk;
use crate::observe::log_reader::{Fields, Found, LINE_BYTES_MAX, read_line};

/// One line, with what `sealpost trace` knows how to show.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    #[serde(serialize_with = "millis")]
    pub at: Timestamp,
    pub event: String,
    pub source: String,
    pub queue_id: String,
    pub message_id: String,
    /// Empty for the null reverse-path.
    pub sender: String,
    pub recipients: Vec<String>,
    pub status: String,
    pub context: String,
    pub connector: String,
    pub client: String,
    pub client_name: String,
    pub server: String,
    pub server_name: String,
    pub size: u64,
    /// Message-IDs of the messages that this one is about.
    pub reference: String,
    pub subject: String,
    /// When the message came in.
    pub received: Option<String>,
    /// The members of `custom-data`.
    pub custom: BTreeMap<String, String>,
}

/// Why the files cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {source}; name the directory with --dir", path = .path.display())]
pub struct TrackingReadError {
    path: PathBuf,
    source: io::Error,
}

/// The files below a directory.
#[derive(Debug)]
pub struct Files {
    /// The newest first.
    files: Vec<TrackingFile>,
    /// Lines that could not be read.
    pub skipped: u64,
}

#[derive(Debug)]
struct TrackingFile {
    path: PathBuf,
    /// When its first line was written at the earliest, and its last at the latest.
    day: Timestamp,
    /// Exchange writes MSGTRK, MSGTRKMA, MSGTRKMD and MSGTRKMS beside each other.
    order: (String, u32),
}

/// Where each field stands, from `#Fields:`.
struct Columns(BTreeMap<String, usize>);

impl Files {
    /// Finds the files at or below a directory; a path that is a file is read alone.
    pub fn find(path: &Path) -> Result<Self, TrackingReadError> {
        let failed = |source| TrackingReadError { path: path.to_owned(), source };
        let mut files = Vec::new();
        if path.metadata().map_err(failed)?.is_file() {
            let file = TrackingFile { path: path.to_owned(), day: Timestamp::MIN, order: Default::default() };
            return Ok(Self { files: vec![file], skipped: 0 });
        }
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if let Some((day, order)) = entry.file_name().to_str().and_then(parse_name) {
                files.push(TrackingFile { path: entry.path(), day, order });
            }
        }
        files.sort_by(|a, b| b.order.cmp(&a.order));
        Ok(Self { files, skipped: 0 })
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The oldest and the newest by name.
    pub fn span(&self) -> Option<(&Path, &Path)> {
        Some((self.files.last()?.path.as_path(), self.files.first()?.path.as_path()))
    }

    /// Hands over the lines of each file that may hold one between `since` and `until`, the newest
    /// file first, the lines of a file in their order. `may_matter` looks at the octets of a line
    /// before it is taken apart; `take` ends the walk after the present file with `false`.
    pub fn each(
        &mut self,
        (since, until): (Timestamp, Timestamp),
        may_matter: &dyn Fn(&[u8]) -> bool,
        take: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<(), TrackingReadError> {
        let mut skipped = 0;
        for file in &self.files {
            if !file.may_hold(since, until) {
                continue;
            }
            let failed = |source| TrackingReadError { path: file.path.clone(), source };
            let opened = match disk::open_input(&file.path) {
                Ok(opened) => opened,
                // Retention was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(failed(source)),
            };
            let mut go_on = true;
            let lines = read_file(opened, may_matter, &mut |entry| {
                if entry.at >= since && entry.at <= until {
                    go_on &= take(entry);
                }
            });
            skipped += lines.map_err(failed)?;
            if !go_on {
                break;
            }
        }
        self.skipped = skipped;
        Ok(())
    }
}

impl TrackingFile {
    /// A straggler may stand in the file of the next day, and Exchange names files by local days.
    fn may_hold(&self, since: Timestamp, until: Timestamp) -> bool {
        if self.day == Timestamp::MIN {
            return true;
        }
        let hours = |hours| jiff::SignedDuration::from_hours(hours);
        let first = self.day.saturating_sub(hours(24)).unwrap_or(Timestamp::MIN);
        let last = self.day.saturating_add(hours(48)).unwrap_or(Timestamp::MAX);
        first <= until && last >= since
    }
}

/// How many lines could not be read.
fn read_file(file: File, may_matter: &dyn Fn(&[u8]) -> bool, take: &mut dyn FnMut(Entry)) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(128 << 10, file);
    let mut columns = Columns::of(super::csv::FIELDS);
    let mut bytes = Vec::with_capacity(usize::try_from(LINE_BYTES_MAX).unwrap_or(0).min(4 << 10));
    let mut skipped = 0;
    while read_line(&mut reader, &mut bytes)?.0 != Found::End {
        if bytes.first() == Some(&b'#') {
            if let Some(fields) = bytes.strip_prefix(b"#Fields:") {
                columns = Columns::of(&String::from_utf8_lossy(fields));
            }
        } else if may_matter(&bytes) {
            match columns.entry(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n'])) {
                Some(entry) => take(entry),
                None => skipped += 1,
            }
        }
    }
    Ok(skipped)
}

impl Columns {
    fn of(fields: &str) -> Self {
        Self(fields.split(',').map(|name| name.trim().to_ascii_lowercase()).zip(0..).collect())
    }

    fn entry(&self, line: &str) -> Option<Entry> {
        let mut fields: Vec<String> = Fields::of(line).map(Cow::into_owned).collect();
        let mut take = |name: &str| {
            self.0.get(name).and_then(|place| fields.get_mut(*place)).map(std::mem::take).unwrap_or_default()
        };
        let at = take("date-time").parse().ok()?;
        let sender = Some(take("return-path")).filter(|path| !path.is_empty());
        let sender = sender.unwrap_or_else(|| take("sender-address"));
        let recipients = take("recipient-address");
        let custom = take("custom-data");
        let members =
            custom.split(';').filter_map(|member| member.trim().strip_prefix("S:")?.split_once('='));
        Some(Entry {
            at,
            event: Some(take("event-id")).filter(|event| !event.is_empty())?,
            source: take("source"),
            queue_id: take("internal-message-id"),
            message_id: take("message-id"),
            sender: if sender == "<>" { String::new() } else { sender },
            recipients: recipients.split(';').filter(|one| !one.is_empty()).map(str::to_owned).collect(),
            status: take("recipient-status"),
            context: take("source-context"),
            connector: take("connector-id"),
            client: take("client-ip"),
            client_name: take("client-hostname"),
            server: take("server-ip"),
            server_name: take("server-hostname"),
            size: take("total-bytes").parse().unwrap_or(0),
            reference: take("reference"),
            subject: take("message-subject"),
            received: Some(take("message-info")).filter(|at| !at.is_empty()),
            custom: members.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        })
    }
}

/// `MSGTRK20261122-1.LOG`, Exchange's `MSGTRKMS2026112201-1.LOG`.
fn parse_name(name: &str) -> Option<(Timestamp, (String, u32))> {
    let upper = name.to_ascii_uppercase();
    let rest = upper.strip_prefix("MSGTRK")?.strip_suffix(".LOG")?;
    let (stamp, number) = rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).split_once('-')?;
    if !matches!(stamp.len(), 8 | 10) || !stamp.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let date =
        civil::Date::new(stamp[..4].parse().ok()?, stamp[4..6].parse().ok()?, stamp[6..8].parse().ok()?);
    let day = date.ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some((day, (stamp.to_owned(), number.parse().ok()?)))
}

fn millis<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}
