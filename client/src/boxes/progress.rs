//! Progress: how far each recipient of a sent message came, by receipts. Upward only, in whatever order they arrive.
//!
//! Takes receipts whose signatures were verified, and keeps them as proof. Frees a message's key and ciphertext
//! with the receipt that ends its last recipient.

use rusqlite::{Connection, Transaction, params};
use valise_host::ledger::{Committed, StoreError};
use valise_host::planted::Planted;
use valise_proto::kinds::{Reason, ReceiptKind};
use valise_proto::limits::{RECEIPTS_PER_RECIPIENT, REPLAY_KEPT_MS};
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::refusal::Refusal;

use super::meta::raise;
use super::outbox::{facts, find, header, place};
use super::records::{Addressee, Stated};
use super::stage::Wrap;
use super::state::State;
use super::vault::{Blind, Vault, sql, unsql};
use super::{Boxes, BoxesError};

/// Receipts kept of one recipient of one message: the ladder and an end, from two devices. Those that moved a state
/// are kept in any case; this bounds what a recipient can make us store beside them.
const PROOFS_MAX: u64 = 2 * RECEIPTS_PER_RECIPIENT as u64;
/// How long past its time a message that no relay holds is ended here: the relay's own word, if any, comes first.
const EXPIRY_GRACE_MS: u64 = REPLAY_KEPT_MS;

/// Who refused, when nobody signed for it.
const UNSIGNED: &str = "relay";

/// What a receipt did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// A recipient came further.
    Advanced,
    /// We knew as much or more.
    Known,
    /// It is about no message, header and recipient of ours. Nothing was stored.
    Unmatched,
}

impl Boxes {
    /// Takes the relay's verified receipt for a submission (about all its wraps) or for late wraps (about one
    /// mailbox). Idempotent.
    pub fn relayed(
        &mut self,
        id: &MessageId,
        signed: &SignedReceipt,
        receipt: &Receipt,
    ) -> Result<Committed<Noted>, BoxesError> {
        if receipt.kind != ReceiptKind::Relayed || receipt.message_id != *id {
            return self.commit(|_, _| Ok(Noted::Unmatched));
        }
        self.statement_in(signed, receipt)
    }

    /// Takes a verified receipt about a message of ours, from a recipient or a relay. The caller has judged that its
    /// signer may speak for `by`. A bad end that names another header is matched by the relay's number: a header
    /// changed on its way must reach its author.
    pub fn statement_in(
        &mut self,
        signed: &SignedReceipt,
        receipt: &Receipt,
    ) -> Result<Committed<Noted>, BoxesError> {
        self.commit(|tx, vault| match target(tx, vault, receipt)? {
            Some(target) => note(tx, vault, &target, signed, receipt),
            None => Ok(Noted::Unmatched),
        })
    }

    /// Takes a final refusal of a submission: every recipient that the relay does not hold it for is `refused`. The
    /// statement, when there is one, was verified by the caller.
    pub fn refuse(
        &mut self,
        id: &MessageId,
        reason: Reason,
        statement: Option<&SignedReceipt>,
        now_ms: u64,
    ) -> Result<Committed<Noted>, BoxesError> {
        let claim = statement.and_then(|signed| signed.claim().ok());
        let by = claim.map_or_else(|| UNSIGNED.to_owned(), |claim| claim.by.to_string());
        self.commit(|tx, vault| {
            let Some(found) = find(tx, vault, id)? else { return Ok(Noted::Unmatched) };
            let end = End { state: State::Refused, time_ms: now_ms, by, reason: reason.to_string() };
            let noted = end_unrelayed(tx, vault, found.row, &found.message, &end)?;
            if let Some(signed) = statement {
                keep_proof(tx, vault, found.row, 0, signed, true)?;
            }
            Ok(noted)
        })
    }

