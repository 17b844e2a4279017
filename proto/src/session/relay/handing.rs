//! What is handed out to a device: which mailboxes are being asked, what goes next over all of them, which entries are
//! under way, stored or given up.
//!
//! Knows numbers, mailboxes and ranks alone. Whether the session is alive is the session's to say, and how urgent an entry
//! has become the scheduler's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::super::window::Window;
use super::{Action, Offer};
use crate::limits as l;
use crate::names::Mailbox;

/// Of all places in flight so many are left to a flash: it does not wait until a device has stored something.
const FLASH_PLACES: usize = 1;

/// What the queue has for a mailbox.
#[derive(Debug)]
struct Found {
    offers: Vec<Offer>,
    /// Whether it has nothing else.
    all: bool,
}

/// The deliveries of one session.
#[derive(Debug, Default)]
pub(super) struct Handing {
    mailboxes: Vec<Mailbox>,
    deliveries: Window<u64>,
    stored: BTreeSet<u64>,
    unsendable: BTreeSet<u64>,
    // Mailboxes asked together, and what each answered. Only when all have answered is it known what is most urgent.
    round: BTreeMap<Mailbox, Option<Found>>,
    again: BTreeSet<Mailbox>,
    // Nothing is left to ask for until a wake: the queue gave all it had, and all of it is on its way.
    dry: BTreeSet<Mailbox>,
}

impl Handing {
    /// For these mailboxes.
    pub(super) fn serve(&mut self, mailboxes: Vec<Mailbox>) {
        self.mailboxes = mailboxes;
    }

    /// The mailboxes that are served.
    pub(super) fn mailboxes(&self) -> &[Mailbox] {
        &self.mailboxes
    }

    /// Envelopes on their way that the device has not stored.
    pub(super) fn under_way(&self) -> usize {
        self.deliveries.keys().count()
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// The queue may have more.
    pub(super) fn wake(&mut self) {
        self.dry.clear();
    }

    /// The device holds it.
    pub(super) fn stored(&mut self, sequence: u64) {
        if self.deliveries.end(&sequence) {
            self.stored.insert(sequence);
        }
    }

    /// It was settled before it was sent.
    pub(super) fn not_sent(&mut self, sequence: u64) {
        self.deliveries.end(&sequence);
    }

    /// It cannot be read or sent: skipped for this session, as asking again at once would go round in a circle. Whether
    /// there are no more of these than an accident explains.
    pub(super) fn unsendable(&mut self, sequence: u64) -> bool {
        self.deliveries.end(&sequence);
        self.unsendable.insert(sequence);
        self.unsendable.len() <= l::UNSETTLED_MAX
    }

    /// Its entry has left the queue.
    pub(super) fn settled(&mut self, sequence: u64) {
        self.deliveries.end(&sequence);
        self.stored.remove(&sequence);
    }

    /// Asks for every mailbox for which there is hope.
    pub(super) fn pull_all(&mut self) -> Vec<Action> {
        let mailboxes = self.mailboxes.clone();
        mailboxes.iter().filter_map(|mailbox| self.pull(mailbox)).collect()
    }

    /// One question to the queue per mailbox and round, and none without hope; a wake during it asks again afterwards.
    fn pull(&mut self, mailbox: &Mailbox) -> Option<Action> {
        if self.dry.contains(mailbox) {
            return None;
        }
        if self.round.contains_key(mailbox) {
            self.again.insert(mailbox.clone());
            return None;
        }
        let held = self.stored.len() + self.under_way();
        if self.deliveries.full() || held >= l::UNSETTLED_MAX {
            return None; // a Stored or a settlement asks again
        }
        self.round.insert(mailbox.clone(), None);
        let passed = self.stored.iter().chain(&self.unsendable);
        let skip = passed.chain(self.deliveries.keys()).copied().collect();
        Some(Action::Pull { mailbox: mailbox.clone(), skip, max: l::TRANSFERS_MAX as usize })
    }

    /// What the queue has for a mailbox, `all` of it or not. A session that is not `live` takes nothing of it.
    pub(super) fn offers(
        &mut self,
        mailbox: Mailbox,
        offers: Vec<Offer>,
        all: bool,
        live: bool,
    ) -> Vec<Action> {
        self.round.insert(mailbox, Some(Found { offers, all }));
        if self.round.values().any(Option::is_none) {
            return Vec::new(); // another mailbox may hold what is more urgent
        }
        let round = std::mem::take(&mut self.round);
        let mut dry: BTreeSet<Mailbox> = BTreeSet::new();
        let mut candidates = Vec::new();
        for (mailbox, found) in round {
            let Some(found) = found else { continue };
            candidates.extend(found.offers.into_iter().map(|offer| (mailbox.clone(), offer)));
            if found.all {
                dry.insert(mailbox);
            }
        }
        candidates.sort_by_key(|(_, offer)| (Reverse(offer.rank), offer.sequence));
        let mut actions = Vec::new();
        for (mailbox, offer) in candidates {
            if self.holds(offer.sequence) {
                continue;
            }
            if live && self.admits(&offer) {
                self.deliveries.start(offer.sequence, offer.bulk);
                actions.push(Action::Deliver(mailbox, offer));
            } else {
                dry.remove(&mailbox);
            }
        }
        let again = std::mem::take(&mut self.again);
        self.dry.extend(dry.difference(&again).cloned());
        if live {
            actions.extend(again.iter().filter_map(|mailbox| self.pull(mailbox)));
        }
        actions
    }

    /// Whether an entry is on its way, or was and is not to be offered again.
    fn holds(&self, sequence: u64) -> bool {
        let passed = self.stored.contains(&sequence) || self.unsendable.contains(&sequence);
        passed || self.deliveries.holds(&sequence)
    }

    fn admits(&self, offer: &Offer) -> bool {
        let kept = if offer.rank.is_flash() { 0 } else { FLASH_PLACES };
        self.under_way() + kept < l::TRANSFERS_MAX as usize && self.deliveries.admits(offer.bulk)
    }
}
