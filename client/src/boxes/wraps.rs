//! Key wraps of queued messages: which recipients wait for a key, which wraps go with the envelope, which follow.
//!
//! Those of the first submission are settled before it is sent and stay the same at every retry, because the relay
//! states `relayed` about the wraps that came with the envelope. Makes no wrap itself.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, params};
use valise_host::ledger::Committed;
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::signing::Hash;
use valise_proto::wire;
use zeroize::Zeroizing;

use super::outbox::{CEK, facts, find, header, not_bytes, place};
use super::records::Correspondent;
use super::stage::Wrap;
use super::vault::{Blind, sql};
use super::{Boxes, BoxesError, quiet};

/// A message that waits for a mailbox's key: what is needed to wrap for it.
pub struct Waiting {
    /// Which.
    pub id: MessageId,
    /// What the wrap is bound to.
    pub header_hash: Hash,
    /// The content key.
    pub cek: Zeroizing<[u8; 32]>,
}

quiet!(Waiting);

impl Boxes {
    /// Mailboxes without whose keys some message waits, sorted.
    pub fn needs_keys(&self) -> Result<Vec<Mailbox>, BoxesError> {
        self.mailboxes(
            "SELECT mailbox, data FROM correspondent
             WHERE mailbox IN (SELECT DISTINCT mailbox FROM recipient WHERE wrap = 0)",
        )
    }

    /// Mailboxes ever written to, sorted: those whose bundles are worth following.
    pub fn correspondents(&self) -> Result<Vec<Mailbox>, BoxesError> {
        self.mailboxes("SELECT mailbox, data FROM correspondent")
    }

    /// Mailboxes whose bundles are to be asked for, at most so many with our own, and the newest batch held of each.
    /// Where a message waits for a key, none is said to be held: the bundle may have come while the message was being
    /// written, or before a crash, and it wraps what waits when it comes again.
    pub fn wanted(&self, own: &[Mailbox], max: usize) -> Result<Vec<(Mailbox, u64)>, BoxesError> {
        let (known, waited_for) = (self.correspondents()?, self.needs_keys()?);
        let foreign = known.into_iter().filter(|mailbox| !own.contains(mailbox));
        let held = |mailbox: Mailbox| {
            let held = if waited_for.contains(&mailbox) { None } else { self.bundle(&mailbox)? };
            Ok((mailbox, held.map_or(0, |(batch, _)| batch)))
        };
        // Those that mail waits for come first: who writes to many must not crowd them out.
        let (first, rest): (Vec<_>, Vec<_>) = foreign.partition(|mailbox| waited_for.contains(mailbox));
        first.into_iter().chain(rest).take(max.saturating_sub(own.len())).map(held).collect()
    }

    /// Messages that wait for this mailbox's key, oldest first. Those given wraps are no longer among them.
    pub fn messages_waiting_for(&self, mailbox: &Mailbox, max: usize) -> Result<Vec<Waiting>, BoxesError> {
        self.read(|conn, vault| {
            let mut query = conn.prepare_cached(
                "SELECT outbox.message, letter, cek FROM recipient JOIN outbox ON outbox.id = recipient.message
                 WHERE recipient.mailbox = ?1 AND wrap = 0 AND live = 1 ORDER BY outbox.id LIMIT ?2",
            )?;
            let mut rows = query.query(params![vault.mailbox(mailbox), sql(max as u64)])?;
            let mut waiting = Vec::new();
            while let Some(row) = rows.next()? {
                let message: Blind = row.get(0)?;
                let letter = vault.open(&message, row.get_ref(1)?.as_blob().map_err(not_bytes)?)?;
                let sealed: Vec<u8> = row.get(2)?;
                let cek = Zeroizing::new(vault.open_bytes(CEK, &message, &sealed)?);
                let cek: &[u8; 32] = cek[..].try_into().map_err(|_| vault.broken(CEK))?;
                waiting.push(Waiting {
                    id: facts(vault, &letter)?.message_id,
                    header_hash: header(vault, &letter)?.hash(),
                    cek: Zeroizing::new(*cek),
                });
            }
            Ok(waiting)
        })
    }

    /// Adds wraps for recipients that waited for their key; says how many were needed. Those that were not, and a
    /// message that is unknown or ended, change nothing.
    pub fn add_wraps(
        &mut self,
        id: &MessageId,
        wraps: Vec<(Mailbox, wire::KeyWrap)>,
    ) -> Result<Committed<usize>, BoxesError> {
        if wraps.iter().any(|(mailbox, wrap)| wrap.mailbox != mailbox.as_str()) {
            return Err(BoxesError::Unfit("wraps"));
        }
        self.commit(|tx, vault| {
            let Some(found) = find(tx, vault, id)?.filter(|found| found.live) else { return Ok(0) };
            // Once one set is settled for the first submission, it may be under way: the rest follows it.
            let settled = "SELECT 1 FROM recipient WHERE message = ?1 AND wrap = 1";
            let settled = tx.query_row(settled, [found.row], |_| Ok(())).optional()?.is_some();
            let stage = if found.relayed || settled { Wrap::Late } else { Wrap::First };
            let mut update = tx.prepare_cached(
                "UPDATE recipient SET wrap = ?3, keywrap = ?4 WHERE message = ?1 AND mailbox = ?2 AND wrap = 0",
            )?;
            let (mut taken, mut bytes) = (0, 0);
            for (mailbox, wrap) in &wraps {
                let mailbox = vault.mailbox(mailbox);
                let sealed = vault.seal(&place(&found.message, &mailbox), wrap);
                if update.execute(params![found.row, mailbox, stage as i32, sealed])? > 0 {
                    taken += 1;
                    bytes += wire::encoded_len(wrap) as u64;
                }
            }
            tx.execute("UPDATE outbox SET bytes = bytes + ?2 WHERE id = ?1", params![found.row, sql(bytes)])?;
            Ok(taken)
        })
    }

    /// Makes a message that the relay does not know (any more) one to submit again, with the wraps that it lacks.
    pub fn resubmit(&mut self, id: &MessageId) -> Result<Committed<()>, BoxesError> {
        self.commit(|tx, vault| {
            let Some(found) = find(tx, vault, id)?.filter(|found| found.live) else { return Ok(()) };
            tx.execute("UPDATE outbox SET relayed = 0 WHERE id = ?1", [found.row])?;
            tx.execute("UPDATE recipient SET wrap = 1 WHERE message = ?1 AND wrap = 2", [found.row])?;
            Ok(())
        })
    }

    fn mailboxes(&self, query: &str) -> Result<Vec<Mailbox>, BoxesError> {
        self.read(|conn, vault| {
            let mut query = conn.prepare_cached(query)?;
            let mut rows = query.query([])?;
            let mut mailboxes = BTreeSet::new();
            while let Some(row) = rows.next()? {
                let (blind, sealed): (Blind, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let known: Correspondent = vault.open(&blind, &sealed)?;
                mailboxes.insert(Mailbox::new(&known.mailbox).map_err(|_| vault.broken("correspondent"))?);
            }
            Ok(mailboxes.into_iter().collect())
        })
    }
}
