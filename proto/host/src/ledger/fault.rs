//! What can go wrong with a store, and what the operator does about it.
//!
//! Sorts the engine's errors into three: try again, a mistake of ours, or the end of this process.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::rest::RestError;

/// A store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds it.
    #[error("the store {path} is in use by {}; stop that process or configure another path", holder(*.pid))]
    InUse {
        /// The store.
        path: PathBuf,
        /// Who holds it, when that process wrote its number down.
        pid: Option<u32>,
    },
    /// Sealed under another key file. Nothing was touched.
    #[error("the store {path} was sealed under another key file; configure the key file it was made with")]
    WrongKey {
        /// The store.
        path: PathBuf,
    },
    /// Something acknowledged is missing, or unreadable. Nothing was touched.
    #[error("the store {path} is damaged: {what}; keep its files, then restore all of them from one backup")]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Written by a later version of this program.
    #[error("the store {path} has format {found}, this program knows up to {known}; run the newer program")]
    StoreNewer {
        /// The store.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Newest format known here.
        known: u32,
    },
    /// A database, but of another program.
    #[error("{path} is the database of another program; configure another path")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// No room. Nothing was stored; the same call may be tried again.
    #[error("the disk of the store is full and nothing was stored; make room, then try again")]
    Full,
    /// The disk failed: what is on it is known only after a restart.
    #[error("the store failed and takes nothing more: {what}; check the disk, then restart the program")]
    Failed {
        /// The first failure.
        what: String,
    },
    /// The operating system refused a file of the store.
    #[error("cannot {doing} {path}: {source}; correct the path or its permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The database engine is one that is known to lose commits.
    #[error(
        "the database engine {found} is older than {wanted}, which is known to lose commits; rebuild with a newer one"
    )]
    Engine {
        /// Version linked.
        found: &'static str,
        /// Oldest version accepted.
        wanted: &'static str,
    },
    /// A statement was wrong: a fault of this program, not of the disk. Rolled back.
    #[error("the store refused a statement: {0}; this is a fault of the program, report it")]
    Statement(#[source] rusqlite::Error),
    /// A row did not open.
    #[error(transparent)]
    Row(#[from] RestError),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use ErrorCode::{
            CannotOpen, DatabaseCorrupt, DiskFull, FileLockingProtocolFailed, InternalMalfunction,
            NotADatabase, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
        };
        match error.sqlite_error_code() {
            Some(DiskFull) => Self::Full,
            Some(
                CannotOpen
                | DatabaseCorrupt
                | FileLockingProtocolFailed
                | InternalMalfunction
                | NotADatabase
                | OutOfMemory
                | PermissionDenied
                | ReadOnly
                | SystemIoFailure,
            ) => Self::Failed { what: error.to_string() },
            _ => Self::Statement(error),
        }
    }
}

impl StoreError {
    /// Whether nothing was stored and the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Full)
    }

    /// Whether this process must end: the store takes nothing more until it is opened anew.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    /// An error of the engine while a store is being opened, when damage and a rival can still be told apart.
    pub(super) fn at_open(path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path, pid: None },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, what: error.to_string() }
            }
            _ => Self::from(error),
        }
    }

    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, doing, source }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }
}
