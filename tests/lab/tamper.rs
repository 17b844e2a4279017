//! What a hostile relay operator could do: with the relay's own key, alter what the relay holds and seal it again, so
//! that nothing on the relay notices. Works on the store of a stopped relay only.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use prost::Message;
use rusqlite::Connection;
use valise_host::entropy::OsEntropy;
use valise_host::keyfile::KeyFile;
use valise_host::rest::{RestKey, Sealer};
use valise_mint::layout as at;
use valise_proto::header::{Header, SignedHeader};
use valise_proto::limits::SIGNATURE_BYTES;
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::receipt::SignedReceipt;
use valise_proto::signing::SigningKey;
use valise_proto::wire;

use crate::lab::Lab;

/// One thing of an envelope as it is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The author's signature.
    Signature,
    /// The id in the header.
    MessageId,
    /// The author's time in the header.
    Created,
    /// The commitment to the content key, in the header.
    Commitment,
    /// The relay's proof of acceptance: its signature.
    Proof,
    /// Which epoch the key is wrapped for.
    WrapPrekey,
    /// The KEM's ciphertext.
    WrapEnc,
    /// The wrapped key.
    WrapCt,
    /// A ciphertext segment.
    Segment,
    /// The author's certificate, which rides in front.
    Leaf,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Signature,
        Self::MessageId,
        Self::Created,
        Self::Commitment,
        Self::Proof,
        Self::WrapPrekey,
        Self::WrapEnc,
        Self::WrapCt,
        Self::Segment,
        Self::Leaf,
    ];
}

/// What a relay holds, opened with its own key.
pub struct Held {
    sealer: Sealer,
    store: Connection,
}

/// A sealed value: the statement that rewrites it, the key of its row, the row and table it is sealed for, and it.
struct Row {
    update: &'static str,
    key: i64,
    table: &'static str,
    row: Vec<u8>,
    sealed: Vec<u8>,
}

impl Held {
    /// Of the relay with this store and this key file.
    pub fn open(store: &Path, key_file: &Path) -> Result<Self> {
        let key = KeyFile::load(key_file)?;
        let sealer = Sealer::new(&RestKey::new(&key), Arc::new(OsEntropy));
        Ok(Self { sealer, store: Connection::open(store).context("no queue to alter")? })
    }

    /// Flips one bit of a field of the last envelope that the relay took in.
    pub fn flip(&self, field: Field) -> Result<()> {
        match field {
            Field::Signature => self.alter(self.header()?, |bytes| flip(bytes, 0)),
            Field::MessageId => self.alter_header(|header| {
                let mut id = *header.message_id.as_bytes();
                id[0] ^= 1;
                header.message_id = MessageId::new(id);
            }),
            Field::Created => self.alter_header(|header| header.created_ms ^= 1),
            Field::Commitment => self.alter_header(|header| header.cek_commit[0] ^= 1),
            Field::Proof => self.alter(self.proof()?, |bytes| {
                let mut proof = SignedReceipt::from_bytes(Bytes::copy_from_slice(bytes))?.to_wire();
                proof.signature = flipped(&proof.signature);
                *bytes = wire::encode(&proof).to_vec();
                Ok(())
            }),
            Field::WrapPrekey => self.alter_wrap(|wrap| wrap.prekey_id = flipped(&wrap.prekey_id)),
            Field::WrapEnc => self.alter_wrap(|wrap| wrap.enc = flipped(&wrap.enc)),
            Field::WrapCt => self.alter_wrap(|wrap| wrap.ct = flipped(&wrap.ct)),
            Field::Segment => self.alter(self.segment()?, |bytes| {
                let middle = bytes.len() / 2;
                flip(bytes, middle)
            }),
            Field::Leaf => self.leaves(),
        }
    }

