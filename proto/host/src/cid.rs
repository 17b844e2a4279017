//! Connection ids: 16 bytes that only this relay can have made, also before it was restarted.
//!
//! 10 random bytes, then 6 of HMAC-SHA256 over them. A packet for a connection that a restarted relay has lost is
//! thus told from noise without any memory, and answered with a reset. Never carries anything about the peer.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::entropy::Entropy;

/// Random part, in bytes: 2^40 live ids before two meet.
const RANDOM_BYTES: usize = 10;
/// Proof part, in bytes: a flood of made-up ids passes once in 2^48.
const PROOF_BYTES: usize = 6;
/// Length of a connection id, in bytes.
pub const CID_BYTES: usize = RANDOM_BYTES + PROOF_BYTES;

/// Makes and recognises our connection ids.
pub struct CidGenerator {
    key: Arc<Zeroizing<[u8; 32]>>,
    entropy: Arc<dyn Entropy>,
}

impl CidGenerator {
    /// From a key that stays the same over restarts, with the source of the random part.
    pub fn new(key: Arc<Zeroizing<[u8; 32]>>, entropy: Arc<dyn Entropy>) -> Self {
        Self { key, entropy }
    }

    fn mac(&self, random: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key[..]);
        mac.expect("invariant: HMAC takes a key of any length").chain_update(random)
    }
}

impl ConnectionIdGenerator for CidGenerator {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CID_BYTES];
        let (random, proof) = id.split_at_mut(RANDOM_BYTES);
        self.entropy.fill(random);
        let mac = self.mac(random).finalize().into_bytes();
        proof.copy_from_slice(&mac[..PROOF_BYTES]);
        ConnectionId::new(&id)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let Some((random, proof)) = id.split_first_chunk::<RANDOM_BYTES>() else { return Err(InvalidCid) };
        if proof.len() != PROOF_BYTES {
            return Err(InvalidCid);
        }
        self.mac(random).verify_truncated_left(proof).map_err(|_| InvalidCid)
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{OsEntropy, SeededEntropy};

    fn generator(key: u8) -> CidGenerator {
        CidGenerator::new(Arc::new(Zeroizing::new([key; 32])), Arc::new(OsEntropy))
    }

    #[test]
    fn a_restarted_relay_knows_its_ids_and_no_others() {
        let id = generator(1).generate_cid();
        assert_eq!(id.len(), CID_BYTES);
        generator(1).validate(&id).unwrap();
        generator(2).validate(&id).unwrap_err();
        for at in 0..CID_BYTES {
            let mut bytes = id.to_vec();
            bytes[at] ^= 1;
            generator(1).validate(&ConnectionId::new(&bytes)).unwrap_err();
            generator(1).validate(&ConnectionId::new(&id[..at])).unwrap_err();
        }
        generator(1).validate(&ConnectionId::new(&[&id[..], &[0]].concat())).unwrap_err();
    }

    #[test]
    fn ids_do_not_repeat_under_one_key_but_do_under_one_seed() {
        assert_ne!(generator(1).generate_cid(), generator(1).generate_cid());
        let seeded = || CidGenerator::new(Arc::new(Zeroizing::new([1; 32])), Arc::new(SeededEntropy::new(5)));
        assert_eq!(seeded().generate_cid(), seeded().generate_cid());
    }
}
