//! The ledger: a SQLite store that acknowledges only what is on the disk, and notices when the disk forgets.
//!
//! `Committed` is the proof: only this room makes one, after COMMIT and the mark are both synced. Never starts
//! empty over something it cannot read, never writes after the first failed sync.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};

#[cfg(feature = "planted")]
use crate::planted::Planted;
use crate::rest::Sealer;

mod fault;
mod guard;
#[cfg(feature = "planted")]
mod late;
mod mark;
mod opening;
#[cfg(test)]
mod tests;

pub use fault::StoreError;
use guard::Guard;
use mark::Mark;

/// Oldest engine accepted: before it, two connections could lose a committed write when the log was reset.
const ENGINE_MIN: i32 = 3_051_003;
const ENGINE_MIN_TEXT: &str = "3.51.3";
/// Bytes in the log at which it is folded into the database: bounds replay at start (a tenth of a second) and the disk
/// used twice. A page that many commits change is written once per fold, so a longer log is less work.
const LOG_FOLD_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes of a page and its frame in the log; pages have the engine's default size.
const LOG_FRAME_BYTES: u64 = 4096 + 24;

/// What a program keeps in its store.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Tells this program's databases from any other's (SQLite `application_id`).
    pub application_id: i32,
    /// SQL that leads from format n to n + 1; a new store runs all of them. Their number is the format.
    pub steps: &'static [&'static str],
}

impl Schema {
    fn version(&self) -> u32 {
        u32::try_from(self.steps.len()).expect("invariant: a schema has a handful of steps")
    }
}

/// Proof that what is inside came out of a commit that is on the disk. Acknowledgements stand on it.
#[derive(Debug)]
pub struct Committed<T>(T);

impl<T> Committed<T> {
    /// The value that the work gave.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The same proof over something made from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Committed<U> {
        Committed(f(self.0))
    }
}

impl<T> AsRef<T> for Committed<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

/// A point of a commit at which a machine may stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitPoint {
    /// Everything is decided, nothing is on the disk.
    Before,
    /// The database is synced, its mark is not.
    Synced,
    /// All of it is on the disk, and nobody knows yet.
    After,
    /// The store is being closed; its log is about to be folded in.
    Closing,
}

/// Told of every commit of a store, and of its closing. Where it answers false the store stops as if the machine had:
/// the caller learns nothing but that it is over, and the disk stays as it is. The simulator kills here.
pub trait CommitWatch: Send + Sync {
    /// Whether to go on at this point of a commit of the store that lies at `store`.
    fn goes_on(&self, store: &Path, point: CommitPoint) -> bool;
}

/// An open store. One thread owns it.
pub struct Ledger {
    // Dropped in this order: the database is closed before another process may open it.
    conn: Connection,
    mark: Mark,
    path: PathBuf,
    commit_no: u64,
    failed: OnceCell<String>,
    watch: Option<Arc<dyn CommitWatch>>,
    _guard: Guard,
}

impl Ledger {
    /// Opens a store, makes it when there is none, brings an older format up. Blocks on the disk.
    ///
    /// # Errors
    /// `WrongKey`, `Damaged`, `StoreNewer` and `Foreign` leave every file as it was.
    pub fn open(path: &Path, schema: &Schema, sealer: &Sealer) -> Result<Self, StoreError> {
        if rusqlite::version_number() < ENGINE_MIN {
            return Err(StoreError::Engine { found: rusqlite::version(), wanted: ENGINE_MIN_TEXT });
        }
        let guard = Guard::take(path)?;
        let found = Mark::find(path, sealer)?; // tells a wrong key before the database is touched
        if is_empty(path)? {
            if found.is_some() {
                return Err(StoreError::damaged(path, "its database is gone while its mark remembers it"));
            }
            if !is_empty(&log_of(path))? {
                return Err(StoreError::damaged(path, "its database is gone while its log is still there"));
            }
            let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
            made.map_err(StoreError::io(path, "make"))?;
        }
        let (conn, mark, commit_no) = opening::open(path, schema, sealer, found)?;
        Ok(Self {
            conn,
            mark,
            path: path.to_owned(),
            commit_no,
            failed: OnceCell::new(),
            watch: None,
            _guard: guard,
        })
    }

    /// Tells this watch of every commit from now on.
    #[must_use]
    pub fn watched(mut self, watch: Option<Arc<dyn CommitWatch>>) -> Self {
        self.watch = watch;
        self
    }

