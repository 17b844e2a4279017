//! Every number that both ends rely on: name, unit, reason. Assertions between them hold at compile time.
//!
//! A limit of one program alone lives in that program's configuration, bounded by these.

/// Wire version spoken here. One is spoken at a time; the ALPN names it.
pub const VERSION: u32 = 1;
/// TLS application protocol; a change of version changes it.
pub const ALPN: &[u8] = b"valise/1";

// ---- names (characters)

/// Fewest characters of a party: two letters are a bureau.
pub const PARTY_NAME_MIN: usize = 2;
/// Most characters of a party: fits a DNS label with room for a desk beside it.
pub const PARTY_NAME_MAX: usize = 32;
/// Most characters of a device, a desk or a relay.
pub const DEVICE_NAME_MAX: usize = 32;
/// Most characters of a mailbox: party, slash, desk.
pub const MAILBOX_MAX: usize = PARTY_NAME_MAX + 1 + DEVICE_NAME_MAX;
/// Most characters of a trust domain: leaves room below it in a DNS name of 253.
pub const DOMAIN_MAX: usize = 100;
/// Most characters of a message type.
pub const TYPE_NAME_MAX: usize = 32;

// ---- identifiers and keys (bytes)

/// A message id: random, never chosen by content.
pub const MESSAGE_ID_BYTES: usize = 16;
/// SHA-256, wherever a hash stands.
pub const HASH_BYTES: usize = 32;
/// Ed25519 signature (RFC 8032).
pub const SIGNATURE_BYTES: usize = 64;
/// Names an epoch key.
pub const PREKEY_ID_BYTES: usize = 16;
/// Names a resumption secret.
pub const PSK_ID_BYTES: usize = 16;
/// X-Wing public key (draft-connolly-cfrg-xwing-kem).
pub const XWING_PUBLIC_BYTES: usize = 1216;
/// X-Wing ciphertext.
pub const XWING_ENC_BYTES: usize = 1120;
/// X25519 public key or share (RFC 7748).
pub const X25519_BYTES: usize = 32;
/// Sealed content key: 32 bytes of key, one of flags, the tag.
pub const WRAP_CT_BYTES: usize = 32 + 1 + 16;
/// Most bytes of one X.509 certificate: Ed25519 papers are about 500.
pub const CERTIFICATE_MAX: usize = 2048;

// ---- frames and transfers

/// Plaintext bytes of a segment; the age layout, restartable at this grain.
pub const SEGMENT_BYTES: usize = 64 * 1024;
/// Authentication tag on each segment.
pub const TAG_BYTES: usize = 16;
/// Ciphertext bytes of a full segment.
pub const SEGMENT_CT_BYTES: usize = SEGMENT_BYTES + TAG_BYTES;
/// Most bytes of a frame: one segment and its framing.
pub const FRAME_MAX: usize = 64 * 1024 + 1024;
/// Most bytes of a signed header: with its signature and a receipt it fits one frame.
pub const HEADER_MAX: usize = 60 * 1024;
/// Most addressees of one envelope: the whole federation and room to grow.
pub const RECIPIENTS_MAX: usize = 256;
/// Most parts of one envelope: the body and the attachments.
pub const PARTS_MAX: usize = 64;
/// Most attachments of one message.
pub const ATTACHMENTS_MAX: usize = 32;
/// Most ciphertext bytes of one envelope: 16 MiB of plaintext, padded, with tags.
pub const MESSAGE_CT_MAX: u64 = 18 * 1024 * 1024;
/// Most plaintext bytes of one message, body and attachments together.
pub const MESSAGE_MAX: u64 = 16 * 1024 * 1024;
/// Most bytes of the padded content of part 0: held in memory at both ends.
pub const CONTENT_MAX: usize = 1024 * 1024;
/// Most bytes of a body that travels inside the content; a larger one is a part of its own.
pub const BODY_INLINE_MAX: usize = 960 * 1024;
/// Most bytes of a subject.
pub const SUBJECT_MAX: usize = 512;
/// Most bytes of an attachment's name.
pub const FILE_NAME_MAX: usize = 255;
/// Most wraps in one `WrapsFor`: fits a frame.
pub const WRAPS_PER_FRAME: usize = 32;
/// Most bytes of one encoded key wrap.
pub const WRAP_MAX: usize = 1400;
/// Most entries of an acknowledgement list: bounds the work one frame can ask for.
pub const BATCH_MAX: usize = 64;
/// Most bytes of a receipt.
pub const RECEIPT_MAX: usize = 512;
/// Most leaves under one receipt signature: one commit group.
pub const RECEIPT_LEAVES_MAX: u64 = 65_536;
/// Deepest audit path: log2 of the leaves.
pub const AUDIT_PATH_MAX: usize = 16;
/// Most mailboxes of one device.
pub const MAILBOXES_PER_DEVICE: usize = 16;
/// Most mailboxes in one request for bundles.
pub const WANTED_MAX: usize = 256;
/// Most issuers a device reports CRL numbers of.
pub const CRLS_MAX: usize = 512;
/// Most bytes of a bundle: eight epochs and sixteen devices.
pub const BUNDLE_MAX: usize = 32 * 1024;
/// Most epochs in a batch.
pub const EPOCHS_MAX: usize = 8;
/// Most devices of a mailbox.
pub const DEVICES_PER_MAILBOX: usize = 16;

