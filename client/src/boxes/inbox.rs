//! The inbox: a verified message is kept exactly once, in one commit with its mark, its body and our `delivered`.
//!
//! Sees plaintext that has passed every check of the caller; never opens an envelope.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use valise_host::ledger::{Committed, StoreError};
use valise_host::planted::Planted;
use valise_proto::header::{Header, SignedHeader};
use valise_proto::limits::{HASH_BYTES, REPLAY_KEPT_MS, SEGMENT_BYTES};
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::receipt::SignedReceipt;
use valise_proto::signing::{Hash, KeyId};
use valise_proto::wire;

use super::meta::raise;
use super::records::{File, Line, Mark, Paper};
use super::state::State;
use super::statements::{self, About};
use super::vault::{Blind, Vault, piece, sql, unsql};
use super::{Boxes, BoxesError, quiet};

/// Plaintext bytes in one sealed row of a body or an attachment.
pub(super) const CHUNK_BYTES: usize = SEGMENT_BYTES;
/// Sealed into each of them.
pub(super) const CHUNK: &str = "chunk";

/// An attached file that came.
#[derive(Clone)]
pub struct NewFile {
    /// As the author named it: data, never a path.
    pub name: String,
    /// A hint.
    pub media_type: String,
    /// Of the bytes, checked by the caller.
    pub sha256: [u8; HASH_BYTES],
    /// The file.
    pub data: Bytes,
}

/// What the author wrote.
#[derive(Clone)]
pub struct Content {
    /// `text`, or a type of the class.
    pub type_name: String,
    /// At most 512 bytes.
    pub subject: String,
    /// As given, any bytes.
    pub body: Bytes,
    /// BCP 47; empty = not stated.
    pub lang: String,
    /// Text of a message id; empty = none.
    pub in_reply_to: String,
    /// In order.
    pub files: Vec<NewFile>,
}

/// An opened and verified envelope, with our statement that we have it.
#[derive(Clone)]
pub struct Incoming {
    /// The relay's number.
    pub sequence: u64,
    /// As received.
    pub header: SignedHeader,
    /// What it says.
    pub facts: Header,
    /// The relay's proof of acceptance: by its time the author's signature is judged.
    pub relayed: SignedReceipt,
    /// Which of our mailboxes it came to.
    pub mailbox: Mailbox,
    /// What the author wrote.
    pub content: Content,
    /// The author's papers, for later proof.
    pub leaf: wire::SigningLeaf,
    /// The author's clock and ours differ too much.
    pub clock_suspect: bool,
    /// Our statement, to be sent once this is stored.
    pub delivered: SignedReceipt,
    /// Unix milliseconds.
    pub now_ms: u64,
}

quiet!(NewFile, Content, Incoming);

/// Whether an envelope came before.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// No.
    New,
    /// Yes, and its message is kept.
    Kept {
        /// The relay's number under which it came first.
        sequence: u64,
        /// All that we stated about it, oldest first.
        statements: Vec<SignedReceipt>,
    },
    /// Its author used the id before for other bytes: the second is no message.
    Reused,
}

/// What became of a message handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is in the inbox now, at this place.
    New(u64),
    /// It was in the inbox already, at this place; our statements are sent again.
    Already(u64),
    /// Another message of this author bears the id. Nothing was stored.
    Reused,
}

impl Boxes {
    /// Whether a message of this author, id and header came before.
    pub fn seen(
        &self,
        sender_key_id: &KeyId,
        id: &MessageId,
        header_hash: &Hash,
    ) -> Result<Seen, BoxesError> {
        self.read(|conn, vault| match earlier(conn, vault, &vault.mark(sender_key_id, id))? {
            None => Ok(Seen::New),
            Some(earlier) if earlier.header_hash != *header_hash => Ok(Seen::Reused),
            Some(earlier) => {
                let statements = statements::about(conn, vault, About::Inbox(earlier.row))?;
                Ok(Seen::Kept { sequence: earlier.sequence, statements })
            }
        })
    }

