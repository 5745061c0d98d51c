//! The index: SQLite in WAL mode with `synchronous=FULL`, so that a transaction is on the disk when it
//! is committed. It follows the journal. One connection writes, any number read beside it, and an operator may
//! look at a live queue with the `sqlite3` shell (view `queue`).

mod look;
mod read;
mod write;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::engine::Fault;
use crate::{Error, Options};

pub(crate) use look::{Look, Oddity, salvage};
pub(crate) use read::{SqliteReader, Standing};
pub(crate) use write::{Marks, Row, SqliteEngine};

pub(crate) const FILE: &str = "index.db";
/// 1 had no journal before it: nothing else differs.
const VERSION: i64 = 2;
/// Measured: a lone writer is faster than with 16 KiB (less to sync), 64 writers than with 4 KiB.
const PAGE_BYTES: u32 = 8 << 10;
/// Pages in the write-ahead log before it is copied into the database: 16 MiB.
const CHECKPOINT_PAGES: u32 = (16 << 20) / PAGE_BYTES;
/// A log that a long read made longer is cut back to this.
const WAL_BYTES_KEPT: i64 = 64 << 20;
const WRITER_CACHE_KIB: i64 = 4 << 10;
const READER_CACHE_KIB: i64 = 2 << 10;
/// An operator's shell may hold the lock for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE setting (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE message (
    id       INTEGER PRIMARY KEY,
    sender   TEXT NOT NULL,
    received INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    in_file  INTEGER NOT NULL,
    meta     BLOB NOT NULL
) STRICT;
CREATE TABLE content (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE recipient (
    message         INTEGER NOT NULL,
    number          INTEGER NOT NULL,
    address         TEXT NOT NULL,
    next_hop        TEXT NOT NULL,
    connector       TEXT NOT NULL,
    tls_domain      TEXT NOT NULL,
    attempts        INTEGER NOT NULL,
    next_attempt    INTEGER NOT NULL,
    expires         INTEGER NOT NULL,
    notify_delay_at INTEGER,
    held            INTEGER NOT NULL,
    note            BLOB NOT NULL,
    PRIMARY KEY (message, number)
) STRICT, WITHOUT ROWID;
CREATE VIEW queue AS
SELECT printf('%016X', m.id) AS id, m.sender, r.address AS recipient, m.size,
       datetime(m.received / 1000, 'unixepoch') AS received,
       datetime(r.expires / 1000, 'unixepoch') AS expires,
       r.next_hop, r.connector, r.tls_domain, r.attempts,
       CASE WHEN r.held THEN 'suspended' WHEN r.attempts = 0 THEN 'ready' ELSE 'retry' END AS status,
       datetime(r.next_attempt / 1000, 'unixepoch') AS next_attempt
FROM message m JOIN recipient r ON r.message = m.id;
PRAGMA user_version = 2;
";

/// Opens the database for the writer and creates it if need be.
fn open_writer(directory: &Path, options: &Options) -> Result<Connection, Error> {
    let path = directory.join(FILE);
    let connection = Connection::open(&path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_KEPT, |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(64);
    match connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
        0 => connection.execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} COMMIT;"))?,
        1 => connection.pragma_update(None, "user_version", VERSION)?,
        VERSION => {}
        _ => return Err(Error::Damaged { path, what: "it was written by a newer version" }),
    }
    let pages = match options.index_bytes_max {
        Some(bytes) => u32::try_from(bytes / u64::from(PAGE_BYTES)).unwrap_or(u32::MAX - 1).max(1),
        None => u32::MAX - 1,
    };
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    Ok(connection)
}

fn open_reader(directory: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(directory.join(FILE), flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    Ok(connection)
}

/// What a failed transaction means for the ones to come.
fn fault(error: rusqlite::Error) -> Fault {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Fault::Full,
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly,
        ) => Fault::Broken(error.to_string()),
        _ => Fault::Refused(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn only_a_failing_disk_sets_the_latch() {
        let of = |code| fault(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for code in
            [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_CORRUPT, ffi::SQLITE_READONLY]
        {
            assert!(matches!(of(code), Fault::Broken(_)), "{code}");
        }
        assert!(matches!(of(ffi::SQLITE_FULL), Fault::Full));
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_CONSTRAINT, ffi::SQLITE_NOMEM] {
            assert!(matches!(of(code), Fault::Refused(_)), "{code}");
        }
    }
}
