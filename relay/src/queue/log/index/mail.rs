//! Receipts that wait for an author's device, in the order in which they came.

use std::collections::{BTreeMap, HashMap};

use crate::queue::log::facts::Loc;

/// One that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) id: [u8; 16],
    pub(crate) loc: Loc,
}

/// All that wait.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    lines: HashMap<u32, BTreeMap<u64, Waiting>>,
    orders: HashMap<(u32, [u8; 16]), u64>,
}

impl Mail {
    /// Keeps one, once; whether it is new. `order`: its place among the receipts of all devices.
    pub(crate) fn put(&mut self, device: u32, order: u64, waiting: Waiting) -> bool {
        if self.orders.contains_key(&(device, waiting.id)) {
            return false;
        }
        self.orders.insert((device, waiting.id), order);
        self.lines.entry(device).or_default().insert(order, waiting);
        true
    }

    /// One that waits, and its place.
    pub(crate) fn find(&self, device: u32, id: &[u8; 16]) -> Option<(u64, &Waiting)> {
        let order = self.orders.get(&(device, *id))?;
        Some((*order, self.lines.get(&device)?.get(order)?))
    }

    /// It lies elsewhere now.
    pub(crate) fn moved(&mut self, device: u32, id: &[u8; 16], loc: Loc) -> Option<Loc> {
        let order = self.orders.get(&(device, *id))?;
        let waiting = self.lines.get_mut(&device)?.get_mut(order)?;
        Some(std::mem::replace(&mut waiting.loc, loc))
    }

    /// Lets one go.
    pub(crate) fn take(&mut self, device: u32, id: &[u8; 16]) -> Option<Waiting> {
        let order = self.orders.remove(&(device, *id))?;
        let line = self.lines.get_mut(&device)?;
        let waiting = line.remove(&order);
        if line.is_empty() {
            self.lines.remove(&device);
        }
        waiting
    }

    /// Those of a device, the oldest first.
    pub(crate) fn of(&self, device: u32) -> impl Iterator<Item = &Waiting> {
        self.lines.get(&device).into_iter().flat_map(BTreeMap::values)
    }
}