// ---- roster

/// Most bytes of a signed roster: bounds what a party reads before it knows who signed.
pub const ROSTER_MAX: usize = 1024 * 1024;
/// Bytes of one piece of it on the control stream.
pub const ROSTER_PIECE_BYTES: usize = 32 * 1024;
/// Most pieces.
pub const ROSTER_PIECES_MAX: usize = ROSTER_MAX / ROSTER_PIECE_BYTES;
/// Most parties: 203 today.
pub const PARTIES_MAX: usize = 512;
/// Most relays.
pub const RELAYS_MAX: usize = 8;
/// Most keys of one owner: an active one and those retiring.
pub const KEYS_PER_OWNER: usize = 4;
/// Most revocations listed.
pub const REVOCATIONS_MAX: usize = 4096;
/// Most agreements.
pub const AGREEMENTS_MAX: usize = 4096;
/// Most parties or groups on one side of an agreement.
pub const AGREEMENT_SIDE_MAX: usize = 64;
/// Most class rules of an agreement.
pub const AGREEMENT_CLASSES_MAX: usize = 16;
/// Most types of a class rule.
pub const AGREEMENT_TYPES_MAX: usize = 32;

// ---- time (milliseconds unless said)

/// One day.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Life of a message unless the author says otherwise.
pub const MESSAGE_LIFE_MS: u64 = 30 * DAY_MS;
/// Longest life of a message: bounds the replay table.
pub const MESSAGE_LIFE_MAX_MS: u64 = 90 * DAY_MS;
/// Replay ids outlive the message by this: two skewed clocks.
pub const REPLAY_KEPT_MS: u64 = 2 * DAY_MS;
/// Length of an epoch: bounds what a seized device can open.
pub const EPOCH_MS: u64 = 7 * DAY_MS;
/// How far a clock may differ before a message is marked `clock-suspect`.
pub const CLOCK_SUSPECT_MS: u64 = 10 * 60 * 1000;

// ---- one QUIC connection

