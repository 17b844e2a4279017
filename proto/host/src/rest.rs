//! Sealing at rest: what lies on a disk is unreadable, and cannot be moved between rows, without the key file.
//!
//! One 32-byte key file, one derived key per purpose (HKDF-SHA256). Values are sealed with XChaCha20-Poly1305
//! (draft-irtf-cfrg-xchacha): HChaCha20 turns key and nonce into a key for once. This room never touches a file.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use chacha20::{Key, R20, hchacha};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::entropy::Entropy;
use crate::keyfile::KeyFile;

mod records;

pub use records::{RECORD_TAG_BYTES, RecordKey};

/// Random nonce before each sealed value (XChaCha20: long enough to draw at random for ever).
const NONCE_BYTES: usize = 24;
/// Poly1305 tag after each sealed value.
const TAG_BYTES: usize = 16;
/// What sealing adds to a value.
pub const SEAL_OVERHEAD: usize = NONCE_BYTES + TAG_BYTES;
/// Bytes of a lookup key or of a key check: collisions need 2^64 rows.
pub const BLIND_BYTES: usize = 16;
/// Put before every purpose, so that no other program's use of the key file meets ours.
const LABEL: &[u8] = b"valise/1 rest\0";

/// A sealed value did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a sealed row of `{table}` does not open: it was altered, moved or sealed under another key; restore the store from a backup"
)]
pub struct RestError {
    /// The table that the row was read from.
    pub table: &'static str,
}

/// Root of everything sealed at rest under one key file; wiped when dropped, silent in `Debug`.
pub struct RestKey(Zeroizing<[u8; 32]>);

impl RestKey {
    /// From a loaded key file.
    pub fn new(file: &KeyFile) -> Self {
        let mut root = Zeroizing::new([0; 32]);
        expand(file.bytes(), b"root", root.as_mut());
        Self(root)
    }

    /// A key for one purpose alone (RFC 5869, expand). The purpose is a fixed text, never input.
    pub fn derive(&self, purpose: &'static str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        expand(&self.0, purpose.as_bytes(), key.as_mut());
        key
    }

    /// A value that names the key without betraying it: stored in clear, it tells a wrong key from damage.
    pub fn check(&self) -> [u8; BLIND_BYTES] {
        let derived = self.derive("key check");
        std::array::from_fn(|at| derived[at])
    }
}

impl fmt::Debug for RestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RestKey(..)")
    }
}

fn expand(secret: &[u8; 32], purpose: &[u8], out: &mut [u8]) {
    let hkdf = Hkdf::<Sha256>::new(None, secret);
    hkdf.expand(&[LABEL, purpose].concat(), out).expect("invariant: 32 bytes are within HKDF's output");
}

struct Keys {
    sealing: Zeroizing<[u8; 32]>,
    blind: Zeroizing<[u8; 32]>,
    check: [u8; BLIND_BYTES],
    entropy: Arc<dyn Entropy>,
}

impl Keys {
    /// The key and nonce under which one value is sealed: 16 bytes of the drawn nonce go into the key, 8 remain.
    fn for_once(&self, nonce: &[u8; NONCE_BYTES]) -> (LessSafeKey, Nonce) {
        let (first, last) = nonce.split_first_chunk::<16>().expect("invariant: 24 bytes hold 16");
        let key =
            Zeroizing::new(<[u8; 32]>::from(hchacha::<R20>(<&Key>::from(&*self.sealing), &(*first).into())));
        let key =
            UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).expect("invariant: 32 bytes are a key for it");
        let mut rest = [0; NONCE_LEN];
        rest[NONCE_LEN - last.len()..].copy_from_slice(last);
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(rest))
    }
}

/// Seals and opens rows. Cheap to clone; keys are wiped with the last clone.
#[derive(Clone)]
pub struct Sealer(Arc<Keys>);

impl Sealer {
    /// From the key, with the source of nonces.
    pub fn new(key: &RestKey, entropy: Arc<dyn Entropy>) -> Self {
        let (sealing, blind) = (key.derive("rows"), key.derive("lookup"));
        Self(Arc::new(Keys { sealing, blind, check: key.check(), entropy }))
    }

