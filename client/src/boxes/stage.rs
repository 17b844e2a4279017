//! How far the key wrap of one recipient is.

use valise_host::ledger::StoreError;

use super::vault::Vault;

/// How far a recipient's wrap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrap {
    /// The key is not known.
    Missing = 0,
    /// Goes with the envelope.
    First = 1,
    /// Follows the envelope.
    Late = 2,
    /// The relay has it, or nobody needs it any more.
    Done = 3,
}

impl Wrap {
    pub(super) fn from_number(number: i32, vault: &Vault) -> Result<Self, StoreError> {
        let all = [Self::Missing, Self::First, Self::Late, Self::Done];
        all.into_iter().find(|stage| *stage as i32 == number).ok_or_else(|| vault.broken("recipient"))
    }
}