    /// Runs the work in one transaction. `Ok` means: on the disk, and remembered by the mark. Blocks on the disk.
    ///
    /// # Errors
    /// Whatever the work gave, rolled back; `Full`, rolled back, try again; `Failed`, for ever: end the process.
    pub fn commit<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<Committed<T>, StoreError> {
        self.refuse_after_failure()?;
        let next = self.commit_no + 1;
        #[cfg(feature = "planted")]
        if Planted::AcknowledgeBeforeSync.here() {
            return self.commit_late(next, work);
        }
        let (watch, path) = (self.watch.clone(), self.path.clone());
        let pass = |point| match &watch {
            Some(watch) if !watch.goes_on(&path, point) => {
                Err(StoreError::Failed { what: "the machine stopped".to_owned() })
            }
            _ => Ok(()),
        };
        let watched = |tx: &Transaction<'_>| {
            let value = work(tx)?;
            pass(CommitPoint::Before).map(|()| value)
        };
        let done = transact(&mut self.conn, next, watched).and_then(|value| {
            self.commit_no = next;
            pass(CommitPoint::Synced)?;
            self.mark.advance(next)?;
            pass(CommitPoint::After)?;
            self.fold_log()?;
            Ok(Committed(value))
        });
        done.inspect_err(|fault| self.note(fault))
    }

    /// Reads, outside any transaction of its own. Blocks on the disk.
    pub fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.refuse_after_failure()?;
        f(&self.conn).inspect_err(|fault| self.note(fault))
    }

    /// Commits made over the life of this store.
    pub fn commit_no(&self) -> u64 {
        self.commit_no
    }

    /// Where the store lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folds a long log into the database. Ours to do: the engine swallows a failed sync when it does so itself. The
    /// log is begun anew and keeps its length: writing over a file costs less than lengthening it.
    fn fold_log(&self) -> Result<(), StoreError> {
        if self.log_frames()? * LOG_FRAME_BYTES < LOG_FOLD_BYTES {
            return Ok(());
        }
        match self.conn.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).map_err(StoreError::from)
        {
            // Without room the log stays as it is; what was committed stands in it.
            Err(fault) if fault.is_retryable() => Ok(()),
            done => done,
        }
    }

    /// Frames in the log since it was begun. Asked of the engine; a log that is gone from the disk is a failure too.
    fn log_frames(&self) -> Result<u64, StoreError> {
        let log = log_of(&self.path);
        fs::metadata(&log).map_err(|fault| StoreError::Failed {
            what: format!("its log {} cannot be found: {fault}", log.display()),
        })?;
        let mut ask = self.conn.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
        let frames: i64 = ask.query_row([], |row| row.get(1))?;
        Ok(u64::try_from(frames).unwrap_or(0))
    }

    fn refuse_after_failure(&self) -> Result<(), StoreError> {
        self.failed.get().map_or(Ok(()), |what| Err(StoreError::Failed { what: what.clone() }))
    }

    fn note(&self, fault: &StoreError) {
        if let StoreError::Failed { what } = fault {
            self.failed.get_or_init(|| what.clone());
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ledger({} at commit {})", self.path.display(), self.commit_no)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let stopped = self.watch.as_ref().is_some_and(|one| !one.goes_on(&self.path, CommitPoint::Closing));
        #[cfg(feature = "planted")]
        if Planted::AcknowledgeBeforeSync.here() && !stopped {
            self.commit_the_late().ok();
        }
        if stopped || self.failed.get().is_some() {
            // After a failure the log is evidence: it is not folded and not removed.
            self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).ok();
        }
    }
}

/// A file beside the store, named after it.
fn beside(store: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(store);
    name.push(suffix);
    name.into()
}

fn log_of(store: &Path) -> PathBuf {
    beside(store, "-wal")
}

/// Whether a file is absent or without a byte.
fn is_empty(path: &Path) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.len() == 0),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(fault) => Err(StoreError::io(path, "examine")(fault)),
    }
}

/// One transaction: the work, the commit number, COMMIT. Any error leaves the database as it was before.
fn transact<T>(
    conn: &mut Connection,
    commit_no: u64,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let worked = work(&tx);
    let lost = tx.is_autocommit();
    let value = match worked {
        Ok(value) if !lost => value,
        Ok(_) => return Err(StoreError::Failed { what: "a transaction ended within its work".to_owned() }),
        Err(fault) => {
            tx.finish().map_err(|rollback| StoreError::Failed { what: rollback.to_string() })?;
            return Err(fault);
        }
    };
    tx.prepare_cached("UPDATE ledger SET commit_no = ?1 WHERE id = 1")?.execute([commit_no.cast_signed()])?;
    tx.commit()?;
    Ok(value)
}
