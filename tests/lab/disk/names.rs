//! The names of the faulty disk: which file or directory each one is now, and what the disk may remember instead.
//!
//! Changes of names wait, in order, for a sync of their directory. Knows nothing of what is in a file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::Kept;
use crate::sim::chance::Chance;

/// Number of a file, given once.
pub(super) type Inode = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    File(Inode),
}

#[derive(Clone, Debug)]
enum Change {
    Put(PathBuf, Node),
    Take(PathBuf),
    Move(PathBuf, PathBuf, Node),
}

/// All names. The root is a directory and is always there.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    now: BTreeMap<PathBuf, Node>,
    sure: BTreeMap<PathBuf, Node>,
    /// By directory, in order.
    pending: BTreeMap<PathBuf, Vec<Change>>,
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<Node> {
        if path.parent().is_none() { Some(Node::Dir) } else { self.now.get(path).copied() }
    }

    /// The file of this name.
    pub(super) fn file(&self, path: &Path) -> io::Result<Inode> {
        match self.get(path) {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whether it is a directory, and there.
    pub(super) fn dir(&self, path: &Path) -> io::Result<()> {
        match self.get(path) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The names in a directory.
    pub(super) fn within(&self, dir: &Path) -> Vec<String> {
        let paths = self.now.keys().filter(|path| path.parent() == Some(dir));
        paths.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect()
    }

    /// All files.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, Inode)> {
        self.now.iter().filter_map(|(path, node)| match node {
            Node::File(inode) => Some((path.as_path(), *inode)),
            Node::Dir => None,
        })
    }

    /// What a file is called now; nothing when it has no name any more.
    pub(super) fn name_of(&self, inode: Inode) -> String {
        let path = self.files().find(|(_, other)| *other == inode).and_then(|(path, _)| path.file_name());
        path.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub(super) fn put(&mut self, path: &Path, node: Node) {
        self.now.insert(path.to_owned(), node);
        self.wait(path, Change::Put(path.to_owned(), node));
    }

    pub(super) fn take(&mut self, path: &Path) {
        self.now.remove(path);
        self.wait(path, Change::Take(path.to_owned()));
    }

    pub(super) fn move_to(&mut self, from: &Path, to: &Path, node: Node) {
        self.now.remove(from);
        self.now.insert(to.to_owned(), node);
        if from.parent() == to.parent() {
            return self.wait(to, Change::Move(from.to_owned(), to.to_owned(), node));
        }
        self.wait(to, Change::Put(to.to_owned(), node));
        self.wait(from, Change::Take(from.to_owned()));
    }

    fn wait(&mut self, path: &Path, change: Change) {
        let dir = path.parent().unwrap_or(path).to_owned();
        self.pending.entry(dir).or_default().push(change);
    }

    /// The names in a directory are on the disk.
    pub(super) fn sync(&mut self, dir: &Path) {
        for change in self.pending.remove(dir).into_iter().flatten() {
            apply(&mut self.sure, change);
        }
    }

    /// What is on the disk when the power returns: of each directory's changes the first few, up to one of them.
    pub(super) fn cut(self, kept: Kept, chance: &mut Chance) -> Self {
        let mut sure = self.sure;
        for changes in self.pending.into_values() {
            let count = match kept {
                Kept::Nothing => 0,
                Kept::All => changes.len(),
                Kept::Upto | Kept::Any(_) => chance.index(changes.len() + 1),
            };
            changes.into_iter().take(count).for_each(|change| apply(&mut sure, change));
        }
        // What lay in a directory whose own name was lost is lost with it.
        let there = |path: &Path| {
            path.ancestors().skip(1).all(|dir| dir.parent().is_none() || sure.get(dir) == Some(&Node::Dir))
        };
        let now: BTreeMap<_, _> =
            sure.iter().filter(|(path, _)| there(path)).map(|(path, node)| (path.clone(), *node)).collect();
        Self { sure: now.clone(), now, pending: BTreeMap::new() }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Node>, change: Change) {
    match change {
        Change::Put(path, node) => {
            names.insert(path, node);
        }
        Change::Take(path) => {
            names.remove(&path);
        }
        Change::Move(from, to, node) => {
            names.remove(&from);
            names.insert(to, node);
        }
    }
}