    /// Keeps a message: mark, body, attachments and our `delivered` in one commit. The same message again is kept
    /// once; what we stated then is sent again, and `delivered` of a mailbox or number not stated yet.
    pub fn keep(&mut self, incoming: Incoming) -> Result<Committed<Kept>, BoxesError> {
        let (incoming, facts) = (&incoming, &incoming.facts);
        let hash = incoming.header.hash();
        if Planted::DedupApart.here() {
            return self.keep_apart(incoming);
        }
        self.commit(|tx, vault| {
            let mark = vault.mark(&facts.sender_key_id, &facts.message_id);
            let Some(earlier) = earlier(tx, vault, &mark)? else {
                return store(tx, vault, &mark, incoming).map(|row| Kept::New(unsql(row)));
            };
            if earlier.header_hash != hash {
                return Ok(Kept::Reused);
            }
            state_again(tx, vault, earlier.row, &incoming.delivered)?;
            Ok(Kept::Already(unsql(earlier.row)))
        })
    }

    /// Sends again all that was stated about a message that is kept, because it was offered again; with `delivered`,
    /// when this was not yet stated for its mailbox and the relay's number. False, and nothing done, when no message
    /// of this author, id and header is kept: what was not kept is not stated to be delivered.
    pub fn state_again(
        &mut self,
        sender_key_id: &KeyId,
        id: &MessageId,
        delivered: &SignedReceipt,
    ) -> Result<Committed<bool>, BoxesError> {
        let claim = delivered.claim().map_err(|_| BoxesError::Unfit("statement"))?;
        self.commit(|tx, vault| {
            let earlier = earlier(tx, vault, &vault.mark(sender_key_id, id))?;
            let Some(earlier) = earlier.filter(|earlier| earlier.header_hash == claim.header_hash) else {
                return Ok(false);
            };
            state_again(tx, vault, earlier.row, delivered)?;
            Ok(true)
        })
    }
}

fn state_again(
    tx: &Transaction<'_>,
    vault: &Vault,
    row: i64,
    delivered: &SignedReceipt,
) -> Result<(), StoreError> {
    let about = About::Inbox(row);
    statements::repeat(tx, about)?;
    // The relay finds what to settle by its own number and our mailbox: for others it needs another statement.
    let place =
        |signed: &SignedReceipt| signed.claim().ok().map(|claim| (claim.kind, claim.sequence, claim.mailbox));
    let stated = statements::about(tx, vault, about)?;
    if !stated.iter().any(|earlier| place(earlier) == place(delivered)) {
        statements::put(tx, vault, about, delivered)?;
    }
    Ok(())
}

/// What is known of a message that came before.
struct Earlier {
    row: i64,
    header_hash: Hash,
    sequence: u64,
}