/// Transfers at once in one direction: each is a stream.
pub const TRANSFERS_MAX: u32 = 16;
/// Streams that a side may have open beside these. A transport gives the places of ended streams back in lots of an eighth
/// of all, and what says so can be lost on the way: without, a FLASH that may start would wait for its stream behind bulk.
pub const STREAMS_SPARE: u32 = 8;
/// Of the transfers at most so many of bulk (below immediate, or over 64 KiB): a FLASH always finds a stream.
pub const BULK_TRANSFERS_MAX: u32 = 8;
/// Bytes a peer may send on one stream before we read: two segments.
pub const STREAM_WINDOW: u32 = 128 * 1024;
/// Bytes a peer may send on one connection before we read.
pub const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024 + 256 * 1024;
/// Bytes we hold unacknowledged for one connection.
pub const SEND_WINDOW: u64 = CONNECTION_WINDOW as u64;
/// Control streams of a connection: one, the device's first.
pub const CONTROL_STREAMS: u32 = 1;
/// From a finished handshake to Hello; a satellite needs three round trips at most.
pub const HELLO_DEADLINE_MS: u64 = 10_000;
/// Between two frames of a transfer, before it is given up: an outage of a satellite link fits.
pub const SEGMENT_DEADLINE_MS: u64 = 64_000;
/// Slowest a whole transfer may be after that, bytes per second: memory is held for it until the end.
pub const TRANSFER_RATE_MIN: u64 = 8 * 1024;
/// KiB of submissions one connection may have on their way in: two of the largest size.
pub const INTAKE_PER_CONNECTION_KIB: u32 = 40 * 1024;
/// Tasks a session may have running before it reads on: each frame starts at most a handful.
pub const SESSION_TASKS_MAX: usize = 256;
/// Bytes of frames that may wait for a peer that does not read its control stream.
pub const CONTROL_PENDING_BYTES: usize = 4 * 1024 * 1024;
/// Wraps a mailbox's session may hold unsettled: bounds the skip list of the queue.
pub const UNSETTLED_MAX: usize = 256;
/// Receipts at the relay for one device and one envelope: the ladder and an end, per recipient.
pub const RECEIPTS_PER_RECIPIENT: usize = 4;

const _: () = {
    assert!(SEGMENT_CT_BYTES + 64 <= FRAME_MAX, "a segment fits a frame");
    assert!(HEADER_MAX + SIGNATURE_BYTES + RECEIPT_MAX + 1024 <= FRAME_MAX, "a Begin fits a frame");
    assert!(WRAPS_PER_FRAME * WRAP_MAX + 64 <= FRAME_MAX, "a WrapsFor fits a frame");
    assert!(BUNDLE_MAX + 2 * CERTIFICATE_MAX + 256 <= FRAME_MAX, "a SignedBundle fits a frame");
    assert!(BATCH_MAX * 900 <= FRAME_MAX, "a batch of receipts of usual size fits a frame");
    assert!(RECIPIENTS_MAX * (MAILBOX_MAX + 16) + PARTS_MAX * 48 + 1024 <= HEADER_MAX, "a full header fits");
    assert!(
        BULK_TRANSFERS_MAX * STREAM_WINDOW <= CONNECTION_WINDOW / 2,
        "bulk leaves half the connection free"
    );
    assert!(BULK_TRANSFERS_MAX < TRANSFERS_MAX);
    assert!(
        STREAMS_SPARE > (TRANSFERS_MAX + STREAMS_SPARE) / 8,
        "a lot that is held back, and one that was lost"
    );
    assert!(STREAM_WINDOW as usize >= FRAME_MAX, "a frame never waits for itself");
    assert!(BODY_INLINE_MAX + SUBJECT_MAX + ATTACHMENTS_MAX * (FILE_NAME_MAX + 256) < CONTENT_MAX);
    assert!(ATTACHMENTS_MAX + 2 <= PARTS_MAX);
    assert!(MESSAGE_LIFE_MS <= MESSAGE_LIFE_MAX_MS);
    assert!(1 << AUDIT_PATH_MAX == RECEIPT_LEAVES_MAX);
    assert!(
        MESSAGE_CT_MAX > MESSAGE_MAX + MESSAGE_MAX / 10,
        "padding (at most 12 % on small, 7 % on large) fits"
    );
};
