//! Reading connections: rows become messages.

use std::path::Path;

use bytes::Bytes;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row};

use super::open_reader;
use super::write::key;
use crate::engine::{Reader, Stored};
use crate::{Destination, Error, Filter, Message, MessageId, Recipient, Status, UnixMillis};

pub(crate) struct SqliteReader {
    connection: Connection,
}

impl SqliteReader {
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        Ok(Self { connection: open_reader(directory)? })
    }

    /// A snapshot, so that a message and its recipients are of one moment.
    fn snapshot<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        if !self.connection.is_autocommit() {
            return Ok(read(&self.connection)?);
        }
        let transaction = self.connection.unchecked_transaction()?;
        let result = read(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }
}

impl Reader for SqliteReader {
    fn message(&mut self, id: MessageId) -> Result<Option<Message>, Error> {
        self.snapshot(|connection| {
            let found = connection
                .prepare_cached("SELECT id, sender, received, size, meta FROM message WHERE id = ?1")?
                .query_row([key(id)], message_of)
                .optional()?;
            found.map(|message| with_recipients(connection, message)).transpose()
        })
    }

    fn content(&mut self, id: MessageId) -> Result<Option<Stored>, Error> {
        let stored = self
            .connection
            .prepare_cached(
                "SELECT m.in_file, m.size, c.bytes FROM message m LEFT JOIN content c USING (id) WHERE id = ?1",
            )?
            .query_row([key(id)], |row| {
                Ok(if row.get(0)? {
                    Stored::File { len: row.get::<_, i64>(1)? as u64 }
                } else {
                    Stored::Inline(Bytes::from(row.get::<_, Vec<u8>>(2)?))
                })
            })
            .optional()?;
        Ok(stored)
    }

    fn hold(&mut self) -> Result<(), Error> {
        self.connection.execute_batch("BEGIN")?;
        // What a transaction sees is fixed by the first thing it reads.
        self.connection.query_row("SELECT count(*) FROM setting", [], |_| Ok(()))?;
        Ok(())
    }

    fn release(&mut self) {
        if !self.connection.is_autocommit() {
            // A transaction that only read has nothing to lose.
            let _ = self.connection.execute_batch("COMMIT");
        }
    }

    fn select(&mut self, filter: &Filter, take: &mut dyn FnMut(Message) -> bool) -> Result<(), Error> {
        let (condition, values) = conditions(filter);
        let sql =
            format!("SELECT id, sender, received, size, meta FROM message m WHERE {condition} ORDER BY id");
        self.snapshot(|connection| {
            let mut statement = connection.prepare(&sql)?;
            let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
            let mut rows = statement.query(&values[..])?;
            while let Some(row) = rows.next()? {
                if !take(with_recipients(connection, message_of(row)?)?) {
                    break;
                }
            }
            Ok(())
        })
    }
}

/// The part of a filter that rows can answer, as SQL.
fn conditions(filter: &Filter) -> (String, Vec<Box<dyn ToSql>>) {
    let mut message: Vec<&str> = vec!["true"];
    let mut recipient: Vec<&str> = vec!["r.message = m.id"];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(id) = filter.id {
        message.push("m.id = ?");
        values.push(Box::new(key(id)));
    }
    if let Some(after) = filter.after {
        message.push("m.id > ?");
        values.push(Box::new(key(after)));
    }
    if let Some(sender) = &filter.sender {
        message.push("m.sender = ? COLLATE NOCASE");
        values.push(Box::new(sender.clone()));
    }
    if let Some(before) = filter.received_before {
        message.push("m.received < ?");
        values.push(Box::new(before));
    }
    if let Some(domain) = &filter.domain {
        recipient.push("(r.next_hop = ? COLLATE NOCASE OR substr(r.address, -length(?)) = ? COLLATE NOCASE)");
        let tail = format!("@{domain}");
        values.extend([Box::new(domain.clone()) as Box<dyn ToSql>, Box::new(tail.clone()), Box::new(tail)]);
    }
    if let Some(address) = &filter.recipient {
        recipient.push("r.address = ? COLLATE NOCASE");
        values.push(Box::new(address.clone()));
    }
    recipient.push(match filter.status {
        None | Some(Status::Active) => "true",
        Some(Status::Ready) => "NOT r.held AND r.attempts = 0",
        Some(Status::Retry) => "NOT r.held AND r.attempts > 0",
        Some(Status::Suspended) => "r.held",
    });
    let (message, recipient) = (message.join(" AND "), recipient.join(" AND "));
    (format!("{message} AND EXISTS (SELECT 1 FROM recipient r WHERE {recipient})"), values)
}

fn message_of(row: &Row) -> rusqlite::Result<Message> {
    Ok(Message {
        id: MessageId(row.get::<_, i64>(0)? as u64),
        sender: row.get(1)?,
        received: row.get(2)?,
        size: row.get::<_, i64>(3)? as u64,
        meta: row.get(4)?,
        recipients: Vec::new(),
    })
}

fn with_recipients(connection: &Connection, mut message: Message) -> rusqlite::Result<Message> {
    let mut statement = connection.prepare_cached(
        "SELECT number, address, next_hop, connector, tls_domain, attempts, next_attempt, expires,
                notify_delay_at, held, note
         FROM recipient WHERE message = ?1 ORDER BY number",
    )?;
    message.recipients = statement.query_map([key(message.id)], recipient_of)?.collect::<Result<_, _>>()?;
    Ok(message)
}

fn recipient_of(row: &Row) -> rusqlite::Result<Recipient> {
    let attempts: u32 = row.get(5)?;
    Ok(Recipient {
        index: row.get(0)?,
        address: row.get(1)?,
        destination: Destination { next_hop: row.get(2)?, connector: row.get(3)?, tls_domain: row.get(4)? },
        status: match (row.get::<_, bool>(9)?, attempts) {
            (true, _) => Status::Suspended,
            (false, 0) => Status::Ready,
            (false, _) => Status::Retry,
        },
        attempts,
        next_attempt: row.get(6)?,
        expires: row.get(7)?,
        notify_delay_at: row.get(8)?,
        note: row.get(10)?,
    })
}

/// One recipient as the in-memory index needs it at start.
pub(crate) struct Standing {
    pub id: MessageId,
    pub received: UnixMillis,
    pub expires: UnixMillis,
    pub in_file: bool,
    pub number: u32,
    pub destination: Destination,
    pub attempts: u32,
    pub next_attempt: UnixMillis,
    pub notify_delay_at: Option<UnixMillis>,
    pub held: bool,
}

impl Standing {
    /// All recipients, by message and number.
    pub(crate) fn each(connection: &Connection, mut visit: impl FnMut(Self)) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(
            "SELECT m.id, m.received, r.expires, m.in_file, r.number, r.next_hop, r.connector,
                    r.tls_domain, r.attempts, r.next_attempt, r.notify_delay_at, r.held
             FROM message m JOIN recipient r ON r.message = m.id ORDER BY m.id, r.number",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(Self {
                id: MessageId(row.get::<_, i64>(0)? as u64),
                received: row.get(1)?,
                expires: row.get(2)?,
                in_file: row.get(3)?,
                number: row.get(4)?,
                destination: Destination {
                    next_hop: row.get(5)?,
                    connector: row.get(6)?,
                    tls_domain: row.get(7)?,
                },
                attempts: row.get(8)?,
                next_attempt: row.get(9)?,
                notify_delay_at: row.get(10)?,
                held: row.get(11)?,
            });
        }
        Ok(())
    }
}
