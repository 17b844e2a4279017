//! What was sent, as the desk shows it: each recipient's state, the state of the whole, the receipts behind it.
//!
//! Reads only.

use rusqlite::{Connection, OptionalExtension};
use valise_host::ledger::StoreError;
use valise_proto::kinds::{Addressing, Class, Precedence};
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::receipt::SignedReceipt;

use super::outbox::{Summary, facts, find};
use super::progress::{Standing, standings};
use super::records::{FileNote, Letter, Stated};
use super::state::State;
use super::vault::{Blind, Vault, sql, unsql};
use super::{Boxes, BoxesError, quiet};

/// Why a recipient is still `queued` though the relay can be reached.
const WAITING_FOR_KEY: &str = "waiting-for-key";

/// How far one recipient of a sent message came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The recipient.
    pub to: Mailbox,
    /// To act, or to know.
    pub addressing: Addressing,
    /// Rung or end.
    pub state: State,
    /// When it came there, Unix milliseconds, by the clock of `by`.
    pub time_ms: u64,
    /// Who says so: a mailbox, or `relay/ID`.
    pub by: String,
    /// For a bad end why; while it is `queued`, `waiting-for-key` or the refusal that it waits out.
    pub reason: Option<String>,
    /// The recipient ended a header that is not the one we signed: it was changed on its way.
    pub changed_header: bool,
}

/// A sent message as a list shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct SentMessage {
    /// Place in the outbox, from 1.
    pub ordinal: u64,
    /// Which.
    pub id: MessageId,
    /// The mailbox it was sent from.
    pub from: Mailbox,
    /// The lowest rung over all recipients; a bad end is the lowest.
    pub state: State,
    /// What the relay sees of its kind.
    pub class: Class,
    /// Its order.
    pub precedence: Precedence,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// Unix milliseconds.
    pub expires_ms: u64,
    /// Envelope bytes uploaded.
    pub bytes: u64,
    /// What only the ends see.
    pub summary: Summary,
    /// By mailbox.
    pub recipients: Vec<Tracked>,
}

quiet!(SentMessage);

impl Boxes {
    /// How far each recipient of a sent message came, by mailbox; none when no such message was sent.
    pub fn track(&self, id: &MessageId) -> Result<Option<Vec<Tracked>>, BoxesError> {
        self.read(|conn, vault| {
            let Some(found) = find(conn, vault, id)? else { return Ok(None) };
            let recipients = standings(conn, vault, found.row, &found.message)?;
            recipients.into_iter().map(|one| tracked(vault, one)).collect::<Result<_, _>>().map(Some)
        })
    }

    /// The newest sent messages, newest last.
    pub fn sent(&self, limit: usize) -> Result<Vec<SentMessage>, BoxesError> {
        self.read(|conn, vault| {
            let mut query = conn
                .prepare_cached("SELECT id, message, bytes, letter FROM outbox ORDER BY id DESC LIMIT ?1")?;
            let mut rows = query.query([sql(limit as u64)])?;
            let mut sent = Vec::new();
            while let Some(row) = rows.next()? {
                let (message, letter): (Blind, Vec<u8>) = (row.get(1)?, row.get(3)?);
                let letter = vault.open(&message, &letter)?;
                sent.push(shown(conn, vault, row.get(0)?, &message, unsql(row.get(2)?), &letter)?);
            }
            sent.reverse();
            Ok(sent)
        })
    }

    /// One sent message; none when no such message was sent.
    pub fn sent_message(&self, id: &MessageId) -> Result<Option<SentMessage>, BoxesError> {
        self.read(|conn, vault| {
            let Some(found) = find(conn, vault, id)? else { return Ok(None) };
            let bytes: Option<i64> = conn
                .query_row("SELECT bytes FROM outbox WHERE id = ?1", [found.row], |row| row.get(0))
                .optional()?;
            let bytes = unsql(bytes.unwrap_or(0));
            shown(conn, vault, found.row, &found.message, bytes, &found.letter).map(Some)
        })
    }

    /// The receipts that came for a sent message, in the order of arrival: the proof of its states.
    pub fn receipts(&self, id: &MessageId) -> Result<Vec<SignedReceipt>, BoxesError> {
        self.read(|conn, vault| {
            let mut query = conn.prepare_cached(
                "SELECT receipt, data FROM proof
                 WHERE message = (SELECT id FROM outbox WHERE message = ?1) ORDER BY id",
            )?;
            let mut rows = query.query([vault.out(id)])?;
            let mut receipts = Vec::new();
            while let Some(row) = rows.next()? {
                let (place, sealed): (Blind, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let stated: Stated = vault.open(&place, &sealed)?;
                let signed = SignedReceipt::from_bytes(stated.receipt).map_err(|_| vault.broken("proof"))?;
                receipts.push(signed);
            }
            Ok(receipts)
        })
    }
}

fn tracked(vault: &Vault, one: Standing) -> Result<Tracked, StoreError> {
    let Standing { data, state, keyless, refused } = one;
    let said = Some(data.reason).filter(|reason| !reason.is_empty());
    let waits = refused.map(|refusal| refusal.as_str().to_owned());
    Ok(Tracked {
        to: Mailbox::new(&data.mailbox).map_err(|_| vault.broken("recipient"))?,
        addressing: Addressing::from_wire(data.addressing).map_err(|_| vault.broken("recipient"))?,
        state,
        time_ms: data.time_ms,
        by: data.by,
        reason: if keyless { Some(WAITING_FOR_KEY.to_owned()) } else { said.or(waits) },
        changed_header: data.changed_header,
    })
}

fn shown(
    conn: &Connection,
    vault: &Vault,
    row: i64,
    message: &Blind,
    bytes: u64,
    letter: &Letter,
) -> Result<SentMessage, StoreError> {
    let facts = facts(vault, letter)?;
    let recipients = standings(conn, vault, row, message)?;
    let lowest = recipients.iter().map(|one| one.state).min_by_key(|state| state.standing());
    let recipients = recipients.into_iter().map(|one| tracked(vault, one)).collect::<Result<_, _>>()?;
    let files: Option<Vec<FileNote>> = letter.files.iter().map(super::records::File::note).collect();
    Ok(SentMessage {
        ordinal: unsql(row),
        id: facts.message_id,
        from: facts.sender,
        state: lowest.ok_or_else(|| vault.broken("recipient"))?,
        class: facts.class,
        precedence: facts.precedence,
        created_ms: facts.created_ms,
        expires_ms: facts.expires_ms,
        bytes,
        summary: Summary {
            subject: letter.subject.clone(),
            type_name: letter.type_name.clone(),
            body_bytes: letter.body_bytes,
            attachments: files.ok_or_else(|| vault.broken("outbox"))?,
        },
        recipients,
    })
}
