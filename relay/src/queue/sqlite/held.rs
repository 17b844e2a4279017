//! What waits, counted by mailbox and precedence, and by sender, in the transaction of what is counted.
//!
//! Decides nothing: what may wait is [`Quotas`](crate::queue::Quotas)'.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};
use valise_host::ledger::StoreError;
use valise_proto::kinds::Precedence;
use valise_proto::names::{Mailbox, PartyName};

use super::group::{Group, read_proof};
use super::place::stored_ms;
use super::rows::{Author, Blind, Vault, entry_row, envelope_row};
use crate::queue::{Census, Held, MailboxHeld, Over, Submission};

/// Which quota stands in the way of a submission, over what the group holds up to here.
pub(super) fn over(group: &Group<'_>, submission: &Submission) -> Result<Option<Over>, StoreError> {
    let Group { tx, vault, .. } = group;
    let facts = &submission.facts;
    let recipients: BTreeSet<&Mailbox> = submission.recipients.iter().collect();
    let sender = of_sender(tx, &vault.sender_key(&submission.submitter.party))?;
    let mailboxes = recipients.iter().map(|mailbox| of_mailbox(tx, &vault.mailbox_key(mailbox)));
    submission.quotas.judge(facts.precedence, facts.ct_len(), sender, mailboxes)
}

/// What waits for a mailbox.
fn of_mailbox(conn: &Connection, mailbox: &Blind) -> Result<Held, StoreError> {
    let mut find = conn.prepare_cached(
        "SELECT COALESCE(SUM(entries), 0), COALESCE(SUM(bytes), 0) FROM held WHERE mailbox = ?1",
    )?;
    Ok(find.query_row([mailbox], read)?)
}

/// What waits of a sender.
fn of_sender(conn: &Connection, sender: &Blind) -> Result<Held, StoreError> {
    let mut find = conn.prepare_cached("SELECT entries, bytes FROM senders WHERE sender = ?1")?;
    Ok(find.query_row([sender], read).optional()?.unwrap_or_default())
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Held> {
    let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
    Ok(Held { entries: number(0)?, bytes: number(1)? })
}

/// One more entry for a mailbox.
pub(super) fn count_entry(
    tx: &Connection,
    mailbox: &Blind,
    precedence: Precedence,
    bytes: u64,
) -> Result<(), StoreError> {
    let mut add = tx.prepare_cached(
        "INSERT INTO held VALUES (?1, ?2, 1, ?3)
         ON CONFLICT DO UPDATE SET entries = entries + 1, bytes = bytes + excluded.bytes",
    )?;
    add.execute((mailbox, precedence.to_wire(), bytes.cast_signed()))?;
    Ok(())
}

/// An envelope of a sender, with so many entries.
pub(super) fn count_envelope(
    tx: &Connection,
    vault: &Vault,
    sender: &PartyName,
    held: Held,
) -> Result<(), StoreError> {
    let mut add = tx.prepare_cached(
        "INSERT INTO senders VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET entries = entries + excluded.entries, bytes = bytes + excluded.bytes",
    )?;
    add.execute((vault.sender_key(sender), held.entries.cast_signed(), held.bytes.cast_signed()))?;
    Ok(())
}

/// An entry that ended; `precedence` as it stands in its row. A count that is gone or too low keeps nobody from its end: it
/// bounds what comes, and is nobody's mail.
pub(super) fn drop_entry(
    group: &Group<'_>,
    mailbox: &Blind,
    precedence: i32,
    bytes: i64,
) -> Result<(), StoreError> {
    let mut take = group.tx.prepare_cached(
        "UPDATE held SET entries = MAX(entries - 1, 0), bytes = MAX(bytes - ?3, 0)
         WHERE mailbox = ?1 AND precedence = ?2 RETURNING entries",
    )?;
    let left: Option<i64> = take.query_row((mailbox, precedence, bytes), |row| row.get(0)).optional()?;
    if left == Some(0) {
        // A row for every mailbox that was ever named would grow without end.
        let mut delete =
            group.tx.prepare_cached("DELETE FROM held WHERE mailbox = ?1 AND precedence = ?2")?;
        delete.execute((mailbox, precedence))?;
    }
    Ok(())
}

/// An entry of a sender that ended; with the last of an envelope its bytes go, before that none. As above.
pub(super) fn drop_of_sender(group: &Group<'_>, sender: &PartyName, bytes: i64) -> Result<(), StoreError> {
    let mut take = group.tx.prepare_cached(
        "UPDATE senders SET entries = MAX(entries - 1, 0), bytes = MAX(bytes - ?2, 0) WHERE sender = ?1",
    )?;
    take.execute((group.vault.sender_key(sender), bytes))?;
    Ok(())
}

/// What waits, by precedence and for the fullest mailboxes.
pub(super) fn census(conn: &Connection, vault: &Vault, max: usize) -> Result<Census, StoreError> {
    let mut find = conn.prepare_cached(
        "SELECT SUM(entries), SUM(bytes), precedence FROM held GROUP BY precedence ORDER BY precedence DESC",
    )?;
    let mut rows = find.query([])?;
    let mut precedences = Vec::new();
    while let Some(row) = rows.next()? {
        let precedence = Precedence::from_wire(row.get(2)?);
        let precedence =
            precedence.map_err(|_| vault.damaged("a count has a precedence that does not exist"))?;
        precedences.push((precedence, read(row)?));
    }
    let mut count = conn.prepare_cached("SELECT COUNT(DISTINCT mailbox) FROM held")?;
    let mailboxes_in_all = count.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned();
    let mut find = conn.prepare_cached(
        "SELECT SUM(entries), SUM(bytes), mailbox FROM held GROUP BY mailbox ORDER BY 1 DESC, 2 DESC LIMIT ?1",
    )?;
    let mut rows = find.query([stored_ms(max as u64)])?;
    let mut mailboxes = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some((mailbox, oldest_ms)) = oldest(conn, vault, &row.get(2)?)? {
            mailboxes.push(MailboxHeld { mailbox, held: read(row)?, oldest_ms });
        }
    }
    Ok(Census { precedences, mailboxes, mailboxes_in_all })
}

