//! Keys and papers: our own epochs with their secrets, our bundles, other mailboxes' bundles, signing papers.
//!
//! A secret is stored in one commit with the bundle that publishes it, so none is ever published and lost. Deletes
//! no epoch. Verifies nothing: what is handed in was checked.

use rusqlite::{OptionalExtension, params};
use valise_host::ledger::{Committed, StoreError};
use valise_proto::bundle::{PrekeyId, SignedBundle};
use valise_proto::limits::PREKEY_ID_BYTES;
use valise_proto::names::Mailbox;
use valise_proto::signing::KeyId;
use valise_proto::wire;
use zeroize::Zeroizing;

use super::records::{Batch, OwnBatch};
use super::vault::{Blind, Vault, sql};
use super::{Boxes, BoxesError, quiet};

/// Sealed into each epoch's row.
const EPOCH: &str = "epoch";
/// Number, id and the length of the name before an epoch's name and secret.
const EPOCH_HEAD_BYTES: usize = 8 + PREKEY_ID_BYTES + 1;

/// An epoch of ours.
#[derive(Clone)]
pub struct OwnEpoch {
    /// Which of our mailboxes.
    pub mailbox: Mailbox,
    /// Counts from 1.
    pub no: u64,
    /// Names it in a wrap.
    pub prekey_id: PrekeyId,
    /// The secret, in the form that the sealing room gave it.
    pub secret: Zeroizing<Vec<u8>>,
}

quiet!(OwnEpoch);

/// A bundle of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnBundle {
    /// Which of our mailboxes.
    pub mailbox: Mailbox,
    /// Its number.
    pub batch_no: u64,
    /// Whether the relay holds it durably.
    pub published: bool,
    /// The bundle, signed by us.
    pub signed: SignedBundle,
}

impl Boxes {
    /// All epochs of ours, in the order in which they were made.
    pub fn epochs(&self) -> Result<Vec<OwnEpoch>, BoxesError> {
        self.read(|conn, vault| {
            let mut query = conn.prepare_cached("SELECT prekey, data FROM epoch ORDER BY id")?;
            let mut rows = query.query([])?;
            let mut epochs = Vec::new();
            while let Some(row) = rows.next()? {
                let (prekey, sealed): (Blind, Vec<u8>) = (row.get(0)?, row.get(1)?);
                epochs.push(open_epoch(vault, &prekey, &sealed)?);
            }
            Ok(epochs)
        })
    }

    /// Stores a new epoch of a mailbox together with the bundle that states it. An epoch stored before stays as
    /// it is.
    ///
    /// # Errors
    /// `OldBatch` when the bundle is not newer than the mailbox's last one.
    pub fn add_epoch(
        &mut self,
        mailbox: &Mailbox,
        no: u64,
        prekey_id: &PrekeyId,
        secret: &[u8],
        batch_no: u64,
        signed: &SignedBundle,
    ) -> Result<Committed<()>, BoxesError> {
        if let Some(last) = self.own_bundle(mailbox)?
            && last.batch_no >= batch_no
        {
            return Err(BoxesError::OldBatch {
                mailbox: mailbox.clone(),
                given: batch_no,
                held: last.batch_no,
            });
        }
        self.commit(|tx, vault| {
            let prekey = vault.blind(EPOCH, prekey_id);
            let name = mailbox.to_string();
            // By hand, so that the secret stands in no buffer that is not wiped.
            let mut plain = Zeroizing::new(Vec::with_capacity(EPOCH_HEAD_BYTES + name.len() + secret.len()));
            plain.extend_from_slice(&no.to_be_bytes());
            plain.extend_from_slice(prekey_id);
            plain.push(u8::try_from(name.len()).expect("invariant: a mailbox has at most 65 characters"));
            plain.extend_from_slice(name.as_bytes());
            plain.extend_from_slice(secret);
            let sealed = vault.seal_bytes(EPOCH, &prekey, &plain);
            let insert = "INSERT OR IGNORE INTO epoch (no, prekey, data) VALUES (?1, ?2, ?3)";
            tx.execute(insert, params![sql(no), prekey, sealed])?;
            let bundle = signed.to_bytes();
            let own = OwnBatch { batch_no, bundle, published: false, mailbox: name };
            let blind = vault.mailbox(mailbox);
            let replace = "INSERT OR REPLACE INTO own_bundle (mailbox, data) VALUES (?1, ?2)";
            tx.execute(replace, params![blind, vault.seal(&blind, &own)])?;
            Ok(())
        })
    }

    /// The newest bundle of one of our mailboxes.
    pub fn own_bundle(&self, mailbox: &Mailbox) -> Result<Option<OwnBundle>, BoxesError> {
        Ok(self.own_bundles()?.into_iter().find(|own| own.mailbox == *mailbox))
    }

