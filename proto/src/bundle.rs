//! Bundles: a mailbox's epoch prekeys and its devices' KEM keys, signed by one of those devices.
//!
//! Holds public halves only; the seeds live with the ends.

use bytes::Bytes;

use crate::limits as l;
use crate::names::{DeviceName, Mailbox};
use crate::scan;
use crate::signing::{Hash, Label, SigningKey, VerifyKey};
use crate::wire::{self, BadField, ReadError, canonical, fixed};

/// Names an epoch key.
pub type PrekeyId = [u8; l::PREKEY_ID_BYTES];

/// One epoch's public keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Counts from 1.
    pub no: u64,
    /// Unix milliseconds.
    pub not_before_ms: u64,
    /// Unix milliseconds; past it only as the last resort.
    pub not_after_ms: u64,
    /// X-Wing public key.
    pub xwing: Box<[u8; l::XWING_PUBLIC_BYTES]>,
    /// X25519 public key, for resumption wraps.
    pub x25519: [u8; l::X25519_BYTES],
}

impl Epoch {
    /// Names the epoch key: the first half of a hash over both public keys, so it cannot be lent to others.
    pub fn prekey_id(&self) -> PrekeyId {
        Hash::of(&[b"valise/1 prekey\0", &self.xwing[..], &self.x25519]).half()
    }
}

/// A device of the mailbox and its own KEM key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKem {
    /// Which device.
    pub device: DeviceName,
    /// X-Wing public key.
    pub xwing: Box<[u8; l::XWING_PUBLIC_BYTES]>,
}

/// A batch of epochs, every value within its rule ([P-45]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Whose keys.
    pub mailbox: Mailbox,
    /// Only upward.
    pub batch_no: u64,
    /// SHA-256 of the bundle before; none for the first.
    pub prev: Option<Hash>,
    /// By number, at least one.
    pub epochs: Vec<Epoch>,
    /// How long a seed outlives its epoch once drained, hours.
    pub drain_hours: u32,
    /// Longest life of a message to this mailbox, days.
    pub max_ttl_days: u32,
    /// Devices of the mailbox.
    pub devices: Vec<DeviceKem>,
}

/// An epoch to seal to, and whether it is used past its time because no newer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usable<'a> {
    /// The epoch.
    pub epoch: &'a Epoch,
    /// The trace says `late-key`.
    pub late: bool,
}

