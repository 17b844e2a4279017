//! The numbers that only the ends need: name, unit, reason. Those both sides rely on are the treaty's
//! (`valise_proto::limits`).

use valise_proto::limits as l;

/// Bytes of a content key.
pub const CEK_BYTES: usize = 32;
/// Least plaintext bytes of a part once padded: receipts, short answers and short texts look alike.
pub const PADDED_MIN: u64 = 256;
/// Most ciphertext bytes of part 0: the content is held in memory before it is believed.
pub const CONTENT_CT_MAX: u64 = (l::CONTENT_MAX + l::CONTENT_MAX / l::SEGMENT_BYTES * l::TAG_BYTES) as u64;
/// A new epoch is made when less than this is left of the newest, milliseconds: a day to reach the relay.
pub const RENEW_BEFORE_MS: u64 = l::DAY_MS;
/// Longest life of a message that a bundle promises to keep seeds for, days: the usual life of a message.
pub const MAX_TTL_DAYS: u32 = 30;
/// How long a seed outlives its epoch once the queue is drained, hours: two skewed clocks.
pub const DRAIN_HOURS: u32 = 48;
/// How long a seed outlives its last use by a sender, milliseconds: life of a message and the drain.
pub const SEED_KEPT_MS: u64 = MAX_TTL_DAYS as u64 * l::DAY_MS + DRAIN_HOURS as u64 * 60 * 60 * 1000;

const _: () = {
    assert!(MAX_TTL_DAYS as u64 * l::DAY_MS == l::MESSAGE_LIFE_MS, "a usual message outlives no seed");
    assert!(RENEW_BEFORE_MS < l::EPOCH_MS);
    assert!(CEK_BYTES + 1 + l::TAG_BYTES == l::WRAP_CT_BYTES, "content key, flags, tag");
};
