//! The outbox: a sent message with its ciphertext, from the sync that makes it `queued` until the relay has it.
//!
//! Gives each message its place in every pair's count, in the same commit that stores it. Never sends.

use std::collections::BTreeSet;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use valise_host::ledger::{Committed, StoreError};
use valise_proto::header::{Header, SignedHeader};
use valise_proto::kinds::Addressing;
use valise_proto::limits as l;
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::refusal::Refusal;
use valise_proto::wire;
use zeroize::Zeroizing;

use super::records::{Addressee, Correspondent, File, FileNote, Letter};
use super::stage::Wrap;
use super::state::State;
use super::vault::{Blind, Vault, piece, sql};
use super::{Boxes, BoxesError, quiet};

/// Column names that are sealed into what they hold.
pub(super) const SEGMENT: &str = "segment";
pub(super) const CEK: &str = "outbox/cek";
const REQUEST: &str = "request";

/// How long a request key is remembered: as long as its message usually lives.
const REQUEST_KEPT_MS: u64 = l::MESSAGE_LIFE_MS;

/// What the desk shows of a message it sent, beyond its header.
#[derive(Clone, PartialEq, Eq)]
pub struct Summary {
    /// As written.
    pub subject: String,
    /// `text`, or a type of the class.
    pub type_name: String,
    /// Plaintext bytes of the body.
    pub body_bytes: u64,
    /// In order.
    pub attachments: Vec<FileNote>,
}

/// A sealed message, ready to be queued.
pub struct NewMessage {
    /// Signed by us.
    pub header: SignedHeader,
    /// What it says.
    pub facts: Header,
    /// The content key, kept until every recipient has ended: keys may become known later.
    pub cek: Zeroizing<[u8; 32]>,
    /// Ciphertext segments of each part, in order.
    pub parts: Vec<Vec<Bytes>>,
    /// For the recipients whose keys are known.
    pub wraps: Vec<(Mailbox, wire::KeyWrap)>,
    /// For the desk.
    pub summary: Summary,
    /// Envelope bytes that will be uploaded.
    pub bytes_uploaded: u64,
    /// Unix milliseconds.
    pub now_ms: u64,
}

quiet!(Summary, NewMessage);

/// Why a message was not queued. No number was used up.
#[derive(Debug, thiserror::Error)]
pub enum QueueFault<E> {
    /// It could not be made.
    #[error(transparent)]
    Make(E),
    /// It could not be stored.
    #[error(transparent)]
    Boxes(#[from] BoxesError),
}

/// All that is submitted of a message but its segments.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Signed by us.
    pub header: SignedHeader,
    /// What it says.
    pub facts: Header,
    /// The wraps of the first submission, by mailbox: the same ones at every retry.
    pub wraps: Vec<(Mailbox, wire::KeyWrap)>,
    /// How many segments each part has.
    pub segments: Vec<u32>,
}

impl Boxes {
    /// Counts the message into every pair (from 1, without a gap), lets `make` seal and sign it with these numbers,
    /// in the order of `recipients`, and stores it. The answer means `queued`: synced here. A `request` key that was
    /// answered before gives its message again, and nothing is made.
    ///
    /// # Errors
    /// `make`'s own, the store's, or `Unfit` when the message is not the one these recipients were named for.
    pub fn queue<F, E>(
        &mut self,
        recipients: &[(Mailbox, Addressing)],
        request: Option<&str>,
        make: F,
    ) -> Result<Committed<MessageId>, QueueFault<E>>
    where
        F: FnOnce(&[u64]) -> Result<NewMessage, E>,
    {
        if let Some(key) = request
            && let Some(id) = self.request(key)?
        {
            return Ok(self.commit(|_, _| Ok(id))?);
        }
        let named: BTreeSet<_> = recipients.iter().map(|(mailbox, _)| mailbox).collect();
        if named.is_empty() || named.len() != recipients.len() || named.len() > l::RECIPIENTS_MAX {
            return Err(BoxesError::Unfit("recipients").into());
        }
        let seqs = self.read(|conn, vault| {
            let next = |(mailbox, _): &(Mailbox, _)| Ok(last_number(conn, vault, mailbox)? + 1);
            recipients.iter().map(next).collect::<Result<Vec<u64>, StoreError>>()
        })?;
        let new = make(&seqs).map_err(QueueFault::Make)?;
        fits(recipients, &seqs, &new).map_err(BoxesError::Unfit)?;
        let id = new.facts.message_id;
        if self.read(|conn, vault| find(conn, vault, &id))?.is_some() {
            return Err(BoxesError::IdTaken(id).into());
        }
        Ok(self.commit(|tx, vault| {
            if let Some(key) = request {
                let key = vault.request(key);
                tx.execute(
                    "INSERT OR REPLACE INTO request (key, until_ms, data) VALUES (?1, ?2, ?3)",
                    params![
                        key,
                        sql(new.now_ms.saturating_add(REQUEST_KEPT_MS)),
                        vault.seal_bytes(REQUEST, &key, id.as_bytes())
                    ],
                )?;
            }
            store(tx, vault, &new)
        })?)
    }

