//! The boxes: all that the desk must not lose. One sealed store for outbox, inbox, statements, keys and times.
//!
//! Every write is one commit of the ledger, and its answer is that commit's proof. Never opens or seals an envelope,
//! never judges a signature: what is handed in was verified by the caller.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Transaction};
use valise_host::ledger::{CommitWatch, Committed, Ledger, StoreError};
use valise_host::rest::Sealer;
use valise_proto::names::{Mailbox, MessageId};

mod apart;
mod dead;
mod due;
mod inbox;
mod keys;
mod meta;
mod outbox;
mod progress;
mod reading;
mod records;
mod schema;
mod sent;
mod stage;
mod state;
mod statements;
#[cfg(test)]
mod tests;
mod vault;
mod wraps;

pub use dead::{Buried, DeadLetter, NewDeadLetter};
pub use due::{LateWraps, ToSubmit};
pub use inbox::{Content, Incoming, Kept, NewFile, Seen};
pub use keys::{OwnBundle, OwnEpoch};
pub use meta::{Counts, InboxCounts, OutboxCounts, Purged};
pub use outbox::{NewMessage, QueueFault, Submission, Summary};
pub use progress::Noted;
pub use reading::{Acknowledger, InboxLine, InboxMessage, Marked};
pub use records::FileNote;
pub use sent::{SentMessage, Tracked};
pub use state::State;
pub use wraps::Waiting;

use vault::Vault;

/// Hides the contents of a type that carries plaintext or keys: a log line must never hold them.
macro_rules! quiet {
    ($($name:ident),+) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        })+
    };
}
use quiet;

/// What the boxes could not do.
#[derive(Debug, thiserror::Error)]
pub enum BoxesError {
    /// The store is locked, damaged, full or broken.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such message here.
    #[error("there is no message {0} here; `valise inbox` lists what came, `valise track` what was sent")]
    NoSuchMessage(MessageId),
    /// A second message under the id of a first.
    #[error("message {0} is in the outbox already; draw another id")]
    IdTaken(MessageId),
    /// A bundle that is not newer than the one it would replace.
    #[error("the bundle of {mailbox} has batch {given}, but batch {held} is held; make a newer one")]
    OldBatch {
        /// Whose keys.
        mailbox: Mailbox,
        /// The batch handed in.
        given: u64,
        /// The batch held.
        held: u64,
    },
    /// What was handed in does not belong together. Nothing was stored.
    #[error("what was to be stored does not fit together ({0}); this is a fault of the program, report it")]
    Unfit(&'static str),
}

impl BoxesError {
    /// The exit code of the desk's contract: 9 store locked or unreadable, 75 try later, 10 nothing found, 1 ours.
    pub fn exit(&self) -> u8 {
        match self {
            Self::Store(StoreError::Full) => 75,
            Self::Store(StoreError::Statement(_))
            | Self::IdTaken(_)
            | Self::OldBatch { .. }
            | Self::Unfit(_) => 1,
            Self::Store(_) => 9,
            Self::NoSuchMessage(_) => 10,
        }
    }

    /// Whether nothing was stored and the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Store(fault) if fault.is_retryable())
    }

    /// Whether the process must end: the store takes nothing more until it is opened anew.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Store(fault) if fault.is_final())
    }
}

/// The desk's durable store. Blocks on the disk; runs on a `Worker<Boxes>`.
pub struct Boxes {
    ledger: Ledger,
    vault: Vault,
}

impl Boxes {
    /// Opens the store at `path`, makes it when there is none.
    ///
    /// # Errors
    /// The store is held by another process, sealed under another key, damaged, newer or foreign: nothing is
    /// touched, and it never starts empty over what it cannot read.
    pub fn open(path: &Path, sealer: &Sealer) -> Result<Self, BoxesError> {
        let ledger = Ledger::open(path, &schema::SCHEMA, sealer)?;
        ledger.read(schema::prepare)?;
        Ok(Self { ledger, vault: Vault::new(sealer.clone(), path) })
    }

    /// Tells this watch of every commit.
    #[must_use]
    pub fn watched(self, watch: Option<Arc<dyn CommitWatch>>) -> Self {
        Self { ledger: self.ledger.watched(watch), ..self }
    }

    /// Where the store lies.
    pub fn path(&self) -> &Path {
        self.ledger.path()
    }

    fn commit<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &Vault) -> Result<T, StoreError>,
    ) -> Result<Committed<T>, BoxesError> {
        let vault = &self.vault;
        Ok(self.ledger.commit(|tx| work(tx, vault))?)
    }

    fn read<T>(
        &self,
        look: impl FnOnce(&Connection, &Vault) -> Result<T, StoreError>,
    ) -> Result<T, BoxesError> {
        Ok(self.ledger.read(|conn| look(conn, &self.vault))?)
    }
}

impl fmt::Debug for Boxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Boxes({:?})", self.ledger)
    }
}
