//! What is handed out to a device: which mailboxes are being asked, which entries are under way, stored or given up.
//!
//! Knows numbers and mailboxes alone. Whether the session is alive is the session's to say.

use std::collections::BTreeSet;

use super::super::window::Window;
use super::{Action, Offer};
use crate::limits as l;
use crate::names::Mailbox;

/// The deliveries of one session.
#[derive(Debug, Default)]
pub(super) struct Handing {
    mailboxes: Vec<Mailbox>,
    deliveries: Window<u64>,
    stored: BTreeSet<u64>,
    unsendable: BTreeSet<u64>,
    pulling: BTreeSet<Mailbox>,
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

    /// One question to the queue per mailbox at a time, and none without hope; a wake during it asks again afterwards.
    fn pull(&mut self, mailbox: &Mailbox) -> Option<Action> {
        if self.dry.contains(mailbox) {
            return None;
        }
        if self.pulling.contains(mailbox) {
            self.again.insert(mailbox.clone());
            return None;
        }
        let held = self.stored.len() + self.under_way();
        if self.deliveries.full() || held >= l::UNSETTLED_MAX {
            return None; // a Stored or a settlement asks again
        }
        self.pulling.insert(mailbox.clone());
        let passed = self.stored.iter().chain(&self.unsendable);
        let skip = passed.chain(self.deliveries.keys()).copied().collect();
        Some(Action::Pull { mailbox: mailbox.clone(), skip, max: l::TRANSFERS_MAX as usize })
    }

    /// What the queue has for a mailbox. A session that is not `live` takes nothing of it.
    pub(super) fn offers(&mut self, mailbox: Mailbox, offers: Vec<Offer>, live: bool) -> Vec<Action> {
        self.pulling.remove(&mailbox);
        let mut actions = Vec::new();
        let mut dry = offers.len() < l::TRANSFERS_MAX as usize;
        for offer in offers {
            let sequence = offer.sequence;
            let passed = self.stored.contains(&sequence) || self.unsendable.contains(&sequence);
            let held = self.deliveries.holds(&sequence) || passed;
            if live && !held && self.deliveries.admits(offer.bulk) {
                self.deliveries.start(sequence, offer.bulk);
                actions.push(Action::Deliver(mailbox.clone(), offer));
            } else {
                dry &= held;
            }
        }
        if self.again.remove(&mailbox) {
            actions.extend(if live { self.pull(&mailbox) } else { None });
        } else if dry {
            self.dry.insert(mailbox);
        }
        actions
    }
}
