//! From what is asked for to everything that belongs to it: first the messages that are meant, then
//! all records of these, then the reports about them and the mail that reports are about.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use serde::{Deserialize, Serialize};

use crate::mail::Address;

use super::{Entry, Files, TrackingReadError};

/// Records kept of one message, and of all; what is above is counted.
const RECORDS_MAX: usize = 10_000;
/// Reports about messages, and messages that a report is about: a report has no report.
const ROUNDS_MAX: usize = 3;

/// Messages that a search shows unless it says otherwise, and at most.
pub const MESSAGES: usize = 100;
const MESSAGES_MAX: usize = 10_000;

/// A search as it is put.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Search {
    /// A Message-ID, with or without its angle brackets, or a queue id.
    pub message: Option<String>,
    /// `<>` is the null reverse-path.
    pub sender: Option<String>,
    /// An address, or `@` and a domain.
    pub recipient: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub limit: Option<usize>,
}

/// What is asked for; all conditions must hold of one record.
#[derive(Debug)]
pub struct Wanted {
    /// In angle brackets, or a queue id.
    pub message: Option<String>,
    pub sender: Option<String>,
    /// An address, or `@` and a domain.
    pub recipient: Option<String>,
    pub since: Timestamp,
    pub until: Timestamp,
    pub limit: usize,
}

/// One message with its records, oldest first.
#[derive(Debug, Serialize)]
pub struct Message {
    pub queue_id: String,
    pub message_id: String,
    pub sender: String,
    /// The message that this one is a report about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    pub events: Vec<Entry>,
}

#[derive(Debug, Default)]
pub struct Traced {
    /// By the time of their first record.
    pub messages: Vec<Message>,
    /// There are more messages than were asked for.
    pub more: bool,
    /// Records that were not kept.
    pub left_out: usize,
}

impl Wanted {
    /// `None` where nothing is asked for.
    pub fn new(search: Search) -> Option<Self> {
        let Search { message, sender, recipient, since, until, limit } = search;
        if message.is_none() && sender.is_none() && recipient.is_none() && since.is_none() && until.is_none()
        {
            return None;
        }
        Some(Self {
            message: message.as_deref().map(as_message),
            sender: sender.as_deref().map(as_address),
            recipient: recipient.as_deref().map(as_address),
            since: since.unwrap_or(Timestamp::MIN),
            until: until.unwrap_or(Timestamp::MAX),
            limit: limit.unwrap_or(MESSAGES).clamp(1, MESSAGES_MAX),
        })
    }

    fn matches(&self, entry: &Entry) -> bool {
        let is_message =
            |text: &String| entry.message_id == *text || entry.queue_id.eq_ignore_ascii_case(text);
        let is_recipient = |text: &String| {
            entry.recipients.iter().any(|one| match text.strip_prefix('@') {
                Some(domain) => {
                    one.rsplit_once('@').is_some_and(|(_, found)| found.eq_ignore_ascii_case(domain))
                }
                None => one.eq_ignore_ascii_case(text),
            })
        };
        self.message.as_ref().is_none_or(is_message)
            && self.sender.as_ref().is_none_or(|text| entry.sender.eq_ignore_ascii_case(text))
            && self.recipient.as_ref().is_none_or(is_recipient)
    }
}

/// A queue id as it is written, or a Message-ID in its brackets.
fn as_message(text: &str) -> String {
    let is_id = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match text {
        _ if is_id || text.starts_with('<') => text.to_owned(),
        _ => format!("<{text}>"),
    }
}

fn as_address(text: &str) -> String {
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    Address::parse(inner).map_or_else(|_| inner.to_owned(), |address| address.to_string())
}

/// Reads the files, the newest first, as often as it takes: once for what is meant, once for all of
/// it, and once more for each step to a report or back.
pub fn trace(files: &mut Files, wanted: &Wanted) -> Result<Traced, TrackingReadError> {
    let (mut ids, more) = meant(files, wanted)?;
    let mut traced = Traced { more, ..Traced::default() };
    if ids.is_empty() {
        return Ok(traced);
    }
    let mut skipped = files.skipped;
    for _ in 0..ROUNDS_MAX {
        let before = ids.len();
        traced = collect(files, &mut ids)?;
        skipped = skipped.max(files.skipped);
        if ids.len() == before {
            break;
        }
    }
    files.skipped = skipped;
    Ok(Traced { more, ..traced })
}

