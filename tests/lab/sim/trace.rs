//! The trace of a run: every datagram's time, size, way and fate, folded into one number. Two runs of one seed have the
//! same trace, or the simulator is no instrument.
//!
//! Sizes and times, never bytes: keys differ from run to run, and what is encrypted under them with them.

use std::fmt;
use std::net::IpAddr;

use super::link::Way;

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// On its way.
    Carried,
    /// On its way twice.
    Doubled,
    /// Lost.
    Lost,
}

/// All datagrams of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Of all of them, in order.
    pub hash: u64,
    /// How many were sent.
    pub sent: u64,
    /// Of these, lost.
    pub lost: u64,
    /// Of these, doubled.
    pub doubled: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Trace {
    /// Adds a datagram.
    pub fn note(&mut self, at_us: u64, bytes: usize, party: IpAddr, way: Way, fate: Fate) {
        let party = match party {
            IpAddr::V4(party) => u64::from(party.to_bits()),
            IpAddr::V6(party) => u64::try_from(party.to_bits() & u128::from(u64::MAX)).unwrap_or_default(),
        };
        let fate_no = match fate {
            Fate::Carried => 0,
            Fate::Doubled => 1,
            Fate::Lost => 2,
        };
        let way = u64::from(way == Way::Down);
        for word in [at_us, bytes as u64, party, way, fate_no] {
            // FNV-1a's multiplier over whole words, turned so that low bits reach high ones.
            self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
        self.sent += 1;
        self.bytes += bytes as u64;
        self.lost += u64::from(fate == Fate::Lost);
        self.doubled += u64::from(fate == Fate::Doubled);
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:016x} ({} datagrams, {} lost, {} doubled)",
            self.hash, self.sent, self.lost, self.doubled
        )
    }
}