    /// Seals a value for one row of one table; it opens there and nowhere else.
    pub fn seal(&self, table: &'static str, row: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        self.0.entropy.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(plaintext.len() + SEAL_OVERHEAD);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let (key, rest) = self.0.for_once(&nonce);
        let place = Aad::from(place(table, row));
        let tag = key.seal_in_place_separate_tag(rest, place, &mut sealed[NONCE_BYTES..]);
        let tag = tag.expect("invariant: a row is far below the cipher's 256 GiB");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what [`seal`](Self::seal) made for the same row of the same table.
    pub fn open(&self, table: &'static str, row: &[u8], sealed: &[u8]) -> Result<Vec<u8>, RestError> {
        let fault = RestError { table };
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(fault)?;
        let (key, rest) = self.0.for_once(nonce);
        let mut opened = sealed.to_vec();
        let len =
            key.open_in_place(rest, Aad::from(place(table, row)), &mut opened).map_err(|_| fault)?.len();
        opened.truncate(len);
        Ok(opened)
    }

    /// A lookup key: equal texts of one table give equal keys, and a stolen disk tells no text (RFC 2104).
    pub fn blind(&self, table: &'static str, text: &[u8]) -> [u8; BLIND_BYTES] {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.blind.as_ref());
        let mac = mac.expect("invariant: HMAC takes a key of any length").chain_update(place(table, text));
        let full = mac.finalize().into_bytes();
        std::array::from_fn(|at| full[at])
    }

    /// Random bytes from the source of nonces, to name a store by.
    pub fn draw<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.0.entropy.fill(&mut out);
        out
    }

    /// The check value of the key; see [`RestKey::check`].
    pub fn check(&self) -> [u8; BLIND_BYTES] {
        self.0.check
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// Length-prefixed table, then row: no two pairs share an encoding.
fn place(table: &str, row: &[u8]) -> Vec<u8> {
    let len = u32::try_from(table.len()).expect("invariant: a table's name is a short literal");
    [&len.to_be_bytes()[..], table.as_bytes(), row].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{OsEntropy, SeededEntropy};

    fn key(byte: u8) -> RestKey {
        RestKey::new(&KeyFile::from_bytes([byte; 32]))
    }

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&key(byte), Arc::new(OsEntropy))
    }

    #[test]
    fn a_row_opens_in_its_own_place_only() {
        let sealer = sealer(1);
        let sealed = sealer.seal("queue", b"7", b"fr to br");
        assert_eq!(sealed.len(), 8 + SEAL_OVERHEAD);
        assert_eq!(sealer.open("queue", b"7", &sealed).unwrap(), b"fr to br");
        for (table, row) in [("queue", &b"8"[..]), ("inbox", b"7"), ("queu", b"e7"), ("queue", b"")] {
            assert_eq!(sealer.open(table, row, &sealed), Err(RestError { table }));
        }
    }

    /// Stores that were sealed by the other library open here, and the other way round.
    #[test]
    fn it_is_the_same_construction_as_in_another_library() {
        use chacha20poly1305::aead::{Aead, Payload};
        use chacha20poly1305::{XChaCha20Poly1305, XNonce};
        let other = XChaCha20Poly1305::new(&(*key(1).derive("rows")).into());
        for len in [0, 1, 15, 16, 17, 63, 64, 65, 255, 1250, 65_552] {
            let text = vec![7; len];
            let sealed = sealer(1).seal("queue", b"7", &text);
            let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().unwrap();
            let aad = place("queue", b"7");
            let again = other.encrypt(&XNonce::from(*nonce), Payload { msg: &text, aad: &aad }).unwrap();
            assert_eq!(again, rest, "{len}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let sealer = sealer(1);
        let sealed = sealer.seal("queue", b"7", b"notice");
        for at in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[at / 8] ^= 1 << (at % 8);
            sealer.open("queue", b"7", &bad).unwrap_err();
        }
        for len in 0..sealed.len() {
            sealer.open("queue", b"7", &sealed[..len]).unwrap_err();
        }
    }

    #[test]
    fn the_same_row_sealed_twice_looks_different() {
        let sealer = Sealer::new(&key(1), Arc::new(SeededEntropy::new(3)));
        assert_ne!(sealer.seal("queue", b"7", b"x"), sealer.seal("queue", b"7", b"x"));
    }

    #[test]
    fn another_key_opens_nothing_and_its_check_says_so() {
        let sealed = sealer(1).seal("queue", b"7", b"x");
        sealer(2).open("queue", b"7", &sealed).unwrap_err();
        assert_ne!(sealer(1).check(), sealer(2).check());
        assert_eq!(sealer(1).check(), key(1).check());
    }

    #[test]
    fn lookup_keys_differ_by_table_text_and_key() {
        let one = sealer(1);
        let base = one.blind("mailbox", b"fr");
        assert_eq!(base, one.blind("mailbox", b"fr"));
        assert_ne!(base, one.blind("mailbox", b"br"));
        assert_ne!(base, one.blind("message", b"fr"));
        assert_ne!(base, sealer(2).blind("mailbox", b"fr"));
    }

    #[test]
    fn purposes_do_not_meet_and_keys_are_silent() {
        let key = key(0x41);
        assert_ne!(*key.derive("reset"), *key.derive("token"));
        assert_eq!(*key.derive("reset"), *key.derive("reset"));
        assert_eq!(format!("{key:?} {:?}", sealer(0x41)), "RestKey(..) Sealer(..)");
    }
}
