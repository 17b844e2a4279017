//! Reading what came: the list, one message, its body and files; and the steps `opened` and `acknowledged`.
//!
//! A step goes forward only, in one commit with our statement of it.

use rusqlite::{Connection, OptionalExtension, params};
use valise_host::ledger::{Committed, StoreError};
use valise_proto::header::{Header, SignedHeader};
use valise_proto::kinds::{Class, Precedence, ReceiptKind};
use valise_proto::names::{DeviceName, Mailbox, MessageId};
use valise_proto::receipt::SignedReceipt;
use valise_proto::wire;

use super::inbox::CHUNK;
use super::records::{File, FileNote, Line, Paper};
use super::state::State;
use super::statements::{self, About};
use super::vault::{Blind, Vault, piece, sql, unsql};
use super::{Boxes, BoxesError, quiet};

/// A message that came, as a list shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct InboxLine {
    /// Place in the inbox, from 1, in order of arrival.
    pub ordinal: u64,
    /// Which.
    pub id: MessageId,
    /// The author's mailbox.
    pub from: Mailbox,
    /// The author's device.
    pub device: DeviceName,
    /// Our mailbox that it came to.
    pub to: Mailbox,
    /// As written.
    pub subject: String,
    /// What the relay sees of its kind.
    pub class: Class,
    /// `text`, or a type of the class.
    pub type_name: String,
    /// Its order.
    pub precedence: Precedence,
    /// Unix milliseconds, by the author's clock.
    pub created_ms: u64,
    /// Unix milliseconds, by ours.
    pub delivered_ms: u64,
    /// `delivered`, `opened` or `acknowledged`.
    pub state: State,
    /// How many.
    pub attachments: usize,
    /// The author's clock and ours differ too much.
    pub clock_suspect: bool,
}

/// All of a message that came but the bytes of its body and files.
#[derive(Clone)]
pub struct InboxMessage {
    /// As a list shows it.
    pub line: InboxLine,
    /// As received: what statements name by its hash.
    pub header: SignedHeader,
    /// What it says.
    pub facts: Header,
    /// The relay's number.
    pub sequence: u64,
    /// The relay's proof of acceptance.
    pub relayed: SignedReceipt,
    /// The author's papers.
    pub leaf: wire::SigningLeaf,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// BCP 47; empty = not stated.
    pub lang: String,
    /// Text of a message id; empty = none.
    pub in_reply_to: String,
    /// In order.
    pub files: Vec<FileNote>,
    /// Unix milliseconds; none when it was never opened.
    pub opened_ms: Option<u64>,
    /// Unix milliseconds and who; for our own audit.
    pub acknowledged: Option<(u64, Acknowledger)>,
    /// All that we stated about it, oldest first.
    pub statements: Vec<SignedReceipt>,
}

quiet!(InboxLine, InboxMessage);

/// Who acknowledged, in our own audit alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledger {
    /// Random; all that leaves this bureau.
    pub operator_ref: [u8; 16],
    /// The operator's uid on this machine.
    pub uid: u32,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// The message came further, and the statement will be sent.
    Advanced,
    /// It was there already; the statement was not needed.
    Known,
}

impl Boxes {
    /// The newest messages that came, newest last; all when there is no limit.
    pub fn inbox(&self, limit: Option<usize>) -> Result<Vec<InboxLine>, BoxesError> {
        let limit = limit.map_or(-1, |limit| sql(limit as u64)); // SQLite: a negative limit is none
        self.read(|conn, vault| {
            let mut query =
                conn.prepare_cached("SELECT id, mark, line FROM inbox ORDER BY id DESC LIMIT ?1")?;
            let mut rows = query.query([limit])?;
            let mut lines = Vec::new();
            while let Some(row) = rows.next()? {
                let (mark, sealed): (Blind, Vec<u8>) = (row.get(1)?, row.get(2)?);
                lines.push(shown(vault, row.get(0)?, vault.open(&mark, &sealed)?)?);
            }
            lines.reverse();
            Ok(lines)
        })
    }