    /// The newest bundle of each of our mailboxes, sorted.
    pub fn own_bundles(&self) -> Result<Vec<OwnBundle>, BoxesError> {
        self.read(|conn, vault| {
            let mut query = conn.prepare_cached("SELECT mailbox, data FROM own_bundle")?;
            let mut rows = query.query([])?;
            let mut bundles = Vec::new();
            while let Some(row) = rows.next()? {
                let (mailbox, sealed): (Blind, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let own: OwnBatch = vault.open(&mailbox, &sealed)?;
                bundles.push(OwnBundle {
                    mailbox: Mailbox::new(&own.mailbox).map_err(|_| vault.broken("own_bundle"))?,
                    batch_no: own.batch_no,
                    published: own.published,
                    signed: SignedBundle::from_bytes(own.bundle).map_err(|_| vault.broken("own_bundle"))?,
                });
            }
            bundles.sort_by(|a: &OwnBundle, b| a.mailbox.cmp(&b.mailbox));
            Ok(bundles)
        })
    }

    /// Takes the relay's word that it holds this batch durably; false when the batch is not our newest.
    pub fn bundle_published(
        &mut self,
        mailbox: &Mailbox,
        batch_no: u64,
    ) -> Result<Committed<bool>, BoxesError> {
        self.commit(|tx, vault| {
            let blind = vault.mailbox(mailbox);
            let query = "SELECT data FROM own_bundle WHERE mailbox = ?1";
            let sealed: Option<Vec<u8>> = tx.query_row(query, [blind], |row| row.get(0)).optional()?;
            let Some(sealed) = sealed else { return Ok(false) };
            let mut own: OwnBatch = vault.open(&blind, &sealed)?;
            if own.batch_no != batch_no {
                return Ok(false);
            }
            own.published = true;
            let update = "UPDATE own_bundle SET data = ?2 WHERE mailbox = ?1";
            tx.execute(update, params![blind, vault.seal(&blind, &own)])?;
            Ok(true)
        })
    }

    /// The newest bundle held of another mailbox, with its batch number.
    pub fn bundle(&self, mailbox: &Mailbox) -> Result<Option<(u64, SignedBundle)>, BoxesError> {
        self.read(|conn, vault| {
            let blind = vault.mailbox(mailbox);
            let mut query = conn.prepare_cached("SELECT data FROM bundle WHERE mailbox = ?1")?;
            let sealed: Option<Vec<u8>> = query.query_row([blind], |row| row.get(0)).optional()?;
            let Some(sealed) = sealed else { return Ok(None) };
            let batch: Batch = vault.open(&blind, &sealed)?;
            let bundle = SignedBundle::from_bytes(batch.bundle).map_err(|_| vault.broken("bundle"))?;
            Ok(Some((batch.batch_no, bundle)))
        })
    }

    /// Keeps a verified bundle of another mailbox when its batch is newer; whether it was.
    pub fn keep_bundle(
        &mut self,
        mailbox: &Mailbox,
        batch_no: u64,
        bundle: &SignedBundle,
    ) -> Result<Committed<bool>, BoxesError> {
        let newer = self.bundle(mailbox)?.is_none_or(|(held, _)| held < batch_no);
        self.commit(|tx, vault| {
            if newer {
                let blind = vault.mailbox(mailbox);
                let batch = Batch { batch_no, bundle: bundle.to_bytes() };
                let replace = "INSERT OR REPLACE INTO bundle (mailbox, data) VALUES (?1, ?2)";
                tx.execute(replace, params![blind, vault.seal(&blind, &batch)])?;
            }
            Ok(newer)
        })
    }

    /// The papers kept of a signing key.
    pub fn leaf(&self, key: &KeyId) -> Result<Option<wire::SigningLeaf>, BoxesError> {
        self.read(|conn, vault| {
            let blind = vault.blind("leaf", &key.0);
            let mut query = conn.prepare_cached("SELECT data FROM leaf WHERE key = ?1")?;
            let sealed: Option<Vec<u8>> = query.query_row([blind], |row| row.get(0)).optional()?;
            sealed.map(|sealed| vault.open(&blind, &sealed)).transpose()
        })
    }

    /// Keeps the checked papers of a signing key; newer papers of the same key replace the older.
    pub fn keep_leaf(&mut self, key: &KeyId, leaf: &wire::SigningLeaf) -> Result<Committed<()>, BoxesError> {
        self.commit(|tx, vault| {
            let blind = vault.blind("leaf", &key.0);
            let replace = "INSERT OR REPLACE INTO leaf (key, data) VALUES (?1, ?2)";
            tx.execute(replace, params![blind, vault.seal(&blind, leaf)])?;
            Ok(())
        })
    }
}

fn open_epoch(vault: &Vault, prekey: &Blind, sealed: &[u8]) -> Result<OwnEpoch, StoreError> {
    let plain = Zeroizing::new(vault.open_bytes(EPOCH, prekey, sealed)?);
    let broken = || vault.broken(EPOCH);
    let (no, rest) = plain.split_first_chunk().ok_or_else(broken)?;
    let (prekey_id, rest) = rest.split_first_chunk().ok_or_else(broken)?;
    let (len, rest) = rest.split_first().ok_or_else(broken)?;
    let (name, secret) = rest.split_at_checked(usize::from(*len)).ok_or_else(broken)?;
    let name = std::str::from_utf8(name).map_err(|_| broken())?;
    Ok(OwnEpoch {
        mailbox: Mailbox::new(name).map_err(|_| broken())?,
        no: u64::from_be_bytes(*no),
        prekey_id: *prekey_id,
        secret: Zeroizing::new(secret.to_vec()),
    })
}
