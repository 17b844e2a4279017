//! How much may wait: for one mailbox, and of one sender. The rule alone, the same for every backend.
//!
//! Counts nothing itself: a backend gives what is held, as its own commit sees it, so that the answer is exact.

use valise_proto::kinds::Precedence;

/// Of every quota so much is left to what is `immediate` or above: a FLASH must not find a mailbox that is full of
/// routine mail. One part in so many.
const URGENT_PART: u64 = 10;

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Entries: an envelope for three mailboxes is three.
    pub entries: u64,
    /// Ciphertext bytes. Of a mailbox, those of its entries; of a sender, each envelope once, as it is stored.
    pub bytes: u64,
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Entries.
    pub entries: u64,
    /// Ciphertext bytes.
    pub bytes: u64,
}

/// The quotas of every mailbox and every sender. A sender is a party: all its devices share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Of each mailbox.
    pub mailbox: Quota,
    /// Of each sender.
    pub sender: Quota,
}

/// Which quota stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The sender's.
    Sender,
    /// That of every recipient's mailbox.
    Mailboxes,
}

impl Quota {
    /// No bound.
    pub const NONE: Self = Self { entries: u64::MAX, bytes: u64::MAX };

    /// No room at all.
    pub const NOTHING: Self = Self { entries: 0, bytes: 0 };

    /// The least limit that has room for this much of what is not urgent.
    pub const fn least_for(wanted: u64) -> u64 {
        wanted + wanted.div_ceil(URGENT_PART - 1)
    }

    /// Whether this much more may wait beside what does.
    pub fn admits(self, precedence: Precedence, held: Held, more: Held) -> bool {
        let whole = precedence >= Precedence::Immediate;
        let most = |limit: u64| if whole { limit } else { limit - limit / URGENT_PART };
        held.entries.saturating_add(more.entries) <= most(self.entries)
            && held.bytes.saturating_add(more.bytes) <= most(self.bytes)
    }
}

impl Quotas {
    /// No bounds.
    pub const NONE: Self = Self { mailbox: Quota::NONE, sender: Quota::NONE };
    /// No room for anything that is not stored already.
    pub const NOTHING: Self = Self { mailbox: Quota::NOTHING, sender: Quota::NOTHING };

    /// Whether an envelope of so many ciphertext bytes may be stored; `mailboxes` is what each recipient's holds, one
    /// item a recipient, and is asked only as far as needed.
    ///
    /// It is stored for all its recipients or for none ([P-53]). A full mailbox refuses what is for it alone; of an envelope
    /// for several it takes its own as long as one of the others has room. Its bytes are stored for that one anyhow,
    /// and the other answers were worse: to refuse it would let one absent mailbox stop every circular, to leave one
    /// recipient out would end the message there for good. What is waiting beyond a mailbox's quota in this way is
    /// bounded by its senders' quotas, which let nothing pass.
    ///
    /// # Errors
    /// What `mailboxes` gives.
    pub fn judge<E>(
        &self,
        precedence: Precedence,
        bytes: u64,
        sender: Held,
        mailboxes: impl ExactSizeIterator<Item = Result<Held, E>>,
    ) -> Result<Option<Over>, E> {
        let recipients = mailboxes.len() as u64;
        if recipients == 0 {
            return Ok(None); // nothing of it will wait
        }
        if !self.sender.admits(precedence, sender, Held { entries: recipients, bytes }) {
            return Ok(Some(Over::Sender));
        }
        for held in mailboxes {
            if self.mailbox.admits(precedence, held?, Held { entries: 1, bytes }) {
                return Ok(None);
            }
        }
        Ok(Some(Over::Mailboxes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Precedence::{Deferred, Flash, Immediate, Priority, Routine};
    use std::convert::Infallible;

    const QUOTAS: Quotas =
        Quotas { mailbox: Quota { entries: 20, bytes: 1000 }, sender: Quota { entries: 100, bytes: 10_000 } };

    fn held(entries: u64, bytes: u64) -> Held {
        Held { entries, bytes }
    }

    fn judged(precedence: Precedence, bytes: u64, sender: Held, mailboxes: &[Held]) -> Option<Over> {
        let mailboxes = mailboxes.iter().map(|held| Ok::<_, Infallible>(*held));
        let Ok(over) = QUOTAS.judge(precedence, bytes, sender, mailboxes);
        over
    }

    #[test]
    fn a_quota_is_met_to_the_entry_and_to_the_byte_and_a_tenth_is_for_what_is_urgent() {
        for (precedence, entries, bytes) in [
            (Deferred, 18, 900),
            (Routine, 18, 900),
            (Priority, 18, 900),
            (Immediate, 20, 1000),
            (Flash, 20, 1000),
        ] {
            let admits = |held, more| QUOTAS.mailbox.admits(precedence, held, more);
            assert!(admits(held(entries - 1, bytes - 7), held(1, 7)), "{precedence}");
            assert!(!admits(held(entries, 0), held(1, 7)), "{precedence}");
            assert!(!admits(held(0, bytes - 6), held(1, 7)), "{precedence}");
        }
        let small = Quota { entries: 3, bytes: 9 };
        assert!(small.admits(Routine, held(2, 8), held(1, 1)), "of less than ten, none is left aside");
        assert!(Quota::NONE.admits(Routine, held(1 << 40, 1 << 60), held(256, 1 << 30)));
    }

    #[test]
    fn one_recipient_with_room_takes_the_envelope_for_all() {
        let (room, full) = (held(0, 0), held(18, 0));
        assert_eq!(judged(Routine, 10, room, &[full]), Some(Over::Mailboxes));
        assert_eq!(judged(Routine, 10, room, &[full, full]), Some(Over::Mailboxes));
        assert_eq!(judged(Routine, 10, room, &[full, room, full]), None);
        assert_eq!(judged(Flash, 10, room, &[full]), None);
    }

    #[test]
    fn a_sender_is_charged_an_entry_for_each_recipient_and_the_bytes_once() {
        let room = held(0, 0);
        assert_eq!(judged(Routine, 900, held(87, 8_100), &[room; 3]), None);
        assert_eq!(judged(Routine, 900, held(88, 0), &[room; 3]), Some(Over::Sender));
        assert_eq!(judged(Routine, 900, held(0, 8_101), &[room]), Some(Over::Sender));
        assert_eq!(judged(Routine, 900, held(100, 10_000), &[]), None, "for nobody nothing waits");
    }

    #[test]
    fn no_more_is_asked_than_is_needed() {
        let mut asked = 0;
        let mailboxes = [held(18, 0), held(0, 0), held(0, 0)];
        let counted = mailboxes.iter().map(|held| {
            asked += 1;
            Ok::<_, Infallible>(*held)
        });
        let Ok(over) = QUOTAS.judge(Routine, 10, held(0, 0), counted);
        assert_eq!((over, asked), (None, 2));
    }
}
