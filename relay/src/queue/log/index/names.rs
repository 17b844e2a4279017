//! Names as numbers: each name is held once, however many entries bear it.

use std::collections::HashMap;
use std::hash::Hash;

/// Names seen so far. A number stands for its name as long as the store is open.
#[derive(Debug)]
pub(crate) struct Names<T> {
    numbers: HashMap<T, u32>,
    names: Vec<T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), names: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Names<T> {
    /// The number of a name, given to it now if it had none.
    pub(crate) fn number(&mut self, name: &T) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number =
            u32::try_from(self.names.len()).expect("invariant: there are fewer names than envelopes");
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }

    /// The number of a name that was seen.
    pub(crate) fn find(&self, name: &T) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The name of a number.
    pub(crate) fn name(&self, number: u32) -> &T {
        &self.names[number as usize]
    }
}
