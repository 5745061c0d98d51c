//! The writing connection: steps become rows.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Standing, fault, open_writer};
use crate::engine::{Fault, Step};
use crate::{Error, Message, MessageId, Options, Status};

pub(crate) struct SqliteEngine {
    connection: Connection,
}

impl SqliteEngine {
    pub(crate) fn open(directory: &Path, options: &Options) -> Result<Self, Error> {
        Ok(Self { connection: open_writer(directory, options)? })
    }
}

/// What the index gets of one message.
pub(crate) enum Row<'a> {
    Gone(MessageId),
    Changed(&'a [Step]),
    /// `replaces`: the index has something of it.
    Whole {
        message: &'a Message,
        content: Option<Bytes>,
        replaces: bool,
    },
}

/// What the index notes of itself.
#[derive(Clone, Copy, Default)]
pub(crate) struct Marks {
    /// It holds what the journal says up to this job.
    pub settled: Option<u64>,
    /// No id from here on has been given out.
    pub ids: Option<u64>,
    /// How often the queue was started.
    pub starts: Option<u64>,
}

impl SqliteEngine {
    /// Writes rows and marks in one transaction, durable on `Ok`. Returns the messages gone that had
    /// files.
    pub(crate) fn settle<'r>(
        &mut self,
        mut rows: impl Iterator<Item = Result<Row<'r>, Fault>>,
        marks: Marks,
    ) -> Result<Vec<MessageId>, Fault> {
        let mut files = Vec::new();
        self.execute("BEGIN IMMEDIATE").map_err(fault)?;
        let written = rows.try_for_each(|row| {
            let row = row?;
            files.extend(write_row(&self.connection, &row).map_err(fault)?);
            Ok(())
        });
        let committed = written.and_then(|()| {
            write_marks(&self.connection, marks).and_then(|()| self.execute("COMMIT")).map_err(fault)
        });
        // Some failures roll back by themselves.
        if committed.is_err() && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        committed.map(|()| files)
    }

    /// What it noted of itself; nothing while it is new.
    pub(crate) fn marks(&self) -> Result<Marks, Error> {
        marks(&self.connection)
    }

    /// All recipients, by message and number.
    pub(crate) fn each(&self, visit: impl FnMut(Standing)) -> Result<(), Error> {
        Ok(Standing::each(&self.connection, visit)?)
    }

    /// Messages that have content files, with the size of their content.
    pub(crate) fn files(&self) -> Result<HashMap<MessageId, u64>, Error> {
        Ok(files(&self.connection)?.into_iter().collect())
    }

    /// Size of what is in the index, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let number = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = number("page_count").unwrap_or(0) - number("freelist_count").unwrap_or(0);
        pages.max(0) as u64 * u64::from(super::PAGE_BYTES)
    }

    /// Tidies up before the end; everything settled is durable in the write-ahead log.
    pub(crate) fn close(&mut self) {
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

pub(super) fn marks(connection: &Connection) -> Result<Marks, Error> {
    let mark = |name: &str| {
        connection
            .query_row("SELECT value FROM setting WHERE name = ?1", [name], |row| row.get::<_, i64>(0))
            .optional()
            .map(|value| value.map(|value| value as u64))
    };
    Ok(Marks { settled: mark("settled")?, ids: mark("ids")?, starts: mark("starts")? })
}

pub(super) fn files(connection: &Connection) -> rusqlite::Result<Vec<(MessageId, u64)>> {
    let mut statement = connection.prepare("SELECT id, size FROM message WHERE in_file ORDER BY id")?;
    let rows = statement
        .query_map([], |row| Ok((MessageId(row.get::<_, i64>(0)? as u64), row.get::<_, i64>(1)? as u64)))?;
    rows.collect()
}

fn write_marks(connection: &Connection, marks: Marks) -> rusqlite::Result<()> {
    for (name, value) in [("settled", marks.settled), ("ids", marks.ids), ("starts", marks.starts)] {
        if let Some(value) = value {
            connection
                .prepare_cached(
                    "INSERT INTO setting (name, value) VALUES (?1, ?2)
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                )?
                .execute(params![name, value as i64])?;
        }
    }
    Ok(())
}

fn write_row(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Option<MessageId>> {
    match row {
        Row::Gone(id) => delete(connection, *id),
        Row::Changed(steps) => steps.iter().try_for_each(|step| write(connection, step)).map(|()| None),
        Row::Whole { message, content, replaces } => {
            if *replaces {
                delete(connection, message.id)?;
            }
            write_message(connection, message, content.as_deref()).map(|()| None)
        }
    }
}

fn write(connection: &Connection, step: &Step) -> rusqlite::Result<()> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| connection.prepare_cached(sql)?.execute(values);
    match step {
        // Neither is part of what became of a message.
        Step::Insert(_) | Step::ReserveIds { .. } => Ok(0),
        Step::Remove { id, recipient } => {
            run("DELETE FROM recipient WHERE message = ?1 AND number = ?2", params![key(*id), recipient])
        }
        Step::Retry { id, recipient, attempts, next_attempt, note } => run(
            "UPDATE recipient SET attempts = ?3, next_attempt = ?4, note = ?5
             WHERE message = ?1 AND number = ?2",
            params![key(*id), recipient, attempts, next_attempt, note],
        ),
        Step::Move { id, recipient, destination } => run(
            "UPDATE recipient SET next_hop = ?3, connector = ?4, tls_domain = ?5
             WHERE message = ?1 AND number = ?2",
            params![key(*id), recipient, destination.next_hop, destination.connector, destination.tls_domain],
        ),
        Step::DelayNotified { id, recipient } => run(
            "UPDATE recipient SET notify_delay_at = NULL WHERE message = ?1 AND number = ?2",
            params![key(*id), recipient],
        ),
        Step::Hold { id, recipient, held } => run(
            "UPDATE recipient SET held = ?3 WHERE message = ?1 AND number = ?2",
            params![key(*id), recipient, held],
        ),
        Step::Due { id, recipient, due } => run(
            "UPDATE recipient SET next_attempt = ?3 WHERE message = ?1 AND number = ?2",
            params![key(*id), recipient, due],
        ),
    }
    .map(drop)
}

/// `content`: unless it has a file.
fn write_message(connection: &Connection, message: &Message, content: Option<&[u8]>) -> rusqlite::Result<()> {
    let id = key(message.id);
    connection.prepare_cached("INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        id,
        message.sender,
        message.received,
        message.size as i64,
        content.is_none(),
        message.meta
    ])?;
    if let Some(bytes) = content {
        connection.prepare_cached("INSERT INTO content VALUES (?1, ?2)")?.execute(params![id, bytes])?;
    }
    let mut statement = connection
        .prepare_cached("INSERT INTO recipient VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?;
    for recipient in &message.recipients {
        let destination = &recipient.destination;
        statement.execute(params![
            id,
            recipient.index,
            recipient.address,
            destination.next_hop,
            destination.connector,
            destination.tls_domain,
            recipient.attempts,
            recipient.next_attempt,
            recipient.expires,
            recipient.notify_delay_at,
            recipient.status == Status::Suspended,
            recipient.note
        ])?;
    }
    Ok(())
}

/// Everything of a message. Returns it if it had a file.
fn delete(connection: &Connection, id: MessageId) -> rusqlite::Result<Option<MessageId>> {
    connection.prepare_cached("DELETE FROM recipient WHERE message = ?1")?.execute([key(id)])?;
    connection.prepare_cached("DELETE FROM content WHERE id = ?1")?.execute([key(id)])?;
    let in_file: Option<bool> = connection
        .prepare_cached("DELETE FROM message WHERE id = ?1 RETURNING in_file")?
        .query_row([key(id)], |row| row.get(0))
        .optional()?;
    Ok((in_file == Some(true)).then_some(id))
}

/// SQLite integers are signed; ids stay below 2^63 (`ids::first`).
pub(super) fn key(id: MessageId) -> i64 {
    id.0 as i64
}
