//! The newest time ever seen, the counts that `status` shows, and the clearing of what nobody needs any more.
//!
//! Never clears a message, a state or an epoch.

use rusqlite::{Connection, OptionalExtension, params};
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

/// Messages sent that have not ended for all their recipients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Not yet at the relay.
    pub queued: u64,
    /// At the relay, for some recipient at least not further.
    pub relayed: u64,
    /// Of both, those that lack a recipient's key.
    pub waiting_for_key: u64,
}

/// What came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboxCounts {
    /// Messages.
    pub total: u64,
    /// Of these, not opened and not acknowledged.
    pub unopened: u64,
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
}

impl Boxes {
    /// The newest signed time ever seen, Unix milliseconds; 0 = none. Our clock is not believed below it.
    pub fn newest_time_seen(&self) -> Result<u64, BoxesError> {
        self.read(newest_time)
    }

    /// Raises the newest time seen, never lowers it; gives what holds now. A time not newer costs no write.
    pub fn raise_time_seen(&mut self, ms: u64) -> Result<u64, BoxesError> {
        let held = self.newest_time_seen()?;
        if ms <= held {
            return Ok(held);
        }
        let raised = self.commit(|tx, vault| {
            let sealed = vault.seal(NEWEST_TIME.as_bytes(), &Time { ms });
            let replace = "INSERT OR REPLACE INTO meta (name, data) VALUES (?1, ?2)";
            tx.execute(replace, params![NEWEST_TIME, sealed])?;
            Ok(ms)
        })?;
        Ok(raised.into_inner())
    }

    /// What the boxes hold.
    pub fn counts(&self) -> Result<Counts, BoxesError> {
        self.read(|conn, _| {
            let count = |query: &str| {
                let count: i64 = conn.prepare_cached(query)?.query_row([], |row| row.get(0))?;
                Ok::<_, StoreError>(unsql(count))
            };
            Ok(Counts {
                outbox: OutboxCounts {
                    queued: count("SELECT count(*) FROM outbox WHERE live = 1 AND relayed = 0")?,
                    relayed: count("SELECT count(*) FROM outbox WHERE live = 1 AND relayed = 1")?,
                    waiting_for_key: count("SELECT count(DISTINCT message) FROM recipient WHERE wrap = 0")?,
                },
                inbox: InboxCounts {
                    total: count("SELECT count(*) FROM inbox")?,
                    unopened: count("SELECT count(*) FROM inbox WHERE rung = 3")?,
                    dead_letters: count("SELECT count(*) FROM dead_letter")?,
                    statements: count("SELECT count(*) FROM statement WHERE waiting = 1")?,
                },
            })
        })
    }

    /// Clears marks whose message expired two days ago or earlier, dead letters older than any message may live,
    /// and our settled statements about both. `now_ms` is the caller's judgement of the time.
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
            Ok(Purged { marks, statements: of_messages + of_dead, dead_letters })
        })
    }
}

fn newest_time(conn: &Connection, vault: &Vault) -> Result<u64, StoreError> {
    let mut query = conn.prepare_cached("SELECT data FROM meta WHERE name = ?1")?;
    let sealed: Option<Vec<u8>> = query.query_row([NEWEST_TIME], |row| row.get(0)).optional()?;
    sealed.map_or(Ok(0), |sealed| Ok(vault.open::<Time>(NEWEST_TIME.as_bytes(), &sealed)?.ms))
}
