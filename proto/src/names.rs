//! Names: parties, devices, mailboxes, relays, message ids. Parsed once, then trusted.
//!
//! The rule ([P-1]): `[a-z0-9-]`, a letter first, no hyphen at the end or twice in a row. This room
//! never asks whether a name exists; the roster does.

use std::fmt;
use std::str::FromStr;

use crate::limits::{DEVICE_NAME_MAX, DOMAIN_MAX, MESSAGE_ID_BYTES, PARTY_NAME_MAX, PARTY_NAME_MIN};

/// Names no party may bear: they mean something else in an address or on a certificate.
pub const RESERVED: [&str; 6] = ["admin", "all", "bureau", "mission", "relay", "root"];

/// Why a name was refused; says the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A character outside the rule, or in the wrong place.
    #[error("`{0}` is not a name: use a-z, 0-9 and single hyphens, a letter first, no hyphen at the end")]
    Form(String),
    /// Too short or too long.
    #[error("`{name}` has {len} characters; {what} has {min} to {max}")]
    Length {
        /// The name as given, cleaned.
        name: String,
        /// Its length in characters.
        len: usize,
        /// What was to be named.
        what: &'static str,
        /// Fewest characters allowed.
        min: usize,
        /// Most characters allowed.
        max: usize,
    },
    /// Not 26 characters of Crockford base32.
    #[error("`{0}` is not a message id: 26 characters of 0-9 and a-z without i, l, o, u")]
    MessageId(String),
    /// One of the reserved words.
    #[error("`{0}` is reserved and names no party")]
    Reserved(String),
}

/// Foreign text made fit for an error line: no controls, at most 64 characters.
fn cleaned(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn check(text: &str, what: &'static str, min: usize, max: usize) -> Result<(), NameError> {
    let len = text.chars().count();
    if len < min || len > max {
        return Err(NameError::Length { name: cleaned(text), len, what, min, max });
    }
    let bytes = text.as_bytes();
    let legal = bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let edges = bytes.first().is_some_and(u8::is_ascii_lowercase) && bytes.last() != Some(&b'-');
    if legal && edges && !text.contains("--") { Ok(()) } else { Err(NameError::Form(cleaned(text))) }
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses and checks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_name! {
    /// A bureau or a mission: `fr`, `minustah`.
    PartyName, |text| {
        check(text, "a party", PARTY_NAME_MIN, PARTY_NAME_MAX)?;
        if RESERVED.contains(&text) { Err(NameError::Reserved(text.to_owned())) } else { Ok(()) }
    }
}

text_name! {
    /// One enrolled daemon of a party, within that party: `gw1`.
    DeviceName, |text| check(text, "a device", 1, DEVICE_NAME_MAX)
}

text_name! {
    /// A relay: `hub-1`.
    RelayId, |text| check(text, "a relay", 1, DEVICE_NAME_MAX)
}

text_name! {
    /// Where mail goes: a party, `fr`, or a desk of it, `fr/fugitives`.
    Mailbox, |text| match text.split_once('/') {
        None => PartyName::new(text).map(drop),
        Some((party, desk)) => {
            PartyName::new(party)?;
            check(desk, "a desk", 1, DEVICE_NAME_MAX)
        }
    }
}

impl Mailbox {
    /// The party that the mailbox belongs to.
    pub fn party(&self) -> PartyName {
        let party = self.0.split_once('/').map_or(&*self.0, |(party, _)| party);
        PartyName(party.into())
    }
}

impl From<&PartyName> for Mailbox {
    fn from(party: &PartyName) -> Self {
        Self(party.0.clone())
    }
}

text_name! {
    /// The federation's trust domain, a DNS name: `i24.example`.
    TrustDomain, |text| {
        let labels = text.split('.').all(|label| check(label, "a label of a domain", 1, 63).is_ok());
        if text.len() > DOMAIN_MAX {
            return Err(NameError::Length {
                name: cleaned(text), len: text.len(), what: "a trust domain", min: 3, max: DOMAIN_MAX,
            });
        }
        if labels && text.contains('.') { Ok(()) } else { Err(NameError::Form(cleaned(text))) }
    }
}

/// A device of a party: `fr/gw1` when shown. Who a session speaks for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    /// The party it is enrolled with.
    pub party: PartyName,
    /// Its name there.
    pub device: DeviceName,
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.party, self.device)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 16 random bytes that name a message everywhere; shown as 26 characters of Crockford base32, lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; MESSAGE_ID_BYTES]);

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl MessageId {
    /// From its bytes.
    pub const fn new(bytes: [u8; MESSAGE_ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; MESSAGE_ID_BYTES] {
        &self.0
    }
}

impl TryFrom<&[u8]> for MessageId {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self(bytes.try_into()?))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        for at in (0..26).rev() {
            let digit = (value >> (at * 5)) & 31;
            let index = usize::try_from(digit).unwrap_or(0);
            write!(f, "{}", char::from(CROCKFORD[index]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MessageId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::MessageId(cleaned(text));
        if text.len() != 26 {
            return Err(refused());
        }
        let mut value: u128 = 0;
        for (at, byte) in text.bytes().enumerate() {
            let lower = byte.to_ascii_lowercase();
            let digit = CROCKFORD.iter().position(|c| *c == lower).ok_or_else(refused)?;
            if at == 0 && digit > 7 {
                return Err(refused()); // 26 characters carry 130 bits; the two above 128 are zero
            }
            value = (value << 5) | u128::try_from(digit).map_err(|_| refused())?;
        }
        Ok(Self(value.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_follow_the_rule() {
        for good in ["fr", "minustah", "un-mission2", "x1"] {
            PartyName::new(good).unwrap();
        }
        for bad in ["f", "Fr", "fr-", "-fr", "f--r", "1fr", "f r", "", "fr/x", "all", "relay", "é1"] {
            PartyName::new(bad).unwrap_err();
        }
        assert!(PartyName::new(&"a".repeat(33)).is_err());
    }

    #[test]
    fn a_mailbox_is_a_party_or_a_desk_of_it() {
        assert_eq!(Mailbox::new("fr/fugitives").unwrap().party().as_str(), "fr");
        assert_eq!(Mailbox::new("fr").unwrap().party().as_str(), "fr");
        for bad in ["fr/", "/x", "fr/x/y", "fr/X", "all/x"] {
            Mailbox::new(bad).unwrap_err();
        }
    }

    #[test]
    fn a_domain_needs_two_labels() {
        TrustDomain::new("i24.example").unwrap();
        for bad in ["example", "i24..example", "I24.example", ".example"] {
            TrustDomain::new(bad).unwrap_err();
        }
    }

    #[test]
    fn an_error_carries_no_control_characters() {
        let text = PartyName::new("a\nb").unwrap_err().to_string();
        assert!(!text.contains('\n'), "{text}");
    }

    proptest! {
        #[test]
        fn ids_survive_the_round_trip(bytes: [u8; 16]) {
            let id = MessageId::new(bytes);
            let text = id.to_string();
            prop_assert_eq!(text.len(), 26);
            prop_assert_eq!(text.parse::<MessageId>().unwrap(), id);
            prop_assert_eq!(text.to_uppercase().parse::<MessageId>().unwrap(), id);
        }
    }
}