    /// The message that was queued for this request key; none when there was none, or it was long ago.
    pub fn request(&self, key: &str) -> Result<Option<MessageId>, BoxesError> {
        self.read(|conn, vault| {
            let key = vault.request(key);
            let mut query = conn.prepare_cached("SELECT data FROM request WHERE key = ?1")?;
            let sealed: Option<Vec<u8>> = query.query_row([key], |row| row.get(0)).optional()?;
            let Some(sealed) = sealed else { return Ok(None) };
            let id = vault.open_bytes(REQUEST, &key, &sealed)?;
            MessageId::try_from(&id[..]).map(Some).map_err(|_| vault.broken(REQUEST))
        })
    }

    /// What to submit of a message; none when it is unknown, held by the relay, ended, or waits for every key.
    pub fn submission(&self, id: &MessageId) -> Result<Option<Submission>, BoxesError> {
        self.read(|conn, vault| {
            let Some(found) = find(conn, vault, id)? else { return Ok(None) };
            let wraps =
                if found.live && !found.relayed { wraps(conn, vault, &found, Wrap::First)? } else { vec![] };
            if wraps.is_empty() {
                return Ok(None);
            }
            let facts = facts(vault, &found.letter)?;
            let count = |part: &valise_proto::header::Part| u32::try_from(part.segments());
            let segments = facts.parts.iter().map(count).collect::<Result<_, _>>();
            let segments = segments.map_err(|_| vault.broken("outbox"))?;
            Ok(Some(Submission { header: header(vault, &found.letter)?, facts, wraps, segments }))
        })
    }

    /// One ciphertext segment; none when there is no such one, or the message has ended meanwhile.
    pub fn out_segment(&self, id: &MessageId, part: u32, index: u32) -> Result<Option<Bytes>, BoxesError> {
        self.read(|conn, vault| {
            let message = vault.out(id);
            let mut query = conn.prepare_cached(
                "SELECT data FROM segment JOIN outbox ON outbox.id = segment.message
                 WHERE outbox.message = ?1 AND part = ?2 AND idx = ?3",
            )?;
            let sealed: Option<Vec<u8>> =
                query.query_row(params![message, part, index], |row| row.get(0)).optional()?;
            let place = piece(&message, part, index);
            sealed.map(|sealed| Ok(vault.open_bytes(SEGMENT, &place, &sealed)?.into())).transpose()
        })
    }

    /// Leaves a message and its late wraps alone until then, Unix milliseconds: the relay asked for it, and why.
    pub fn postpone(
        &mut self,
        id: &MessageId,
        until_ms: u64,
        why: Option<Refusal>,
    ) -> Result<Committed<()>, BoxesError> {
        self.commit(|tx, vault| {
            let set = "UPDATE outbox SET not_before_ms = ?2, refused = ?3 WHERE message = ?1";
            tx.execute(set, params![vault.out(id), sql(until_ms), why.map_or(0, Refusal::code)])?;
            Ok(())
        })
    }
}

