//! The writing connection: steps become rows.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{fault, open_writer};
use crate::engine::Body;
use crate::engine::{Engine, Fault, Insert, Step};
use crate::{Error, MessageId, Options};

pub(crate) struct SqliteEngine {
    connection: Connection,
}

impl SqliteEngine {
    pub(crate) fn open(directory: &Path, options: &Options) -> Result<Self, Error> {
        Ok(Self { connection: open_writer(directory, options)? })
    }

    /// For start-up, before the writer thread has it.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Engine for SqliteEngine {
    fn commit(&mut self, steps: &mut dyn Iterator<Item = &Step>) -> Result<(), Fault> {
        let result = self.execute("BEGIN IMMEDIATE").and_then(|()| {
            for step in &mut *steps {
                write(&self.connection, step)?;
            }
            self.execute("COMMIT")
        });
        result.map_err(|error| {
            // Some failures roll back by themselves.
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            fault(error)
        })
    }

    fn close(&mut self) {
        // Only tidies up: everything acknowledged is durable in the write-ahead log.
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

impl SqliteEngine {
    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

fn write(connection: &Connection, step: &Step) -> rusqlite::Result<()> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| connection.prepare_cached(sql)?.execute(values);
    match step {
        Step::Insert(insert) => return write_message(connection, insert),
        Step::Remove { id, recipient } => return remove(connection, *id, *recipient),
        Step::Retry { id, recipient, next_attempt, note } => run(
            "UPDATE recipient SET attempts = attempts + 1, next_attempt = ?3, note = ?4
             WHERE message = ?1 AND number = ?2",
            params![key(*id), recipient, next_attempt, note],
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
        Step::ReserveIds { below } => run(
            "INSERT INTO setting (name, value) VALUES ('ids', ?1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            params![*below as i64],
        ),
    }
    .map(drop)
}

fn write_message(connection: &Connection, insert: &Insert) -> rusqlite::Result<()> {
    let Insert { id, message, body } = insert;
    let in_file = matches!(body, Body::File(_));
    connection.prepare_cached("INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        key(*id),
        message.sender,
        message.received,
        body.len() as i64,
        in_file,
        message.meta
    ])?;
    if let Body::Inline(bytes) = body {
        connection
            .prepare_cached("INSERT INTO content VALUES (?1, ?2)")?
            .execute(params![key(*id), &bytes[..]])?;
    }
    let mut statement = connection
        .prepare_cached("INSERT INTO recipient VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9, 0, x'')")?;
    for (number, recipient) in message.recipients.iter().enumerate() {
        let destination = &recipient.destination;
        statement.execute(params![
            key(*id),
            number as i64,
            recipient.address,
            destination.next_hop,
            destination.connector,
            destination.tls_domain,
            recipient.due,
            recipient.expires,
            recipient.notify_delay_at
        ])?;
    }
    Ok(())
}

/// With the last recipient goes the message.
fn remove(connection: &Connection, id: MessageId, recipient: u32) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM recipient WHERE message = ?1 AND number = ?2")?
        .execute(params![key(id), recipient])?;
    let gone = connection
        .prepare_cached(
            "DELETE FROM message WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM recipient WHERE message = ?1)",
        )?
        .execute([key(id)])?;
    if gone > 0 {
        connection.prepare_cached("DELETE FROM content WHERE id = ?1")?.execute([key(id)])?;
    }
    Ok(())
}

/// SQLite integers are signed; ids stay below 2^63 (`ids::first`).
pub(super) fn key(id: MessageId) -> i64 {
    id.0 as i64
}
