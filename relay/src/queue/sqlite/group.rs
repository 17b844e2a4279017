//! A commit group: what its operations decide in one transaction, and the receipts that one signature makes true.
//!
//! Nothing leaves a group before its commit: an operation gives a draft, and only the store's proof turns it into
//! an answer.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};
use valise_host::ledger::{Committed, StoreError};
use valise_proto::limits::AUDIT_PATH_MAX;
use valise_proto::names::{DeviceId, RelayId};
use valise_proto::receipt::{Receipt, SignedReceipt};

use super::rows::{Vault, envelope_row};
use crate::queue::{Depth, QueueError, Sequence, Stamp};

/// Receipts of one signature: `RECEIPT_LEAVES_MAX`.
const LEAVES: usize = 1 << AUDIT_PATH_MAX;

/// What a committed group gives back: its signed receipts by ticket, and what is held after it.
pub(super) struct Signed {
    receipts: Vec<SignedReceipt>,
    pub(super) depth: Depth,
}

/// Claims one receipt of the group once it is signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(usize);

impl Signed {
    pub(super) fn take(&self, ticket: Ticket) -> SignedReceipt {
        self.receipts[ticket.0].clone()
    }
}

/// An answer that waits for the signature and the commit.
pub(super) struct Draft<T>(Box<dyn FnOnce(&Signed) -> T + Send>);

impl<T: Send + 'static> Draft<T> {
    /// An answer that is complete but for the commit.
    pub(super) fn of(answer: T) -> Self {
        Self(Box::new(move |_| answer))
    }

    /// An answer that carries receipts of the group.
    pub(super) fn signed(answer: impl FnOnce(&Signed) -> T + Send + 'static) -> Self {
        Self(Box::new(answer))
    }

    /// The answer. Only a proof of the commit gives it ([P-27]).
    pub(super) fn release(self, proof: &Committed<Signed>) -> T {
        (self.0)(proof.as_ref())
    }
}

/// An operation of a group: decides within the transaction, answers after it. Deciding may be asked for twice,
/// when a group was rolled back.
pub(super) trait Operation: Send {
    fn decide(&mut self, group: &mut Group<'_>) -> Result<(), StoreError>;
    fn release(self: Box<Self>, proof: &Committed<Signed>);
    fn fail(self: Box<Self>, fault: QueueError);
}

/// Where a receipt goes once it is signed.
enum Home {
    /// Into the answer alone.
    Answer,
    /// The proof of an envelope.
    Proof(Sequence),
    /// To the author's device.
    Author(DeviceId),
}

/// The proof of an envelope, as a group finds it.
pub(super) enum Proof {
    /// Of an earlier group.
    Kept(Box<SignedReceipt>),
    /// Of this group, not signed yet.
    Due(Ticket),
}

impl Proof {
    pub(super) fn take(self, signed: &Signed) -> SignedReceipt {
        match self {
            Self::Kept(receipt) => *receipt,
            Self::Due(ticket) => signed.take(ticket),
        }
    }
}

/// One group at work.
pub(super) struct Group<'a> {
    pub(super) tx: &'a Connection,
    pub(super) vault: &'a Vault,
    pub(super) relay: &'a RelayId,
    pub(super) depth: Depth,
    receipts: Vec<Receipt>,
    homes: Vec<Home>,
    proofs_due: BTreeMap<Sequence, Ticket>,
}

impl<'a> Group<'a> {
    pub(super) fn new(tx: &'a Connection, vault: &'a Vault, relay: &'a RelayId, depth: Depth) -> Self {
        Self { tx, vault, relay, depth, receipts: Vec::new(), homes: Vec::new(), proofs_due: BTreeMap::new() }
    }

    /// The next number; none is given twice, whatever is purged.
    pub(super) fn next_sequence(&mut self) -> Sequence {
        self.depth.sequence += 1;
        self.depth.sequence
    }

