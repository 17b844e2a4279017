//! From one content key to the commitment and the part keys: HKDF-SHA256, bound to author and message.
//!
//! Keys leave this room only inside types that wipe themselves and say nothing in `Debug`.

use std::fmt;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use valise_proto::header::Header;
use valise_proto::limits as l;
use valise_proto::signing::Hash;
use zeroize::Zeroizing;

use crate::labels;
use crate::limits::CEK_BYTES;

/// A content key: random, of one message, wiped when dropped ([S-2]).
pub struct Cek(Zeroizing<[u8; CEK_BYTES]>);

impl Cek {
    /// A fresh one.
    pub fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = Zeroizing::new([0; CEK_BYTES]);
        rng.fill_bytes(&mut bytes[..]);
        Self(bytes)
    }

    /// From the sealed store.
    pub fn from_bytes(bytes: &[u8; CEK_BYTES]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// For the sealed store, and for nothing else: whoever has them reads the message.
    pub fn as_bytes(&self) -> &[u8; CEK_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Cek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cek")
    }
}

/// The values of a header that the key schedule is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context([u8; l::HASH_BYTES]);

impl Context {
    /// Suite, sender, signing key and message id, each of fixed length or length-prefixed ([S-3]).
    pub fn of(header: &Header) -> Self {
        let sender = header.sender.as_str().as_bytes();
        let len = u8::try_from(sender.len()).expect("invariant: a mailbox has at most 65 characters");
        let hash = Hash::of(&[
            labels::CTX,
            &header.suite.to_be_bytes(),
            &[len],
            sender,
            &header.sender_key_id.0,
            header.message_id.as_bytes(),
        ]);
        Self(hash.0)
    }

    /// Its bytes: salt of the extraction, and associated data of every segment.
    pub fn as_bytes(&self) -> &[u8; l::HASH_BYTES] {
        &self.0
    }
}

/// Everything derived from one content key ([S-4]).
pub struct Schedule {
    context: Context,
    prk: Zeroizing<[u8; l::HASH_BYTES]>,
}

impl Schedule {
    /// Extracts.
    pub fn new(context: Context, cek: &Cek) -> Self {
        let (prk, _) = Hkdf::<Sha256>::extract(Some(&context.0), cek.as_bytes());
        Self { context, prk: Zeroizing::new(prk.into()) }
    }

    /// What the header states, so that a wrap cannot hold a second key for the same ciphertext.
    pub fn commitment(&self) -> [u8; l::HASH_BYTES] {
        *self.expand(&[labels::COMMIT])
    }

    /// Compares with what a header states, in constant time ([S-26]).
    pub fn commits_to(&self, stated: &[u8; l::HASH_BYTES]) -> bool {
        self.commitment().ct_eq(stated).into()
    }

    /// Associated data of every segment.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// The key of one part, used for that part alone.
    pub(crate) fn part_key(&self, part: u32) -> Zeroizing<[u8; l::HASH_BYTES]> {
        self.expand(&[labels::PART, &part.to_be_bytes()])
    }

    fn expand(&self, info: &[&[u8]]) -> Zeroizing<[u8; l::HASH_BYTES]> {
        let mut out = Zeroizing::new([0; l::HASH_BYTES]);
        Hkdf::<Sha256>::from_prk(&self.prk[..])
            .expect("invariant: the PRK is as long as the hash")
            .expand_multi_info(info, &mut out[..])
            .expect("invariant: 32 bytes are one block");
        out
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schedule")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Chance, header_of};

    #[test]
    fn a_schedule_is_bound_to_its_author_and_message() {
        let cek = Cek::random(&mut Chance::new("schedule"));
        let header = header_of("fr");
        let ours = Schedule::new(Context::of(&header), &cek);
        assert!(ours.commits_to(&ours.commitment()));
        let mut changed = [header.clone(), header.clone(), header.clone(), header.clone()];
        changed[0].suite = 2;
        changed[1].sender = "fr/fugitives".parse().unwrap();
        changed[2].sender_key_id.0[0] ^= 1;
        changed[3].message_id = valise_proto::names::MessageId::new([9; 16]);
        for header in changed {
            let other = Schedule::new(Context::of(&header), &cek);
            assert!(!other.commits_to(&ours.commitment()));
            assert_ne!(other.part_key(0), ours.part_key(0));
        }
    }

    #[test]
    fn no_two_keys_are_alike() {
        let schedule =
            Schedule::new(Context::of(&header_of("fr")), &Cek::random(&mut Chance::new("schedule")));
        let keys = [schedule.part_key(0), schedule.part_key(1), Zeroizing::new(schedule.commitment())];
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    }

    /// [S-48]
    #[test]
    fn keys_are_silent() {
        let cek = Cek::from_bytes(&[7; 32]);
        let schedule = Schedule::new(Context::of(&header_of("fr")), &cek);
        assert_eq!(format!("{cek:?} {schedule:?}"), "Cek Schedule");
    }
}