    /// One message; none when no such message came. Of two authors' messages with one id, the first that came.
    pub fn message(&self, id: &MessageId) -> Result<Option<InboxMessage>, BoxesError> {
        self.read(|conn, vault| {
            let Some(row) = rows(conn, vault, id)?.into_iter().next() else { return Ok(None) };
            let paper = row.paper(conn, vault)?;
            let broken = || vault.broken("inbox/paper");
            let header = SignedHeader::received(paper.header, &paper.signature).map_err(|_| broken())?;
            let files: Option<Vec<_>> = paper.files.iter().map(File::note).collect();
            let acknowledger = row.line.operator_ref[..].try_into().ok();
            let acknowledger =
                acknowledger.map(|operator_ref| Acknowledger { operator_ref, uid: row.line.operator_uid });
            Ok(Some(InboxMessage {
                facts: header.read().map_err(|_| broken())?,
                header,
                sequence: paper.sequence,
                relayed: SignedReceipt::from_bytes(paper.relayed).map_err(|_| broken())?,
                leaf: paper.leaf.unwrap_or_default(),
                body_bytes: paper.body_bytes,
                lang: paper.lang,
                in_reply_to: paper.in_reply_to,
                files: files.ok_or_else(broken)?,
                opened_ms: Some(row.line.opened_ms).filter(|ms| *ms > 0),
                acknowledged: acknowledger.map(|who| (row.line.acknowledged_ms, who)),
                statements: statements::about(conn, vault, About::Inbox(row.id))?,
                line: shown(vault, row.id, row.line)?,
            }))
        })
    }

    /// The body of a message; none when no such message came.
    pub fn body(&self, id: &MessageId) -> Result<Option<Vec<u8>>, BoxesError> {
        self.read(|conn, vault| {
            let Some(row) = rows(conn, vault, id)?.into_iter().next() else { return Ok(None) };
            let bytes = row.paper(conn, vault)?.body_bytes;
            chunks(conn, vault, &row, 0, bytes).map(Some)
        })
    }

    /// The attachment with this index, from 0; none when there is no such one.
    pub fn attachment(&self, id: &MessageId, index: usize) -> Result<Option<Vec<u8>>, BoxesError> {
        self.read(|conn, vault| {
            let Some(row) = rows(conn, vault, id)?.into_iter().next() else { return Ok(None) };
            let paper = row.paper(conn, vault)?;
            let (Some(file), Ok(part)) = (paper.files.get(index), u32::try_from(index)) else {
                return Ok(None);
            };
            chunks(conn, vault, &row, part + 1, file.bytes).map(Some)
        })
    }

    /// Marks a message as shown to a person or fetched by a consumer. One statement for each of our mailboxes that it
    /// came to.
    ///
    /// # Errors
    /// `NoSuchMessage` when none has this id and the header that the statement names.
    pub fn mark_opened(
        &mut self,
        id: &MessageId,
        statements: &[SignedReceipt],
        now_ms: u64,
    ) -> Result<Committed<Marked>, BoxesError> {
        self.step(id, statements, ReceiptKind::Opened, |line| line.opened_ms = now_ms)
    }

    /// Marks a message as acknowledged by an operator; keeps who it was for our own audit.
    ///
    /// # Errors
    /// As [`mark_opened`](Self::mark_opened).
    pub fn mark_acknowledged(
        &mut self,
        id: &MessageId,
        statements: &[SignedReceipt],
        who: Acknowledger,
        now_ms: u64,
    ) -> Result<Committed<Marked>, BoxesError> {
        self.step(id, statements, ReceiptKind::Acknowledged, |line| {
            line.acknowledged_ms = now_ms;
            line.operator_ref = who.operator_ref.to_vec();
            line.operator_uid = who.uid;
        })
    }

