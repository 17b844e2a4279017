//! What to send next: messages that the relay lacks, and wraps that follow those it has, most urgent first.
//!
//! Only looks; what was sent comes again until the relay's receipts for it are in.

use std::collections::BTreeSet;

use rusqlite::Connection;
use valise_host::ledger::StoreError;
use valise_proto::header::Header;
use valise_proto::kinds::Precedence;
use valise_proto::limits::WRAPS_PER_FRAME;
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::wire;

use super::outbox::{facts, find, not_bytes, wraps};
use super::stage::Wrap;
use super::vault::{Blind, Vault, sql};
use super::{Boxes, BoxesError};

/// A message that the relay does not hold yet, and at least one recipient of which has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToSubmit {
    /// Which.
    pub id: MessageId,
    /// Its order.
    pub precedence: Precedence,
    /// Whether it counts as bulk in the session's scheduling.
    pub bulk: bool,
    /// Unix milliseconds, by our clock when it was written.
    pub created_ms: u64,
}

/// Wraps that follow an envelope which the relay holds; at most a frame of them.
#[derive(Clone, Debug)]
pub struct LateWraps {
    /// Which message.
    pub id: MessageId,
    /// By mailbox.
    pub wraps: Vec<(Mailbox, wire::KeyWrap)>,
}

/// Which messages are looked for.
struct Search<'a> {
    /// Whether the relay holds the envelope.
    relayed: bool,
    /// The stage of at least one of its wraps.
    wrap: Wrap,
    /// Those that are on their way already.
    skip: &'a BTreeSet<MessageId>,
    /// The postponed are left out.
    now_ms: u64,
    /// At most so many.
    max: usize,
}

impl Boxes {
    /// Messages to submit now, most urgent first, then oldest; without those in `skip`, the postponed and those
    /// that wait for every key.
    pub fn to_submit(
        &self,
        max: usize,
        skip: &BTreeSet<MessageId>,
        now_ms: u64,
    ) -> Result<Vec<ToSubmit>, BoxesError> {
        self.read(|conn, vault| {
            let search = Search { relayed: false, wrap: Wrap::First, skip, now_ms, max };
            due(conn, vault, &search, |header, bulk| {
                let Header { message_id: id, precedence, created_ms, .. } = header;
                Ok(ToSubmit { id, precedence, bulk, created_ms })
            })
        })
    }

    /// Wraps to send after their envelopes, most urgent message first, without those in `skip` and the postponed.
    pub fn late_wraps(
        &self,
        max: usize,
        skip: &BTreeSet<MessageId>,
        now_ms: u64,
    ) -> Result<Vec<LateWraps>, BoxesError> {
        self.read(|conn, vault| {
            let search = Search { relayed: true, wrap: Wrap::Late, skip, now_ms, max };
            due(conn, vault, &search, |header, _| {
                let id = header.message_id;
                let found = find(conn, vault, &id)?.ok_or_else(|| vault.broken("outbox"))?;
                let mut wraps = wraps(conn, vault, &found, Wrap::Late)?;
                wraps.truncate(WRAPS_PER_FRAME);
                Ok(LateWraps { id, wraps })
            })
        })
    }
}

/// Live messages, most urgent first, then oldest; `take` gets the header of each and whether it is bulk.
fn due<T>(
    conn: &Connection,
    vault: &Vault,
    search: &Search<'_>,
    mut take: impl FnMut(Header, bool) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let skip: BTreeSet<Blind> = search.skip.iter().map(|id| vault.out(id)).collect();
    let mut query = conn.prepare_cached(
        "SELECT message, letter, bulk FROM outbox
         WHERE live = 1 AND relayed = ?1 AND not_before_ms <= ?2
           AND EXISTS (SELECT 1 FROM recipient WHERE recipient.message = outbox.id AND wrap = ?3)
         ORDER BY precedence DESC, id",
    )?;
    let mut rows = query.query((search.relayed, sql(search.now_ms), search.wrap as i32))?;
    let mut found = Vec::new();
    while found.len() < search.max
        && let Some(row) = rows.next()?
    {
        let message: Blind = row.get(0)?;
        if skip.contains(&message) {
            continue;
        }
        let letter = vault.open(&message, row.get_ref(1)?.as_blob().map_err(not_bytes)?)?;
        found.push(take(facts(vault, &letter)?, row.get(2)?)?);
    }
    Ok(found)
}