impl Bundle {
    /// The epoch to seal to now: the current one, else the newest as the last resort. A silent mailbox stays
    /// reachable; one whose clock runs ahead is sealed to its earliest.
    pub fn usable(&self, now_ms: u64) -> Usable<'_> {
        let current =
            self.epochs.iter().rev().find(|e| e.not_before_ms <= now_ms && now_ms <= e.not_after_ms);
        let newest = self.epochs.last().expect("a bundle has an epoch: checked when read");
        match current {
            Some(epoch) => Usable { epoch, late: false },
            None if now_ms > newest.not_after_ms => Usable { epoch: newest, late: true },
            None => Usable { epoch: &self.epochs[0], late: false },
        }
    }

    /// The one encoding.
    pub fn encode(&self) -> Bytes {
        wire::encode(&wire::Bundle {
            mailbox: self.mailbox.to_string(),
            batch_no: self.batch_no,
            prev_batch_sha256: self.prev.map(|h| Bytes::copy_from_slice(&h.0)).unwrap_or_default(),
            epochs: self
                .epochs
                .iter()
                .map(|epoch| wire::Epoch {
                    no: epoch.no,
                    prekey_id: Bytes::copy_from_slice(&epoch.prekey_id()),
                    not_before_ms: epoch.not_before_ms,
                    not_after_ms: epoch.not_after_ms,
                    xwing_pk: Bytes::copy_from_slice(&epoch.xwing[..]),
                    x25519_pk: Bytes::copy_from_slice(&epoch.x25519),
                })
                .collect(),
            max_suite: crate::header::SUITE_1,
            min_suite: crate::header::SUITE_1,
            drain_hours: self.drain_hours,
            max_ttl_days: self.max_ttl_days,
            devices: self
                .devices
                .iter()
                .map(|kem| wire::DeviceKem {
                    device: kem.device.to_string(),
                    xwing_pk: Bytes::copy_from_slice(&kem.xwing[..]),
                })
                .collect(),
        })
    }

    fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        if bytes.len() > l::BUNDLE_MAX {
            return Err(ReadError::TooLarge);
        }
        scan::bundle(bytes).map_err(|_| ReadError::Malformed)?;
        let wire: wire::Bundle = canonical(bytes).ok_or(ReadError::Malformed)?;
        let epochs = wire.epochs.iter().map(epoch).collect::<Result<Vec<_>, _>>()?;
        if epochs.is_empty() || !epochs.is_sorted_by(|a, b| a.no < b.no && a.not_before_ms <= b.not_before_ms)
        {
            return Err(BadField("epochs").into());
        }
        let suite_fits = wire.min_suite <= crate::header::SUITE_1 && wire.max_suite >= crate::header::SUITE_1;
        if wire.batch_no == 0 || !suite_fits || wire.max_ttl_days > 90 {
            return Err(BadField("batch_no, suites or max_ttl_days").into());
        }
        let prev = match &wire.prev_batch_sha256[..] {
            [] => None,
            bytes => Some(Hash(fixed(bytes, "prev_batch_sha256")?)),
        };
        Ok(Self {
            mailbox: Mailbox::new(&wire.mailbox).map_err(|_| BadField("mailbox"))?,
            batch_no: wire.batch_no,
            prev,
            epochs,
            drain_hours: wire.drain_hours,
            max_ttl_days: wire.max_ttl_days,
            devices: wire.devices.iter().map(device_kem).collect::<Result<_, _>>()?,
        })
    }
}

fn xwing(bytes: &[u8]) -> Result<Box<[u8; l::XWING_PUBLIC_BYTES]>, BadField> {
    Box::<[u8]>::from(bytes).try_into().map_err(|_| BadField("xwing_pk"))
}

fn epoch(wire: &wire::Epoch) -> Result<Epoch, BadField> {
    let epoch = Epoch {
        no: wire.no,
        not_before_ms: wire.not_before_ms,
        not_after_ms: wire.not_after_ms,
        xwing: xwing(&wire.xwing_pk)?,
        x25519: fixed(&wire.x25519_pk, "x25519_pk")?,
    };
    if epoch.prekey_id()[..] != wire.prekey_id[..]
        || epoch.not_after_ms <= epoch.not_before_ms
        || epoch.no == 0
    {
        return Err(BadField("epochs"));
    }
    Ok(epoch)
}

fn device_kem(wire: &wire::DeviceKem) -> Result<DeviceKem, BadField> {
    let device = DeviceName::new(&wire.device).map_err(|_| BadField("devices"))?;
    Ok(DeviceKem { device, xwing: xwing(&wire.xwing_pk)? })
}

/// A bundle under its signature and its signer's papers.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedBundle(wire::SignedBundle);

impl SignedBundle {
    /// Signs a bundle; the papers are the device's signing certificate and its CA's, DER.
    pub fn sign(bundle: &Bundle, key: &SigningKey, leaf: Bytes, issuer: Bytes) -> Self {
        let bytes = bundle.encode();
        let signature = Bytes::copy_from_slice(&key.sign(Label::Bundle, &bytes));
        Self(wire::SignedBundle { bundle: bytes, signature, leaf: Some(wire::SigningLeaf { leaf, issuer }) })
    }

    /// Takes one that came in a frame; checks its shape only.
    pub fn received(wire: wire::SignedBundle) -> Result<Self, ReadError> {
        if wire.bundle.len() > l::BUNDLE_MAX {
            return Err(ReadError::TooLarge);
        }
        let Some(leaf) = &wire.leaf else { return Err(BadField("leaf").into()) };
        if leaf.leaf.len() > l::CERTIFICATE_MAX || leaf.issuer.len() > l::CERTIFICATE_MAX {
            return Err(ReadError::TooLarge);
        }
        Ok(Self(wire))
    }

