//! A link as one would draw it: a list of what a datagram meets on its way between a party and the relay.
//!
//! Pure: the time, the chance and the datagram's size come in, the times of its arrivals come out. None = lost.

use std::fmt;

use super::chance::Chance;

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// From the party to the relay.
    Up,
    /// From the relay to the party.
    Down,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// One thing on the way. Shares are in thousandths of all datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// The distance, milliseconds each way.
    Delay(u64),
    /// Up to so many milliseconds more, drawn for each datagram: enough of it reorders.
    Jitter(u64),
    /// Lost, thousandths.
    Loss(u64),
    /// Comes twice, thousandths.
    Duplicates(u64),
    /// Overtaken: held back by `ms`, thousandths.
    Reordering {
        /// Thousandths.
        share: u64,
        /// Milliseconds.
        ms: u64,
    },
    /// Bits per second each way; what does not fit waits, and what would wait longer than two seconds is lost.
    Rate(u64),
}

/// What a datagram waits in a queue at most; a real one is no longer.
const QUEUE_MS: u64 = 2_000;

/// A link between a party and the relay, with what it is doing now.
#[derive(Clone, Debug, Default)]
pub struct Link {
    hops: Vec<Hop>,
    // Until when each way is cut, and busy with what went before; microseconds of the run.
    cut_until: [u64; 2],
    busy_until: [u64; 2],
}

/// The wires of a bureau: a few milliseconds, nothing lost.
pub fn lan() -> Vec<Hop> {
    vec![Hop::Delay(5), Hop::Jitter(2)]
}

/// A mission's satellite: 600 ms of round trip, 2 % lost each way, 1 Mbit/s.
pub fn satellite() -> Vec<Hop> {
    vec![Hop::Rate(1_000_000), Hop::Delay(300), Hop::Jitter(20), Hop::Loss(20), Hop::Duplicates(5)]
}

impl Link {
    /// A link of these hops.
    pub fn new(hops: Vec<Hop>) -> Self {
        Self { hops, ..Self::default() }
    }

    /// Replaces the hops; a cut goes on.
    pub fn set(&mut self, hops: Vec<Hop>) {
        self.hops = hops;
        self.busy_until = [0; 2];
    }

    /// Cuts one way until this moment, microseconds of the run.
    pub fn cut(&mut self, way: Way, until_us: u64) {
        self.cut_until[index(way)] = until_us;
    }

    /// When a datagram of so many bytes arrives, microseconds of the run: once, twice or never.
    pub fn carry(&mut self, way: Way, now_us: u64, bytes: usize, chance: &mut Chance) -> Vec<u64> {
        let at = index(way);
        if now_us < self.cut_until[at] {
            return Vec::new();
        }
        let (mut arrives, mut copies) = (now_us, 1);
        for hop in &self.hops {
            match *hop {
                Hop::Delay(ms) => arrives += ms * 1_000,
                Hop::Jitter(ms) => arrives += chance.below(ms * 1_000 + 1),
                Hop::Loss(share) if chance.below(1_000) < share => return Vec::new(),
                Hop::Duplicates(share) if chance.below(1_000) < share => copies = 2,
                Hop::Reordering { share, ms } if chance.below(1_000) < share => arrives += ms * 1_000,
                Hop::Loss(_) | Hop::Duplicates(_) | Hop::Reordering { .. } => {}
                Hop::Rate(bits) => {
                    let starts = self.busy_until[at].max(now_us);
                    if starts - now_us > QUEUE_MS * 1_000 {
                        return Vec::new();
                    }
                    let ends = starts + bytes as u64 * 8 * 1_000_000 / bits;
                    self.busy_until[at] = ends;
                    arrives += ends - now_us;
                }
            }
        }
        // A copy takes a moment longer.
        (0..copies).map(|copy| arrives + copy * 1_000).collect()
    }
}

const fn index(way: Way) -> usize {
    match way {
        Way::Up => 0,
        Way::Down => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_satellite_carries_a_datagram_as_slowly_as_drawn() {
        let mut link = Link::new(vec![Hop::Rate(1_000_000), Hop::Delay(300)]);
        let mut chance = Chance::new(1);
        assert_eq!(link.carry(Way::Up, 0, 1250, &mut chance), [310_000], "10 ms of bits, 300 of distance");
        assert_eq!(link.carry(Way::Up, 0, 1250, &mut chance), [320_000], "behind the first");
        assert_eq!(link.carry(Way::Down, 0, 1250, &mut chance), [310_000], "the other way is its own");
    }

    #[test]
    fn a_cut_goes_one_way_and_ends() {
        let mut link = Link::new(lan());
        let mut chance = Chance::new(1);
        link.cut(Way::Up, 1_000);
        assert!(link.carry(Way::Up, 999, 100, &mut chance).is_empty());
        assert_eq!(link.carry(Way::Down, 999, 100, &mut chance).len(), 1);
        assert_eq!(link.carry(Way::Up, 1_000, 100, &mut chance).len(), 1);
    }

    #[test]
    fn losses_and_copies_come_as_often_as_said() {
        let mut link = Link::new(vec![Hop::Loss(100), Hop::Duplicates(50)]);
        let mut chance = Chance::new(7);
        let arrivals: Vec<usize> =
            (0..10_000).map(|_| link.carry(Way::Up, 0, 100, &mut chance).len()).collect();
        let (lost, twice) = [0, 2].map(|n| arrivals.iter().filter(|count| **count == n).count()).into();
        assert!((900..1100).contains(&lost) && (380..520).contains(&twice), "{lost} lost, {twice} twice");
    }
}
