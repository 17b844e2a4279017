//! How many transfers may be in flight. Bulk never takes the last streams: a FLASH always finds one ([P-33]).

use std::collections::BTreeMap;

use crate::limits::{BULK_TRANSFERS_MAX, TRANSFERS_MAX};

/// Transfers in flight, by key; each bulk or not.
#[derive(Debug)]
pub struct Window<K> {
    held: BTreeMap<K, bool>,
}

impl<K> Default for Window<K> {
    fn default() -> Self {
        Self { held: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Window<K> {
    /// Whether another transfer of this kind may start.
    pub fn admits(&self, bulk: bool) -> bool {
        self.held.len() < TRANSFERS_MAX as usize
            && (!bulk || self.held.values().filter(|held| **held).count() < BULK_TRANSFERS_MAX as usize)
    }

    /// Whether no transfer of any kind may start.
    pub fn full(&self) -> bool {
        !self.admits(false)
    }

    /// Starts one.
    pub fn start(&mut self, key: K, bulk: bool) {
        self.held.insert(key, bulk);
    }

    /// Ends one; whether it was in flight.
    pub fn end(&mut self, key: &K) -> bool {
        self.held.remove(key).is_some()
    }

    /// Whether it is in flight.
    pub fn holds(&self, key: &K) -> bool {
        self.held.contains_key(key)
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// What is in flight.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.held.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_leaves_streams_for_flash() {
        let mut window = Window::default();
        for n in 0..BULK_TRANSFERS_MAX {
            assert!(window.admits(true));
            window.start(n, true);
        }
        assert!(!window.admits(true));
        for n in BULK_TRANSFERS_MAX..TRANSFERS_MAX {
            assert!(window.admits(false));
            window.start(n, false);
        }
        assert!(window.full());
        assert!(window.end(&0) && !window.end(&0));
        assert!(window.admits(true));
    }
}