    /// Makes the entry of one mailbox the entry of another: the relay will hand the last envelope to that one.
    pub fn hand_to(&self, from: &Mailbox, to: &Mailbox) -> Result<()> {
        let blind = |mailbox: &Mailbox| self.sealer.blind("mailbox", mailbox.as_str().as_bytes()).to_vec();
        let (old, new) = (blind(from), blind(to));
        let last = "SELECT id, sequence, wrap FROM entries WHERE mailbox = ?1 ORDER BY id DESC LIMIT 1";
        let (id, sequence, wrap): (i64, i64, Vec<u8>) = self
            .store
            .query_row(last, [&old], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .context("nothing waits for that mailbox")?;
        let row = |blind: &[u8]| [&sequence.to_be_bytes()[..], blind].concat();
        let wrap = self.sealer.open("entries.wrap", &row(&old), &wrap)?;
        let wrap = self.sealer.seal("entries.wrap", &row(&new), &wrap);
        let name = self.sealer.seal("entries.name", &row(&new), to.as_str().as_bytes());
        let update = "UPDATE entries SET mailbox = ?1, name = ?2, wrap = ?3 WHERE id = ?4";
        let changed = self.store.execute(update, (&new, name, wrap, id))?;
        ensure!(changed == 1, "the entry was not rewritten");
        Ok(())
    }

    fn alter(&self, row: Row, change: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        let mut bytes = self.sealer.open(row.table, &row.row, &row.sealed)?;
        change(&mut bytes)?;
        let sealed = self.sealer.seal(row.table, &row.row, &bytes);
        let changed = self.store.execute(row.update, (sealed, row.key))?;
        ensure!(changed == 1, "a row of {} was not rewritten", row.table);
        Ok(())
    }

    /// Another header under the old signature, in the one encoding of what it says: it is read, and does not hold.
    fn alter_header(&self, change: impl FnOnce(&mut Header)) -> Result<()> {
        self.alter(self.header()?, |bytes| {
            let (signature, header) =
                bytes.split_at_checked(SIGNATURE_BYTES).context("the header is too short")?;
            let mut facts = SignedHeader::received(Bytes::copy_from_slice(header), signature)?.read()?;
            change(&mut facts);
            let header = facts.sign(&SigningKey::from_seed(&[1; 32])); // for its encoding
            *bytes = [signature, header.bytes()].concat();
            Ok(())
        })
    }

    fn alter_wrap(&self, change: impl FnOnce(&mut wire::KeyWrap)) -> Result<()> {
        let last = "SELECT id, sequence, mailbox, wrap FROM entries ORDER BY id DESC LIMIT 1";
        let (key, sequence, blind, sealed): (i64, i64, Vec<u8>, Vec<u8>) = self
            .store
            .query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .context("the queue holds no wrap")?;
        let row = [&sequence.to_be_bytes()[..], &blind].concat();
        let update = "UPDATE entries SET wrap = ?1 WHERE id = ?2";
        self.alter(Row { update, key, table: "entries.wrap", row, sealed }, |bytes| {
            let mut wrap = wire::KeyWrap::decode(&bytes[..]).context("the wrap is none")?;
            change(&mut wrap);
            *bytes = wire::encode(&wrap).to_vec();
            Ok(())
        })
    }

    fn header(&self) -> Result<Row> {
        self.last(
            "SELECT sequence, sealed FROM headers ORDER BY sequence DESC LIMIT 1",
            "UPDATE headers SET sealed = ?1 WHERE sequence = ?2",
            "headers",
        )
    }

    fn proof(&self) -> Result<Row> {
        self.last(
            "SELECT sequence, sealed FROM proofs ORDER BY sequence DESC LIMIT 1",
            "UPDATE proofs SET sealed = ?1 WHERE sequence = ?2",
            "receipts",
        )
    }

    fn segment(&self) -> Result<Row> {
        self.last(
            "SELECT place, sealed FROM segments ORDER BY place DESC LIMIT 1",
            "UPDATE segments SET sealed = ?1 WHERE place = ?2",
            "segments",
        )
    }

    fn last(&self, select: &str, update: &'static str, table: &'static str) -> Result<Row> {
        let found = self.store.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?)));
        let (key, sealed): (i64, Vec<u8>) = found.with_context(|| format!("nothing of {table} is held"))?;
        Ok(Row { update, key, table, row: key.to_be_bytes().to_vec(), sealed })
    }

    /// One bit of every certificate that is held, in the middle of the leaf. All are read before the first is
    /// rewritten: a cursor may come again to a row that was rewritten under it, and a bit flipped twice is none.
    fn leaves(&self) -> Result<()> {
        let mut all = self.store.prepare("SELECT key, sealed FROM leaves")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: Vec<(Vec<u8>, Vec<u8>)> = rows.collect::<Result<_, _>>()?;
        for (key, sealed) in rows {
            let bytes = self.sealer.open("leaves", &key, &sealed)?;
            let mut leaf = wire::SigningLeaf::decode(&bytes[..]).context("the certificate is none")?;
            leaf.leaf = flipped(&leaf.leaf);
            let sealed = self.sealer.seal("leaves", &key, &wire::encode(&leaf));
            self.store.execute("UPDATE leaves SET sealed = ?1 WHERE key = ?2", (sealed, key))?;
        }
        Ok(())
    }
}

fn flip(bytes: &mut [u8], at: usize) -> Result<()> {
    *bytes.get_mut(at).ok_or_else(|| anyhow!("there is nothing to flip"))? ^= 1;
    Ok(())
}

/// With one bit in the middle flipped.
fn flipped(bytes: &[u8]) -> Bytes {
    let mut out = bytes.to_vec();
    let middle = out.len() / 2;
    out[middle] ^= 1;
    out.into()
}

/// Flips one bit of the last segment that a lab's relay took in, and seals it as the relay would.
pub fn flip_a_byte(lab: &mut Lab) -> Result<()> {
    ensure!(!lab.relay().is_running(), "stop the relay first: it has its store open");
    let dir = lab.relay().dir().to_owned();
    let key_file = dir.join(at::KEYS_DIR).join("store.key");
    Held::open(&dir.join(at::STORE_DIR).join("queue.db"), &key_file)?.flip(Field::Segment)
}
