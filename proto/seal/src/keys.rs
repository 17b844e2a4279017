//! The secret halves: an epoch's two keys and a device's KEM key, made from chance that is handed in.
//!
//! Parsed once and kept parsed; wiped when dropped; silent in `Debug`; whole only in the sealed store.

use std::fmt;

use hpke::kem::XWing;
use hpke::{Deserializable, Kem, Serializable};
use rand_core::CryptoRng;
use valise_proto::bundle::{Epoch, PrekeyId};
use valise_proto::limits as l;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Bytes of an X-Wing seed.
pub const SEED_BYTES: usize = 32;
/// Bytes of an epoch's secrets as they rest: form, number, two times, two secrets.
pub const EPOCH_SECRET_BYTES: usize = 1 + 3 * 8 + SEED_BYTES + l::X25519_BYTES;
/// First byte of an epoch at rest: the only form there is.
const FORM: u8 = 1;

/// Secrets that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// What the store gave back is not an epoch.
    #[error("the stored epoch is damaged; restore the store, or let a new epoch be made")]
    Stored,
    /// The other side's X25519 value has small order: the result would be known to anyone.
    #[error("the other side's X25519 value has small order")]
    SmallOrder,
}

/// An X-Wing decapsulation key with its public half.
struct XWingSecret {
    secret: <XWing as Kem>::PrivateKey,
    public: Box<[u8; l::XWING_PUBLIC_BYTES]>,
}

impl XWingSecret {
    fn from_seed(seed: &[u8; SEED_BYTES]) -> Self {
        let secret = <XWing as Kem>::PrivateKey::from_bytes(seed)
            .expect("invariant: every string of 32 bytes is an X-Wing seed");
        let mut public = Box::new([0; l::XWING_PUBLIC_BYTES]);
        XWing::sk_to_pk(&secret).write_exact(&mut public[..]);
        Self { secret, public }
    }
}

fn draw(rng: &mut (impl CryptoRng + ?Sized)) -> Zeroizing<[u8; SEED_BYTES]> {
    let mut bytes = Zeroizing::new([0; SEED_BYTES]);
    rng.fill_bytes(&mut bytes[..]);
    bytes
}

/// What opens the wraps of one epoch ([S-40]).
pub struct EpochSecret {
    xwing: <XWing as Kem>::PrivateKey,
    x25519: StaticSecret,
    public: Epoch,
    prekey_id: PrekeyId,
}

impl EpochSecret {
    /// A new epoch, used between these times (Unix milliseconds). Nothing of an older epoch goes into it.
    pub fn generate(
        no: u64,
        not_before_ms: u64,
        not_after_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Self {
        let (seed, scalar) = (draw(rng), draw(rng));
        Self::assemble(no, not_before_ms, not_after_ms, &seed, &scalar)
    }

    fn assemble(
        no: u64,
        not_before_ms: u64,
        not_after_ms: u64,
        seed: &[u8; SEED_BYTES],
        scalar: &[u8; l::X25519_BYTES],
    ) -> Self {
        let XWingSecret { secret, public } = XWingSecret::from_seed(seed);
        let x25519 = StaticSecret::from(*scalar);
        let public = Epoch {
            no,
            not_before_ms,
            not_after_ms,
            xwing: public,
            x25519: PublicKey::from(&x25519).to_bytes(),
        };
        Self { xwing: secret, x25519, prekey_id: public.prekey_id(), public }
    }

    /// For the sealed store: form ‖ number ‖ not before ‖ not after (u64, big endian) ‖ X-Wing seed ‖ X25519 secret.
    pub fn to_bytes(&self) -> Zeroizing<[u8; EPOCH_SECRET_BYTES]> {
        let mut out = Zeroizing::new([0; EPOCH_SECRET_BYTES]);
        out[0] = FORM;
        out[1..9].copy_from_slice(&self.public.no.to_be_bytes());
        out[9..17].copy_from_slice(&self.public.not_before_ms.to_be_bytes());
        out[17..25].copy_from_slice(&self.public.not_after_ms.to_be_bytes());
        self.xwing.write_exact(&mut out[25..57]);
        out[57..].copy_from_slice(self.x25519.as_bytes());
        out
    }

    /// From the sealed store.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: &[u8; EPOCH_SECRET_BYTES] = bytes.try_into().map_err(|_| KeyError::Stored)?;
        let number = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        let secret = |at: usize| Zeroizing::new(std::array::from_fn(|i| bytes[at + i]));
        let (no, not_before_ms, not_after_ms) = (number(1), number(9), number(17));
        if bytes[0] != FORM || no == 0 || not_after_ms <= not_before_ms {
            return Err(KeyError::Stored);
        }
        Ok(Self::assemble(no, not_before_ms, not_after_ms, &secret(25), &secret(57)))
    }

