//! Stories of a mailbox's keys over the weeks: first start, renewal, a lost store, a clock set back.

use valise_proto::limits::{DAY_MS, EPOCH_MS};

use super::*;
use crate::testing::{Chance, NOW};

/// The mission `minustah` with its device `u7`.
struct Mission {
    mailbox: Mailbox,
    device: DeviceName,
    kem: DeviceKemSecret,
    key: SigningKey,
    keyring: Keyring,
    chance: Chance,
}

impl Mission {
    fn new() -> Self {
        let mut chance = Chance::new("minustah");
        Self {
            mailbox: "minustah".parse().unwrap(),
            device: "u7".parse().unwrap(),
            kem: DeviceKemSecret::from_seed(&chance.draw()),
            key: SigningKey::from_seed(&chance.draw()),
            keyring: Keyring::default(),
            chance,
        }
    }

    fn next(
        &mut self,
        previous: Option<&SignedBundle>,
        now_ms: u64,
    ) -> Result<(Bundle, SignedBundle), EpochError> {
        let maker = EpochMaker {
            mailbox: &self.mailbox,
            device: &self.device,
            kem: &self.kem,
            key: &self.key,
            leaf: Bytes::from_static(b"leaf"),
            issuer: Bytes::from_static(b"issuer"),
        };
        let batch = maker.next(previous, &self.keyring, now_ms, &mut self.chance)?;
        assert_eq!(batch.bundle.epochs.last().unwrap(), batch.secret.public());
        self.keyring.add(self.mailbox.clone(), batch.secret);
        // What the relay and the others will read.
        let received = SignedBundle::received(batch.signed.to_wire()).unwrap();
        assert_eq!(received.verify(&self.key.verify_key()).unwrap(), batch.bundle);
        Ok((batch.bundle, batch.signed))
    }
}

fn numbers(bundle: &Bundle) -> Vec<u64> {
    bundle.epochs.iter().map(|epoch| epoch.no).collect()
}

#[test]
fn week_after_week_a_batch_follows_the_one_before() {
    let mut mission = Mission::new();
    let (first, signed) = mission.next(None, NOW).unwrap();
    assert_eq!((first.batch_no, first.prev, numbers(&first)), (1, None, vec![1]));
    assert_eq!(first.devices[0].device.as_str(), "u7");
    assert!(!renewal_due(&first, NOW + 5 * DAY_MS));
    assert!(renewal_due(&first, NOW + 6 * DAY_MS + 1));

    let later = NOW + 6 * DAY_MS + 1;
    let (second, signed_second) = mission.next(Some(&signed), later).unwrap();
    assert_eq!((second.batch_no, second.prev, numbers(&second)), (2, Some(signed.digest()), vec![1, 2]));
    assert_eq!(second.usable(later).epoch.no, 2, "senders take up the new epoch at once");
    assert!(!renewal_due(&second, later));
    assert_eq!(second.devices, first.devices);

    let long_after = later + EPOCH_MS + 40 * DAY_MS;
    assert!(second.usable(long_after).late, "[S-44]: the newest epoch is the last resort");
    let (third, _) = mission.next(Some(&signed_second), long_after).unwrap();
    assert_eq!((third.batch_no, numbers(&third)), (3, vec![3]), "what is past is not stated again");
}

#[test]
fn after_the_loss_of_a_store_nothing_is_stated_that_cannot_be_opened() {
    let mut mission = Mission::new();
    let (_, signed) = mission.next(None, NOW).unwrap();
    mission.keyring = Keyring::default();
    let (bundle, _) = mission.next(Some(&signed), NOW + DAY_MS).unwrap();
    assert_eq!((bundle.batch_no, numbers(&bundle)), (2, vec![2]));
}

#[test]
fn a_clock_set_back_does_not_hide_the_new_epoch() {
    let mut mission = Mission::new();
    let (_, signed) = mission.next(None, NOW).unwrap();
    let (bundle, _) = mission.next(Some(&signed), NOW - 30 * DAY_MS).unwrap();
    assert_eq!(bundle.usable(NOW).epoch.no, 2);
}

#[test]
fn a_batch_continues_its_own_mailbox_only() {
    let mut mission = Mission::new();
    let (_, signed) = mission.next(None, NOW).unwrap();
    mission.mailbox = "minustah/port".parse().unwrap();
    assert_eq!(mission.next(Some(&signed), NOW).unwrap_err(), EpochError::Mailbox);
}

#[test]
fn a_bundle_names_at_most_sixteen_devices() {
    let mut mission = Mission::new();
    let mut signed = None;
    for number in 0..l::DEVICES_PER_MAILBOX {
        mission.device = format!("u{number}").parse().unwrap();
        signed = Some(mission.next(signed.as_ref(), NOW).unwrap().1);
    }
    let again = mission.next(signed.as_ref(), NOW).unwrap().0;
    assert_eq!(again.devices.len(), l::DEVICES_PER_MAILBOX);
    mission.device = "one-more".parse().unwrap();
    assert_eq!(mission.next(signed.as_ref(), NOW).unwrap_err(), EpochError::Devices);
}
