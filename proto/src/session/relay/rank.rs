//! How urgent an entry is for the session that hands it out: by its precedence, and by how long it was passed over.
//!
//! Knows no clock: whoever schedules counts the steps.

use crate::kinds::Precedence;

/// How urgent. The higher goes first; of equals, the lower number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(u8);

impl Rank {
    /// Before all that is immediate, and behind every flash: what was passed over for long enough.
    const OVERDUE: Self = Self(Self::of(Precedence::Immediate).0 + 1);

    /// Priorities of streams there are, from 0.
    pub const PRIORITIES: usize = Self::of(Precedence::Override).0 as usize + 1;

    /// Of what was not passed over.
    pub const fn of(precedence: Precedence) -> Self {
        Self(match precedence {
            Precedence::Deferred => 0,
            Precedence::Routine => 2,
            Precedence::Priority => 4,
            Precedence::Immediate => 6,
            Precedence::Flash => 8,
            Precedence::Override => 10,
        })
    }

    /// Of what waited for so many steps: each lifts it by a precedence, and the one after `immediate` to before all of
    /// that. So of what is below, nothing waits for ever. What is immediate or above has its place without.
    pub fn aged(precedence: Precedence, steps: u64) -> Self {
        let rank = Self::of(precedence);
        if precedence >= Precedence::Immediate {
            return rank;
        }
        let steps = u8::try_from(steps).unwrap_or(u8::MAX);
        Self(rank.0.saturating_add(steps.saturating_mul(2))).min(Self::OVERDUE)
    }

    /// Whether it is a flash or above: nothing holds it back.
    pub fn is_flash(self) -> bool {
        self >= Self::of(Precedence::Flash)
    }

    /// Priority of its stream. The transport sends nothing of a lower one while there is something of a higher, so what is
    /// overdue shares with what is immediate: a large file that waited must not hold that up until its end.
    pub fn priority(self) -> usize {
        if self == Self::OVERDUE { Self::of(Precedence::Immediate).priority() } else { self.0.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_lifts_by_a_precedence_and_the_last_to_before_what_is_immediate() {
        let ranks = |precedence| (0..6).map(|steps| Rank::aged(precedence, steps).0).collect::<Vec<_>>();
        assert_eq!(ranks(Precedence::Deferred), [0, 2, 4, 6, 7, 7]);
        assert_eq!(ranks(Precedence::Routine), [2, 4, 6, 7, 7, 7]);
        assert_eq!(ranks(Precedence::Priority), [4, 6, 7, 7, 7, 7]);
        assert_eq!(ranks(Precedence::Immediate), [6; 6]);
        assert_eq!(ranks(Precedence::Flash), [8; 6]);
        assert_eq!(ranks(Precedence::Override), [10; 6]);
    }

    #[test]
    fn nothing_that_is_no_flash_ever_ranks_with_one() {
        for precedence in Precedence::ALL {
            for steps in [0, 1, 2, 3, 4, 100, u64::MAX] {
                let rank = Rank::aged(*precedence, steps);
                assert_eq!(rank.is_flash(), *precedence >= Precedence::Flash, "{precedence} after {steps}");
                assert!(rank >= Rank::of(*precedence));
            }
        }
    }

    #[test]
    fn on_the_wire_what_is_overdue_shares_with_what_is_immediate() {
        let priority = |precedence, steps| Rank::aged(precedence, steps).priority();
        assert_eq!(priority(Precedence::Routine, 3), priority(Precedence::Immediate, 0));
        assert!(priority(Precedence::Routine, 2) == priority(Precedence::Immediate, 0));
        assert!(priority(Precedence::Routine, 1) < priority(Precedence::Immediate, 0));
        let by_precedence: Vec<_> = Precedence::ALL.iter().map(|one| priority(*one, 0)).collect();
        assert!(by_precedence.windows(2).all(|two| two[0] < two[1]), "{by_precedence:?}");
        assert!(by_precedence.iter().all(|one| *one < Rank::PRIORITIES));
    }
}
