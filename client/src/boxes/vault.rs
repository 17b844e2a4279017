//! The vault: records in and out of sealed rows, and the blind keys by which rows are found.
//!
//! A record opens in its own table and row alone. Never decides what is stored.

use std::path::{Path, PathBuf};

use valise_host::ledger::StoreError;
use valise_host::rest::{BLIND_BYTES, Sealer};
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::signing::{Hash, KeyId};
use zeroize::Zeroizing;

/// A lookup key: tells a stolen disk nothing.
pub(super) type Blind = [u8; BLIND_BYTES];

/// A record of one kind of sealed row.
pub(super) trait Record: prost::Message + Default {
    /// Names the column; sealed in, so that columns cannot be exchanged.
    const TABLE: &'static str;
}

/// Seals, opens and blinds for one store.
pub(super) struct Vault {
    sealer: Sealer,
    path: PathBuf,
}

impl Vault {
    pub(super) fn new(sealer: Sealer, path: &Path) -> Self {
        Self { sealer, path: path.to_owned() }
    }

    pub(super) fn seal<R: Record>(&self, row: &[u8], record: &R) -> Vec<u8> {
        // Wiped, because some records are secret and none is public.
        let plain = Zeroizing::new(record.encode_to_vec());
        self.sealer.seal(R::TABLE, row, &plain)
    }

    pub(super) fn open<R: Record>(&self, row: &[u8], sealed: &[u8]) -> Result<R, StoreError> {
        let plain = Zeroizing::new(self.sealer.open(R::TABLE, row, sealed)?);
        R::decode(&plain[..]).map_err(|_| self.broken(R::TABLE))
    }

    pub(super) fn seal_bytes(&self, table: &'static str, row: &[u8], bytes: &[u8]) -> Vec<u8> {
        self.sealer.seal(table, row, bytes)
    }

    pub(super) fn open_bytes(
        &self,
        table: &'static str,
        row: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        Ok(self.sealer.open(table, row, sealed)?)
    }

    /// A row opened under our key but holds what this program never wrote, or a row is missing.
    pub(super) fn broken(&self, what: &str) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what: format!("its `{what}` does not read") }
    }

    pub(super) fn blind(&self, table: &'static str, text: &[u8]) -> Blind {
        self.sealer.blind(table, text)
    }

    /// Of a message that we sent.
    pub(super) fn out(&self, id: &MessageId) -> Blind {
        self.blind("outbox", id.as_bytes())
    }

    /// Of a mailbox, wherever it stands.
    pub(super) fn mailbox(&self, mailbox: &Mailbox) -> Blind {
        self.blind("mailbox", mailbox.as_str().as_bytes())
    }

    /// Of a message that came, by its id alone.
    pub(super) fn came(&self, id: &MessageId) -> Blind {
        self.blind("inbox", id.as_bytes())
    }

    /// Of a message that came, by its author's key and id: what makes it one message.
    pub(super) fn mark(&self, key: &KeyId, id: &MessageId) -> Blind {
        self.blind("seen", &[&key.0[..], id.as_bytes()].concat())
    }

    /// Of an envelope that could not be opened.
    pub(super) fn dead(&self, sequence: u64, header_hash: &Hash) -> Blind {
        self.blind("dead letter", &[&sequence.to_be_bytes()[..], &header_hash.0].concat())
    }

    /// Of a request to send.
    pub(super) fn request(&self, key: &str) -> Blind {
        self.blind("request", key.as_bytes())
    }

    /// Of a receipt.
    pub(super) fn receipt(&self, id: &[u8; 16]) -> Blind {
        self.blind("receipt", id)
    }
}

/// The place of one piece of a part of a message.
pub(super) fn piece(message: &Blind, part: u32, index: u32) -> Vec<u8> {
    [&message[..], &part.to_be_bytes(), &index.to_be_bytes()].concat()
}

/// A count or time for a clear column. Peers choose some of them: past the engine's range they are its largest.
pub(super) fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count or time from a clear column.
pub(super) fn unsql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