    /// Ends what no relay took in time: recipients still `queued` two days past the message's life. `now_ms` is the
    /// caller's judgement of the time. The messages concerned.
    pub fn expire(&mut self, now_ms: u64) -> Result<Committed<Vec<MessageId>>, BoxesError> {
        let before = sql(now_ms.saturating_sub(EXPIRY_GRACE_MS));
        self.commit(|tx, vault| {
            let mut query = tx.prepare_cached(
                "SELECT id, message, letter FROM outbox WHERE live = 1 AND expires_ms < ?1
                 AND EXISTS (SELECT 1 FROM recipient WHERE recipient.message = outbox.id AND rung = 0)",
            )?;
            let late = query.query_map([before], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let late: Vec<(i64, Blind, Vec<u8>)> = late.collect::<Result<_, _>>()?;
            let mut ended = Vec::new();
            for (row, message, letter) in late {
                let facts = facts(vault, &vault.open(&message, &letter)?)?;
                let reason = Reason::Expired.to_string();
                let by = facts.sender.to_string();
                let end = End { state: State::Expired, time_ms: now_ms, by, reason };
                end_unrelayed(tx, vault, row, &message, &end)?;
                ended.push(facts.message_id);
            }
            Ok(ended)
        })
    }
}

/// The message that a receipt is about.
struct Target {
    row: i64,
    message: Blind,
    changed_header: bool,
}

fn target(conn: &Connection, vault: &Vault, receipt: &Receipt) -> Result<Option<Target>, StoreError> {
    if let Some(found) = find(conn, vault, &receipt.message_id)?
        && (Planted::ReceiptUnbound.here() || header(vault, &found.letter)?.hash() == receipt.header_hash)
        && is_recipient(conn, vault, found.row, receipt.mailbox.as_ref())?
    {
        return Ok(Some(Target { row: found.row, message: found.message, changed_header: false }));
    }
    let by_a_recipient = matches!(receipt.by, Speaker::Mailbox(_));
    let may_differ = matches!(receipt.kind, ReceiptKind::Refused | ReceiptKind::Unopenable);
    if !by_a_recipient || !may_differ || receipt.sequence == 0 {
        return Ok(None);
    }
    // Whoever changed the header may have changed the id in it: the relay's number alone still leads here.
    let mut query =
        conn.prepare_cached("SELECT id, message, letter FROM outbox WHERE sequence = ?1 ORDER BY id DESC")?;
    let mut rows = query.query([sql(receipt.sequence)])?;
    while let Some(row) = rows.next()? {
        let (row, message): (i64, Blind) = (row.get(0)?, row.get(1)?);
        if is_recipient(conn, vault, row, receipt.mailbox.as_ref())? {
            return Ok(Some(Target { row, message, changed_header: true }));
        }
    }
    Ok(None)
}

fn is_recipient(
    conn: &Connection,
    vault: &Vault,
    row: i64,
    mailbox: Option<&Mailbox>,
) -> Result<bool, StoreError> {
    let Some(mailbox) = mailbox else { return Ok(true) };
    let mut query = conn.prepare_cached("SELECT 1 FROM recipient WHERE message = ?1 AND mailbox = ?2")?;
    Ok(query.exists(params![row, vault.mailbox(mailbox)])?)
}

/// A recipient's row while it is being changed.
struct Row {
    id: i64,
    mailbox: Blind,
    wrap: Wrap,
    state: State,
    data: Addressee,
}

fn note(
    tx: &Transaction<'_>,
    vault: &Vault,
    target: &Target,
    signed: &SignedReceipt,
    receipt: &Receipt,
) -> Result<Noted, StoreError> {
    let is_relayed = receipt.kind == ReceiptKind::Relayed;
    if matches!(receipt.by, Speaker::Relay(_)) {
        raise(tx, vault, receipt.time_ms)?;
    }
    if is_relayed {
        // Only the receipt for the envelope itself says that the envelope is there.
        let whole = receipt.mailbox.is_none();
        let set = "UPDATE outbox SET relayed = relayed OR ?2, sequence = ?3 WHERE id = ?1";
        tx.prepare_cached(set)?.execute(params![target.row, whole, sql(receipt.sequence)])?;
    }
    let about = receipt.mailbox.as_ref().map(|mailbox| vault.mailbox(mailbox));
    let state = State::from(receipt.kind);
    let end = End {
        state,
        time_ms: receipt.time_ms,
        by: receipt.by.to_string(),
        reason: receipt.reason.map(|reason| reason.to_string()).unwrap_or_default(),
    };
    let (mut advanced, mut recipient) = (false, 0);
    let mut rows = rows(tx, vault, target.row, &target.message)?;
    for row in &mut rows {
        let concerned = match about {
            Some(mailbox) => row.mailbox == mailbox,
            None => !is_relayed || row.wrap == Wrap::First,
        };
        if !concerned {
            continue;
        }
        if about.is_some() {
            recipient = row.id;
        }
        // A first wrap goes again until the receipt for the whole envelope is in, or the envelope would never go.
        if is_relayed && row.wrap == if about.is_none() { Wrap::First } else { Wrap::Late } {
            row.wrap = Wrap::Done;
        }
        if state.rank() > row.state.rank() {
            end.put(row);
            row.data.changed_header = target.changed_header;
            advanced = true;
        }
        if row.state.has_ended() && row.wrap != Wrap::First {
            row.wrap = Wrap::Done;
        }
        write(tx, vault, &target.message, row)?;
    }
    keep_proof(tx, vault, target.row, recipient, signed, advanced)?;
    close_if_ended(tx, target.row, &rows)?;
    Ok(if advanced { Noted::Advanced } else { Noted::Known })
}

/// What a recipient's record says of its state.
struct End {
    state: State,
    time_ms: u64,
    by: String,
    reason: String,
}

impl End {
    fn put(&self, row: &mut Row) {
        row.state = self.state;
        row.data.state = self.state.number();
        row.data.time_ms = self.time_ms;
        row.data.by.clone_from(&self.by);
        row.data.reason.clone_from(&self.reason);
    }
}

fn end_unrelayed(
    tx: &Transaction<'_>,
    vault: &Vault,
    message_row: i64,
    message: &Blind,
    end: &End,
) -> Result<Noted, StoreError> {
    let mut rows = rows(tx, vault, message_row, message)?;
    let mut noted = Noted::Known;
    for row in rows.iter_mut().filter(|row| row.state == State::Queued) {
        end.put(row);
        row.wrap = Wrap::Done;
        write(tx, vault, message, row)?;
        noted = Noted::Advanced;
    }
    close_if_ended(tx, message_row, &rows)?;
    Ok(noted)
}

fn rows(conn: &Connection, vault: &Vault, row: i64, message: &Blind) -> Result<Vec<Row>, StoreError> {
    let mut query =
        conn.prepare_cached("SELECT id, mailbox, wrap, data FROM recipient WHERE message = ?1")?;
    let mut found = query.query([row])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let (mailbox, sealed): (Blind, Vec<u8>) = (row.get(1)?, row.get(3)?);
        let data: Addressee = vault.open(&place(message, &mailbox), &sealed)?;
        let wrap = Wrap::from_number(row.get(2)?, vault)?;
        let state = State::from_number(data.state, vault)?;
        rows.push(Row { id: row.get(0)?, mailbox, wrap, state, data });
    }
    Ok(rows)
}

