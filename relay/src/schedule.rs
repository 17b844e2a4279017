//! What a session hands out next: by precedence, and what was passed over rises with time, so that nothing waits for
//! ever behind what is more urgent. A flash is always first.
//!
//! Pure: the time comes in. Age counts from when this session first could have handed an entry out, not from its
//! acceptance: the backlog of a mission that was away for days would else all be as urgent as today's mail. Only the
//! first few of each precedence are ever seen, so that few of them are overdue at a time and memory is bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use valise_proto::kinds::Precedence;
use valise_proto::limits as l;
use valise_proto::names::Mailbox;
use valise_proto::session::relay::{Offer, Rank};

use crate::queue::{Entry, Sequence};

/// An entry that is passed over for so long rises by one precedence: longer than what is urgent takes on the slowest link,
/// shorter than the patience of who waits. Routine mail is overdue after three.
pub const AGE_STEP: Duration = Duration::from_secs(10);

/// What one session has seen waiting.
#[derive(Debug, Default)]
pub struct Schedule {
    seen: BTreeMap<Mailbox, BTreeMap<Sequence, Instant>>,
}

impl Schedule {
    /// Makes offers of what the queue has for a mailbox, asked for `max` of each precedence: the most urgent first, and
    /// whether that is all it has. Forgets what it does not name any more. While something on its way stands still
    /// (`held_back`), a flash alone is offered beside it.
    pub fn order(
        &mut self,
        mailbox: &Mailbox,
        entries: &[Entry],
        max: usize,
        now: Instant,
        held_back: bool,
    ) -> (Vec<Offer>, bool) {
        let before = self.seen.remove(mailbox).unwrap_or_default();
        let since = |sequence| before.get(&sequence).copied().unwrap_or(now);
        let seen: BTreeMap<_, _> = entries.iter().map(|one| (one.sequence, since(one.sequence))).collect();
        let offer = |entry: &Entry| {
            let waited = now.saturating_duration_since(seen[&entry.sequence]);
            Offer { sequence: entry.sequence, bulk: is_bulk(entry), rank: rank(entry.precedence, waited) }
        };
        let mut offers: Vec<_> = entries.iter().map(offer).collect();
        let mut all = Precedence::ALL.iter().all(|of| {
            let count = entries.iter().filter(|entry| entry.precedence == *of).count();
            count < max
        });
        if held_back {
            let before = offers.len();
            offers.retain(|offer| offer.rank.is_flash());
            all &= offers.len() == before;
        }
        offers.sort_by_key(|offer| (std::cmp::Reverse(offer.rank), offer.sequence));
        if !seen.is_empty() {
            self.seen.insert(mailbox.clone(), seen);
        }
        (offers, all)
    }
}

/// How urgent an entry is that waited for so long.
fn rank(precedence: Precedence, waited: Duration) -> Rank {
    Rank::aged(precedence, waited.as_secs() / AGE_STEP.as_secs())
}

