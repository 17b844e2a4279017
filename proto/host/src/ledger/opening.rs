//! Opening a database: nothing is written until it has been judged against its mark and found whole.
//!
//! A database that is refused keeps every byte, its log included: that is what can still be mended.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::mark::{Found, Mark, STORE_ID_BYTES};
use super::{Schema, StoreError};
use crate::keyfile::sync_dir;
use crate::rest::Sealer;

/// KiB of pages kept in memory: the trees above the rows of a million envelopes, so that a commit reads nothing. Taken
/// as they are used.
const CACHE_KIB: i32 = 16 * 1024;

/// Opens or makes the database of a store; gives it with its mark and the number of its last commit.
pub(super) fn open(
    path: &Path,
    schema: &Schema,
    sealer: &Sealer,
    found: Option<Found>,
) -> Result<(Connection, Mark, u64), StoreError> {
    let mut conn = connect(path)?;
    let state = match read_state(&conn, path, schema)? {
        Some(state) => state,
        None if found.is_none() => create(&mut conn, path, schema, sealer)?,
        None => return Err(StoreError::damaged(path, "its database is empty while its mark remembers it")),
    };
    let mark = state.judge(path, sealer, found)?;
    use_log(&conn, path)?;
    migrate(&mut conn, path, schema)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(StoreError::at_open(path))?;
    Ok((conn, mark, state.commit_no))
}

/// What the database itself says.
struct State {
    commit_no: u64,
    store_id: [u8; STORE_ID_BYTES],
    key_check: Vec<u8>,
}

impl State {
    /// Compares database and mark; gives the mark, level with the database.
    fn judge(&self, path: &Path, sealer: &Sealer, found: Option<Found>) -> Result<Mark, StoreError> {
        if self.key_check != sealer.check() {
            return Err(StoreError::WrongKey { path: path.to_owned() });
        }
        let Some(found) = found else {
            if self.commit_no > 0 {
                return Err(StoreError::damaged(
                    path,
                    "its mark is gone, so that a lost commit could not be told",
                ));
            }
            return Mark::create(path, sealer, self.store_id);
        };
        if found.store_id != self.store_id {
            return Err(StoreError::damaged(path, "its mark belongs to another store"));
        }
        if self.commit_no < found.commit_no {
            let what =
                format!("it ends at commit {}, but {} were acknowledged", self.commit_no, found.commit_no);
            return Err(StoreError::damaged(path, what));
        }
        let behind = found.commit_no < self.commit_no;
        let mut mark = Mark::reopen(path, sealer, found)?;
        if behind {
            mark.advance(self.commit_no)?; // the process ended between COMMIT and mark
        }
        Ok(mark)
    }
}

/// Opens the database so that nothing is written, not even on closing, until it has been judged sound.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        // Plans do not hang on bound values: without this, each new value has the statement planned anew.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        conn.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.pragma_update(None, "trusted_schema", false)?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        conn.pragma_update(None, "cache_size", -CACHE_KIB)?; // negative: KiB, not pages
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(conn)
    };
    open().map_err(StoreError::at_open(path))
}

/// Reads what the database says of itself; `None` when nothing was ever made in it.
fn read_state(conn: &Connection, path: &Path, schema: &Schema) -> Result<Option<State>, StoreError> {
    let number = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let tables = || conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    let at_open = || StoreError::at_open(path);
    let application_id = number("application_id").map_err(at_open())?;
    let version = number("user_version").map_err(at_open())?;
    if application_id == 0 && version == 0 && tables().map_err(at_open())? == 0 {
        return Ok(None);
    }
    if application_id != schema.application_id {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    let found = u32::try_from(version).map_err(|_| StoreError::damaged(path, "its format is negative"))?;
    if found > schema.version() {
        return Err(StoreError::StoreNewer { path: path.to_owned(), found, known: schema.version() });
    }
    let row = conn
        .query_row("SELECT commit_no, store_id, key_check FROM ledger WHERE id = 1", [], |row| {
            Ok(State {
                commit_no: row.get::<_, i64>(0)?.cast_unsigned(),
                store_id: row.get(1)?,
                key_check: row.get(2)?,
            })
        })
        .optional()
        .map_err(at_open())?;
    row.map(Some).ok_or_else(|| StoreError::damaged(path, "its commit number is gone"))
}

/// Turns the write-ahead log on: a store brought back from a copy may have lost it.
fn use_log(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let mode: String = conn
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(StoreError::at_open(path))?;
    if mode == "wal" {
        return Ok(());
    }
    Err(StoreError::Failed { what: format!("its file system keeps no write-ahead log (mode {mode})") })
}

/// Makes an empty store. A crash within leaves an empty database, which the next start takes for none.
fn create(conn: &mut Connection, path: &Path, schema: &Schema, sealer: &Sealer) -> Result<State, StoreError> {
    let state = State { commit_no: 0, store_id: sealer.draw(), key_check: sealer.check().to_vec() };
    use_log(conn, path)?;
    let mut make = || {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(
            "CREATE TABLE ledger (
                id INTEGER PRIMARY KEY CHECK (id = 1),
                commit_no INTEGER NOT NULL, store_id BLOB NOT NULL, key_check BLOB NOT NULL
            ) STRICT",
        )?;
        tx.execute("INSERT INTO ledger VALUES (1, 0, ?1, ?2)", (&state.store_id, &state.key_check))?;
        tx.pragma_update(None, "application_id", schema.application_id)?;
        schema.steps.iter().try_for_each(|step| tx.execute_batch(step))?;
        tx.pragma_update(None, "user_version", schema.version())?;
        tx.commit()
    };
    make().map_err(StoreError::at_open(path))?;
    sync_dir(path).map_err(|fault| StoreError::Failed { what: fault.to_string() })?;
    Ok(state)
}

/// Runs the steps that an older store lacks, all or none.
fn migrate(conn: &mut Connection, path: &Path, schema: &Schema) -> Result<(), StoreError> {
    let mut run = || {
        let version: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let missing = schema.steps.iter().skip(usize::try_from(version).unwrap_or(usize::MAX));
        if missing.len() == 0 {
            return Ok(());
        }
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for step in missing {
            tx.execute_batch(step)?;
        }
        tx.pragma_update(None, "user_version", schema.version())?;
        tx.commit()
    };
    run().map_err(StoreError::at_open(path))
}
