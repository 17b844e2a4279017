//! The relay's own voice: its receipt-signing key and certificate.

use valise_proto::names::RelayId;
use valise_proto::receipt::{Receipt, SignedReceipt};
use valise_proto::signing::SigningKey;

use crate::queue::Stamp;

/// Signs receipts in the relay's name.
#[derive(Debug)]
pub struct RelayStamp {
    relay: RelayId,
    key: SigningKey,
}

impl RelayStamp {
    /// With the key behind the relay's receipt-signing certificate.
    pub fn new(relay: RelayId, key: SigningKey) -> Self {
        Self { relay, key }
    }
}

impl Stamp for RelayStamp {
    fn relay(&self) -> &RelayId {
        &self.relay
    }

    fn sign_all(&self, receipts: &[Receipt]) -> Vec<SignedReceipt> {
        SignedReceipt::sign_all(receipts, &self.key)
    }
}
