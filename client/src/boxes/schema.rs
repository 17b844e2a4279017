//! The tables. In clear stand ordinals, rungs, precedence, times and sizes; all else is sealed, and found by
//! blind keys.

use rusqlite::Connection;
use valise_host::ledger::{Schema, StoreError};

/// The client's store: "VAL", boxes.
pub(super) const SCHEMA: Schema = Schema { application_id: 0x5641_4c42, steps: &[FIRST, REFUSED] };

/// Sets what holds for a connection alone: what is deleted (a content key above all) is overwritten in its page.
pub(super) fn prepare(conn: &Connection) -> Result<(), StoreError> {
    // FAST zeroes rows within pages in use, and spares whole freed pages: those hold ciphertext alone.
    Ok(conn.query_row("PRAGMA secure_delete = FAST", [], |_| Ok(()))?)
}

const FIRST: &str = "
-- Messages we sent. `live` until every recipient has ended; `relayed` once the relay holds it.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY, message BLOB NOT NULL UNIQUE,
    precedence INTEGER NOT NULL, bulk INTEGER NOT NULL, bytes INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL, not_before_ms INTEGER NOT NULL DEFAULT 0,
    sequence INTEGER, relayed INTEGER NOT NULL DEFAULT 0, live INTEGER NOT NULL DEFAULT 1,
    letter BLOB NOT NULL, cek BLOB
) STRICT;
CREATE INDEX outbox_live ON outbox (relayed, precedence DESC, id) WHERE live = 1;
CREATE INDEX outbox_sequence ON outbox (sequence) WHERE sequence IS NOT NULL;

-- Their ciphertext, until they end.
CREATE TABLE segment (
    message INTEGER NOT NULL REFERENCES outbox (id), part INTEGER NOT NULL, idx INTEGER NOT NULL,
    data BLOB NOT NULL, UNIQUE (message, part, idx)
) STRICT;

-- Their recipients. wrap: 0 waits for a key, 1 goes with the envelope, 2 follows it, 3 went or is not needed.
CREATE TABLE recipient (
    id INTEGER PRIMARY KEY, message INTEGER NOT NULL REFERENCES outbox (id), mailbox BLOB NOT NULL,
    rung INTEGER NOT NULL, wrap INTEGER NOT NULL, data BLOB NOT NULL, keywrap BLOB,
    UNIQUE (message, mailbox)
) STRICT;
CREATE INDEX recipient_keyless ON recipient (mailbox, message) WHERE wrap = 0;
CREATE INDEX recipient_ready ON recipient (message, wrap);

-- Receipts that came for them. recipient 0: about all.
CREATE TABLE proof (
    id INTEGER PRIMARY KEY, receipt BLOB NOT NULL UNIQUE, message INTEGER NOT NULL REFERENCES outbox (id),
    recipient INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE INDEX proof_message ON proof (message, recipient);

-- Mailboxes ever written to, and the last number used to each.
CREATE TABLE correspondent (mailbox BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Requests to send that were answered: the same key again gives the same message.
CREATE TABLE request (key BLOB PRIMARY KEY, until_ms INTEGER NOT NULL, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX request_until ON request (until_ms);

-- Messages that came. `line` is what a list shows and what changes, `paper` the rest.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY, message BLOB NOT NULL, mark BLOB NOT NULL UNIQUE,
    precedence INTEGER NOT NULL, bytes INTEGER NOT NULL,
    delivered_ms INTEGER NOT NULL, rung INTEGER NOT NULL, line BLOB NOT NULL, paper BLOB NOT NULL
) STRICT;
CREATE INDEX inbox_message ON inbox (message, id);

-- Their bodies (part 0) and attachments (from 1), in pieces.
CREATE TABLE chunk (
    message INTEGER NOT NULL REFERENCES inbox (id), part INTEGER NOT NULL, idx INTEGER NOT NULL,
    data BLOB NOT NULL, UNIQUE (message, part, idx)
) STRICT;

-- What came once does not come again, until its time is long over.
CREATE TABLE seen (mark BLOB PRIMARY KEY, until_ms INTEGER NOT NULL, inbox INTEGER NOT NULL, data BLOB NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE INDEX seen_until ON seen (until_ms);

-- What came and could not be opened.
CREATE TABLE dead_letter (
    id INTEGER PRIMARY KEY, mark BLOB NOT NULL UNIQUE, sequence INTEGER NOT NULL, received_ms INTEGER NOT NULL,
    bytes INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;

-- What we state about what came; `waiting` until the relay holds it.
CREATE TABLE statement (
    id INTEGER PRIMARY KEY, receipt BLOB NOT NULL UNIQUE, waiting INTEGER NOT NULL,
    inbox INTEGER REFERENCES inbox (id), dead_letter INTEGER REFERENCES dead_letter (id), data BLOB NOT NULL
) STRICT;
CREATE INDEX statement_waiting ON statement (id) WHERE waiting = 1;
CREATE INDEX statement_inbox ON statement (inbox);
CREATE INDEX statement_dead_letter ON statement (dead_letter);

-- Our own epochs and bundles; other mailboxes' bundles; signing papers; the newest time seen.
CREATE TABLE epoch (
    id INTEGER PRIMARY KEY, no INTEGER NOT NULL, prekey BLOB NOT NULL UNIQUE, data BLOB NOT NULL
) STRICT;
CREATE TABLE own_bundle (mailbox BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE bundle (mailbox BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE leaf (key BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

/// The number of the refusal that a message waits out; 0 = none.
const REFUSED: &str = "ALTER TABLE outbox ADD COLUMN refused INTEGER NOT NULL DEFAULT 0";
