//! The newest time ever seen, the counts that `status` shows, and the clearing of what nobody needs any more.
//!
//! Never clears a message, a state or an epoch.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use valise_host::ledger::{Committed, StoreError};

use super::dead::DEAD_KEPT_MS;
use super::records::Time;
use super::vault::{Vault, sql, unsql};
use super::{Boxes, BoxesError};

const NEWEST_TIME: &str = "newest time seen";

/// What the boxes hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sent.
    pub outbox: OutboxCounts,
    /// Came.
    pub inbox: InboxCounts,
}

/// Messages sent, each counted once by its lowest recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Not yet at the relay for every recipient.
    pub queued: u64,
    /// At the relay for every recipient, not yet delivered to every one.
    pub relayed: u64,
    /// Delivered to every recipient, or further.
    pub delivered: u64,
    /// Ended badly for at least one.
    pub ended: u64,
    /// Of all, those that lack a recipient's key.
    pub waiting_for_key: u64,
}

/// What came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboxCounts {
    /// Messages not yet opened.
    pub delivered: u64,
    /// Opened, not acknowledged.
    pub opened: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// Envelopes that could not be opened.
    pub dead_letters: u64,
    /// Our statements that the relay does not hold yet.
    pub statements: u64,
}

/// What was cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Marks of messages long past their time.
    pub marks: usize,
    /// Statements about these, and about the dead letters, that the relay has held for long.
    pub statements: usize,
    /// Dead letters past their time.
    pub dead_letters: usize,
    /// Request keys past their time.
    pub requests: usize,
}

impl Boxes {
    /// The newest signed time ever seen, Unix milliseconds; 0 = none. Our clock is not believed below it.
    pub fn newest_time_seen(&self) -> Result<u64, BoxesError> {
        self.read(newest_time)
    }

    /// Raises the newest time seen, never lowers it; gives what holds now. Kept messages and the relay's receipts
    /// raise it in their own commits.
    pub fn hear_time(&mut self, ms: u64) -> Result<Committed<u64>, BoxesError> {
        self.commit(|tx, vault| raise(tx, vault, ms))
    }

    /// What the boxes hold.
    pub fn counts(&self) -> Result<Counts, BoxesError> {
        self.read(|conn, _| {
            let count = |query: &str| {
                let count: i64 = conn.prepare_cached(query)?.query_row([], |row| row.get(0))?;
                Ok::<_, StoreError>(unsql(count))
            };
            let mut outbox = OutboxCounts {
                waiting_for_key: count("SELECT count(DISTINCT message) FROM recipient WHERE wrap = 0")?,
                ..OutboxCounts::default()
            };
            // Ranks: 0 queued, 1 relayed, 2 ended badly, from 3 delivered.
            let mut query = conn.prepare_cached(
                "SELECT CASE WHEN bad THEN 2 ELSE low END, count(*)
                 FROM (SELECT max(rung = 2) AS bad, min(rung) AS low FROM recipient GROUP BY message) GROUP BY 1",
            )?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                let (rank, number): (u8, i64) = (row.get(0)?, row.get(1)?);
                *match rank {
                    0 => &mut outbox.queued,
                    1 => &mut outbox.relayed,
                    2 => &mut outbox.ended,
                    _ => &mut outbox.delivered,
                } += unsql(number);
            }
            let inbox = InboxCounts {
                delivered: count("SELECT count(*) FROM inbox WHERE rung = 3")?,
                opened: count("SELECT count(*) FROM inbox WHERE rung = 4")?,
                acknowledged: count("SELECT count(*) FROM inbox WHERE rung = 5")?,
                dead_letters: count("SELECT count(*) FROM dead_letter")?,
                statements: count("SELECT count(*) FROM statement WHERE waiting = 1")?,
            };
            Ok(Counts { outbox, inbox })
        })
    }

    /// Clears marks whose message expired two days ago or earlier, dead letters older than any message may live,
    /// our settled statements about both, and request keys a message's life old. `now_ms` is the caller's judgement
    /// of the time.
    pub fn purge(&mut self, now_ms: u64) -> Result<Committed<Purged>, BoxesError> {
        let now = sql(now_ms);
        let oldest = sql(now_ms.saturating_sub(DEAD_KEPT_MS));
        self.commit(|tx, _| {
            let of_messages = tx.execute(
                "DELETE FROM statement WHERE waiting = 0
                 AND inbox IN (SELECT inbox FROM seen WHERE until_ms < ?1)",
                [now],
            )?;
            let marks = tx.execute("DELETE FROM seen WHERE until_ms < ?1", [now])?;
            // What still has to be said about a dead letter keeps it.
            let past = "received_ms < ?1 AND NOT EXISTS
                (SELECT 1 FROM statement WHERE statement.dead_letter = dead_letter.id AND waiting = 1)";
            let of_dead = tx.execute(
                &format!(
                    "DELETE FROM statement WHERE dead_letter IN (SELECT id FROM dead_letter WHERE {past})"
                ),
                [oldest],
            )?;
            let dead_letters = tx.execute(&format!("DELETE FROM dead_letter WHERE {past}"), [oldest])?;
            let requests = tx.execute("DELETE FROM request WHERE until_ms < ?1", [now])?;
            Ok(Purged { marks, statements: of_messages + of_dead, dead_letters, requests })
        })
    }
}

/// Raises the newest time seen within another commit; gives what holds now.
pub(super) fn raise(tx: &Transaction<'_>, vault: &Vault, ms: u64) -> Result<u64, StoreError> {
    let held = newest_time(tx, vault)?;
    if ms <= held {
        return Ok(held);
    }
    let sealed = vault.seal(NEWEST_TIME.as_bytes(), &Time { ms });
    let mut replace = tx.prepare_cached("INSERT OR REPLACE INTO meta (name, data) VALUES (?1, ?2)")?;
    replace.execute(params![NEWEST_TIME, sealed])?;
    Ok(ms)
}

fn newest_time(conn: &Connection, vault: &Vault) -> Result<u64, StoreError> {
    let mut query = conn.prepare_cached("SELECT data FROM meta WHERE name = ?1")?;
    let sealed: Option<Vec<u8>> = query.query_row([NEWEST_TIME], |row| row.get(0)).optional()?;
    sealed.map_or(Ok(0), |sealed| Ok(vault.open::<Time>(NEWEST_TIME.as_bytes(), &sealed)?.ms))
}
