//! The epochs that a device still holds, by mailbox and prekey id, and when each may be forgotten.
//!
//! Keeps nothing on disk: the caller stores an epoch before it is published and deletes what `forget` names.

use std::collections::BTreeMap;

use valise_proto::bundle::{Bundle, PrekeyId};
use valise_proto::names::Mailbox;

use crate::keys::EpochSecret;
use crate::limits::SEED_KEPT_MS;

/// Held epochs.
#[derive(Debug, Default)]
pub struct Keyring(BTreeMap<Mailbox, BTreeMap<PrekeyId, EpochSecret>>);

impl Keyring {
    /// Takes an epoch of a mailbox.
    pub fn add(&mut self, mailbox: Mailbox, epoch: EpochSecret) {
        self.0.entry(mailbox).or_default().insert(*epoch.prekey_id(), epoch);
    }

    /// The epoch of this mailbox with this id: another mailbox's does not count.
    pub fn find(&self, mailbox: &Mailbox, prekey_id: &PrekeyId) -> Option<&EpochSecret> {
        self.0.get(mailbox)?.get(prekey_id)
    }

    /// The epochs of a mailbox.
    pub fn of(&self, mailbox: &Mailbox) -> impl Iterator<Item = &EpochSecret> {
        self.0.get(mailbox).into_iter().flat_map(BTreeMap::values)
    }

    /// Drops, and names, the epochs that no envelope can need any more ([S-45]). `confirmed` is the newest batch
    /// that the relay said is durable: until then the epochs before it stay, senders may know no other.
    pub fn forget(&mut self, confirmed: &Bundle, now_ms: u64) -> Vec<PrekeyId> {
        let Some(epochs) = self.0.get_mut(&confirmed.mailbox) else { return Vec::new() };
        let Some(oldest) = confirmed.epochs.first() else { return Vec::new() };
        let useless = |epoch: &EpochSecret| {
            let last_use_ms = epoch.public().not_after_ms.max(oldest.not_before_ms);
            epoch.public().no < oldest.no && last_use_ms.saturating_add(SEED_KEPT_MS) < now_ms
        };
        epochs.extract_if(.., |_, epoch| useless(epoch)).map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use valise_proto::limits::{DAY_MS, EPOCH_MS};

    use super::*;
    use crate::testing::{Chance, NOW};

    fn held(keyring: &Keyring, mailbox: &Mailbox) -> Vec<u64> {
        let mut numbers: Vec<u64> = keyring.of(mailbox).map(|epoch| epoch.public().no).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn an_epoch_is_forgotten_only_when_a_confirmed_batch_left_it_out_and_its_messages_are_dead() {
        let mailbox: Mailbox = "minustah".parse().unwrap();
        let mut chance = Chance::new("keyring");
        let mut keyring = Keyring::default();
        let mut epochs = Vec::new();
        for (no, start) in [(1, NOW), (2, NOW + EPOCH_MS), (3, NOW + 2 * EPOCH_MS)] {
            let secret = EpochSecret::generate(no, start, start + EPOCH_MS, &mut chance);
            epochs.push(secret.public().clone());
            keyring.add(mailbox.clone(), secret);
        }
        let mut confirmed = Bundle {
            mailbox: mailbox.clone(),
            batch_no: 1,
            prev: None,
            epochs: epochs[..1].to_vec(),
            drain_hours: 48,
            max_ttl_days: 30,
            devices: Vec::new(),
        };
        let late = NOW + 400 * DAY_MS;
        assert_eq!(keyring.forget(&confirmed, late), [[0; 16]; 0], "the last resort of old senders");
        confirmed.epochs = epochs[1..].to_vec();
        assert_eq!(keyring.forget(&confirmed, NOW + EPOCH_MS + 31 * DAY_MS), [[0; 16]; 0]);
        assert_eq!(keyring.forget(&confirmed, NOW + EPOCH_MS + 33 * DAY_MS), [epochs[0].prekey_id()]);
        assert_eq!(held(&keyring, &mailbox), [2, 3]);
        confirmed.mailbox = "fr".parse().unwrap();
        assert_eq!(keyring.forget(&confirmed, late), [[0; 16]; 0], "another mailbox's batch");
    }

    #[test]
    fn an_epoch_is_found_under_its_own_mailbox_only() {
        let (fr, desk): (Mailbox, Mailbox) = ("fr".parse().unwrap(), "fr/fugitives".parse().unwrap());
        let secret = EpochSecret::generate(1, 1, 2, &mut Chance::new("fr"));
        let id = *secret.prekey_id();
        let mut keyring = Keyring::default();
        keyring.add(fr.clone(), secret);
        assert!(keyring.find(&fr, &id).is_some());
        assert!(keyring.find(&desk, &id).is_none());
    }
}