fn write(tx: &Transaction<'_>, vault: &Vault, message: &Blind, row: &Row) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE recipient SET rung = ?2, wrap = ?3, data = ?4,
         keywrap = CASE WHEN ?3 = 3 THEN NULL ELSE keywrap END WHERE id = ?1",
    )?
    .execute(params![
        row.id,
        row.state.rank(),
        row.wrap as i32,
        vault.seal(&place(message, &row.mailbox), &row.data)
    ])?;
    Ok(())
}

fn keep_proof(
    tx: &Transaction<'_>,
    vault: &Vault,
    message: i64,
    recipient: i64,
    signed: &SignedReceipt,
    needed: bool,
) -> Result<(), StoreError> {
    let count = "SELECT count(*) FROM proof WHERE message = ?1 AND recipient = ?2";
    let kept: i64 = tx.prepare_cached(count)?.query_row([message, recipient], |row| row.get(0))?;
    if !needed && unsql(kept) >= PROOFS_MAX {
        return Ok(());
    }
    let receipt = vault.receipt(&signed.id());
    let sealed = vault.seal(&receipt, &Stated { receipt: signed.to_bytes() });
    tx.prepare_cached(
        "INSERT OR IGNORE INTO proof (receipt, message, recipient, data) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![receipt, message, recipient, sealed])?;
    Ok(())
}

/// Once every recipient has ended, nobody needs key and ciphertext again.
fn close_if_ended(tx: &Transaction<'_>, message: i64, rows: &[Row]) -> Result<(), StoreError> {
    let open = |row: &Row| !row.state.has_ended();
    if rows.iter().any(open) {
        return Ok(());
    }
    if tx
        .prepare_cached("UPDATE outbox SET live = 0, cek = NULL WHERE id = ?1 AND live = 1")?
        .execute([message])?
        > 0
    {
        tx.execute("DELETE FROM segment WHERE message = ?1", [message])?;
        tx.execute("UPDATE recipient SET wrap = 3, keywrap = NULL WHERE message = ?1", [message])?;
    }
    Ok(())
}

/// A recipient as the desk shows it.
pub(super) struct Standing {
    pub(super) data: Addressee,
    pub(super) state: State,
    pub(super) keyless: bool,
    /// Why the relay has not taken it yet, when it said so.
    pub(super) refused: Option<Refusal>,
}

/// The state of each recipient, sorted by mailbox.
pub(super) fn standings(
    conn: &Connection,
    vault: &Vault,
    row: i64,
    message: &Blind,
) -> Result<Vec<Standing>, StoreError> {
    let rows = rows(conn, vault, row, message)?;
    let mut find = conn.prepare_cached("SELECT refused FROM outbox WHERE id = ?1")?;
    let refused = Refusal::from_code(find.query_row([row], |row| row.get(0))?);
    let standing = |row: Row| {
        let (queued, keyless) = (row.state == State::Queued, row.wrap == Wrap::Missing);
        Standing {
            keyless: queued && keyless,
            refused: refused.filter(|_| queued && !keyless),
            state: row.state,
            data: row.data,
        }
    };
    let mut all: Vec<_> = rows.into_iter().map(standing).collect();
    all.sort_by(|a, b| a.data.mailbox.cmp(&b.data.mailbox));
    Ok(all)
}
