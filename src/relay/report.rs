//! Delivery status notifications: what the sender hears of a failure, a delay, or of mail handed over
//! to a server that reports nothing (RFC 3461, 3464). Never to or about the null reverse-path.

use std::fmt::Write as _;
use std::io::{Read, Seek};

use jiff::Timestamp;
use sealpost_queue::{Change, Claim, Content, MessageId, NewMessage, Recipient};

use crate::mail::dsn::request::Notify;
use crate::mail::dsn::{self, Diagnostic, Kind, Original, RecipientRequest, Requests};
use crate::mail::{Address, BodyType, EnhancedCode, ReversePath, TlsRequired, header};
use crate::observe::tracking::Cause;
use crate::observe::{DsnKind, Event};
use crate::policy::{Settings, limits};
use crate::smtp::Reply;

use super::record::{AttemptNote, MessageMeta};
use super::returned_message::{self, ReturnedMessage};
use super::route;
use super::shared::Shared;
use super::tracked::Telling;

/// The message a report is about.
pub struct About<'a> {
    pub id: MessageId,
    /// Milliseconds since the Unix epoch.
    pub received: i64,
    /// Octets.
    pub size: u64,
    pub meta: &'a MessageMeta,
}

/// What became of one recipient, for good.
pub struct Fate {
    /// The recipient's index within its message.
    pub index: u32,
    pub address: String,
    pub note: AttemptNote,
}

/// The reports on one message that are to enter the queue in one step.
#[derive(Default)]
pub struct Reports {
    changes: Vec<Change>,
    kinds: Vec<DsnKind>,
    /// A failure nobody can be told of: the message had no sender.
    dropped: bool,
}

impl Reports {
    pub fn add(&mut self, mut more: Self) {
        self.changes.append(&mut more.changes);
        self.kinds.append(&mut more.kinds);
        self.dropped |= more.dropped;
    }

    /// The messages to insert, in order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// What is to be told of them once they are in the queue; `inserted` are the ids they got.
    pub fn events(&self, about: MessageId, inserted: &[MessageId]) -> Vec<Event> {
        let queued = self.kinds.iter().zip(inserted).map(|(kind, id)| Event::DsnQueued {
            queue_id: id.to_string(),
            about: about.to_string(),
            kind: *kind,
        });
        queued.chain(self.dropped.then(|| Event::DsnDropped { about: about.to_string() })).collect()
    }
}

/// One recipient, as the report tells it.
struct Told<'a> {
    address: Address,
    asked: RecipientRequest,
    note: &'a AttemptNote,
    retry_until: Option<Timestamp>,
}

/// The reports on recipients given up, as far as the sender wants to hear of them (RFC 3461 5.2.6).
pub async fn failure(shared: &Shared, settings: &Settings, about: &About<'_>, fates: &[Fate]) -> Reports {
    if about.meta.reverse_path == ReversePath::Null {
        return once_more(shared, settings, about, fates).await;
    }
    let told = of_fates(about, fates).filter(|told| told.asked.wants_failure()).collect();
    write(shared, settings, about, Kind::Failed, told).await
}

/// Nobody hears of mail without a sender. But a report of ours that returned a message, and so was too
/// large or had octets that its way home does not take, goes once more with the header section alone.
async fn once_more(shared: &Shared, settings: &Settings, about: &About<'_>, fates: &[Fate]) -> Reports {
    let too_much = |fate: &&Fate| matches!(fate.note.status.as_str(), "5.3.4" | "5.6.3");
    let address = fates
        .iter()
        .find(too_much)
        .filter(|_| about.meta.is_of_our_own())
        .and_then(|fate| Address::parse(&fate.address).ok());
    if let Some(address) = address
        && let Some(report) = returned_message::start_of(shared, about.id).await
        && let Some(shortened) = dsn::shorten(&report)
    {
        let utf8 = about.meta.smtputf8;
        let change = insert(settings, &address, utf8, about.meta.tls_required, shortened, Timestamp::now());
        return Reports { changes: vec![change], kinds: vec![DsnKind::Failed], dropped: false };
    }
    Reports { dropped: !fates.is_empty(), ..Reports::default() }
}