/// Whether it leaves streams to what is urgent and small ([P-33]).
fn is_bulk(entry: &Entry) -> bool {
    entry.bytes > l::SEGMENT_BYTES as u64 || entry.precedence < Precedence::Immediate
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use Precedence::{Deferred, Flash, Immediate, Override, Priority, Routine};

    const MAX: usize = 4;

    fn br() -> Mailbox {
        Mailbox::new("br").unwrap()
    }

    fn entry(sequence: Sequence, precedence: Precedence) -> Entry {
        Entry { sequence, precedence, expires_ms: u64::MAX, bytes: 272 }
    }

    /// A queue of one mailbox: gives what the real one would.
    #[derive(Default)]
    struct Waiting(BTreeSet<(std::cmp::Reverse<Precedence>, Sequence)>);

    impl Waiting {
        fn add(&mut self, sequence: Sequence, precedence: Precedence) {
            self.0.insert((std::cmp::Reverse(precedence), sequence));
        }

        fn next(&self) -> Vec<Entry> {
            let of = |precedence| {
                let own = self.0.iter().filter(move |(of, _)| of.0 == precedence).take(MAX);
                own.map(|(of, sequence)| entry(*sequence, of.0)).collect::<Vec<_>>()
            };
            Precedence::ALL.iter().rev().flat_map(|precedence| of(*precedence)).collect()
        }

        fn take(&mut self, sequence: Sequence) -> Precedence {
            let found = *self.0.iter().find(|(_, one)| *one == sequence).unwrap();
            self.0.remove(&found);
            found.0.0
        }
    }

    #[test]
    fn without_waiting_it_is_precedence_then_number() {
        let entries =
            [entry(7, Override), entry(9, Flash), entry(3, Immediate), entry(2, Routine), entry(5, Routine)];
        let (offers, all) = Schedule::default().order(&br(), &entries, MAX, Instant::now(), false);
        assert_eq!(offers.iter().map(|offer| offer.sequence).collect::<Vec<_>>(), [7, 9, 3, 2, 5]);
        assert!(all && offers[4].bulk && !offers[2].bulk);
        let many: Vec<_> = (0..4).map(|sequence| entry(sequence, Routine)).collect();
        assert!(!Schedule::default().order(&br(), &many, MAX, Instant::now(), false).1, "there may be more");
        let large = Entry { bytes: 70_000, ..entry(1, Flash) };
        assert!(Schedule::default().order(&br(), &[large], MAX, Instant::now(), false).0[0].bulk);
    }

    #[test]
    fn while_something_stands_still_a_flash_alone_is_offered() {
        let entries = [entry(9, Flash), entry(3, Immediate), entry(2, Routine)];
        let (offers, all) = Schedule::default().order(&br(), &entries, MAX, Instant::now(), true);
        assert_eq!((offers.len(), offers[0].sequence, all), (1, 9, false), "the queue is asked again");
        assert!(Schedule::default().order(&br(), &entries[..1], MAX, Instant::now(), true).1);
    }

    /// One delivery a second, and every second brings another that is immediate; every so often one of this precedence
    /// comes with it. The longest wait of these in seconds, how many were delivered, and how many are left.
    fn under_pressure(of: Precedence, every: usize) -> (u64, usize, usize) {
        let (mut schedule, mut waiting) = (Schedule::default(), Waiting::default());
        let begun = Instant::now();
        let (mut longest, mut delivered, mut arrived) = (0, 0, BTreeMap::new());
        for at in 0..2000_usize {
            let now = begun + Duration::from_secs(at as u64);
            let sequence = 2 * at as u64;
            waiting.add(sequence, Immediate);
            if at % every == 0 {
                waiting.add(sequence + 1, of);
                arrived.insert(sequence + 1, now);
            }
            let (offers, _) = schedule.order(&br(), &waiting.next(), MAX, now, false);
            waiting.take(offers[0].sequence);
            if let Some(came) = arrived.remove(&offers[0].sequence) {
                longest = longest.max((now - came).as_secs());
                delivered += 1;
            }
        }
        (longest, delivered, arrived.len())
    }

    #[test]
    fn routine_mail_is_delivered_within_a_bound_under_endless_immediate_mail() {
        for (of, steps) in [(Priority, 2), (Routine, 3), (Deferred, 4)] {
            let (longest, delivered, left) = under_pressure(of, 60);
            assert!(longest <= steps * AGE_STEP.as_secs() + 1, "{of} waited {longest} s");
            assert!(delivered >= 33 && left <= 1, "{of}: {delivered} delivered, {left} left");
        }
        // More of it than can be delivered beside: it goes on all the same, and does not starve the other.
        let (_, delivered, _) = under_pressure(Routine, 1);
        assert!((200..1000).contains(&delivered), "{delivered} of 2000");
    }

    #[test]
    fn nothing_is_ever_delivered_before_a_flash() {
        for pressure in [Deferred, Routine, Priority, Immediate] {
            let (mut schedule, mut waiting) = (Schedule::default(), Waiting::default());
            let begun = Instant::now();
            let mut flashes = 0;
            for at in 0..3000_u64 {
                let now = begun + Duration::from_secs(at);
                waiting.add(2 * at, pressure);
                if at % 7 == 0 {
                    waiting.add(2 * at + 1, if at % 2 == 0 { Flash } else { Override });
                }
                let (offers, _) = schedule.order(&br(), &waiting.next(), MAX, now, at % 3 == 0);
                let Some(first) = offers.first().map(|offer| offer.sequence) else { continue };
                let urgent = waiting.0.first().unwrap().0.0 >= Flash;
                let taken = waiting.take(first);
                assert_eq!(taken >= Flash, urgent, "{pressure} at {at}");
                flashes += u64::from(urgent);
            }
            assert_eq!(flashes, 3000_u64.div_ceil(7));
        }
    }

    #[test]
    fn a_backlog_ages_as_it_is_seen_and_not_as_it_was_accepted() {
        let (mut schedule, mut waiting) = (Schedule::default(), Waiting::default());
        (0..1000).for_each(|sequence| waiting.add(sequence, Routine));
        let begun = Instant::now();
        schedule.order(&br(), &waiting.next(), MAX, begun, false);
        // The few at the front are overdue; behind them come today's urgent ones, then the rest of the backlog.
        let later = begun + 5 * AGE_STEP;
        (2000..2004).for_each(|sequence| waiting.add(sequence, Immediate));
        let mut order = Vec::new();
        for _ in 0..12 {
            let (offers, _) = schedule.order(&br(), &waiting.next(), MAX, later, false);
            order.push(offers[0].sequence);
            waiting.take(offers[0].sequence);
        }
        assert_eq!(order, [0, 1, 2, 3, 2000, 2001, 2002, 2003, 4, 5, 6, 7]);
    }

    #[test]
    fn memory_is_bounded_by_what_the_queue_shows() {
        let (mut schedule, mut waiting) = (Schedule::default(), Waiting::default());
        let begun = Instant::now();
        for at in 0..5000_u64 {
            waiting.add(at, Precedence::ALL[usize::try_from(at).unwrap() % 6]);
            let now = begun + Duration::from_millis(at);
            let (offers, _) = schedule.order(&br(), &waiting.next(), MAX, now, false);
            assert!(schedule.seen.values().map(BTreeMap::len).sum::<usize>() <= 6 * MAX);
            if at % 2 == 0 {
                waiting.take(offers[0].sequence);
            }
        }
        schedule.order(&br(), &[], MAX, begun, false);
        assert!(schedule.seen.is_empty(), "an empty mailbox leaves nothing behind");
    }
}
