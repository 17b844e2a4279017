//! A point in time as the API speaks it: RFC 3339, UTC, milliseconds, always of the same width. Reads no clock.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z, spoken as `2026-11-23T22:10:54.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The last whole second that fits RFC 3339 in every time zone: 9999-12-30T21:59:59.999Z.
    const LAST_MS: u64 = 253_402_207_199_999;

    /// From Unix milliseconds. What lies beyond the year 9999 (a foreign clock may say so) becomes the last moment.
    pub const fn from_unix_ms(ms: u64) -> Self {
        if ms > Self::LAST_MS { Self(Self::LAST_MS) } else { Self(ms) }
    }

    /// As Unix milliseconds.
    pub const fn unix_ms(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        let ms = i64::try_from(self.0).map_err(|_| fmt::Error)?;
        let time = Timestamp::from_millisecond(ms).map_err(|_| fmt::Error)?;
        f.pad(&PRINTER.timestamp_to_string(&time))
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time: Timestamp = text.parse().map_err(|e: jiff::Error| e.to_string())?;
        let ms = u64::try_from(time.as_millisecond()).map_err(|_| "a time before 1970".to_owned())?;
        Ok(Self::from_unix_ms(ms))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_always_as_wide() {
        assert_eq!(Moment::from_unix_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Moment::from_unix_ms(1_763_935_854_070).to_string(), "2025-11-23T22:10:54.070Z");
        assert_eq!(Moment::from_unix_ms(u64::MAX).to_string(), "9999-12-30T21:59:59.999Z");
        assert_eq!("2025-11-23T22:10:54.070Z".parse::<Moment>(), Ok(Moment::from_unix_ms(1_763_935_854_070)));
        assert!("yesterday".parse::<Moment>().is_err());
    }
}
