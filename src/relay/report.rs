//! Delivery status notifications: what the sender hears of a failure or a delay (RFC 3464). Never
//! to or about the null reverse-path.

use std::fmt::Write as _;
use std::io::{Read, Seek};

use jiff::Timestamp;
use sealpost_queue::{Change, Claim, Content, MessageId, NewMessage, Recipient};

use crate::mail::dsn::{self, Diagnostic, Kind, Original};
use crate::mail::{Address, BodyType, EnhancedCode, ReversePath, header};
use crate::observe::{DsnKind, Event};
use crate::policy::{Settings, header_firewall, limits};
use crate::smtp::Reply;

use super::record::{AttemptNote, MessageMeta};
use super::route;
use super::settle::Bounced;
use super::shared::Shared;

/// The message a report is about.
pub struct About<'a> {
    pub id: MessageId,
    /// Milliseconds since the Unix epoch.
    pub received: i64,
    pub meta: &'a MessageMeta,
}

/// What became of one recipient, as the report tells it.
struct Told<'a> {
    address: Address,
    note: &'a AttemptNote,
    last_attempt: Option<Timestamp>,
    retry_until: Option<Timestamp>,
}

/// The report on recipients given up: the message to insert, or nothing where nobody may be told.
pub async fn failure(
    shared: &Shared,
    settings: &Settings,
    about: &About<'_>,
    bounced: &[Bounced],
) -> Option<Change> {
    let now = Some(Timestamp::now());
    let told = bounced.iter().filter_map(|bounced| {
        let address = Address::parse(&bounced.address).ok()?;
        Some(Told { address, note: &bounced.note, last_attempt: now, retry_until: None })
    });
    write(shared, settings, about, Kind::Failed, told.collect()).await
}

/// The report on recipients that still wait.
pub async fn delay(
    shared: &Shared,
    settings: &Settings,
    about: &About<'_>,
    late: &[&Recipient],
) -> Option<Change> {
    let notes: Vec<AttemptNote> =
        late.iter().map(|recipient| AttemptNote::from_bytes(&recipient.note)).collect();
    let told = late.iter().zip(&notes).filter_map(|(recipient, note)| {
        let address = Address::parse(&recipient.address).ok()?;
        let retry_until = Timestamp::from_millisecond(recipient.expires).ok();
        Some(Told { address, note, last_attempt: None, retry_until })
    });
    write(shared, settings, about, Kind::Delayed, told.collect()).await
}

/// The event that tells what became of a report; `inserted` is the queue id it got.
pub fn event(about: MessageId, kind: DsnKind, inserted: Option<MessageId>) -> Event {
    match inserted {
        Some(id) => Event::DsnQueued { queue_id: id.to_string(), about: about.to_string(), kind },
        None => Event::DsnDropped { about: about.to_string() },
    }
}

async fn write(
    shared: &Shared,
    settings: &Settings,
    about: &About<'_>,
    kind: Kind,
    told: Vec<Told<'_>>,
) -> Option<Change> {
    let ReversePath::Address(sender) = &about.meta.reverse_path else { return None };
    if told.is_empty() {
        return None;
    }
    let head = head_of(shared, about.id).await;
    let explanations: Vec<String> = told.iter().map(|told| explain(kind, told)).collect();
    let recipients: Vec<dsn::Recipient<'_>> =
        told.iter().zip(&explanations).map(|(told, explanation)| recipient(told, explanation)).collect();
    let transcript = told.iter().map(|told| &told.note.transcript).find(|lines| !lines.is_empty());
    let now = Timestamp::now();
    let report = dsn::Report {
        kind,
        reporting_mta: &settings.hostname,
        from: &settings.transport.postmaster,
        to: sender,
        at: now,
        message_id: &format!("{:016x}.{}@{}", rand::random::<u64>(), now.as_millisecond(), settings.hostname),
        boundary: &format!("report{:032x}", rand::random::<u128>()),
        original: Original {
            queue_id: &about.id.to_string(),
            arrival: Timestamp::from_millisecond(about.received).unwrap_or(now),
            head: &head,
            smtputf8: about.meta.smtputf8,
        },
        recipients: &recipients,
        transcript: transcript.map(Vec::as_slice).unwrap_or_default(),
    };
    let utf8 = report.needs_smtputf8();
    Some(insert(settings, sender, utf8, report.content(), now))
}

fn insert(settings: &Settings, to: &Address, utf8: bool, content: Vec<u8>, now: Timestamp) -> Change {
    let eight_bit = !content.is_ascii();
    let meta = MessageMeta {
        reverse_path: ReversePath::Null,
        body: if eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit },
        smtputf8: utf8,
        eight_bit,
        secured: None,
        connector: String::new(),
        session: String::new(),
        held: false,
    };
    // Nobody is told that a report is late.
    let recipient =
        sealpost_queue::NewRecipient { notify_delay_at: None, ..route::new_recipient(settings, to, now) };
    let message = NewMessage {
        sender: String::new(),
        received: now.as_millisecond(),
        meta: meta.to_bytes(),
        recipients: vec![recipient],
    };
    Change::Insert { message, content: content.into() }
}

