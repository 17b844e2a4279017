//! The dead-letter desk: envelopes that could not be opened, with the cause for our own eyes and the signed end
//! for the author. Never counted as delivered.

use rusqlite::{OptionalExtension, params};
use valise_host::ledger::Committed;
use valise_proto::header::SignedHeader;
use valise_proto::limits::{MESSAGE_LIFE_MAX_MS, REPLAY_KEPT_MS};
use valise_proto::receipt::SignedReceipt;
use valise_proto::signing::Hash;

use super::records::Dead;
use super::statements::{self, About};
use super::vault::{Blind, sql, unsql};
use super::{Boxes, BoxesError};

/// Most bytes kept of a cause: one sentence of our own log.
const DETAIL_MAX: usize = 512;
/// How long a dead letter is kept: as long as its envelope could live, and the margin of replays.
pub(super) const DEAD_KEPT_MS: u64 = MESSAGE_LIFE_MAX_MS + REPLAY_KEPT_MS;

/// An envelope that did not pass, with the end that we state.
#[derive(Clone)]
pub struct NewDeadLetter {
    /// The relay's number.
    pub sequence: u64,
    /// As received.
    pub header: SignedHeader,
    /// The cause, for our own log and desk. Never on the wire.
    pub detail: String,
    /// `unopenable` or `refused`, to be sent once this is stored.
    pub statement: SignedReceipt,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// A dead letter as the desk shows it.
#[derive(Clone)]
pub struct DeadLetter {
    /// The relay's number.
    pub sequence: u64,
    /// As received: nothing in it is known to be so.
    pub header: SignedHeader,
    /// The cause.
    pub detail: String,
    /// Unix milliseconds.
    pub received_ms: u64,
    /// All that we stated about it.
    pub statements: Vec<SignedReceipt>,
}

super::quiet!(NewDeadLetter, DeadLetter);

/// What became of a dead letter handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buried {
    /// It lies on the dead-letter desk now.
    New,
    /// It lay there already; the statement made then is sent again.
    Already,
}

impl Boxes {
    /// Keeps an envelope that did not pass, and the end that we state, in one commit. The same number and header
    /// again is kept once.
    pub fn dead_letter(&mut self, letter: NewDeadLetter) -> Result<Committed<Buried>, BoxesError> {
        self.commit(|tx, vault| {
            let mark = vault.dead(letter.sequence, &letter.header.hash());
            let earlier = "SELECT id FROM dead_letter WHERE mark = ?1";
            let earlier: Option<i64> = tx.query_row(earlier, [mark], |row| row.get(0)).optional()?;
            if let Some(row) = earlier {
                statements::repeat(tx, About::Dead(row))?;
                return Ok(Buried::Already);
            }
            let mut detail = letter.detail;
            detail.truncate(detail.floor_char_boundary(DETAIL_MAX));
            let record = Dead {
                sequence: letter.sequence,
                header: letter.header.bytes().clone(),
                signature: letter.header.signature().to_vec(),
                detail,
            };
            tx.execute(
                "INSERT INTO dead_letter (mark, sequence, received_ms, bytes, data) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    mark,
                    sql(letter.sequence),
                    sql(letter.now_ms),
                    sql(letter.header.bytes().len() as u64),
                    vault.seal(&mark, &record)
                ],
            )?;
            statements::put(tx, vault, About::Dead(tx.last_insert_rowid()), &letter.statement)?;
            Ok(Buried::New)
        })
    }

    /// What we stated about an envelope with this number and header, when it lies on the dead-letter desk.
    pub fn dead_lettered(
        &self,
        sequence: u64,
        header_hash: &Hash,
    ) -> Result<Option<Vec<SignedReceipt>>, BoxesError> {
        self.read(|conn, vault| {
            let mut query = conn.prepare_cached("SELECT id FROM dead_letter WHERE mark = ?1")?;
            let row: Option<i64> =
                query.query_row([vault.dead(sequence, header_hash)], |row| row.get(0)).optional()?;
            row.map(|row| statements::about(conn, vault, About::Dead(row))).transpose()
        })
    }

    /// The newest dead letters, newest last.
    pub fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BoxesError> {
        self.read(|conn, vault| {
            let mut query = conn.prepare_cached(
                "SELECT id, mark, received_ms, data FROM dead_letter ORDER BY id DESC LIMIT ?1",
            )?;
            let mut rows = query.query([sql(limit as u64)])?;
            let mut letters = Vec::new();
            while let Some(row) = rows.next()? {
                let (mark, sealed): (Blind, Vec<u8>) = (row.get(1)?, row.get(3)?);
                let dead: Dead = vault.open(&mark, &sealed)?;
                let header = SignedHeader::received(dead.header, &dead.signature);
                letters.push(DeadLetter {
                    sequence: dead.sequence,
                    header: header.map_err(|_| vault.broken("dead_letter"))?,
                    detail: dead.detail,
                    received_ms: unsql(row.get(2)?),
                    statements: statements::about(conn, vault, About::Dead(row.get(0)?))?,
                });
            }
            letters.reverse();
            Ok(letters)
        })
    }
}
