//! RFC 6962 trees over SHA-256: roots of ciphertext segments, and of receipts with their audit paths.
//!
//! Hashes are computed by the `sha2` library; this room only says which are joined.

use crate::signing::Hash;

/// Hash of a leaf (RFC 6962, 2.1): domain byte 0.
pub fn leaf(data: &[u8]) -> Hash {
    Hash::of(&[&[0], data])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Hash::of(&[&[1], &left.0, &right.0])
}

/// Builds a root from leaves as they come; keeps one hash per level.
#[derive(Clone, Debug, Default)]
pub struct RootBuilder {
    // Complete subtrees, largest first: (leaves below, hash).
    peaks: Vec<(u64, Hash)>,
}

impl RootBuilder {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next leaf by its data.
    pub fn push(&mut self, data: &[u8]) {
        self.push_hash(leaf(data));
    }

    /// Adds the next leaf by its hash.
    pub fn push_hash(&mut self, hash: Hash) {
        let mut top = (1, hash);
        while let Some(&(size, left)) = self.peaks.last() {
            if size != top.0 {
                break;
            }
            self.peaks.pop();
            top = (size * 2, node(&left, &top.1));
        }
        self.peaks.push(top);
    }

    /// The root over all leaves so far; of none, the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(&(_, last)) = peaks.next() else { return Hash::of(&[]) };
        peaks.fold(last, |right, (_, left)| node(left, &right))
    }
}

/// The root over these leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut builder = RootBuilder::new();
    leaves.iter().for_each(|hash| builder.push_hash(*hash));
    builder.root()
}

/// Largest power of two below `n`; `n` is at least 2.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// The audit path of every leaf (RFC 6962, 2.1.1), from the leaf up, in the order of the leaves. Hashes each node of
/// the tree once, so that a group of thousands costs no more than its root.
pub fn paths(leaves: &[Hash]) -> Vec<Vec<Hash>> {
    let mut paths = vec![Vec::new(); leaves.len()];
    climb(leaves, &mut paths);
    paths
}

/// Gives the root of these leaves, and each leaf its siblings below that root.
fn climb(leaves: &[Hash], paths: &mut [Vec<Hash>]) -> Hash {
    match leaves {
        [] => root(&[]),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(split(more.len()));
            let (left_paths, right_paths) = paths.split_at_mut(left.len());
            let (left, right) = (climb(left, left_paths), climb(right, right_paths));
            left_paths.iter_mut().for_each(|path| path.push(right));
            right_paths.iter_mut().for_each(|path| path.push(left));
            node(&left, &right)
        }
    }
}

/// The root that a leaf and its path lead to (RFC 9162, 2.1.3.2); `None` when they fit no tree of that size.
pub fn root_from_path(leaf: Hash, index: u64, count: u64, path: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    let (mut at, mut last, mut hash) = (index, count - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(hash: &Hash) -> String {
        hash.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The published test leaves of the certificate transparency code base, and its roots.
    #[test]
    fn known_roots() {
        let leaves: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let mut builder = RootBuilder::new();
        assert_eq!(hex(&builder.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let expected = [
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ];
        for (count, data) in leaves.iter().enumerate() {
            builder.push(data);
            if let Some((_, root)) = expected.iter().find(|(n, _)| *n == count + 1) {
                assert_eq!(hex(&builder.root()), *root, "{} leaves", count + 1);
            }
        }
    }

    #[test]
    fn every_path_leads_to_the_root_and_no_other_leaf_does() {
        for count in 1..=33_usize {
            let leaves: Vec<Hash> = (0..count).map(|i| leaf(&i.to_be_bytes())).collect();
            let expected = root(&leaves);
            let paths = paths(&leaves);
            assert_eq!(paths.len(), count);
            for (index, (hash, path)) in leaves.iter().zip(&paths).enumerate() {
                let (index, total) = (index as u64, count as u64);
                assert_eq!(root_from_path(*hash, index, total, path), Some(expected));
                let other = leaf(b"other");
                assert_ne!(root_from_path(other, index, total, path), Some(expected));
                assert_eq!(root_from_path(*hash, total, total, path), None);
                let longer = [path.clone(), vec![other]].concat();
                assert_eq!(root_from_path(*hash, index, total, &longer), None);
            }
        }
    }

    #[test]
    fn a_full_group_is_pathed_at_the_cost_of_its_root() {
        assert!(paths(&[]).is_empty());
        let leaves: Vec<Hash> = (0..65_536_usize).map(|i| leaf(&i.to_be_bytes())).collect();
        let (expected, paths) = (root(&leaves), paths(&leaves));
        for index in [0, 1, 32_767, 65_535] {
            assert_eq!(paths[index].len(), 16);
            assert_eq!(root_from_path(leaves[index], index as u64, 65_536, &paths[index]), Some(expected));
        }
    }
}