fn recipient<'a>(told: &'a Told<'a>, explanation: &'a str) -> dsn::Recipient<'a> {
    let note = told.note;
    let diagnostic = if note.reply.is_empty() {
        Diagnostic::Own(&note.reason)
    } else if note.from_peer {
        Diagnostic::Smtp(&note.reply)
    } else {
        Diagnostic::Own(&note.reply)
    };
    dsn::Recipient {
        address: &told.address,
        status: EnhancedCode::parse(&note.status).unwrap_or(EnhancedCode::new(4, 0, 0)),
        remote_mta: note.host.as_deref().map(|host| host.split(' ').next().unwrap_or(host)),
        diagnostic: Some(diagnostic),
        last_attempt: told.last_attempt,
        retry_until: told.retry_until,
        explanation,
    }
}

/// For people: what happened and, for a failed check, what was wanted and got.
fn explain(kind: Kind, told: &Told<'_>) -> String {
    let note = told.note;
    let mut text = match kind {
        Kind::Failed => String::new(),
        Kind::Delayed => "The message has not been delivered yet; we keep trying. ".to_owned(),
    };
    text += if note.reason.is_empty() { "No attempt was possible so far." } else { &note.reason };
    if let Some(fault) = note.fault {
        let _ = write!(text, " The check that failed: {}.", fault.name());
        if !note.wanted.is_empty() {
            let _ = write!(text, " Wanted: {}. Got: {}.", note.wanted, note.got);
        }
        text += " The message was not sent in any other way.";
    }
    text
}

/// The original's header section as strangers may see it; empty when it cannot be read any more.
async fn head_of(shared: &Shared, id: MessageId) -> Vec<u8> {
    let Ok(content) = shared.queue.content(id).await else { return Vec::new() };
    let limit = limits::HEADER_SECTION_BYTES_MAX as u64 * 2;
    let Ok(start) = tokio::task::block_in_place(|| read_start(content, limit)) else { return Vec::new() };
    header_firewall::outgoing(header::split(&start).0, false)
}

/// The first `limit` octets of content.
fn read_start(content: Content, limit: u64) -> std::io::Result<Vec<u8>> {
    match content {
        Content::Memory(bytes) => Ok(bytes.to_vec()),
        Content::File { file, len } => {
            let mut start = Vec::new();
            file.take(limit.min(len)).read_to_end(&mut start)?;
            Ok(start)
        }
    }
}

/// At most `limit` octets of content from `offset` on; none behind its end.
pub fn read_piece(content: Content, offset: u64, limit: u64) -> std::io::Result<Vec<u8>> {
    match content {
        Content::Memory(bytes) => {
            let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
            let count = usize::try_from(limit).unwrap_or(usize::MAX);
            Ok(rest.map(|rest| rest[..rest.len().min(count)].to_vec()).unwrap_or_default())
        }
        Content::File { mut file, len } => {
            let mut piece = Vec::new();
            file.seek_relative(i64::try_from(offset.min(len)).unwrap_or(i64::MAX))?;
            file.take(limit.min(len.saturating_sub(offset))).read_to_end(&mut piece)?;
            Ok(piece)
        }
    }
}

/// What is claimed leaves the queue, together with the report entering it unless `tell` is off.
pub async fn give_up_for_operator(
    shared: &Shared,
    claim: &Claim,
    tell: bool,
) -> Result<(), sealpost_queue::Error> {
    let settings = shared.settings.load_full();
    let message = &claim.message;
    let text = format!("removed from the queue by an administrator of {}", settings.hostname);
    let note = AttemptNote::ours(
        &Reply::new(550, (5, 3, 0), text),
        "An administrator removed the message from the queue.",
    );
    let bounced: Vec<Bounced> = message
        .recipients
        .iter()
        .map(|recipient| Bounced {
            index: recipient.index,
            address: recipient.address.clone(),
            note: note.clone(),
        })
        .collect();
    let remove = |bounced: &Bounced| Change::Remove { id: message.id, recipient: bounced.index };
    let mut changes: Vec<Change> = bounced.iter().map(remove).collect();
    if let Ok(meta) = MessageMeta::from_bytes(&message.meta)
        && tell
    {
        let about = About { id: message.id, received: message.received, meta: &meta };
        changes.extend(failure(shared, &settings, &about, &bounced).await);
    }
    let inserted = shared.queue.apply(changes).await?;
    if !tell {
        return Ok(());
    }
    for Bounced { address, note, .. } in bounced {
        let (queue_id, reason) = (message.id.to_string(), note.reason);
        shared.observer.event(Event::MessageBounced { queue_id, recipient: address, reason });
    }
    shared.observer.event(event(message.id, DsnKind::Failed, inserted.first().copied()));
    Ok(())
}
