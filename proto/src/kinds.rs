//! The small closed sets: class, precedence, addressing, receipt kind and reason, party kind. One word each, the
//! same on the wire, in JSON and on the screen.

use std::fmt;
use std::str::FromStr;

use crate::wire;
use crate::wire::BadField;

/// A word that names no member of its set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is none of {known}")]
pub struct UnknownWord {
    /// As given, cut to 32 characters.
    pub given: String,
    /// The words there are.
    pub known: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident ~ $wire:ident, $field:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant),+
        }

        impl $name {
            /// Every member, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// Its number on the wire.
            pub const fn to_wire(self) -> i32 {
                match self {
                    $(Self::$variant => wire::$wire::$variant as i32),+
                }
            }

            /// From its number on the wire; the unspecified and the unknown are refused.
            pub fn from_wire(number: i32) -> Result<Self, BadField> {
                Self::ALL.iter().copied().find(|member| member.to_wire() == number).ok_or(BadField($field))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|member| member.as_str() == text).ok_or_else(|| UnknownWord {
                    given: text.chars().filter(|c| !c.is_control()).take(32).collect(),
                    known: Self::ALL.iter().map(|member| member.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

words! {
    /// What the relay sees of the kind of an envelope.
    Class ~ Class, "class" {
        /// Free text.
        Message = "message",
        /// A message with a colour.
        Notice = "notice",
        /// Asks for an answer.
        Request = "request",
        /// Answers.
        Reply = "reply",
        /// Between daemons.
        Control = "control",
    }
}

words! {
    /// STANAG 4406 precedence, lowest first.
    Precedence ~ Precedence, "precedence" {
        /// When nothing else waits.
        Deferred = "deferred",
        /// The default.
        Routine = "routine",
        /// Before routine.
        Priority = "priority",
        /// Never behind bulk.
        Immediate = "immediate",
        /// Sounds until acknowledged.
        Flash = "flash",
        /// Before all else.
        Override = "override",
    }
}

words! {
    /// What is asked of an addressee.
    Addressing ~ Addressing, "addressing" {
        /// Is to act.
        Action = "action",
        /// Is to know.
        Info = "info",
    }
}

words! {
    /// A rung of the ladder, or an end.
    ReceiptKind ~ ReceiptKind, "kind" {
        /// Synced at the relay.
        Relayed = "relayed",
        /// Decrypted and verified by the recipient's device.
        Delivered = "delivered",
        /// Shown to a person or fetched by a consumer.
        Opened = "opened",
        /// An operator said so.
        Acknowledged = "acknowledged",
        /// Its time ran out.
        Expired = "expired",
        /// Turned away, with a reason.
        Refused = "refused",
        /// Could not be opened.
        Unopenable = "unopenable",
    }
}

impl ReceiptKind {
    /// Whether it ends the ladder badly.
    pub const fn is_bad_end(self) -> bool {
        matches!(self, Self::Expired | Self::Refused | Self::Unopenable)
    }

    /// Whether the queue lets an entry go on it: a device has it, or never will.
    pub const fn settles(self) -> bool {
        matches!(self, Self::Delivered) || self.is_bad_end()
    }
}

words! {
    /// Why an end is bad.
    Reason ~ ReceiptReason, "reason" {
        /// No such mailbox, or no agreement; never said which.
        NotPermittedOrUnknown = "not-permitted-or-unknown",
        /// Past its time.
        Expired = "expired",
        /// The submission breaks the protocol.
        Malformed = "malformed",
        /// The recipient is not among the recipients.
        NotForUs = "not-for-us",
        /// Sealed to an epoch whose seed is gone.
        KeyRetired = "key-retired",
        /// All else.
        Unopenable = "unopenable",
    }
}

words! {
    /// Bureau or mission.
    PartyKind ~ PartyKind, "kind" {
        /// A national bureau.
        Bureau = "bureau",
        /// A field mission.
        Mission = "mission",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_has_the_order_of_stanag_4406() {
        let words: Vec<_> = Precedence::ALL.iter().map(|p| p.as_str()).collect();
        assert_eq!(words, ["deferred", "routine", "priority", "immediate", "flash", "override"]);
        assert!(Precedence::Flash > Precedence::Immediate);
    }

    #[test]
    fn the_unspecified_and_the_unknown_are_refused() {
        assert_eq!(Class::from_wire(0), Err(BadField("class")));
        assert_eq!(Class::from_wire(9999), Err(BadField("class")));
        assert_eq!(Class::from_wire(1), Ok(Class::Message));
        let fault = "flush".parse::<Precedence>().unwrap_err().to_string();
        assert_eq!(fault, "`flush` is none of deferred, routine, priority, immediate, flash, override");
    }
}