/// The name of a mailbox, and when the oldest of what waits for it was accepted; read from its oldest entry that opens.
fn oldest(conn: &Connection, vault: &Vault, mailbox: &Blind) -> Result<Option<(Mailbox, u64)>, StoreError> {
    // `state < 2` is written out, for the partial index.
    let mut find = conn.prepare_cached(
        "SELECT sequence, name FROM entries WHERE mailbox = ?1 AND state < 2 ORDER BY sequence",
    )?;
    let mut rows = find.query([mailbox])?;
    while let Some(row) = rows.next()? {
        let sequence = row.get::<_, i64>(0)?.cast_unsigned();
        let name: Option<Vec<u8>> = row.get(1)?;
        let name = name.and_then(|name| vault.open::<Mailbox>(&entry_row(sequence, mailbox), &name).ok());
        let accepted = read_proof(conn, vault, sequence).ok().and_then(|proof| proof.claim().ok());
        if let Some((name, accepted)) = name.zip(accepted) {
            return Ok(Some((name, accepted.time_ms)));
        }
    }
    Ok(None)
}

/// Counts, by sender, what a store of the first format holds: who sent it is sealed, so that no statement could.
pub(super) fn count_senders(tx: &Connection, vault: &Vault) -> Result<(), StoreError> {
    let mut find = tx.prepare(
        "SELECT accepted.sequence, accepted.author, accepted.open, MAX(entries.bytes) FROM accepted
         JOIN entries ON entries.sequence = accepted.sequence
         WHERE accepted.open > 0 GROUP BY accepted.sequence",
    )?;
    let mut rows = find.query([])?;
    while let Some(row) = rows.next()? {
        let sequence = row.get::<_, i64>(0)?.cast_unsigned();
        let author: Vec<u8> = row.get(1)?;
        let held = Held {
            entries: row.get::<_, i64>(2)?.cast_unsigned(),
            bytes: row.get::<_, i64>(3)?.cast_unsigned(),
        };
        // A row that does not open is charged to nobody; nothing can settle it either.
        if let Ok(author) = vault.open::<Author>(&envelope_row(sequence), &author) {
            count_envelope(tx, vault, &author.submitter.party, held)?;
        }
    }
    tx.execute("UPDATE tally SET counted = 1", [])?;
    Ok(())
}