    /// From the bytes in which it rests.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, ReadError> {
        Self::received(prost::Message::decode(bytes).map_err(|_| ReadError::Malformed)?)
    }

    /// The bytes in which it rests.
    pub fn to_bytes(&self) -> Bytes {
        wire::encode(&self.0)
    }

    /// For a frame.
    pub fn to_wire(&self) -> wire::SignedBundle {
        self.0.clone()
    }

    /// SHA-256 of the bundle: what the next batch names as its forerunner.
    pub fn digest(&self) -> Hash {
        Hash::of(&[&self.0.bundle])
    }

    /// The signer's certificate and the one over it, DER.
    pub fn signer(&self) -> (&[u8], &[u8]) {
        self.0.leaf.as_ref().map_or((&[], &[]), |leaf| (&leaf.leaf, &leaf.issuer))
    }

    /// What it says, without any word on whether it is so: a relay keeps it by this.
    pub fn claim(&self) -> Result<Bundle, ReadError> {
        Bundle::read(&self.0.bundle)
    }

    /// Verifies with the signer's key, then reads. Whose key it is, is asked of the certificates first.
    pub fn verify(&self, key: &VerifyKey) -> Result<Bundle, ReadError> {
        key.verify(Label::Bundle, &self.0.bundle, &self.0.signature)?;
        self.claim()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(no: u64, not_before_ms: u64) -> Epoch {
        let filled = u8::try_from(no).unwrap();
        Epoch {
            no,
            not_before_ms,
            not_after_ms: not_before_ms + l::EPOCH_MS,
            xwing: Box::new([filled; l::XWING_PUBLIC_BYTES]),
            x25519: [filled; 32],
        }
    }

    fn bundle() -> Bundle {
        Bundle {
            mailbox: Mailbox::new("minustah").unwrap(),
            batch_no: 2,
            prev: Some(Hash([8; 32])),
            epochs: vec![epoch(1, 1000), epoch(2, 1000 + l::EPOCH_MS)],
            drain_hours: 48,
            max_ttl_days: 30,
            devices: vec![DeviceKem {
                device: DeviceName::new("u7").unwrap(),
                xwing: Box::new([9; l::XWING_PUBLIC_BYTES]),
            }],
        }
    }

    #[test]
    fn a_bundle_reads_back_only_under_its_signers_key() {
        let key = SigningKey::from_seed(&[1; 32]);
        let signed = SignedBundle::sign(&bundle(), &key, Bytes::new(), Bytes::new());
        let rested = SignedBundle::from_bytes(signed.to_bytes()).unwrap();
        assert_eq!(rested.verify(&key.verify_key()).unwrap(), bundle());
        let other = SigningKey::from_seed(&[2; 32]).verify_key();
        assert_eq!(rested.verify(&other), Err(ReadError::Signature));
    }

    #[test]
    fn a_prekey_id_belongs_to_its_keys() {
        let key = SigningKey::from_seed(&[1; 32]);
        let mut wire: wire::Bundle = prost::Message::decode(bundle().encode()).unwrap();
        wire.epochs[1].prekey_id = wire.epochs[0].prekey_id.clone();
        let bytes = wire::encode(&wire);
        let signature = Bytes::copy_from_slice(&key.sign(Label::Bundle, &bytes));
        let leaf = Some(wire::SigningLeaf::default());
        let forged = SignedBundle::received(wire::SignedBundle { bundle: bytes, signature, leaf }).unwrap();
        assert_eq!(forged.verify(&key.verify_key()), Err(BadField("epochs").into()));
    }

    #[test]
    fn the_newest_epoch_is_the_last_resort() {
        let bundle = bundle();
        let at = |now| {
            let usable = bundle.usable(now);
            (usable.epoch.no, usable.late)
        };
        assert_eq!(at(500), (1, false));
        assert_eq!(at(2000), (1, false));
        assert_eq!(at(2000 + l::EPOCH_MS), (2, false));
        assert_eq!(at(1000 + 7 * l::EPOCH_MS), (2, true));
    }
}