fn earlier(conn: &Connection, vault: &Vault, mark: &Blind) -> Result<Option<Earlier>, StoreError> {
    let mut query = conn.prepare_cached("SELECT inbox, data FROM seen WHERE mark = ?1")?;
    let seen: Option<(i64, Vec<u8>)> =
        query.query_row([mark], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if let Some((row, sealed)) = seen {
        let record: Mark = vault.open(mark, &sealed)?;
        let header_hash = Hash::try_from(&record.header_hash[..]).map_err(|_| vault.broken("seen"))?;
        return Ok(Some(Earlier { row, header_hash, sequence: record.sequence }));
    }
    // Its mark ran out; while the message itself is here, it still comes no second time.
    let mut query = conn.prepare_cached("SELECT id, paper FROM inbox WHERE mark = ?1")?;
    let kept: Option<(i64, Vec<u8>)> =
        query.query_row([mark], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((row, sealed)) = kept else { return Ok(None) };
    let paper: Paper = vault.open(mark, &sealed)?;
    let header = SignedHeader::received(paper.header, &paper.signature).map_err(|_| vault.broken("inbox"))?;
    Ok(Some(Earlier { row, header_hash: header.hash(), sequence: paper.sequence }))
}

pub(super) fn store(
    tx: &Transaction<'_>,
    vault: &Vault,
    mark: &Blind,
    incoming: &Incoming,
) -> Result<i64, StoreError> {
    let (facts, content) = (&incoming.facts, &incoming.content);
    let files = &content.files;
    let total = content.body.len() + files.iter().map(|file| file.data.len()).sum::<usize>();
    let line = line(incoming);
    let paper = Paper {
        header: incoming.header.bytes().clone(),
        signature: incoming.header.signature().to_vec(),
        relayed: incoming.relayed.to_bytes(),
        leaf: Some(incoming.leaf.clone()),
        sequence: incoming.sequence,
        body_bytes: content.body.len() as u64,
        lang: content.lang.clone(),
        in_reply_to: content.in_reply_to.clone(),
        files: files.iter().map(file).collect(),
    };
    tx.execute(
        "INSERT INTO inbox (message, mark, precedence, bytes, delivered_ms, rung, line, paper)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            vault.came(&facts.message_id),
            mark,
            facts.precedence.to_wire(),
            sql(total as u64),
            sql(incoming.now_ms),
            State::Delivered.rank(),
            vault.seal(mark, &line),
            vault.seal(mark, &paper),
        ],
    )?;
    let row = tx.last_insert_rowid();
    store_chunks(tx, vault, row, mark, 0, &content.body)?;
    for (part, file) in (1..).zip(files) {
        store_chunks(tx, vault, row, mark, part, &file.data)?;
    }
    let seen = Mark { header_hash: incoming.header.hash().0.to_vec(), sequence: incoming.sequence };
    tx.execute(
        "INSERT INTO seen (mark, until_ms, inbox, data) VALUES (?1, ?2, ?3, ?4)",
        params![mark, sql(facts.expires_ms.saturating_add(REPLAY_KEPT_MS)), row, vault.seal(mark, &seen)],
    )?;
    statements::put(tx, vault, About::Inbox(row), &incoming.delivered)?;
    if let Ok(relayed) = incoming.relayed.claim() {
        raise(tx, vault, relayed.time_ms)?;
    }
    Ok(row)
}

fn line(incoming: &Incoming) -> Line {
    let (facts, content) = (&incoming.facts, &incoming.content);
    Line {
        id: facts.message_id.as_bytes().to_vec(),
        from: facts.sender.to_string(),
        device: facts.sender_device.to_string(),
        to: incoming.mailbox.to_string(),
        subject: content.subject.clone(),
        class: facts.class.to_wire(),
        type_name: content.type_name.clone(),
        precedence: facts.precedence.to_wire(),
        created_ms: facts.created_ms,
        delivered_ms: incoming.now_ms,
        state: State::Delivered.number(),
        attachments: u32::try_from(content.files.len()).unwrap_or(u32::MAX),
        clock_suspect: incoming.clock_suspect,
        ..Line::default()
    }
}

fn file(file: &NewFile) -> File {
    File {
        name: file.name.clone(),
        media_type: file.media_type.clone(),
        bytes: file.data.len() as u64,
        sha256: file.sha256.to_vec(),
    }
}

fn store_chunks(
    tx: &Transaction<'_>,
    vault: &Vault,
    row: i64,
    mark: &Blind,
    part: u32,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let mut insert =
        tx.prepare_cached("INSERT INTO chunk (message, part, idx, data) VALUES (?1, ?2, ?3, ?4)")?;
    for (index, chunk) in (0u32..).zip(bytes.chunks(CHUNK_BYTES)) {
        let sealed = vault.seal_bytes(CHUNK, &piece(mark, part, index), chunk);
        insert.execute(params![row, part, index, sealed])?;
    }
    Ok(())
}
