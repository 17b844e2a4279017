//! The states of a message: the rungs of the ladder and the ends, and which of two holds.

use valise_host::ledger::StoreError;
use valise_proto::kinds::ReceiptKind;

use super::vault::Vault;

/// A rung of the ladder, or an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Synced here.
    Queued,
    /// Synced at the relay.
    Relayed,
    /// Its time ran out.
    Expired,
    /// Turned away, with a reason.
    Refused,
    /// Could not be opened.
    Unopenable,
    /// Decrypted and verified by a device of the recipient.
    Delivered,
    /// Shown to a person or fetched by a consumer.
    Opened,
    /// An operator said so.
    Acknowledged,
}

impl State {
    const ALL: [Self; 8] = [
        Self::Queued,
        Self::Relayed,
        Self::Expired,
        Self::Refused,
        Self::Unopenable,
        Self::Delivered,
        Self::Opened,
        Self::Acknowledged,
    ];

    /// Its word, the same everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Relayed => "relayed",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Unopenable => "unopenable",
            Self::Delivered => "delivered",
            Self::Opened => "opened",
            Self::Acknowledged => "acknowledged",
        }
    }

    /// Whether it ends the ladder badly.
    pub const fn is_bad_end(self) -> bool {
        matches!(self, Self::Expired | Self::Refused | Self::Unopenable)
    }

    /// Whether the recipient needs nothing more from us: it has the message, or never will.
    pub const fn has_ended(self) -> bool {
        self.rank() >= Self::Expired.rank()
    }

    /// What it counts for in the state of a whole message: the least of its recipients, a bad end least of all.
    pub const fn standing(self) -> u8 {
        if self.is_bad_end() { 0 } else { 1 + self.rank() }
    }

    /// States move to a higher rank only. Among bad ends the first holds; `delivered` outranks them, because it
    /// is a recipient's own proof that one of its devices has the message.
    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Relayed => 1,
            Self::Expired | Self::Refused | Self::Unopenable => 2,
            Self::Delivered => 3,
            Self::Opened => 4,
            Self::Acknowledged => 5,
        }
    }

    /// Its number in the store; never changes.
    pub(super) const fn number(self) -> i32 {
        match self {
            Self::Queued => 1,
            Self::Relayed => 2,
            Self::Delivered => 3,
            Self::Opened => 4,
            Self::Acknowledged => 5,
            Self::Expired => 6,
            Self::Refused => 7,
            Self::Unopenable => 8,
        }
    }

    pub(super) fn from_number(number: i32, vault: &Vault) -> Result<Self, StoreError> {
        Self::ALL.into_iter().find(|state| state.number() == number).ok_or_else(|| vault.broken("state"))
    }
}

impl From<ReceiptKind> for State {
    fn from(kind: ReceiptKind) -> Self {
        match kind {
            ReceiptKind::Relayed => Self::Relayed,
            ReceiptKind::Delivered => Self::Delivered,
            ReceiptKind::Opened => Self::Opened,
            ReceiptKind::Acknowledged => Self::Acknowledged,
            ReceiptKind::Expired => Self::Expired,
            ReceiptKind::Refused => Self::Refused,
            ReceiptKind::Unopenable => Self::Unopenable,
        }
    }
}
