//! Planted (`AcknowledgeBeforeSync`): a ledger that answers before the disk has it. Not in any program.

use rusqlite::{DropBehavior, Transaction, TransactionBehavior};

use super::{CommitPoint, Committed, Ledger, StoreError};

impl Ledger {
    /// Answers now, and commits with the next or on closing.
    pub(super) fn commit_late<T>(
        &mut self,
        next: u64,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<Committed<T>, StoreError> {
        self.commit_the_late()?;
        let mut tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&tx)?;
        tx.execute("UPDATE ledger SET commit_no = ?1 WHERE id = 1", [next.cast_signed()])?;
        tx.set_drop_behavior(DropBehavior::Ignore);
        drop(tx);
        self.commit_no = next;
        let stopped = self.watch.as_ref().is_some_and(|one| {
            [CommitPoint::Before, CommitPoint::Synced, CommitPoint::After]
                .iter()
                .any(|point| !one.goes_on(&self.path, *point))
        });
        let gone = || StoreError::Failed { what: "the machine stopped".to_owned() };
        if stopped { Err(gone()).inspect_err(|fault| self.note(fault)) } else { Ok(Committed(value)) }
    }

    pub(super) fn commit_the_late(&mut self) -> Result<(), StoreError> {
        if !self.conn.is_autocommit() {
            self.conn.execute_batch("COMMIT")?;
            self.mark.advance(self.commit_no)?;
        }
        Ok(())
    }
}
