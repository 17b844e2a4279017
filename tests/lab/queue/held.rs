//! The reference counts: what waits, for whom, of whom. By going through everything; nothing is kept beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use valise_proto::names::{Mailbox, PartyName};
use valise_relay::queue::{Census, Depth, Held, MailboxHeld, Outlook, Over, Submission};

use super::world::{Envelope, State, World};

impl World {
    pub(super) fn depth(&self) -> Depth {
        Depth {
            entries: self.envelopes.values().map(|one| one.open() as u64).sum(),
            receipts: self.mail.values().map(|mail| mail.len() as u64).sum(),
            sequence: self.highest,
        }
    }

    pub(super) fn outlook(&self) -> Outlook {
        let open = || self.envelopes.values().filter(|one| one.open() > 0);
        Outlook {
            oldest_ms: open().next().map(Envelope::accepted_ms),
            next_expiry_ms: open().map(Envelope::expires_ms).min(),
        }
    }

    /// What waits, counted; mailboxes by name.
    pub(super) fn census(&self) -> Census {
        let (mut precedences, mut mailboxes) = (BTreeMap::new(), BTreeMap::new());
        for envelope in self.envelopes.values() {
            for (mailbox, _) in envelope.entries.iter().filter(|(_, state)| **state != State::Settled) {
                let bytes = envelope.submission.facts.ct_len();
                add(precedences.entry(envelope.submission.facts.precedence).or_default(), 1, bytes);
                let (held, oldest) = mailboxes.entry(mailbox.clone()).or_insert((Held::default(), u64::MAX));
                add(held, 1, bytes);
                // Numbers are given in order: the first is the oldest.
                *oldest = if *oldest == u64::MAX { envelope.accepted_ms() } else { *oldest };
            }
        }
        Census {
            precedences: precedences.into_iter().rev().collect(),
            mailboxes_in_all: mailboxes.len() as u64,
            mailboxes: mailboxes
                .into_iter()
                .map(|(mailbox, (held, oldest_ms))| MailboxHeld { mailbox, held, oldest_ms })
                .collect(),
        }
    }

    /// Which quota stands in the way of a submission.
    pub(super) fn over(&self, submission: &Submission) -> Option<Over> {
        let recipients: BTreeSet<&Mailbox> = submission.recipients.iter().collect();
        let recipients: Vec<_> = recipients.into_iter().collect();
        let mailboxes = recipients.iter().map(|mailbox| Ok::<_, Infallible>(self.of_mailbox(mailbox)));
        let facts = &submission.facts;
        let sender = self.of_sender(&submission.submitter.party);
        let Ok(over) = submission.quotas.judge(facts.precedence, facts.ct_len(), sender, mailboxes);
        over
    }

    fn of_mailbox(&self, mailbox: &Mailbox) -> Held {
        let mut held = Held::default();
        let open = |one: &&Envelope| one.entries.get(mailbox).is_some_and(|state| *state != State::Settled);
        for envelope in self.envelopes.values().filter(open) {
            add(&mut held, 1, envelope.submission.facts.ct_len());
        }
        held
    }

    fn of_sender(&self, party: &PartyName) -> Held {
        let mut held = Held::default();
        let theirs = |one: &&Envelope| one.submission.submitter.party == *party && one.open() > 0;
        for envelope in self.envelopes.values().filter(theirs) {
            add(&mut held, envelope.open() as u64, envelope.submission.facts.ct_len());
        }
        held
    }
}

fn add(held: &mut Held, entries: u64, bytes: u64) {
    held.entries += entries;
    held.bytes += bytes;
}
