//! A span of time as people type it: a number and a unit, nothing else.

use std::time::Duration;

/// Longest span, 31 days: over the life of most messages; who waits longer asks `valise track`.
const SPAN_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Reads `500ms`, `60s`, `5m`, `2h`. The error says the rule.
pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    let rule = || "write a number and a unit, up to 31 days: 500ms, 60s, 5m or 2h".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| rule())?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err(rule()),
    };
    let span = number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(rule)?;
    if span <= SPAN_MAX { Ok(span) } else { Err(rule()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_typed() {
        assert_eq!(parse_span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_span("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_span("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_span("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(parse_span("0s"), Ok(Duration::ZERO));
        for bad in [
            "",
            "60",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1d",
            "99999999999999999999s",
            "18446744073709551615h",
            "800h",
        ] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }
}
