//! Times for people and scripts: RFC 3339 in UTC, to the second, and how far away that is. Knows no clock.

use jiff::Timestamp;

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;
const DAY_S: u64 = 24 * HOUR_S;

/// `2026-11-28T07:00:00Z`; a time that no calendar has is told as its number.
pub(crate) fn stamp(ms: u64) -> String {
    let second = i64::try_from(ms / 1000).ok().and_then(|second| Timestamp::from_second(second).ok());
    second.map_or_else(|| format!("Unix millisecond {ms}"), |second| second.to_string())
}

/// `5 min ago`.
pub(crate) fn ago(then_ms: u64, now_ms: u64) -> String {
    if then_ms > now_ms { ahead(then_ms, now_ms) } else { format!("{} ago", span(now_ms - then_ms)) }
}

/// `in 29 days`, or `since 3 h` when it is past.
pub(crate) fn ahead(then_ms: u64, now_ms: u64) -> String {
    match then_ms.checked_sub(now_ms) {
        Some(left) => format!("in {}", span(left)),
        None => format!("past, since {}", span(now_ms - then_ms)),
    }
}

/// In the largest unit of which there are two.
fn span(ms: u64) -> String {
    match ms / 1000 {
        seconds if seconds >= 2 * DAY_S => format!("{} days", seconds / DAY_S),
        seconds if seconds >= 2 * HOUR_S => format!("{} h", seconds / HOUR_S),
        seconds if seconds >= 2 * MINUTE_S => format!("{} min", seconds / MINUTE_S),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_one_form() {
        assert_eq!(stamp(1_790_000_000_999), "2026-09-21T14:13:20Z");
        assert_eq!(stamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(stamp(u64::MAX), format!("Unix millisecond {}", u64::MAX));
        assert_eq!(ago(1_000, 301_000), "5 min ago");
        assert_eq!(ago(301_000, 1_000), "in 5 min");
        assert_eq!(ahead(DAY_S * 30_000, 0), "in 30 days");
        assert_eq!(ahead(0, HOUR_S * 3000), "past, since 3 h");
        assert_eq!(ahead(119_000, 0), "in 119 s");
    }
}