/// A message of the outbox as its row tells it.
pub(super) struct Found {
    pub(super) row: i64,
    pub(super) message: Blind,
    pub(super) live: bool,
    pub(super) relayed: bool,
    pub(super) letter: Letter,
}

/// Finds a sent message by its id.
pub(super) fn find(conn: &Connection, vault: &Vault, id: &MessageId) -> Result<Option<Found>, StoreError> {
    let message = vault.out(id);
    let mut query = conn.prepare_cached("SELECT id, live, relayed, letter FROM outbox WHERE message = ?1")?;
    let row: Option<(i64, bool, bool, Vec<u8>)> = query
        .query_row([message], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((row, live, relayed, letter)) = row else { return Ok(None) };
    Ok(Some(Found { row, message, live, relayed, letter: vault.open(&message, &letter)? }))
}

/// The header of a letter, exactly as signed.
pub(super) fn header(vault: &Vault, letter: &Letter) -> Result<SignedHeader, StoreError> {
    SignedHeader::received(letter.header.clone(), &letter.signature).map_err(|_| vault.broken("outbox"))
}

/// What the header of a letter says.
pub(super) fn facts(vault: &Vault, letter: &Letter) -> Result<Header, StoreError> {
    header(vault, letter)?.read().map_err(|_| vault.broken("outbox"))
}

/// The wraps of a message that are at this stage, by mailbox.
pub(super) fn wraps(
    conn: &Connection,
    vault: &Vault,
    found: &Found,
    stage: Wrap,
) -> Result<Vec<(Mailbox, wire::KeyWrap)>, StoreError> {
    let mut query =
        conn.prepare_cached("SELECT mailbox, keywrap FROM recipient WHERE message = ?1 AND wrap = ?2")?;
    let mut rows = query.query(params![found.row, stage as i32])?;
    let mut wraps = Vec::new();
    while let Some(row) = rows.next()? {
        let mailbox: Blind = row.get(0)?;
        let sealed: Vec<u8> = row.get(1)?;
        let wrap: wire::KeyWrap = vault.open(&place(&found.message, &mailbox), &sealed)?;
        let mailbox = Mailbox::new(&wrap.mailbox).map_err(|_| vault.broken("recipient/keywrap"))?;
        wraps.push((mailbox, wrap));
    }
    wraps.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(wraps)
}

/// The place of a recipient's records.
pub(super) fn place(message: &Blind, mailbox: &Blind) -> Vec<u8> {
    [&message[..], &mailbox[..]].concat()
}

pub(super) fn not_bytes(fault: rusqlite::types::FromSqlError) -> StoreError {
    rusqlite::Error::from(fault).into()
}

/// The last number used to a mailbox; 0 = none yet.
fn last_number(conn: &Connection, vault: &Vault, mailbox: &Mailbox) -> Result<u64, StoreError> {
    let blind = vault.mailbox(mailbox);
    let mut query = conn.prepare_cached("SELECT data FROM correspondent WHERE mailbox = ?1")?;
    let sealed: Option<Vec<u8>> = query.query_row([blind], |row| row.get(0)).optional()?;
    sealed.map_or(Ok(0), |sealed| Ok(vault.open::<Correspondent>(&blind, &sealed)?.pair_seq))
}

/// Whether the message made is the one that was asked for.
fn fits(recipients: &[(Mailbox, Addressing)], seqs: &[u64], new: &NewMessage) -> Result<(), &'static str> {
    if new.header.read().as_ref() != Ok(&new.facts) {
        return Err("header");
    }
    let facts = &new.facts;
    let as_asked = |((mailbox, addressing), seq): (&(Mailbox, Addressing), &u64)| {
        let stated = facts.recipient(mailbox);
        stated.is_some_and(|stated| stated.addressing == *addressing && stated.pair_seq == *seq)
    };
    if facts.recipients.len() != recipients.len() || !recipients.iter().zip(seqs).all(as_asked) {
        return Err("recipients");
    }
    let whole = |(held, stated): (&Vec<Bytes>, &valise_proto::header::Part)| {
        let bytes: usize = held.iter().map(Bytes::len).sum();
        held.len() as u64 == stated.segments() && bytes as u64 == stated.ct_len
    };
    if new.parts.len() != facts.parts.len() || !new.parts.iter().zip(&facts.parts).all(whole) {
        return Err("parts");
    }
    let wrapped: BTreeSet<_> = new.wraps.iter().map(|(mailbox, _)| mailbox).collect();
    let owned = |(mailbox, wrap): &(Mailbox, wire::KeyWrap)| {
        facts.recipient(mailbox).is_some() && wrap.mailbox == mailbox.as_str()
    };
    if wrapped.len() != new.wraps.len() || !new.wraps.iter().all(owned) {
        return Err("wraps");
    }
    Ok(())
}

