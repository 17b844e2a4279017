//! Chance: handed in wherever it is needed, so that a simulated run can repeat it. Product code takes `OsEntropy`.
//!
//! Never falls back to anything weaker: an operating system without randomness ends the process.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};

/// A source of random bytes that can be shared between threads.
pub trait Entropy: Send + Sync {
    /// Fills the buffer; never fails, never gives the same bytes on purpose.
    fn fill(&self, out: &mut [u8]);
}

/// The operating system's generator. Also a `rand_core` `CryptoRng`, for libraries that ask for one.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, out: &mut [u8]) {
        getrandom::fill(out)
            .expect("invariant: the operating system gives randomness; no key is made without it");
    }
}

impl TryRng for OsEntropy {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(random()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(random()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for OsEntropy {}

/// Any source as a `rand_core` `CryptoRng`, for libraries that ask for one.
#[derive(Clone)]
pub struct Dice(pub Arc<dyn Entropy>);

impl TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut out = [0; 4];
        self.0.fill(&mut out);
        Ok(u32::from_le_bytes(out))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut out = [0; 8];
        self.0.fill(&mut out);
        Ok(u64::from_le_bytes(out))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Dice {}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    OsEntropy.fill(&mut out);
    out
}

/// Repeatable bytes for tests and the simulator: SHA-256 over seed and counter. Never for a real key.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededEntropy {
    /// The same seed gives the same bytes in the same order of calls.
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        for piece in out.chunks_mut(32) {
            let turn = self.drawn.fetch_add(1, Ordering::Relaxed);
            let block = Sha256::new()
                .chain_update(self.seed.to_le_bytes())
                .chain_update(turn.to_le_bytes())
                .finalize();
            piece.copy_from_slice(&block[..piece.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;

    #[test]
    fn the_system_never_repeats_itself() {
        let (first, second): ([u8; 32], [u8; 32]) = (random(), random());
        assert_ne!(first, second);
        assert_ne!(OsEntropy.next_u64(), OsEntropy.next_u64());
    }

    #[test]
    fn a_seed_repeats_its_bytes_and_no_other_seed_does() {
        let draw = |seed| {
            let source = SeededEntropy::new(seed);
            let mut out = [0; 70];
            source.fill(&mut out[..5]);
            source.fill(&mut out[5..]);
            out
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
