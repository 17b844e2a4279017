//! A message that came before and came again: nothing is shown twice, and what was stated is stated again.

use rusqlite::OptionalExtension;
use valise_host::ledger::Committed;
use valise_proto::kinds::ReceiptKind;
use valise_proto::names::MessageId;
use valise_proto::receipt::SignedReceipt;
use valise_proto::signing::KeyId;

use super::statements::{self, About};
use super::{Boxes, BoxesError};

impl Boxes {
    /// Sends again all that was stated about a kept message. `delivered` joins it when nothing was stated yet for its
    /// mailbox under its number: the relay finds what to settle by these two. How many will be sent.
    pub fn state_again(
        &mut self,
        sender_key_id: &KeyId,
        id: &MessageId,
        delivered: &SignedReceipt,
    ) -> Result<Committed<usize>, BoxesError> {
        let claim = delivered.claim().map_err(|_| BoxesError::Unfit("statement"))?;
        self.commit(|tx, vault| {
            let find = "SELECT id FROM inbox WHERE mark = ?1";
            let row: Option<i64> =
                tx.query_row(find, [vault.mark(sender_key_id, id)], |row| row.get(0)).optional()?;
            let Some(row) = row else { return Ok(0) };
            let about = About::Inbox(row);
            let stated = statements::about(tx, vault, about)?.iter().any(|earlier| {
                earlier.claim().is_ok_and(|earlier| {
                    earlier.kind == ReceiptKind::Delivered
                        && earlier.sequence == claim.sequence
                        && earlier.mailbox == claim.mailbox
                })
            });
            let mut again = statements::repeat(tx, about)?;
            if !stated {
                statements::put(tx, vault, about, delivered)?;
                again += 1;
            }
            Ok(again)
        })
    }
}