/// The queue ids of the newest messages that are meant; whether there are more.
fn meant(files: &mut Files, wanted: &Wanted) -> Result<(BTreeSet<String>, bool), TrackingReadError> {
    // Of each file all are taken, since its lines come oldest first; then the newest count.
    let mut found: BTreeMap<String, Timestamp> = BTreeMap::new();
    let needle = wanted.message.clone().unwrap_or_default().into_bytes();
    // What stands between the brackets, whatever was asked for.
    let inner = needle.strip_prefix(b"<").and_then(|text| text.get(..text.len().checked_sub(1)?));
    let may_matter = |line: &[u8]| inner.is_none_or(|inner| memchr::memmem::find(line, inner).is_some());
    files.each((wanted.since, wanted.until), &may_matter, &mut |entry| {
        if wanted.matches(&entry) && !entry.queue_id.is_empty() {
            let last = found.entry(entry.queue_id).or_insert(entry.at);
            *last = entry.at.max(*last);
        }
        found.len() <= wanted.limit
    })?;
    let more = found.len() > wanted.limit;
    let mut newest: Vec<_> = found.into_iter().collect();
    newest.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
    Ok((newest.into_iter().take(wanted.limit).map(|(id, _)| id).collect(), more))
}

/// All records of these messages, whenever they were written; adds the ids of what belongs to them.
fn collect(files: &mut Files, ids: &mut BTreeSet<String>) -> Result<Traced, TrackingReadError> {
    let mut messages: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    let mut related = BTreeSet::new();
    let (mut kept, mut left_out) = (0, 0);
    let known = ids.clone();
    files.each((Timestamp::MIN, Timestamp::MAX), &|_| true, &mut |entry| {
        let about = entry.custom.get("about");
        let (is_known, is_about) =
            (known.contains(&entry.queue_id), about.is_some_and(|about| known.contains(about)));
        if is_known {
            related.extend(about.cloned());
        } else if is_about {
            related.insert(entry.queue_id.clone());
        }
        if is_known || is_about {
            if kept < RECORDS_MAX {
                kept += 1;
                messages.entry(entry.queue_id.clone()).or_default().push(entry);
            } else {
                left_out += 1;
            }
        }
        true
    })?;
    ids.extend(related);
    let mut messages: Vec<Message> = messages.into_iter().map(|(id, events)| message(id, events)).collect();
    messages.sort_by_key(|message| message.events.first().map(|entry| entry.at));
    Ok(Traced { messages, more: false, left_out })
}

fn message(queue_id: String, mut events: Vec<Entry>) -> Message {
    events.sort_by_key(|entry| entry.at);
    let first = |of: fn(&Entry) -> &String| events.iter().map(of).find(|text| !text.is_empty()).cloned();
    Message {
        message_id: first(|entry| &entry.message_id).unwrap_or_default(),
        sender: first(|entry| &entry.sender).unwrap_or_default(),
        about: events.iter().find_map(|entry| entry.custom.get("about").cloned()),
        queue_id,
        events,
    }
}

impl Traced {
    /// Ids of the sessions in the protocol log.
    pub fn sessions(&self) -> BTreeSet<String> {
        let entries = self.messages.iter().flat_map(|message| &message.events);
        let named =
            entries.flat_map(|entry| ["session", "received-session"].map(|name| entry.custom.get(name)));
        named.flatten().cloned().collect()
    }

    /// The first and the last record.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let times = self.messages.iter().flat_map(|message| &message.events).map(|entry| entry.at);
        let received = self.messages.iter().flat_map(|message| &message.events);
        let received = received.filter_map(|entry| entry.received.as_ref()?.parse::<Timestamp>().ok());
        Some((times.clone().chain(received).min()?, times.max()?))
    }
}
