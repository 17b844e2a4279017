//! Sealing of numbered records, many under one key: the number is the nonce, so it is given once for ever.
//!
//! Whoever holds the key sees to that; this room cannot know what was sealed before.

use std::fmt;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Poly1305 tag after each sealed record.
pub const RECORD_TAG_BYTES: usize = 16;

/// The key of a run of records (RFC 8439); silent in `Debug`.
pub struct RecordKey(LessSafeKey);

impl RecordKey {
    /// From 32 random bytes that seal nothing else.
    pub fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key);
        Self(LessSafeKey::new(key.expect("invariant: 32 bytes are a key for it")))
    }

    /// Seals a record where it lies. `number` must never have been used under this key; it opens only with the same
    /// number and the same words about its place.
    pub fn seal(&self, number: u64, place: &[u8], record: &mut [u8]) -> [u8; RECORD_TAG_BYTES] {
        let tag = self.0.seal_in_place_separate_tag(nonce(number), Aad::from(place), record);
        let tag = tag.expect("invariant: a record is far below the cipher's 256 GiB");
        tag.as_ref().try_into().expect("invariant: the tag of this cipher has 16 bytes")
    }

    /// Opens a record with its tag where they lie; gives what was sealed, or nothing.
    pub fn open<'a>(&self, number: u64, place: &[u8], sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        self.0.open_in_place(nonce(number), Aad::from(place), sealed).ok()
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKey(..)")
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_with_its_number_in_its_place_and_nowhere_else() {
        let key = RecordKey::new(&[1; 32]);
        let mut record = b"fr to br".to_vec();
        let tag = key.seal(7, b"here", &mut record);
        record.extend_from_slice(&tag);
        for (number, place) in [(8, &b"here"[..]), (7, b"there")] {
            assert!(key.open(number, place, &mut record.clone()).is_none());
        }
        assert!(RecordKey::new(&[2; 32]).open(7, b"here", &mut record.clone()).is_none());
        for bit in 0..record.len() * 8 {
            let mut bad = record.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(7, b"here", &mut bad).is_none(), "bit {bit}");
        }
        assert_eq!(key.open(7, b"here", &mut record).unwrap(), b"fr to br");
        assert_eq!(format!("{key:?}"), "RecordKey(..)");
    }
}
