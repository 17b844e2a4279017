//! Who is killed, and at which moment: the whole list follows from the seed, before anything runs.

use std::fmt;

use super::Scale;
use crate::sim::chance::Chance;

/// Longest time between the cause of a strike and the kill, milliseconds: an attachment's way takes about that.
const LATER_MS: u64 = 120;
/// One of so many kills of a daemon is one of everything.
const EVERYTHING: u64 = 10;
/// An attachment that is to be hit on its way, KiB.
const HIT_KIB: std::ops::Range<u64> = 512..6 * 1024;

/// A program that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// The relay.
    Relay,
    /// The daemon of a party.
    Daemon(&'static str),
}

/// What leads to a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Nothing: at any moment under load.
    Any,
    /// Right behind an answer for which the victim is good.
    BehindAnswer,
    /// While an attachment is on its way to the victim or through it.
    MidAttachment,
    /// While an attachment is handed in to the victim by its user.
    MidHandIn,
    /// Again, while it starts.
    WhileStarting,
    /// With another victim, at once or shortly after.
    Together(Victim),
    /// With every other program that is ever killed.
    Everything,
}

/// One strike of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// Who is killed.
    pub victim: Victim,
    /// What leads to it.
    pub moment: Moment,
    /// Quiet before it, milliseconds.
    pub pause_ms: u64,
    /// Between cause and kill, or between two kills, milliseconds.
    pub later_ms: u64,
    /// Size of the attachment that is to be hit, KiB.
    pub file_kib: u64,
}

/// The strikes, in order. Every program of the scale is killed as often as it says.
pub fn strikes(scale: &Scale, seed: u64) -> Vec<Strike> {
    let mut chance = Chance::of(seed, "strikes", 0);
    let mut strikes = Vec::new();
    let everything = scale.each / EVERYTHING;
    for _ in 0..everything.min(scale.relay) {
        strikes.push(drawn(Victim::Relay, Moment::Everything, scale, &mut chance));
    }
    let mut relay = scale.relay.saturating_sub(everything);
    for name in scale.victims {
        let (daemon, mut left) = (Victim::Daemon(name), scale.each.saturating_sub(everything));
        while left > 0 {
            let (victim, moment) = match chance.below(10) {
                0 if relay > 0 => (daemon, Moment::Together(Victim::Relay)),
                1 if relay > 0 => (Victim::Relay, Moment::Together(daemon)),
                2 if left > 1 => (daemon, Moment::WhileStarting),
                3 | 4 => (daemon, Moment::BehindAnswer),
                5 => (daemon, Moment::MidAttachment),
                6 => (daemon, Moment::MidHandIn),
                _ => (daemon, Moment::Any),
            };
            let strike = drawn(victim, moment, scale, &mut chance);
            left = left.saturating_sub(strike.kills_of(daemon));
            relay = relay.saturating_sub(strike.kills_of(Victim::Relay));
            strikes.push(strike);
        }
    }
    while relay > 0 {
        let moment = match chance.below(8) {
            0 if relay > 1 => Moment::WhileStarting,
            1 | 2 => Moment::BehindAnswer,
            3 | 4 => Moment::MidAttachment,
            _ => Moment::Any,
        };
        let strike = drawn(Victim::Relay, moment, scale, &mut chance);
        relay = relay.saturating_sub(strike.kills_of(Victim::Relay));
        strikes.push(strike);
    }
    chance.shuffle(&mut strikes);
    strikes
}

fn drawn(victim: Victim, moment: Moment, scale: &Scale, chance: &mut Chance) -> Strike {
    Strike {
        victim,
        moment,
        pause_ms: chance.below(scale.pause_ms),
        // Every fourth follows at once.
        later_ms: if chance.percent(25) { 0 } else { chance.below(LATER_MS) },
        file_kib: chance.within(HIT_KIB.start, HIT_KIB.end),
    }
}

impl Strike {
    /// How often it kills this one.
    pub fn kills_of(&self, victim: Victim) -> u64 {
        if self.moment == Moment::Everything {
            return 1;
        }
        let own = if self.moment == Moment::WhileStarting { 2 } else { 1 };
        let other = u64::from(self.moment == Moment::Together(victim));
        if self.victim == victim { own } else { other }
    }

    /// Whether the relay is among those killed.
    pub fn hits_relay(&self) -> bool {
        self.kills_of(Victim::Relay) > 0
    }
}

impl Moment {
    /// For the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Any => "any moment",
            Self::BehindAnswer => "behind an answer",
            Self::MidAttachment => "in mid-attachment",
            Self::MidHandIn => "in mid-hand-in",
            Self::WhileStarting => "again while starting",
            Self::Together(_) => "two together",
            Self::Everything => "everything at once",
        }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay => f.pad("relay"),
            Self::Daemon(name) => f.pad(name),
        }
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { victim, moment, pause_ms, later_ms, file_kib } = self;
        match moment {
            Moment::Any => write!(f, "after {pause_ms} ms kill {victim}"),
            Moment::BehindAnswer => write!(f, "after {pause_ms} ms kill {victim} right behind an answer"),
            Moment::MidAttachment => write!(
                f,
                "after {pause_ms} ms send {file_kib} KiB, {later_ms} ms later kill {victim} under it"
            ),
            Moment::MidHandIn => write!(
                f,
                "after {pause_ms} ms hand {file_kib} KiB in to {victim}, {later_ms} ms later kill it"
            ),
            Moment::WhileStarting => {
                write!(f, "after {pause_ms} ms kill {victim}, {later_ms} ms into its start kill it again")
            }
            Moment::Everything => write!(f, "after {pause_ms} ms kill everything"),
            Moment::Together(other) => {
                write!(f, "after {pause_ms} ms kill {victim}, {later_ms} ms later kill {other}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_follows_from_its_seed_and_kills_as_often_as_asked() {
        let scale = Scale::FULL;
        for seed in 0..50 {
            let plan = strikes(&scale, seed);
            assert_eq!(plan, strikes(&scale, seed));
            let kills = |victim| plan.iter().map(|strike| strike.kills_of(victim)).sum::<u64>();
            assert_eq!(kills(Victim::Relay), scale.relay);
            for name in scale.victims {
                assert_eq!(kills(Victim::Daemon(name)), scale.each);
            }
        }
        assert_ne!(strikes(&scale, 1), strikes(&scale, 2));
    }
}