/// The reports on recipients handed over to a server that reports nothing (RFC 3461 5.2.2).
pub async fn relayed(shared: &Shared, settings: &Settings, about: &About<'_>, fates: &[Fate]) -> Reports {
    let told = of_fates(about, fates).filter(|told| told.asked.wants_success()).collect();
    write(shared, settings, about, Kind::Relayed, told).await
}

fn of_fates<'a>(about: &About<'_>, fates: &'a [Fate]) -> impl Iterator<Item = Told<'a>> {
    let dsn = &about.meta.dsn;
    fates.iter().filter_map(|Fate { index, address, note }| {
        let address = Address::parse(address).ok()?;
        Some(Told { address, asked: dsn.of(*index), note, retry_until: None })
    })
}

/// The reports on recipients that still wait, as far as the sender wants to hear of delays (RFC 3461
/// 5.2.5).
pub async fn delay(shared: &Shared, settings: &Settings, about: &About<'_>, late: &[&Recipient]) -> Reports {
    let notes: Vec<AttemptNote> =
        late.iter().map(|recipient| AttemptNote::from_bytes(&recipient.note)).collect();
    let told = late.iter().zip(&notes).filter_map(|(recipient, note)| {
        let address = Address::parse(&recipient.address).ok()?;
        let retry_until = Timestamp::from_millisecond(recipient.expires).ok();
        let asked = about.meta.dsn.of(recipient.index);
        asked.takes_delay().then_some(Told { address, asked, note, retry_until })
    });
    write(shared, settings, about, Kind::Delayed, told.collect()).await
}

async fn write(
    shared: &Shared,
    settings: &Settings,
    about: &About<'_>,
    kind: Kind,
    told: Vec<Told<'_>>,
) -> Reports {
    let mut reports = Reports::default();
    let ReversePath::Address(sender) = &about.meta.reverse_path else { return reports };
    if told.is_empty() {
        return reports;
    }
    let original = {
        let recipients = told.iter().map(|told| &told.address);
        ReturnedMessage::read(shared, settings, about, sender, kind, recipients).await
    };
    for told in told.chunks(limits::RECIPIENTS_PER_REPORT_MAX) {
        reports.changes.push(one(settings, about, sender, kind, told, &original));
        reports.kinds.push(match kind {
            Kind::Failed => DsnKind::Failed,
            Kind::Delayed => DsnKind::Delayed,
            Kind::Relayed => DsnKind::Relayed,
        });
    }
    reports
}

/// One report, as the message to insert.
fn one(
    settings: &Settings,
    about: &About<'_>,
    sender: &Address,
    kind: Kind,
    told: &[Told<'_>],
    original: &ReturnedMessage,
) -> Change {
    let explanations: Vec<String> = told.iter().map(|told| explain(kind, told)).collect();
    let recipients: Vec<dsn::Recipient<'_>> =
        told.iter().zip(&explanations).map(|(told, explanation)| recipient(told, explanation)).collect();
    let transcript = told.iter().map(|told| &told.note.transcript).find(|lines| !lines.is_empty());
    let now = Timestamp::now();
    let meta = about.meta;
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
            envelope_id: meta.dsn.message.envelope_id.as_ref(),
            received_from: meta
                .received_from
                .as_ref()
                .map(|from| dsn::ReceivedFrom { helo: &from.helo, ip: from.ip }),
            head: &original.head,
            body: original.body.as_deref(),
            withheld: original.withheld,
            smtputf8: meta.smtputf8,
        },
        recipients: &recipients,
        transcript: transcript.map(Vec::as_slice).unwrap_or_default(),
    };
    let utf8 = report.needs_smtputf8();
    // It tells of the original's sender, recipients and subject, and so travels on the same terms
    // (RFC 8689 5). A wish to waive TLS was not made for it.
    let tls_required = about.meta.tls_required.max(TlsRequired::Unstated);
    insert(settings, sender, utf8, tls_required, report.content(), now)
}

