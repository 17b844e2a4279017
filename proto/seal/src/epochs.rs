//! Making epochs: the first batch of a mailbox and each weekly one after it, as secrets and as a signed bundle.
//!
//! Decides nothing about when they are published or stored; the secrets must rest before the bundle leaves.

use bytes::Bytes;
use rand_core::CryptoRng;
use valise_proto::bundle::{Bundle, DeviceKem, Epoch, SignedBundle};
use valise_proto::limits as l;
use valise_proto::names::{DeviceName, Mailbox};
use valise_proto::signing::SigningKey;
use valise_proto::wire::ReadError;

use crate::keyring::Keyring;
use crate::keys::{DeviceKemSecret, EpochSecret};
use crate::limits::{DRAIN_HOURS, MAX_TTL_DAYS, RENEW_BEFORE_MS};

/// Why no batch was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// The batch before cannot be read.
    #[error("the batch before cannot be read: {0}; fetch it again from the relay")]
    Previous(#[from] ReadError),
    /// The batch before belongs to another mailbox.
    #[error("the batch before belongs to another mailbox")]
    Mailbox,
    /// The mailbox has as many devices as a bundle may name.
    #[error("the mailbox has {} devices already; retire one first", l::DEVICES_PER_MAILBOX)]
    Devices,
}

/// A mailbox and the device that makes its batches.
pub struct EpochMaker<'a> {
    /// Whose keys.
    pub mailbox: &'a Mailbox,
    /// Who makes them.
    pub device: &'a DeviceName,
    /// The device's own KEM key.
    pub kem: &'a DeviceKemSecret,
    /// The device's signing key.
    pub key: &'a SigningKey,
    /// Its certificate, DER.
    pub leaf: Bytes,
    /// The certificate over that, DER.
    pub issuer: Bytes,
}

/// A batch: store the secret first, then publish the bundle.
#[derive(Debug)]
pub struct Batch {
    /// The new epoch.
    pub secret: EpochSecret,
    /// What the bundle says.
    pub bundle: Bundle,
    /// The bundle as it travels.
    pub signed: SignedBundle,
}

/// Whether it is time for a new batch: less than a day is left of the newest epoch ([S-42]).
pub fn renewal_due(bundle: &Bundle, now_ms: u64) -> bool {
    bundle.epochs.last().is_none_or(|newest| newest.not_after_ms < now_ms.saturating_add(RENEW_BEFORE_MS))
}

impl EpochMaker<'_> {
    /// Makes the next epoch, a week long from now, and signs a batch that states it beside the one in use.
    ///
    /// `previous` is the newest batch that we or the relay know, its signature verified; without one this is the
    /// first ([S-41]). Of its epochs only those still in use and held in `keyring` are stated again: after the loss
    /// of a store, what we cannot open must not be sealed to.
    pub fn next(
        &self,
        previous: Option<&SignedBundle>,
        keyring: &Keyring,
        now_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Batch, EpochError> {
        let before = previous.map(SignedBundle::claim).transpose()?;
        if before.as_ref().is_some_and(|bundle| bundle.mailbox != *self.mailbox) {
            return Err(EpochError::Mailbox);
        }
        let newest = before.as_ref().and_then(|bundle| bundle.epochs.last());
        // A clock set back must not put the new epoch before the old: senders take the latest that has begun.
        let start_ms = newest.map_or(now_ms, |epoch| epoch.not_before_ms.max(now_ms));
        let no = newest.map_or(1, |epoch| epoch.no + 1);
        let secret = EpochSecret::generate(no, start_ms, start_ms.saturating_add(l::EPOCH_MS), rng);
        let in_use = |epoch: &&Epoch| {
            epoch.not_after_ms >= now_ms && keyring.find(self.mailbox, &epoch.prekey_id()).is_some()
        };
        let mut epochs: Vec<Epoch> = newest.filter(in_use).cloned().into_iter().collect();
        epochs.push(secret.public().clone());
        let bundle = Bundle {
            mailbox: self.mailbox.clone(),
            batch_no: before.as_ref().map_or(1, |bundle| bundle.batch_no + 1), // [S-43]
            prev: previous.map(SignedBundle::digest),
            epochs,
            drain_hours: DRAIN_HOURS,
            max_ttl_days: MAX_TTL_DAYS,
            devices: self.devices(before)?,
        };
        let signed = SignedBundle::sign(&bundle, self.key, self.leaf.clone(), self.issuer.clone());
        Ok(Batch { secret, bundle, signed })
    }

    /// The devices of the batch before, with this one as it is now.
    fn devices(&self, before: Option<Bundle>) -> Result<Vec<DeviceKem>, EpochError> {
        let mut devices = before.map(|bundle| bundle.devices).unwrap_or_default();
        devices.retain(|kem| kem.device != *self.device);
        if devices.len() >= l::DEVICES_PER_MAILBOX {
            return Err(EpochError::Devices);
        }
        devices.push(DeviceKem { device: self.device.clone(), xwing: Box::new(*self.kem.public()) });
        devices.sort_by(|a, b| a.device.cmp(&b.device));
        Ok(devices)
    }
}

#[cfg(test)]
mod tests;
