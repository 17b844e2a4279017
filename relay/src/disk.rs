//! What the room on the disk under the store lets in: the less there is, the more urgent a submission must be.
//! Statements are never held back, so that a relay that is full can still be emptied. The rule alone: thresholds and
//! room in, verdict out.
//!
//! Never asks the disk and never reads a clock.

use valise_host::files::Room;
use valise_proto::kinds::Precedence;

/// Thresholds there are.
const STEPS: usize = 3;
/// A level that was reached is left only when so many points of a hundred more are free,
const EASED_PERCENT: u32 = 2;
/// or one part in so many more bytes. A disk about a threshold must not let in and put off by turns.
const EASED_PART: u64 = 4;

/// How much room there is, from much to none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything is taken.
    #[default]
    Ample,
    /// Nothing below priority.
    Low,
    /// Nothing below flash.
    Scarce,
    /// Nothing.
    Exhausted,
}

impl Level {
    const ALL: [Self; STEPS + 1] = [Self::Ample, Self::Low, Self::Scarce, Self::Exhausted];

    /// Whether a submission of this precedence is taken.
    pub fn takes(self, precedence: Precedence) -> bool {
        match self {
            Self::Ample => true,
            Self::Low => precedence >= Precedence::Priority,
            Self::Scarce => precedence >= Precedence::Flash,
            Self::Exhausted => false,
        }
    }

    /// Its word in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ample => "ample",
            Self::Low => "low",
            Self::Scarce => "scarce",
            Self::Exhausted => "exhausted",
        }
    }

    /// Its number in metrics: 0 is ample.
    pub fn number(self) -> u64 {
        self as u64
    }
}

/// When each level begins: the disk is used to so many percent, and fewer bytes are free. Both, because a tenth of a
/// large disk is room for months, and a small one may be meant to be full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Percent of the disk in use, ascending: for low, scarce, exhausted.
    pub used_percent: [u32; STEPS],
    /// Bytes that are free, descending.
    pub free: [u64; STEPS],
}

impl Thresholds {
    /// The level that such a room is at.
    fn level(&self, room: Room) -> Level {
        let used = u128::from(room.whole.saturating_sub(room.free)) * 100;
        let reached = |(percent, free): (&u32, &u64)| {
            used >= u128::from(*percent) * u128::from(room.whole) && room.free < *free
        };
        let steps = self.used_percent.iter().zip(&self.free).take_while(|step| reached(*step)).count();
        // A file system that has no size says nothing about room.
        if room.whole == 0 { Level::Ample } else { Level::ALL[steps] }
    }

    /// Those below which a level is left.
    fn eased(&self) -> Self {
        Self {
            used_percent: self.used_percent.map(|percent| percent.saturating_sub(EASED_PERCENT)),
            free: self.free.map(|free| free.saturating_add(free / EASED_PART)),
        }
    }
}

/// The disk as it was last seen.
#[derive(Clone, Copy, Debug)]
pub struct Gauge {
    thresholds: Thresholds,
    level: Level,
    room: Option<Room>,
    blind: bool,
}

