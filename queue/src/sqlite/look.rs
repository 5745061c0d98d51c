//! The index as `check` and `rebuild` read it: without changing it, and also when it is damaged.

use std::path::Path;

use bytes::Bytes;
use rusqlite::Connection;

use super::read::{SqliteReader, Standing};
use super::{VERSION, open_reader};
use crate::engine::{Reader, Stored};
use crate::{Error, Message, MessageId};

/// Sentences of SQLite about its own damage that are repeated at most.
const COMPLAINTS_MAX: u32 = 20;

pub(crate) struct Look {
    connection: Connection,
}

/// Rows that do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oddity {
    WithoutRecipients,
    WithoutContent,
    WithoutMessage,
    AboveCeiling,
}

impl Look {
    /// One moment of the index.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        let connection = open_reader(directory)?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version > VERSION {
            let path = directory.join(super::FILE);
            return Err(Error::Damaged { path, what: "it was written by a newer version" });
        }
        connection.execute_batch("BEGIN")?;
        Ok(Self { connection })
    }

    pub(crate) fn marks(&self) -> Result<super::Marks, Error> {
        super::write::marks(&self.connection)
    }

    pub(crate) fn each(&self, visit: impl FnMut(Standing)) -> Result<(), Error> {
        Ok(Standing::each(&self.connection, visit)?)
    }

    /// What SQLite says of the structure of its file; nothing if it is sound.
    pub(crate) fn complaints(&self) -> Result<Vec<String>, Error> {
        let mut statement = self.connection.prepare(&format!("PRAGMA quick_check({COMPLAINTS_MAX})"))?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
        let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    pub(crate) fn oddities(&self) -> Result<Vec<(MessageId, Oddity)>, Error> {
        let mut found = Vec::new();
        for (sql, oddity) in [
            (
                "SELECT id FROM message m WHERE NOT EXISTS (SELECT 1 FROM recipient WHERE message = m.id)",
                Oddity::WithoutRecipients,
            ),
            (
                "SELECT m.id FROM message m LEFT JOIN content c USING (id)
                 WHERE NOT m.in_file AND (c.bytes IS NULL OR length(c.bytes) <> m.size)",
                Oddity::WithoutContent,
            ),
            (
                "SELECT message FROM recipient WHERE message NOT IN (SELECT id FROM message)
                 UNION SELECT id FROM content WHERE id NOT IN (SELECT id FROM message)",
                Oddity::WithoutMessage,
            ),
            (
                "SELECT id FROM message WHERE id >= (SELECT value FROM setting WHERE name = 'ids')",
                Oddity::AboveCeiling,
            ),
        ] {
            let mut statement = self.connection.prepare(sql)?;
            let ids = statement.query_map([], |row| row.get::<_, i64>(0))?;
            for id in ids {
                found.push((MessageId(id? as u64), oddity));
            }
        }
        Ok(found)
    }

    /// Messages that have content files, with the size of their content.
    pub(crate) fn files(&self) -> Result<Vec<(MessageId, u64)>, Error> {
        Ok(super::write::files(&self.connection)?)
    }
}

/// Hands over every message of the index that can be read, with its content unless that has a file.
pub(crate) fn salvage(
    directory: &Path,
    visit: &mut dyn FnMut(Message, Option<Bytes>) -> Result<(), Error>,
) -> Result<(), Error> {
    let look = open_reader(directory)?;
    // From both ends: what lies behind a damaged page is found from the other side.
    let mut ids = readable(&look, "SELECT id FROM message ORDER BY id");
    ids.extend(readable(&look, "SELECT id FROM message ORDER BY id DESC"));
    ids.sort_unstable();
    ids.dedup();
    drop(look);
    let mut reader = SqliteReader::open(directory)?;
    for id in ids.into_iter().map(|id| MessageId(id as u64)) {
        let Ok(Some(message)) = reader.message(id) else { continue };
        let content = match reader.content(id) {
            Ok(Some(Stored::Inline(bytes))) => Some(bytes),
            Ok(Some(Stored::File { .. })) => None,
            Ok(None) | Err(_) => continue,
        };
        if !message.recipients.is_empty() {
            visit(message, content)?;
        }
    }
    Ok(())
}

fn readable(connection: &Connection, sql: &str) -> Vec<i64> {
    let Ok(mut statement) = connection.prepare(sql) else { return Vec::new() };
    let rows = statement.query_map([], |row| row.get::<_, i64>(0));
    rows.map_or_else(|_| Vec::new(), |rows| rows.map_while(Result::ok).collect())
}
