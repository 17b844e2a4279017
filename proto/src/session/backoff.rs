//! How long to wait before calling again: doubling with full jitter, quick at first, reset by a Welcome ([P-25]).

/// Pace of a link. Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// First cap.
    pub first_ms: u64,
    /// Cap in the first ten seconds of an outage: a restarted relay is found soon.
    pub early_ms: u64,
    /// Cap after that: 187 devices make no storm.
    pub late_ms: u64,
}

/// A local network or the open Internet.
pub const LAN: Pace = Pace { first_ms: 100, early_ms: 500, late_ms: 5_000 };
/// A satellite: each try costs seconds of a narrow link.
pub const SATELLITE: Pace = Pace { first_ms: 100, early_ms: 500, late_ms: 60_000 };

/// What counts as the beginning of an outage.
const EARLY_MS: u64 = 10_000;

/// Counts the tries of one outage.
#[derive(Clone, Debug)]
pub struct Backoff {
    pace: Pace,
    tries: u32,
    since_ms: Option<u64>,
}

impl Backoff {
    /// At the start: the first try waits least.
    pub fn new(pace: Pace) -> Self {
        Self { pace, tries: 0, since_ms: None }
    }

    /// The wait before the next try, in milliseconds. `chance` is any random number.
    pub fn next(&mut self, now_ms: u64, chance: u64) -> u64 {
        let since = *self.since_ms.get_or_insert(now_ms);
        let early = now_ms.saturating_sub(since) < EARLY_MS;
        let most = if early { self.pace.early_ms } else { self.pace.late_ms };
        let cap = self.pace.first_ms.saturating_mul(1 << self.tries.min(16)).min(most);
        self.tries += 1;
        chance % (cap + 1)
    }

    /// The relay said Welcome: the outage is over.
    pub fn welcome(&mut self) {
        *self = Self::new(self.pace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_caps_and_start_over() {
        let mut backoff = Backoff::new(LAN);
        let longest = u64::MAX;
        let caps = |b: &mut Backoff, now| (0..8).map(|_| b.next(now, longest)).max().unwrap();
        assert!(backoff.next(0, longest) <= 100);
        assert!(caps(&mut backoff, 5_000) <= 500);
        assert!(caps(&mut backoff, 10_001) <= 5_000);
        let late: Vec<u64> = (0..1000).map(|chance| backoff.next(60_000, chance * 7)).collect();
        assert!(late.iter().max().unwrap() > &4_000 && late.iter().min().unwrap() < &500, "full jitter");
        backoff.welcome();
        assert!(backoff.next(100_000, longest) <= 100);
    }
}