/// A message of our own, from nobody, as it enters the queue; content and envelope.
pub(super) fn insert(
    settings: &Settings,
    to: &Address,
    utf8: bool,
    tls_required: TlsRequired,
    content: Vec<u8>,
    now: Timestamp,
) -> Change {
    let eight_bit = !content.is_ascii();
    // Nobody is told what becomes of a report (RFC 3461 6.1).
    let mut dsn = Requests::default();
    dsn.set(0, RecipientRequest { notify: Some(Notify::NEVER), original: None });
    let meta = MessageMeta {
        reverse_path: ReversePath::Null,
        body: if eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit },
        smtputf8: utf8,
        eight_bit,
        binary: false,
        secured: None,
        connector: String::new(),
        session: String::new(),
        held: false,
        received_from: None,
        dsn,
        message_id: header::text_of(header::split(&content).0, "Message-ID", limits::TRACKED_BYTES_MAX),
        subject: String::new(),
        tls_required,
    };
    let message = NewMessage {
        sender: String::new(),
        received: now.as_millisecond(),
        meta: meta.to_bytes(),
        recipients: vec![route::new_recipient(settings, to, now, false)],
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
        original: told.asked.original.as_ref(),
        status: EnhancedCode::parse(&note.status).unwrap_or(EnhancedCode::new(4, 0, 0)),
        remote_mta: note.host.as_deref().map(|host| host.split(' ').next().unwrap_or(host)),
        diagnostic: Some(diagnostic),
        last_attempt: note.attempted.and_then(|at| Timestamp::from_millisecond(at).ok()),
        retry_until: told.retry_until,
        explanation,
    }
}

/// For people: what happened and, for a failed check, what was wanted and got.
fn explain(kind: Kind, told: &Told<'_>) -> String {
    let note = told.note;
    let mut text = match kind {
        Kind::Relayed => {
            let host = note.host.as_deref().unwrap_or("the next server");
            return format!("{host} took the message, and is not known to report what becomes of it.");
        }
        Kind::Failed => String::new(),
        Kind::Delayed => "The message has not been delivered yet; we keep trying. ".to_owned(),
    };
    text += if note.reason.is_empty() { "No attempt was possible so far." } else { &note.reason };
    if let Some(fault) = note.fault.filter(|_| note.from_peer) {
        // The refusal is in the reason.
        let _ = write!(text, " The fault: {}.", fault.name());
    } else if let Some(fault) = note.fault {
        let _ = write!(text, " The check that failed: {}.", fault.name());
        if !note.wanted.is_empty() {
            let _ = write!(text, " Wanted: {}. Got: {}.", note.wanted, note.got);
        }
        text += " The message was not sent in any other way.";
    }
    text
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
    user: &str,
) -> Result<(), sealpost_queue::Error> {
    let settings = shared.settings.load_full();
    let message = &claim.message;
    let text = format!("removed from the queue by an administrator of {}", settings.hostname);
    let note = AttemptNote::ours(
        &Reply::new(550, (5, 3, 0), text),
        "An administrator removed the message from the queue.",
    );
    let fate = |recipient: &Recipient| Fate {
        index: recipient.index,
        address: recipient.address.clone(),
        note: AttemptNote { attempted: AttemptNote::from_bytes(&recipient.note).attempted, ..note.clone() },
    };
    let fates: Vec<Fate> = message.recipients.iter().map(fate).collect();
    let meta = MessageMeta::from_bytes(&message.meta).ok();
    let mut reports = match &meta {
        Some(meta) if tell => {
            let about = About { id: message.id, received: message.received, size: message.size, meta };
            failure(shared, &settings, &about, &fates).await
        }
        Some(_) | None => Reports::default(),
    };
    let remove = |fate: &Fate| Change::Remove { id: message.id, recipient: fate.index };
    let mut changes: Vec<Change> = fates.iter().map(remove).collect();
    changes.extend(reports.take_changes());
    let mut telling = Telling::of(shared, message, meta.as_ref());
    telling.reports_in(&changes);
    let inserted = shared.queue.apply(changes).await?;
    if !tell {
        let (queue_id, by) = (message.id.to_string(), user.to_owned());
        let recipients = message.recipients.iter().map(|recipient| recipient.address.clone()).collect();
        telling.of_recipients(shared, Event::MessageRemoved { queue_id, by }, recipients);
        return Ok(());
    }
    for Fate { address, note, .. } in fates {
        let (queue_id, reason) = (message.id.to_string(), note.reason);
        telling.found(&address, &AttemptNote::default(), Cause::Operator);
        telling.tell(shared, &inserted, Event::MessageBounced { queue_id, recipient: address, reason });
    }
    for event in reports.events(message.id, &inserted) {
        telling.tell(shared, &inserted, event);
    }
    Ok(())
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