    /// The public halves, for a bundle.
    pub fn public(&self) -> &Epoch {
        &self.public
    }

    /// Names the epoch.
    pub fn prekey_id(&self) -> &PrekeyId {
        &self.prekey_id
    }

    /// X25519 with another's value, refused when it would be known to anyone ([S-47]).
    pub fn agree(
        &self,
        theirs: &[u8; l::X25519_BYTES],
    ) -> Result<Zeroizing<[u8; l::X25519_BYTES]>, KeyError> {
        let shared = self.x25519.diffie_hellman(&PublicKey::from(*theirs));
        if !shared.was_contributory() {
            return Err(KeyError::SmallOrder);
        }
        Ok(Zeroizing::new(shared.to_bytes()))
    }

    pub(crate) fn xwing(&self) -> &<XWing as Kem>::PrivateKey {
        &self.xwing
    }
}

impl fmt::Debug for EpochSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochSecret({})", self.public.no)
    }
}

/// A device's own KEM key: siblings of a mailbox share epochs under it ([S-46]).
pub struct DeviceKemSecret(XWingSecret);

impl DeviceKemSecret {
    /// From the 32-byte seed in its key file.
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Self {
        Self(XWingSecret::from_seed(seed))
    }

    /// The public half, for a bundle.
    pub fn public(&self) -> &[u8; l::XWING_PUBLIC_BYTES] {
        &self.0.public
    }

    /// The seed, for its key file.
    pub fn seed(&self) -> Zeroizing<[u8; SEED_BYTES]> {
        let mut out = Zeroizing::new([0; SEED_BYTES]);
        self.0.secret.write_exact(&mut out[..]);
        out
    }
}

impl fmt::Debug for DeviceKemSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKemSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Chance;

    fn epoch() -> EpochSecret {
        EpochSecret::generate(3, 1000, 2000, &mut Chance::new("epoch"))
    }

    #[test]
    fn an_epoch_comes_back_from_the_store() {
        let ours = epoch();
        let back = EpochSecret::from_bytes(&ours.to_bytes()[..]).unwrap();
        assert_eq!(back.public(), ours.public());
        assert_eq!(back.prekey_id(), &ours.public().prekey_id());
        assert_eq!(back.to_bytes(), ours.to_bytes());
    }

    #[test]
    fn a_damaged_epoch_is_refused() {
        let good = epoch().to_bytes();
        let mut form = good.clone();
        form[0] = 2;
        let mut times = good.clone();
        times[17..25].fill(0);
        for bad in [&form[..], &times[..], &good[1..], &[]] {
            assert_eq!(EpochSecret::from_bytes(bad).err(), Some(KeyError::Stored));
        }
    }

    #[test]
    fn no_two_epochs_are_alike() {
        let mut chance = Chance::new("epoch");
        let [a, b] = [1, 2].map(|no| EpochSecret::generate(no, 1000, 2000, &mut chance));
        assert_ne!(a.prekey_id(), b.prekey_id());
        assert_ne!(a.public().xwing, b.public().xwing);
        assert_ne!(a.public().x25519, b.public().x25519);
    }

    #[test]
    fn both_sides_agree_and_a_value_of_small_order_is_refused() {
        let mut chance = Chance::new("agree");
        let [fr, br] = [1, 2].map(|no| EpochSecret::generate(no, 1000, 2000, &mut chance));
        assert_eq!(fr.agree(&br.public().x25519).unwrap(), br.agree(&fr.public().x25519).unwrap());
        let mut one = [0; 32];
        one[0] = 1;
        for small in [[0; 32], one] {
            assert_eq!(fr.agree(&small).err(), Some(KeyError::SmallOrder));
        }
    }

    /// [S-48]
    #[test]
    fn secrets_are_silent() {
        let kem = DeviceKemSecret::from_seed(&[7; 32]);
        assert_eq!(format!("{:?} {kem:?}", epoch()), "EpochSecret(3) DeviceKemSecret");
        assert_eq!(kem.seed()[..], [7; 32]);
    }
}
