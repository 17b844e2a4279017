//! Planted (`DedupApart`): a message and the mark that it came, in two commits. Never reached in a program.

use rusqlite::params;
use valise_host::ledger::{Committed, StoreError};

use super::inbox::{Incoming, Kept, store};
use super::records::Mark;
use super::vault::unsql;
use super::{Boxes, BoxesError};

impl Boxes {
    /// Keeps the mark in one commit and the message in the next.
    pub(super) fn keep_apart(&mut self, incoming: &Incoming) -> Result<Committed<Kept>, BoxesError> {
        let mark = self.vault.mark(&incoming.facts.sender_key_id, &incoming.facts.message_id);
        let seen = Mark { header_hash: incoming.header.hash().0.to_vec(), sequence: incoming.sequence };
        let row = self.commit(|tx, vault| {
            let row = tx.query_row("SELECT coalesce(max(id), 0) + 1 FROM inbox", [], |row| row.get(0))?;
            let insert = "INSERT OR IGNORE INTO seen (mark, until_ms, inbox, data) VALUES (?1, ?2, ?3, ?4)";
            tx.execute(insert, params![mark, i64::MAX, row, vault.seal(&mark, &seen)])?;
            Ok::<i64, StoreError>(row)
        })?;
        let row = row.into_inner();
        self.commit(|tx, vault| {
            tx.execute("DELETE FROM seen WHERE mark = ?1 AND inbox = ?2", params![mark, row])?;
            store(tx, vault, &mark, incoming).map(|row| Kept::New(unsql(row)))
        })
    }
}