impl Gauge {
    /// Nothing is known yet, and everything is taken.
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, level: Level::Ample, room: None, blind: false }
    }

    /// Takes a look. The new level, when it changed: up as soon as a threshold is passed, down with a margin.
    pub fn see(&mut self, room: Room) -> Option<Level> {
        (self.room, self.blind) = (Some(room), false);
        let (now, eased) = (self.thresholds.level(room), self.thresholds.eased().level(room));
        let level = now.max(eased.min(self.level));
        let changed = level != self.level;
        self.level = level;
        changed.then_some(level)
    }

    /// The disk did not answer: what was seen last stands. Whether that is new.
    pub fn miss(&mut self) -> bool {
        !std::mem::replace(&mut self.blind, true)
    }

    /// Where it stands.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The room that was last seen; none before the first look.
    pub fn room(&self) -> Option<Room> {
        self.room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Level::{Ample, Exhausted, Low, Scarce};

    const GIB: u64 = 1 << 30;
    const THRESHOLDS: Thresholds = Thresholds { used_percent: [85, 92, 97], free: [4 * GIB, 2 * GIB, GIB] };

    fn room(free: u64, whole: u64) -> Room {
        Room { free, whole }
    }

    #[test]
    fn each_level_takes_what_is_urgent_enough() {
        let taken = |level: Level| {
            let taken = Precedence::ALL.iter().filter(|precedence| level.takes(**precedence));
            taken.map(|precedence| precedence.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(taken(Ample).len(), Precedence::ALL.len());
        assert_eq!(taken(Low), ["priority", "immediate", "flash", "override"]);
        assert_eq!(taken(Scarce), ["flash", "override"]);
        assert!(taken(Exhausted).is_empty());
        assert_eq!(Level::ALL.map(Level::number), [0, 1, 2, 3]);
    }

    #[test]
    fn a_level_begins_at_its_percent_and_below_its_bytes() {
        // Of a small disk the percents decide, of a large one the bytes.
        for (free, whole, level) in [
            (151, 1000, Ample),
            (150, 1000, Low),
            (81, 1000, Low),
            (80, 1000, Scarce),
            (31, 1000, Scarce),
            (30, 1000, Exhausted),
            (0, 1000, Exhausted),
            (4 * GIB, 4096 * GIB, Ample),
            (4 * GIB - 1, 4096 * GIB, Low),
            (2 * GIB - 1, 4096 * GIB, Scarce),
            (GIB - 1, 4096 * GIB, Exhausted),
            (0, u64::MAX, Exhausted),
            (u64::MAX, u64::MAX, Ample),
            (0, 0, Ample),
            (9, 5, Ample),
        ] {
            assert_eq!(THRESHOLDS.level(room(free, whole)), level, "{free} of {whole}");
        }
    }

    #[test]
    fn a_level_is_reached_at_once_and_left_with_a_margin() {
        let mut gauge = Gauge::new(THRESHOLDS);
        assert_eq!((gauge.level(), gauge.room()), (Ample, None));
        for (free, changed, level) in [
            (900, None, Ample),
            (150, Some(Low), Low),
            // About the threshold nothing changes.
            (152, None, Low),
            (149, None, Low),
            (170, None, Low),
            (171, Some(Ample), Ample),
            (160, None, Ample),
            // Several at once, in both directions.
            (20, Some(Exhausted), Exhausted),
            (40, None, Exhausted),
            (60, Some(Scarce), Scarce),
            (30, Some(Exhausted), Exhausted),
            (101, Some(Low), Low),
            (5, Some(Exhausted), Exhausted),
            (500, Some(Ample), Ample),
        ] {
            assert_eq!((gauge.see(room(free, 1000)), gauge.level()), (changed, level), "{free} of 1000");
            assert_eq!(gauge.room(), Some(room(free, 1000)));
        }
        // A disk that does not answer is as it was; that is news once.
        assert_eq!((gauge.miss(), gauge.miss(), gauge.level()), (true, false, Ample));
        assert_eq!(
            (gauge.see(room(20, 1000)), gauge.miss(), gauge.level()),
            (Some(Exhausted), true, Exhausted)
        );
        gauge.see(room(500, 1000));
        // The margin in bytes, on a large disk.
        for (free, changed) in
            [(4 * GIB - 1, Some(Low)), (4 * GIB, None), (5 * GIB - 1, None), (5 * GIB, Some(Ample))]
        {
            assert_eq!(gauge.see(room(free, 4096 * GIB)), changed, "{free}");
        }
    }

    #[test]
    fn whatever_the_room_does_the_level_is_between_the_thresholds_and_their_margins() {
        let mut gauge = Gauge::new(THRESHOLDS);
        let mut changes = 0;
        // Up and down a little about every threshold, a thousand times.
        for at in 0..1000_u64 {
            for around in [150, 80, 30] {
                changes += usize::from(gauge.see(room(around + at % 3, 1000)).is_some());
                let (now, eased) = (THRESHOLDS.level(gauge.room().unwrap()), THRESHOLDS.eased());
                assert!(gauge.level() >= now && gauge.level() <= eased.level(gauge.room().unwrap()).max(now));
            }
        }
        assert!(changes > 0);
        let mut gauge = Gauge::new(THRESHOLDS);
        let flapped = (0..1000_u64).filter(|at| gauge.see(room(150 + at % 3, 1000)).is_some()).count();
        assert_eq!(flapped, 1, "a disk about a threshold changes its level once");
    }
}