    /// Has the proof of an envelope signed and kept.
    pub(super) fn prove(&mut self, sequence: Sequence, receipt: Receipt) -> Ticket {
        let ticket = self.due(receipt, Home::Proof(sequence));
        self.proofs_due.insert(sequence, ticket);
        ticket
    }

    /// Has a receipt signed for the answer.
    pub(super) fn state(&mut self, receipt: Receipt) -> Ticket {
        self.due(receipt, Home::Answer)
    }

    /// Has a receipt signed and kept for the author's device.
    pub(super) fn tell(&mut self, author: DeviceId, receipt: Receipt) {
        self.due(receipt, Home::Author(author));
    }

    fn due(&mut self, receipt: Receipt, home: Home) -> Ticket {
        self.receipts.push(receipt);
        self.homes.push(home);
        Ticket(self.receipts.len() - 1)
    }

    /// The proof of an accepted envelope.
    pub(super) fn proof(&self, sequence: Sequence) -> Result<Proof, StoreError> {
        if let Some(ticket) = self.proofs_due.get(&sequence) {
            return Ok(Proof::Due(*ticket));
        }
        let receipt = read_proof(self.tx, self.vault, sequence)?;
        Ok(Proof::Kept(Box::new(receipt)))
    }

    /// Keeps a signed receipt for a device, once.
    pub(super) fn keep_receipt(
        &mut self,
        device: &DeviceId,
        receipt: &SignedReceipt,
    ) -> Result<(), StoreError> {
        let id = self.vault.receipt_key(device, &receipt.id());
        let sealed = self.vault.seal(&id, receipt);
        let mut insert = self
            .tx
            .prepare_cached("INSERT OR IGNORE INTO receipts (device, id, sealed) VALUES (?1, ?2, ?3)")?;
        self.depth.receipts += insert.execute((self.vault.device_key(device), id, sealed))? as u64;
        Ok(())
    }

    /// Signs what is due, once for all, and writes it down with the tally. The last act of a group.
    pub(super) fn close(mut self, stamp: &dyn Stamp) -> Result<Signed, StoreError> {
        let due = std::mem::take(&mut self.receipts);
        let receipts: Vec<_> = due.chunks(LEAVES).flat_map(|leaves| stamp.sign_all(leaves)).collect();
        assert_eq!(receipts.len(), due.len(), "a stamp signs each receipt that it is given");
        for (home, receipt) in std::mem::take(&mut self.homes).into_iter().zip(&receipts) {
            match home {
                Home::Answer => {}
                Home::Author(device) => self.keep_receipt(&device, receipt)?,
                Home::Proof(sequence) => {
                    let sealed = self.vault.seal(&envelope_row(sequence), receipt);
                    let mut insert = self.tx.prepare_cached("INSERT INTO proofs VALUES (?1, ?2)")?;
                    insert.execute((sequence.cast_signed(), sealed))?;
                }
            }
        }
        let Depth { sequence, entries, receipts: kept } = self.depth;
        let mut update = self
            .tx
            .prepare_cached("UPDATE tally SET highest = ?1, entries = ?2, receipts = ?3 WHERE id = 1")?;
        update.execute((sequence.cast_signed(), entries.cast_signed(), kept.cast_signed()))?;
        Ok(Signed { receipts, depth: self.depth })
    }
}

/// The proof of acceptance that lies with an envelope.
pub(super) fn read_proof(
    conn: &Connection,
    vault: &Vault,
    sequence: Sequence,
) -> Result<SignedReceipt, StoreError> {
    let mut find = conn.prepare_cached("SELECT sealed FROM proofs WHERE sequence = ?1")?;
    let sealed: Option<Vec<u8>> = find.query_row([sequence.cast_signed()], |row| row.get(0)).optional()?;
    let sealed = sealed.ok_or_else(|| vault.damaged(format!("envelope {sequence} has lost its proof")))?;
    vault.open(&envelope_row(sequence), &sealed)
}
