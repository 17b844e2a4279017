//! Planted (`DropBeforeReceipt`): an entry and its end receipt, in two commits. Never reached in a program.

use valise_host::ledger::StoreError;
use valise_proto::kinds::ReceiptKind;
use valise_proto::names::{DeviceId, Mailbox};
use valise_proto::receipt::SignedReceipt;

use super::SqliteQueue;
use super::group::{Draft, Group};
use super::place::entry_state;
use super::schema::QUEUED;
use super::settle::{author, claimed, note, settle};
use crate::queue::{Answer, Noted, Sequence};

impl SqliteQueue {
    /// Lets the entry go, then keeps its receipt.
    pub(super) async fn note_apart(
        &self,
        sequence: Sequence,
        mailbox: Mailbox,
        receipt: SignedReceipt,
    ) -> Answer<Noted> {
        let (of, stated) = (mailbox.clone(), receipt.clone());
        let gone = self.write(0, move |group| let_go(group, sequence, &of, &stated)).await?;
        let Some(author) = gone else {
            return self.write(0, move |group| note(group, sequence, &mailbox, &receipt)).await;
        };
        let told = move |group: &mut Group<'_>| {
            let kept = group.keep_receipt(&author, &receipt);
            kept.map(|()| Draft::of(Noted::Kept { author: author.clone() }))
        };
        self.write(0, told).await
    }
}

/// Lets the entry go without a receipt for its author.
fn let_go(
    group: &mut Group<'_>,
    sequence: Sequence,
    mailbox: &Mailbox,
    signed: &SignedReceipt,
) -> Result<Draft<Option<DeviceId>>, StoreError> {
    let Some(author) = author(group, sequence)? else { return Ok(Draft::of(None)) };
    let settles = claimed(signed, &author, sequence, mailbox).is_some_and(ReceiptKind::settles);
    if !settles || entry_state(group, sequence, mailbox)? != Some(QUEUED) {
        return Ok(Draft::of(None));
    }
    let key = group.vault.mailbox_key(mailbox);
    settle(group, sequence, &key, &author.submitter.party)?;
    let delete = "DELETE FROM entries WHERE sequence = ?1 AND mailbox = ?2";
    group.tx.execute(delete, (sequence.cast_signed(), key))?;
    Ok(Draft::of(Some(author.submitter)))
}