fn store(tx: &Transaction<'_>, vault: &Vault, new: &NewMessage) -> Result<MessageId, StoreError> {
    let facts = &new.facts;
    let message = vault.out(&facts.message_id);
    let letter = Letter {
        header: new.header.bytes().clone(),
        signature: new.header.signature().to_vec(),
        subject: new.summary.subject.clone(),
        type_name: new.summary.type_name.clone(),
        files: new.summary.attachments.iter().map(File::of).collect(),
        body_bytes: new.summary.body_bytes,
        queued_ms: new.now_ms,
    };
    tx.execute(
        "INSERT INTO outbox (message, precedence, bulk, bytes, expires_ms, letter, cek)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            message,
            facts.precedence.to_wire(),
            facts.is_bulk(),
            sql(new.bytes_uploaded),
            sql(facts.expires_ms),
            vault.seal(&message, &letter),
            vault.seal_bytes(CEK, &message, new.cek.as_ref()),
        ],
    )?;
    let row = tx.last_insert_rowid();
    store_segments(tx, vault, row, &message, &new.parts)?;
    let by = facts.sender.to_string();
    for recipient in &facts.recipients {
        let mailbox = vault.mailbox(&recipient.mailbox);
        let counted = Correspondent { mailbox: recipient.mailbox.to_string(), pair_seq: recipient.pair_seq };
        tx.prepare_cached("INSERT OR REPLACE INTO correspondent (mailbox, data) VALUES (?1, ?2)")?
            .execute(params![mailbox, vault.seal(&mailbox, &counted)])?;
        let place = place(&message, &mailbox);
        let addressee = Addressee {
            mailbox: recipient.mailbox.to_string(),
            addressing: recipient.addressing.to_wire(),
            state: State::Queued.number(),
            time_ms: new.now_ms,
            by: by.clone(),
            ..Addressee::default()
        };
        let wrap = new.wraps.iter().find(|(mailbox, _)| *mailbox == recipient.mailbox);
        let stage = if wrap.is_some() { Wrap::First } else { Wrap::Missing };
        tx.prepare_cached(
            "INSERT INTO recipient (message, mailbox, rung, wrap, data, keywrap) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            row,
            mailbox,
            State::Queued.rank(),
            stage as i32,
            vault.seal(&place, &addressee),
            wrap.map(|(_, wrap)| vault.seal(&place, wrap)),
        ])?;
    }
    Ok(facts.message_id)
}

fn store_segments(
    tx: &Transaction<'_>,
    vault: &Vault,
    row: i64,
    message: &Blind,
    parts: &[Vec<Bytes>],
) -> Result<(), StoreError> {
    let mut insert =
        tx.prepare_cached("INSERT INTO segment (message, part, idx, data) VALUES (?1, ?2, ?3, ?4)")?;
    for (part, segments) in (0u32..).zip(parts) {
        for (index, segment) in (0u32..).zip(segments) {
            let sealed = vault.seal_bytes(SEGMENT, &piece(message, part, index), segment);
            insert.execute(params![row, part, index, sealed])?;
        }
    }
    Ok(())
}
