//! The labels of every derivation here, in one place, so that no two uses of a key share one.
//!
//! Signature labels are the treaty's (`valise_proto::signing::Label`).

/// Before the values that bind a key schedule to its author and message.
pub(crate) const CTX: &[u8] = b"valise/1 ctx\0";
/// Before the values that bind a key wrap to its mailbox, epoch and header.
pub(crate) const WRAP: &[u8] = b"valise/1 wrap\0";
/// HKDF info of the key commitment.
pub(crate) const COMMIT: &[u8] = b"commit";
/// HKDF info of a part key, before the part's index.
pub(crate) const PART: &[u8] = b"part";