    fn step(
        &mut self,
        id: &MessageId,
        statements: &[SignedReceipt],
        kind: ReceiptKind,
        write: impl FnOnce(&mut Line),
    ) -> Result<Committed<Marked>, BoxesError> {
        let claims = statements.iter().map(SignedReceipt::claim).collect::<Result<Vec<_>, _>>();
        let claims = claims.map_err(|_| BoxesError::Unfit("statement"))?;
        let fits = claims.iter().all(|claim| claim.kind == kind && claim.message_id == *id);
        let Some(claim) = claims.first().filter(|_| fits) else { return Err(BoxesError::Unfit("statement")) };
        let found = self.read(|conn, vault| {
            for row in rows(conn, vault, id)? {
                let paper = row.paper(conn, vault)?;
                let header = SignedHeader::received(paper.header, &paper.signature);
                if header.is_ok_and(|header| header.hash() == claim.header_hash) {
                    return Ok(Some(row));
                }
            }
            Ok(None)
        })?;
        let Some(mut row) = found else { return Err(BoxesError::NoSuchMessage(*id)) };
        let state = State::from(kind);
        self.commit(|tx, vault| {
            if state.rank() <= State::from_number(row.line.state, vault)?.rank() {
                return Ok(Marked::Known);
            }
            row.line.state = state.number();
            write(&mut row.line);
            let sealed = vault.seal(&row.mark, &row.line);
            let update = "UPDATE inbox SET rung = ?2, line = ?3 WHERE id = ?1";
            tx.execute(update, params![row.id, state.rank(), sealed])?;
            for statement in statements {
                statements::put(tx, vault, About::Inbox(row.id), statement)?;
            }
            Ok(Marked::Advanced)
        })
    }
}

/// A row of the inbox with what changes in it.
struct Row {
    id: i64,
    mark: Blind,
    line: Line,
}

impl Row {
    fn paper(&self, conn: &Connection, vault: &Vault) -> Result<Paper, StoreError> {
        let mut query = conn.prepare_cached("SELECT paper FROM inbox WHERE id = ?1")?;
        let sealed: Vec<u8> = query.query_row([self.id], |row| row.get(0))?;
        vault.open(&self.mark, &sealed)
    }
}

/// The messages with this id, first first: several only when several authors used it.
fn rows(conn: &Connection, vault: &Vault, id: &MessageId) -> Result<Vec<Row>, StoreError> {
    let mut query = conn.prepare_cached("SELECT id, mark, line FROM inbox WHERE message = ?1 ORDER BY id")?;
    let mut found = query.query([vault.came(id)])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let (mark, sealed): (Blind, Vec<u8>) = (row.get(1)?, row.get(2)?);
        rows.push(Row { id: row.get(0)?, mark, line: vault.open(&mark, &sealed)? });
    }
    Ok(rows)
}

fn chunks(conn: &Connection, vault: &Vault, row: &Row, part: u32, bytes: u64) -> Result<Vec<u8>, StoreError> {
    let mut query =
        conn.prepare_cached("SELECT data FROM chunk WHERE message = ?1 AND part = ?2 AND idx = ?3")?;
    let mut whole = Vec::new();
    for index in 0u32.. {
        let sealed: Option<Vec<u8>> =
            query.query_row(params![row.id, part, index], |row| row.get(0)).optional()?;
        let Some(sealed) = sealed else { break };
        whole.extend(vault.open_bytes(CHUNK, &piece(&row.mark, part, index), &sealed)?);
    }
    // Each piece is sealed in its place, but only the length tells that none is missing.
    if whole.len() as u64 == bytes { Ok(whole) } else { Err(vault.broken(CHUNK)) }
}

fn shown(vault: &Vault, row: i64, line: Line) -> Result<InboxLine, StoreError> {
    let broken = || vault.broken("inbox/line");
    Ok(InboxLine {
        ordinal: unsql(row),
        id: MessageId::try_from(&line.id[..]).map_err(|_| broken())?,
        from: Mailbox::new(&line.from).map_err(|_| broken())?,
        device: DeviceName::new(&line.device).map_err(|_| broken())?,
        to: Mailbox::new(&line.to).map_err(|_| broken())?,
        subject: line.subject,
        class: Class::from_wire(line.class).map_err(|_| broken())?,
        type_name: line.type_name,
        precedence: Precedence::from_wire(line.precedence).map_err(|_| broken())?,
        created_ms: line.created_ms,
        delivered_ms: line.delivered_ms,
        state: State::from_number(line.state, vault)?,
        attachments: line.attachments as usize,
        clock_suspect: line.clock_suspect,
    })
}
