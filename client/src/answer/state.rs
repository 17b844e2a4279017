//! The words for where a message stands, and how waiting for one of them ends. The order of the variants is the
//! order of the ladder.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a message stands with one recipient. The ends stand below the ladder: they never reach a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its time ran out.
    Expired,
    /// Turned away, with a reason.
    Refused,
    /// The recipient's device could not open it.
    Unopenable,
    /// Synced here.
    Queued,
    /// Synced at the relay.
    Relayed,
    /// Decrypted and verified by the recipient's device.
    Delivered,
    /// Shown to a person or fetched by a consumer.
    Opened,
    /// An operator said so.
    Acknowledged,
}

impl State {
    /// The rungs that one can wait for, lowest first.
    pub const LADDER: [Self; 5] =
        [Self::Queued, Self::Relayed, Self::Delivered, Self::Opened, Self::Acknowledged];

    /// The word, the same everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Unopenable => "unopenable",
            Self::Queued => "queued",
            Self::Relayed => "relayed",
            Self::Delivered => "delivered",
            Self::Opened => "opened",
            Self::Acknowledged => "acknowledged",
        }
    }

    /// Whether it is an end without delivery.
    pub const fn is_bad_end(self) -> bool {
        matches!(self, Self::Expired | Self::Refused | Self::Unopenable)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no rung of the ladder; the sentence lists those that are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no state to wait for; these are: {}", State::LADDER.map(State::as_str).join(", "))]
pub struct UnknownState {
    given: String,
}

impl FromStr for State {
    type Err = UnknownState;

    /// Reads a rung of the ladder. The ends are answers, never something to ask for.
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        let given = || text.chars().filter(|c| !c.is_control()).take(32).collect();
        let rung = Self::LADDER.into_iter().find(|state| state.as_str() == text);
        rung.ok_or_else(|| UnknownState { given: given() })
    }
}

/// Why waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every recipient reached the state or a later one.
    Reached,
    /// At least one ended badly.
    EndedBadly,
    /// The time was up first.
    TimedOut,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_has_its_order_and_the_ends_lie_below() {
        assert!(State::LADDER.is_sorted());
        for end in [State::Expired, State::Refused, State::Unopenable] {
            assert!(end.is_bad_end() && end < State::Queued);
        }
        assert!(State::LADDER.iter().all(|rung| !rung.is_bad_end()));
    }

    #[test]
    fn an_end_is_nothing_to_wait_for() {
        assert_eq!("opened".parse(), Ok(State::Opened));
        let fault = "refused".parse::<State>().unwrap_err().to_string();
        assert_eq!(
            fault,
            "`refused` is no state to wait for; these are: queued, relayed, delivered, opened, acknowledged"
        );
    }
}
